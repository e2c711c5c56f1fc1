//! The examples, as people run them.

use std::{
    env, fs,
    path::PathBuf,
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
#[cfg(unix)]
use std::{
    io::{Read, Write},
    net::TcpStream,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tempfile::{TempDir, tempdir};

#[cfg(unix)]
use crate::support::{Answer, PATIENCE};
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
}

#[test]
fn hyper() {
    let Some((server, dir)) = start("hyper") else {
        return;
    };
    uploads(&server, &dir);
}

#[tokio::test]
async fn hyper_over_http2() {
    let Some((server, dir)) = start("hyper") else {
        return;
    };
    h2c::uploads(server.address, dir.path()).await;
}

#[cfg(unix)]
#[test]
fn either_signal_ends_them_with_an_upload_running() {
    let place = tempdir().unwrap();
    let pem = place.path().join("server.pem");
    fs::write(&pem, tls::SERVER).unwrap();
    let (pem, place) = (pem.to_str().unwrap(), place.path().to_str().unwrap());
    let bearer = format!("Bearer {}", token(SECRET, "HS256", &alice(A_DAY)));
    for signal in ["INT", "TERM"] {
        for (name, settings, connect) in [
            ("actix", &[][..], over_tcp as Connect),
            ("axum", &[], over_tcp),
            ("axum_auth", &[("SECRET", SECRET)], over_tcp),
            ("custom_storage", &[], over_tcp),
            ("hooks", &[("LIBRARY", place)], over_tcp),
            ("hyper", &[], over_tcp),
            (
                "hyper_tls",
                &[("TLS_CERT", pem), ("TLS_KEY", pem)],
                over_tls,
            ),
            (
                "s3",
                &[("BUCKET", "memory://"), ("DRAIN_SECONDS", "0")],
                over_tcp,
            ),
        ] {
            if let Some((server, _dir)) = start_with(name, settings) {
                ends_with_an_upload_running(server, signal, connect, &bearer);
            }
        }
    }
}

#[test]
fn axum_auth_keeps_users_apart() {
    let Some((server, dir)) = start_with("axum_auth", &[("SECRET", SECRET)]) else {
        return;
    };
    let bearer = |name: &str| {
        let mut command = Command::new(example("axum_auth"));
        command.env("SECRET", SECRET).args(["token", name]);
        let output = Output::of(command);
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        format!("Bearer {}", output.stdout.trim())
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
        format!("Bearer {}", token(SECRET, "HS256", &self::alice(0))),
        format!("Bearer {}", token(SECRET, "none", &self::alice(A_DAY))),
        format!("Bearer {}", token("another", "HS256", &self::alice(A_DAY))),
    ] {
        let answer = send(Request::create(5), &forged);
        assert_eq!(answer.status, 401, "{forged}");
    }
    let elsewhere = format!("Bearer {}", token(SECRET, "HS256", &self::alice(A_DAY)));
    let known = send(Request::create(5), &elsewhere);
    assert_eq!(known.status, 201, "{known:?}");
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

    // One was begun above.
    for _ in 1..10 {
        send(Request::create(1), &alice).location();
    }
    assert_eq!(send(Request::create(1), &alice).status, 429);
    assert_eq!(send(Request::create(1), &bob).status, 201);
}

#[test]
fn axum_auth_has_no_secret_of_its_own_and_shows_no_token() {
    let Some(path) = built("axum_auth") else {
        return;
    };
    for (secret, why) in [(None, "not set"), (Some("short"), "shorter than 32 bytes")] {
        let mut command = Command::new(&path);
        command
            .env_remove("SECRET")
            .envs(secret.map(|secret| ("SECRET", secret)));
        let output = Output::of(command);
        assert_eq!(output.code, Some(1));
        assert!(output.stderr.contains(why), "{}", output.stderr);
    }
    let (server, _dir) = start_with("axum_auth", &[("SECRET", SECRET)]).unwrap();
    assert_eq!(server.output().len(), 1, "{:?}", server.output());
}

#[test]
fn custom_storage_counts_what_it_stores() {
    let Some((server, dir)) = start("custom_storage") else {
        return;
    };
    uploads(&server, &dir);
    let count = Request::new("GET", "/").send(server.address);
    assert_eq!(count.text(), "300000 bytes were stored\n");
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

/// In memory: it is about what stands before the bucket. `docs/object-storage.md` has two of them on one.
#[test]
fn s3_believes_no_forwarded_host() {
    let settings = [("BUCKET", "memory://"), ("DRAIN_SECONDS", "0")];
    let Some((server, _dir)) = start_with("s3", &settings) else {
        return;
    };
    let ready = Request::new("GET", "/readyz").send(server.address);
    assert_eq!((ready.status, ready.text()), (200, "ready\n"));
    let created = Request::create(5)
        .header("X-Forwarded-Proto", "https")
        .header("X-Forwarded-Host", "evil.example")
        .send(server.address);
    let url = created.location();
    assert!(url.starts_with("/files/"), "{url:?}");
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

/// Ctrl-C or SIGTERM ends the program although a client holds an upload open, and the client is told.
#[cfg(unix)]
fn ends_with_an_upload_running(mut server: Program, signal: &str, connect: Connect, token: &str) {
    let permitted = |request: Request| request.header("Authorization", token);
    let create = permitted(Request::create(10));
    let upload = create.send_over(connect(&server)).location();
    let mut stream = connect(&server);
    permitted(Request::patch(&upload, 0, b"")).announce_over(&mut stream, 10);
    stream.write_all(b"hello").unwrap();
    stream.flush().unwrap();
    eventually("the bytes at the server", || {
        let head = permitted(Request::new("HEAD", &upload)).send_over(connect(&server));
        (head.offset() == 5).then_some(())
    });
    server.signal(signal);
    let answer = Answer::read(stream);
    assert_eq!((answer.status, answer.offset()), (503, 5), "{answer:?}");
    assert_eq!(server.wait().code(), Some(0));
}

#[cfg(unix)]
type Connect = fn(&Program) -> Box<dyn Stream>;

#[cfg(unix)]
trait Stream: Read + Write {}

#[cfg(unix)]
impl<S: Read + Write> Stream for S {}

#[cfg(unix)]
fn over_tcp(server: &Program) -> Box<dyn Stream> {
    let stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Box::new(stream)
}

#[cfg(unix)]
fn over_tls(server: &Program) -> Box<dyn Stream> {
    let stream = tls::connect(server, &["http/1.1"]);
    stream.sock.set_read_timeout(Some(PATIENCE)).unwrap();
    Box::new(stream)
}

/// A JSON web token, made by the book (RFC 7519).
fn token(secret: &str, algorithm: &str, claims: &Value) -> String {
    let header = json!({ "alg": algorithm, "typ": "JWT" });
    let [header, claims] = [&header, claims].map(|part| BASE64.encode(part.to_string()));
    let signed = format!("{header}.{claims}");
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    let signature = mac.chain_update(&signed).finalize().into_bytes();
    format!("{signed}.{}", BASE64.encode(signature))
}

/// Claims that expire so many seconds from now.
fn alice(seconds: u64) -> Value {
    let expires = SystemTime::now() + Duration::from_secs(seconds);
    let expires = expires.duration_since(UNIX_EPOCH).unwrap().as_secs();
    json!({ "sub": "alice", "exp": expires })
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

const SECRET: &str = "thirty-two bytes are the least there are";
const A_DAY: u64 = 24 * 60 * 60;
