//! Log lines.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tempfile::tempdir;

use crate::support::{Program, Request};

#[test]
fn json_lines_tell_start_requests_and_nothing_secret() {
    let dir = tempdir().unwrap();
    let server = Program::serve(dir.path(), &["--log-format", "json", "--log", "trace"]);
    let secret = |request: Request| {
        request
            .header("Authorization", "Bearer c2VjcmV0")
            .header("Cookie", "session=c2VjcmV0")
            .send(server.address)
    };
    let upload = secret(Request::create(10)).location();
    let patch = Request::patch(&format!("{upload}?token=c2VjcmV0"), 0, b"hello");
    assert_eq!(secret(patch).status, 204);
    assert_eq!(
        Request::patch(&upload, 9, b"x").send(server.address).status,
        409
    );
    assert_eq!(Request::new("GET", "/").send(server.address).status, 200);
    server.line("\"path\":\"/\"");

    let lines: Vec<Value> = server
        .output()
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for line in &lines {
        for field in ["timestamp", "level", "message"] {
            assert!(line[field].is_string(), "no {field} in {line}");
        }
        assert!(!line.to_string().contains("c2VjcmV0"), "{line}");
    }

    let start = lines
        .iter()
        .find(|line| line["message"] == "listening")
        .unwrap();
    assert_eq!(start["address"], server.address.to_string());
    assert_eq!(start["url"], format!("http://{}/files", server.address));
    assert_eq!(start["storage"], dir.path().to_str().unwrap());

    let requests: Vec<_> = lines
        .iter()
        .filter(|line| line["message"] == "request")
        .collect();
    assert_eq!(requests.len(), 4, "{requests:?}");
    let [create, patch, conflict, root] = requests[..] else {
        unreachable!()
    };
    assert_eq!(
        (&create["method"], &create["path"]),
        (&"POST".into(), &"/files".into())
    );
    assert_eq!(
        (&create["status"], &create["location"]),
        (&201.into(), &upload.clone().into())
    );
    assert_eq!(
        (&patch["method"], &patch["path"]),
        (&"PATCH".into(), &upload.clone().into())
    );
    assert_eq!(
        (&patch["status"], &patch["received"]),
        (&204.into(), &5.into())
    );
    assert_eq!(
        (&conflict["status"], &conflict["level"]),
        (&409.into(), &"INFO".into())
    );
    assert!(root["sent"].as_u64().unwrap() > 0, "{root}");
    assert!(
        requests.iter().all(|line| line["ms"].is_u64()),
        "{requests:?}"
    );
}

#[test]
fn what_an_operation_logs_names_it_its_upload_and_its_request() {
    let server = Program::serve("memory://", &["--log-format", "json", "--log", "debug"]);
    let upload = Request::create(5)
        .header("X-Request-Id", "first")
        .header("Upload-Metadata", "filename c2VjcmV0")
        .send(server.address)
        .location();
    let id = upload.rsplit('/').next().unwrap();
    let patch = Request::patch(&upload, 0, b"hello").header("X-Request-Id", "second");
    assert_eq!(patch.send(server.address).status, 204);
    let long = "x".repeat(1000);
    let head = Request::new("HEAD", &upload).header("X-Request-Id", &long);
    assert_eq!(head.send(server.address).status, 200);
    server.line("HEAD");

    let lines: Vec<Value> = server
        .output()
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let line = |message: &str| {
        lines
            .iter()
            .find(|line| line["message"] == message)
            .unwrap()
    };
    for (message, operation, request) in [
        ("upload created", "create", "first"),
        ("upload finished", "append", "second"),
    ] {
        let span = &line(message)["span"];
        assert_eq!(span["operation"], operation, "{span}");
        assert_eq!(span["upload"], id, "{span}");
        assert_eq!(span["request_id"], request, "{span}");
    }
    assert_eq!(line("request")["request_id"], "first");
    for line in &lines {
        let text = line.to_string();
        assert!(
            !text.contains("c2VjcmV0") && !text.contains("secret"),
            "{text}"
        );
        assert!(!text.contains(&long), "{text}");
    }
}

/// Of the service; the program tells its address all the same.
const WARNINGS: &str = "warn,tus=info";

/// The first line with this message, once it is there.
#[track_caller]
fn json_line(server: &Program, message: &str) -> Value {
    let line = server.line(&format!("\"message\":\"{message}\""));
    serde_json::from_str(&line).unwrap()
}

#[test]
fn what_is_refused_names_its_request_and_its_upload_if_it_makes_sense() {
    let server = Program::serve("memory://", &["--log-format", "json", "--log", "debug"]);
    let upload = Request::create(5).send(server.address).location();
    let id = upload.rsplit('/').next().unwrap();
    let patch = Request::patch(&upload, 9, b"hello").header("X-Request-Id", "first");
    assert_eq!(patch.send(server.address).status, 409);
    let line = json_line(&server, "refused");
    assert_eq!(line["span"]["operation"], "append", "{line}");
    assert_eq!(line["span"]["upload"], id, "{line}");
    assert_eq!(line["span"]["request_id"], "first", "{line}");

    let server = Program::serve("memory://", &["--log-format", "json", "--log", "debug"]);
    let odd = Request::new("POST", "/files").header("X-Request-Id", "second");
    assert_eq!(odd.send(server.address).status, 400);
    let line = json_line(&server, "refused");
    assert_eq!(line["span"]["request_id"], "second", "{line}");
    assert_eq!(line["span"]["operation"], Value::Null, "{line}");
}

#[test]
fn a_warning_names_its_upload_also_if_nothing_less_is_logged() {
    let dir = tempdir().unwrap();
    let server = Program::serve(dir.path(), &["--log-format", "json", "--log", WARNINGS]);
    let upload = Request::create(5).send(server.address).location();
    let id = upload.rsplit('/').next().unwrap();
    for file in files(dir.path()) {
        fs::write(file, "no record").unwrap();
    }
    let head = Request::new("HEAD", &upload).header("X-Request-Id", "third");
    assert_eq!(head.send(server.address).status, 500);
    let line = json_line(&server, "the storage failed");
    assert_eq!(line["span"]["upload"], id, "{line}");
    assert_eq!(line["span"]["operation"], "inspect", "{line}");
    assert_eq!(line["span"]["request_id"], "third", "{line}");
}

#[test]
fn what_is_told_in_the_background_names_its_upload_and_the_request_it_goes_back_to() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let hooks = format!("http://{}/", nobody.local_addr().unwrap());
    drop(nobody);
    let args = [
        "--log-format",
        "json",
        "--log",
        WARNINGS,
        "--hooks-http",
        &hooks,
        "--hooks-http-retry",
        "1",
        "--hooks-enabled-events",
        "post-create",
    ];
    let server = Program::serve("memory://", &args);
    let create = Request::create(5).header("X-Request-Id", "fourth");
    let upload = create.send(server.address).location();
    let line = json_line(&server, "the hook server could not be asked");
    let span = &line["span"];
    assert_eq!(span["operation"], "tell", "{line}");
    assert_eq!(span["upload"], upload.rsplit('/').next().unwrap(), "{line}");
    assert_eq!(span["request_id"], "fourth", "{line}");
}

/// All files below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

#[test]
fn text_lines_and_a_quiet_level() {
    let server = Program::serve("memory://", &[]);
    let upload = Request::create(1).send(server.address).location();
    assert_eq!(
        Request::new("HEAD", &upload).send(server.address).status,
        200
    );
    let line = server.line("HEAD");
    for expected in ["INFO", &upload, "status=200", "received=0", "ms="] {
        assert!(line.contains(expected), "no {expected} in {line}");
    }
    assert!(!line.contains('\x1b'), "colours in a pipe: {line:?}");

    let quiet = Program::serve("memory://", &["--log-level", "error"]);
    assert_eq!(Request::create(1).send(quiet.address).status, 201);
    assert!(
        !quiet.output().iter().any(|line| line.contains("INFO")),
        "{:?}",
        quiet.output()
    );
}
