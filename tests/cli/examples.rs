//! The examples, as people run them.

use std::{env, fs, path::PathBuf, process::Command};

use tempfile::{TempDir, tempdir};

use crate::{
    h2c,
    support::{Program, Request, sample, skipped},
};

#[test]
fn actix() {
    let Some((server, dir)) = start("actix") else {
        return;
    };
    let root = Request::new("GET", "/").send(server.address);
    assert!(root.text().contains("/files"), "{root:?}");
    uploads(&server, &dir);
    #[cfg(unix)]
    ends_with_an_upload_running(server);
}

#[tokio::test]
async fn actix_over_http2() {
    let Some((server, dir)) = start("actix") else {
        return;
    };
    h2c::uploads(server.address, dir.path()).await;
}

#[test]
fn axum() {
    let Some((server, dir)) = start("axum") else {
        return;
    };
    let root = Request::new("GET", "/").send(server.address);
    assert_eq!(root.status, 200);
    assert!(root.text().contains("/files"), "{root:?}");
    uploads(&server, &dir);
    #[cfg(unix)]
    ends_with_an_upload_running(server);
}

#[test]
fn hyper() {
    let Some((server, dir)) = start("hyper") else {
        return;
    };
    uploads(&server, &dir);
    #[cfg(unix)]
    ends_with_an_upload_running(server);
}

#[tokio::test]
async fn hyper_over_http2() {
    let Some((server, dir)) = start("hyper") else {
        return;
    };
    h2c::uploads(server.address, dir.path()).await;
}

/// Creates, patches twice, reads back.
fn uploads(server: &Program, dir: &TempDir) {
    let data = sample(300_000);
    let upload = Request::create(data.len()).send(server.address).location();
    let id = upload
        .strip_prefix("/files/")
        .expect("below the mount")
        .to_owned();
    let half = Request::patch(&upload, 0, &data[..100_000]).send(server.address);
    assert_eq!((half.status, half.offset()), (204, 100_000));
    let whole = Request::patch(&upload, 100_000, &data[100_000..]).send(server.address);
    assert_eq!((whole.status, whole.offset()), (204, data.len()));
    assert_eq!(Request::new("GET", &upload).send(server.address).body, data);
    assert_eq!(fs::read(dir.path().join(id)).unwrap(), data);
}

/// Ctrl-C ends the program although a client holds an upload open, and the client is told.
#[cfg(unix)]
fn ends_with_an_upload_running(mut server: Program) {
    use std::io::Write;

    use crate::support::{Answer, eventually};

    let upload = Request::create(10).send(server.address).location();
    let mut stream = Request::patch(&upload, 0, b"").announce(server.address, 10);
    stream.write_all(b"hello").unwrap();
    eventually("the bytes at the server", || {
        let head = Request::new("HEAD", &upload).send(server.address);
        (head.offset() == 5).then_some(())
    });
    server.signal("INT");
    let answer = Answer::read(stream);
    assert_eq!((answer.status, answer.offset()), (503, 5), "{answer:?}");
    assert_eq!(server.wait().code(), Some(0));
}

/// Cargo builds examples next to the tests, unless only some targets were asked for.
fn start(name: &str) -> Option<(Program, TempDir)> {
    let path = example(name);
    if !path.exists() {
        skipped(&format!(
            "example {name} is not built; `cargo test` without a target builds it"
        ));
        return None;
    }
    let dir = tempdir().unwrap();
    let mut command = Command::new(path);
    command.env("PORT", "0").env("UPLOADS", dir.path());
    Some((Program::start(command), dir))
}

fn example(name: &str) -> PathBuf {
    let test = env::current_exe().unwrap();
    let deps = test.parent().unwrap();
    let file = format!("{name}{}", env::consts::EXE_SUFFIX);
    deps.parent().unwrap().join("examples").join(file)
}
