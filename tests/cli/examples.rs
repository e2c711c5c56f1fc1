//! The examples, as people run them.

use std::{env, fs, path::PathBuf, process::Command};

use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::{
    h2c,
    support::{Output, Program, Request, eventually, sample, skipped},
    tls,
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

#[test]
fn axum_auth_keeps_users_apart() {
    let Some((server, dir)) = start("axum_auth") else {
        return;
    };
    let bearer = |name: &str| {
        let line = server.line(&format!("token of {name}: "));
        format!("Bearer {}", line.rsplit(' ').next().unwrap())
    };
    let (alice, bob) = (bearer("alice"), bearer("bob"));
    let send = |request: Request, token: &str| {
        let request = request.header("Authorization", token);
        request.send(server.address)
    };

    let nobody = Request::create(5).send(server.address);
    assert_eq!(nobody.status, 401, "{nobody:?}");
    assert_eq!(nobody.header("WWW-Authenticate"), Some("Bearer"));
    for forged in [
        alice.replace("Bearer ", "Basic "),
        alice[..alice.len() - 2].to_owned(),
        // The claims of one with the signature of the other.
        format!(
            "{}.{}",
            alice.rsplit_once('.').unwrap().0,
            bob.rsplit_once('.').unwrap().1
        ),
    ] {
        let answer = send(Request::create(5), &forged);
        assert_eq!(answer.status, 401, "{forged}");
    }
    let preflight = Request::new("OPTIONS", "/files")
        .header("Origin", "https://example.org")
        .header("Access-Control-Request-Method", "POST")
        .send(server.address);
    assert_eq!(preflight.status, 204, "{preflight:?}");

    let upload = send(Request::create(5), &alice).location();
    for request in [
        Request::new("HEAD", &upload),
        Request::patch(&upload, 0, b"wrong"),
        Request::new("DELETE", &upload),
    ] {
        assert_eq!(send(request.clone(), &bob).status, 404, "{request:?}");
        assert_eq!(request.clone().send(server.address).status, 401);
    }
    let done = send(Request::patch(&upload, 0, b"hello"), &alice);
    assert_eq!((done.status, done.offset()), (204, 5), "{done:?}");
    assert_eq!(send(Request::new("GET", &upload), &bob).status, 404);
    assert_eq!(send(Request::new("GET", &upload), &alice).body, b"hello");
    let id = upload.strip_prefix("/files/").unwrap();
    let path = dir.path().join("users/alice").join(id);
    assert_eq!(fs::read(path).unwrap(), b"hello");

    for _ in 0..10 {
        send(Request::create(1), &alice).location();
    }
    assert_eq!(send(Request::create(1), &alice).status, 429);
    assert_eq!(send(Request::create(1), &bob).status, 201);
}

#[test]
fn custom_storage_counts_what_it_stores() {
    let Some((server, dir)) = start("custom_storage") else {
        return;
    };
    uploads(&server, &dir);
    let count = Request::new("GET", "/").send(server.address);
    assert_eq!(count.text(), "300000 bytes were stored\n");
    #[cfg(unix)]
    ends_with_an_upload_running(server);
}

#[test]
fn custom_storage_is_a_storage() {
    let Some(path) = built("custom_storage") else {
        return;
    };
    let mut command = Command::new(path);
    command.arg("--check");
    let output = Output::of(command);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(output.stdout, "it is a storage\n");
}

#[test]
fn hooks_look_at_a_file_and_move_it() {
    let library = tempdir().unwrap();
    let place = library.path().to_str().unwrap();
    let Some((server, dir)) = start_with("hooks", &[("LIBRARY", place)]) else {
        return;
    };
    let mut picture = b"\x89PNG\r\n\x1a\n".to_vec();
    picture.extend(sample(100_000));

    let upload = Request::create(picture.len())
        .send(server.address)
        .location();
    let id = upload.strip_prefix("/files/").unwrap();
    let answer = Request::patch(&upload, 0, &picture).send(server.address);
    assert_eq!((answer.status, answer.offset()), (200, picture.len()));
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    let json: Value = serde_json::from_slice(&answer.body).unwrap();
    let expected = json!({ "id": id, "bytes": picture.len(), "kind": "png" });
    assert_eq!(json, expected);
    let moved = library.path().join(format!("{id}.png"));
    eventually("the file in the library", || moved.exists().then_some(()));
    assert_eq!(fs::read(moved).unwrap(), picture);
    assert!(!dir.path().join(id).exists());
    server.line(&format!("created {id}"));
    server.line(&format!("finished {id}"));

    let refused = Request::create(9).send(server.address).location();
    let answer = Request::patch(&refused, 0, b"#!/bin/sh").send(server.address);
    assert_eq!(answer.status, 415, "{answer:?}");
    let head = Request::new("HEAD", &refused).send(server.address);
    assert_eq!(head.status, 415, "{head:?}");
    let id = refused.strip_prefix("/files/").unwrap();
    assert!(!dir.path().join(id).exists());
    let entries = fs::read_dir(library.path()).unwrap();
    assert_eq!(entries.count(), 1);
    #[cfg(unix)]
    ends_with_an_upload_running(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn hyper_tls_takes_either_version_of_http() {
    let keys = tempdir().unwrap();
    let pem = keys.path().join("server.pem");
    fs::write(&pem, tls::SERVER).unwrap();
    let pem = pem.to_str().unwrap();
    let Some((server, dir)) = start_with("hyper_tls", &[("TLS_CERT", pem), ("TLS_KEY", pem)])
    else {
        return;
    };
    let created = Request::create(5)
        .body(b"hello")
        .send_over(tls::connect(&server, &["http/1.1"]));
    assert_eq!((created.status, created.offset()), (201, 5));
    let origin = format!("https://{}", server.address);
    h2c::uploads_over(tls::connect_h2(&server).await, &origin, dir.path()).await;
}

/// In memory: it is about what stands before the bucket.
#[test]
fn s3_is_for_a_balancer() {
    let settings = [("BUCKET", "memory://"), ("DRAIN_SECONDS", "0")];
    let Some((server, _)) = start_with("s3", &settings) else {
        return;
    };
    let ready = Request::new("GET", "/readyz").send(server.address);
    assert_eq!((ready.status, ready.text()), (200, "ready\n"));
    let created = Request::create(5)
        .header("X-Forwarded-Proto", "https")
        .header("X-Forwarded-Host", "files.example.org")
        .send(server.address);
    let url = created.location();
    assert!(
        url.starts_with("https://files.example.org/files/"),
        "{url:?}"
    );
    #[cfg(unix)]
    ends_with_an_upload_running(server);
}

#[cfg(unix)]
#[test]
fn s3_says_that_it_goes_and_serves_on() {
    let settings = [("BUCKET", "memory://"), ("DRAIN_SECONDS", "3600")];
    let Some((server, _)) = start_with("s3", &settings) else {
        return;
    };
    let ready = || Request::new("GET", "/readyz").send(server.address).status;
    assert_eq!(ready(), 200);
    server.signal("TERM");
    eventually("503", || (ready() == 503).then_some(()));
    let created = Request::create(5).body(b"hello").send(server.address);
    assert_eq!((created.status, created.offset()), (201, 5));
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

    use crate::support::Answer;

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

fn start(name: &str) -> Option<(Program, TempDir)> {
    start_with(name, &[])
}

/// With more of the environment.
fn start_with(name: &str, settings: &[(&str, &str)]) -> Option<(Program, TempDir)> {
    let mut command = Command::new(built(name)?);
    let dir = tempdir().unwrap();
    command.env("PORT", "0").env("UPLOADS", dir.path());
    command.envs(settings.iter().copied());
    Some((Program::start(command), dir))
}

/// Cargo builds examples next to the tests, unless only some targets were asked for.
fn built(name: &str) -> Option<PathBuf> {
    let path = example(name);
    if path.exists() {
        return Some(path);
    }
    skipped(&format!(
        "example {name} is not built; `cargo test` without a target builds it"
    ));
    None
}

fn example(name: &str) -> PathBuf {
    let test = env::current_exe().unwrap();
    let deps = test.parent().unwrap();
    let file = format!("{name}{}", env::consts::EXE_SUFFIX);
    deps.parent().unwrap().join("examples").join(file)
}
