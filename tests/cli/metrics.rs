//! Numbers for Prometheus.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use crate::support::{Answer, Program, Request, eventually};

/// The value in the one line that has a name and all of these labels.
#[track_caller]
pub(crate) fn value(text: &str, name: &str, labels: &[&str]) -> f64 {
    let is_it = |line: &&str| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|label| line.contains(label))
    };
    let lines: Vec<_> = text.lines().filter(is_it).collect();
    let [line] = lines[..] else {
        panic!("{name} {labels:?}: {lines:?} in\n{text}");
    };
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn what_was_done_can_be_counted_under_the_names_of_tusd() {
    let server = Program::serve("memory://", &["--admin-listen", "127.0.0.1:0"]);
    let admin = server.admin();
    let before = Request::new("GET", "/metrics").send(admin);
    assert_eq!(value(before.text(), "tusd_uploads_created", &[]), 0.0);

    let upload = Request::create(5).send(server.address).location();
    let patch = |offset, body| {
        Request::patch(&upload, offset, body)
            .send(server.address)
            .status
    };
    assert_eq!(patch(3, b"lo"), 409);
    assert_eq!(patch(0, b"hello"), 204);
    assert_eq!(
        Request::new("DELETE", &upload).send(server.address).status,
        204
    );
    assert_eq!(
        Request::new("BREW", &upload).send(server.address).status,
        405
    );

    let metrics = Request::new("GET", "/metrics").send(admin);
    let content_type = metrics.header("Content-Type").unwrap();
    assert!(
        content_type.starts_with("text/plain; version=0.0.4"),
        "{content_type}"
    );
    let text = metrics.text();
    for (name, labels, expected) in [
        ("tusd_requests_total", &["method=\"POST\""][..], 1.0),
        ("tusd_requests_total", &["method=\"PATCH\""], 2.0),
        ("tusd_requests_total", &["method=\"DELETE\""], 1.0),
        ("tusd_requests_total", &["method=\"other\""], 1.0),
        (
            "tusd_errors_total",
            &["status=\"409\"", "code=\"ERR_MISMATCHED_OFFSET\""],
            1.0,
        ),
        (
            "tusd_errors_total",
            &["status=\"405\"", "code=\"ERR_METHOD_NOT_ALLOWED\""],
            1.0,
        ),
        ("tusd_bytes_received", &[], 5.0),
        ("tusd_uploads_created", &[], 1.0),
        ("tusd_uploads_finished", &[], 1.0),
        ("tusd_uploads_terminated", &[], 1.0),
        ("tus_writers", &[], 0.0),
        ("tus_takeovers_total", &[], 0.0),
        ("tus_uploads_expired_total", &[], 0.0),
        (
            "tus_request_duration_seconds_count",
            &["operation=\"append\""],
            2.0,
        ),
        (
            "tus_request_duration_seconds_count",
            &["operation=\"create\""],
            1.0,
        ),
        (
            "tus_request_duration_seconds_bucket",
            &["operation=\"append\"", "le=\"+Inf\""],
            2.0,
        ),
    ] {
        assert_eq!(
            value(text, name, labels),
            expected,
            "{name} {labels:?}\n{text}"
        );
    }
    assert!(value(text, "tusd_connections_open", &[]) >= 1.0);
    for line in [
        "# TYPE tusd_bytes_received counter",
        "# TYPE tus_writers gauge",
        "# TYPE tus_request_duration_seconds histogram",
        "# HELP tusd_uploads_created Uploads created.",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[test]
fn numbers_are_shown_where_they_are_asked_for() {
    let get = |server: &Program, path: &str| Request::new("GET", path).send(server.address).status;
    let usual = Program::serve("memory://", &[]);
    assert_eq!(
        ["/healthz", "/readyz", "/metrics"].map(|path| get(&usual, path)),
        [200, 200, 404]
    );
    let all = Program::serve("memory://", &["--expose", "metrics,healthz"]);
    assert_eq!(
        ["/healthz", "/readyz", "/metrics"].map(|path| get(&all, path)),
        [200, 404, 200]
    );
    let none = Program::serve(
        "memory://",
        &["--expose", "none", "--admin-listen", "127.0.0.1:0"],
    );
    assert_eq!(
        ["/healthz", "/readyz", "/metrics"].map(|path| get(&none, path)),
        [404; 3]
    );
    let admin = none.admin();
    for path in ["/healthz", "/readyz", "/metrics", "/"] {
        assert_eq!(Request::new("GET", path).send(admin).status, 200, "{path}");
    }
    assert_eq!(
        Request::create(1).send(admin).status,
        404,
        "no uploads there"
    );
}

fn metrics(server: &Program) -> String {
    let metrics = Request::new("GET", "/metrics").send(server.admin());
    metrics.text().to_owned()
}

#[test]
fn writers_are_counted_while_they_write_and_those_that_are_taken_over() {
    let server = Program::serve("memory://", &["--admin-listen", "127.0.0.1:0"]);
    let upload = Request::create(10).send(server.address).location();
    let patch = Request::patch(&upload, 0, b"");
    let mut writer = patch.announce(server.address, 10);
    writer.write_all(b"hel").unwrap();
    eventually("three bytes", || {
        let head = Request::new("HEAD", &upload).send(server.address);
        (head.offset() == 3).then_some(())
    });
    let text = metrics(&server);
    assert_eq!(value(&text, "tus_writers", &[]), 1.0, "{text}");
    assert_eq!(value(&text, "tus_takeovers_total", &[]), 0.0);

    let newer = Request::patch(&upload, 3, b"lo worl").send(server.address);
    assert_eq!(newer.status, 204);
    assert_eq!(Answer::read(writer).status, 409);
    let text = metrics(&server);
    assert_eq!(value(&text, "tus_takeovers_total", &[]), 1.0, "{text}");
    eventually("no writers", || {
        (value(&metrics(&server), "tus_writers", &[]) == 0.0).then_some(())
    });
}

#[test]
fn what_has_expired_is_counted_with_its_bytes() {
    let args = [
        "--admin-listen",
        "127.0.0.1:0",
        "--expires-after",
        "100ms",
        "--sweep-every",
        "20ms",
    ];
    let server = Program::serve("memory://", &args);
    let create = Request::create(10).body(b"hello");
    assert_eq!(create.send(server.address).status, 201);
    let text = eventually("the end of the upload", || {
        let text = metrics(&server);
        (value(&text, "tus_uploads_expired_total", &[]) > 0.0).then_some(text)
    });
    assert_eq!(value(&text, "tus_uploads_expired_total", &[]), 1.0);
    assert_eq!(value(&text, "tus_bytes_reclaimed_total", &[]), 5.0);
    assert!(value(&text, "tus_sweeps_total", &[]) > 0.0, "{text}");
    // Nobody has terminated it.
    assert_eq!(value(&text, "tusd_uploads_terminated", &[]), 0.0);
}

#[test]
fn calls_of_hooks_are_counted_and_those_that_failed() {
    const CREATED: &[&str] = &["hooktype=\"pre-create\""];
    for (answer, status, errors) in [
        ("200 OK", 201, None),
        ("500 Internal Server Error", 500, Some(1.0)),
    ] {
        let hooks = format!("http://{}/", hook_server(answer));
        let args = [
            "--admin-listen",
            "127.0.0.1:0",
            "--hooks-http",
            &hooks,
            "--hooks-http-retry",
            "1",
            "--hooks-enabled-events",
            "pre-create",
        ];
        let server = Program::serve("memory://", &args);
        assert_eq!(Request::create(1).send(server.address).status, status);
        let text = metrics(&server);
        let called = value(&text, "tusd_hook_invocations_total", CREATED);
        assert_eq!(called, 1.0, "{answer}\n{text}");
        let failed = text
            .contains("tusd_hook_errors_total{")
            .then(|| value(&text, "tusd_hook_errors_total", CREATED));
        assert_eq!(failed, errors, "{answer}\n{text}");
    }
}

/// A hook server that answers everything with this status.
fn hook_server(status: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            read_request(&mut stream);
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\
                 Connection: close\r\n\r\n{{}}"
            );
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    address
}

fn read_request(stream: &mut TcpStream) {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    let is_whole = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let lower = head.to_ascii_lowercase();
        let (_, length) = lower.split_once("content-length: ")?;
        let length: usize = length.lines().next()?.parse().ok()?;
        Some(body.len() >= length)
    };
    while is_whole(&bytes) != Some(true) {
        let len = stream.read(&mut piece).unwrap();
        assert_ne!(len, 0, "half a request");
        bytes.extend_from_slice(&piece[..len]);
    }
}

/// But for those of object stores: there is none here.
#[test]
fn the_manual_has_every_number() {
    // Nobody is there, so that failures are counted too.
    let hooks = [
        "--hooks-http",
        "http://127.0.0.1:1",
        "--hooks-http-retry",
        "0",
    ];
    let events = ["--hooks-enabled-events", "pre-create"];
    let admin = ["--admin-listen", "127.0.0.1:0"];
    let server = Program::serve("memory://", &[&admin[..], &hooks, &events].concat());
    let failed = Request::create(5).send(server.address);
    assert_eq!(failed.status, 500);
    let metrics = Request::new("GET", "/metrics").send(server.admin());
    let names = metrics.text().lines().filter_map(|line| {
        let name = line.strip_prefix("# TYPE ")?.split(' ').next();
        Some(name.unwrap().to_owned())
    });
    let names: Vec<_> = names.collect();
    for name in ["tusd_errors_total", "tusd_hook_errors_total"] {
        assert!(names.iter().any(|found| found == name), "{names:?}");
    }
    for name in names {
        assert!(MANUAL.contains(&format!("`{name}`")), "{name}");
    }
    let rows = MANUAL.lines().filter(|line| line.starts_with("| `tus"));
    let told = rows.flat_map(|row| row.split('|').nth(1).unwrap().split(','));
    let mut told: Vec<_> = told.map(str::trim).collect();
    told.sort_unstable();
    let twice = told.windows(2).find(|pair| pair[0] == pair[1]);
    assert_eq!(twice, None, "one row each");
}

const MANUAL: &str = include_str!("../../docs/serve.md");
