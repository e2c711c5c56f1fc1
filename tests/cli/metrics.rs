//! Numbers for Prometheus.

use crate::support::{Program, Request};

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
}

const MANUAL: &str = include_str!("../../docs/serve.md");
