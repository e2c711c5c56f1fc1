//! Bearer tokens.

use std::{fs, io::Read, net::TcpListener};

use tempfile::tempdir;

use crate::{
    metrics::value,
    support::{Answer, Output, Program, Request, accept, eventually, sample, tus},
};

fn with(token: &str, request: Request) -> Request {
    request.header("Authorization", format!("Bearer {token}"))
}

#[test]
fn uploads_need_one_of_the_tokens() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("tokens");
    fs::write(&file, "# app\nfirst-c2VjcmV0\nsecond-c2VjcmV0\n").unwrap();
    let args = [
        "--bearer-token-file",
        file.to_str().unwrap(),
        "--expose",
        "healthz,metrics",
        "--cors",
        "https://app.example",
        "--log",
        "trace",
    ];
    let server = Program::serve("memory://", &args);
    let send = |request: Request| -> Answer { request.send(server.address) };

    let refused = send(Request::create(5));
    assert_eq!(refused.status, 401);
    assert_eq!(
        refused.header("WWW-Authenticate"),
        Some("Bearer realm=\"tus\"")
    );
    assert_eq!(refused.header("Tus-Version"), None, "{refused:?}");
    let refused = send(with("first-c2VjcmV1", Request::create(5)));
    let invalid = "Bearer realm=\"tus\", error=\"invalid_token\"";
    assert_eq!(
        (refused.status, refused.header("WWW-Authenticate")),
        (401, Some(invalid))
    );

    let upload = send(with("first-c2VjcmV0", Request::create(5))).location();
    assert_eq!(
        send(with(
            "second-c2VjcmV0",
            Request::patch(&upload, 0, b"hello")
        ))
        .status,
        204
    );
    for (method, path) in [
        ("GET", &*upload),
        ("HEAD", &upload),
        ("DELETE", &upload),
        ("OPTIONS", "/files"),
    ] {
        assert_eq!(send(Request::new(method, path)).status, 401, "{method}");
    }
    assert_eq!(send(Request::new("BREW", &upload)).status, 405);
    assert_eq!(send(Request::new("GET", "/healthz")).status, 200);
    assert_eq!(send(Request::new("GET", "/metrics")).status, 401);
    let metrics = send(with("first-c2VjcmV0", Request::new("GET", "/metrics")));
    for (name, labels, expected) in [
        ("tusd_requests_total", &["method=\"POST\""][..], 3.0),
        ("tusd_requests_total", &["method=\"OPTIONS\""], 1.0),
        ("tusd_requests_total", &["method=\"DELETE\""], 1.0),
        (
            "tusd_errors_total",
            &["status=\"401\"", "code=\"ERR_UPLOAD_REJECTED\""],
            6.0,
        ),
        (
            "tusd_errors_total",
            &["status=\"401\"", "code=\"ERR_UNAUTHORIZED\""],
            1.0,
        ),
    ] {
        assert_eq!(value(metrics.text(), name, labels), expected, "{name}");
    }

    server.line("status=204");
    for line in server.output() {
        assert!(!line.contains("c2VjcmV"), "{line}");
    }
}

#[test]
fn web_pages_may_ask_and_may_read_the_refusal() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("tokens");
    fs::write(&file, "token\n").unwrap();
    let args = [
        "--bearer-token-file",
        file.to_str().unwrap(),
        "--cors",
        "https://app.example",
    ];
    let server = Program::serve("memory://", &args);
    let upload = with("token", Request::create(5))
        .send(server.address)
        .location();
    let from_page =
        |method: &str| Request::new(method, &upload).header("Origin", "https://app.example");

    let preflight = from_page("OPTIONS").header("Access-Control-Request-Method", "PATCH");
    let answer = preflight.clone().send(server.address);
    assert_eq!(answer.status, 204);
    assert!(
        answer.header("Access-Control-Allow-Headers").is_some(),
        "{answer:?}"
    );
    let refused = from_page("HEAD").send(server.address);
    let allowed = refused.header("Access-Control-Allow-Origin");
    assert_eq!(
        (refused.status, allowed),
        (401, Some("https://app.example"))
    );

    // Not a question, whatever it looks like.
    let disguised = preflight.header("X-HTTP-Method-Override", "DELETE");
    assert_eq!(disguised.send(server.address).status, 400);
    assert_eq!(
        with("token", from_page("HEAD")).send(server.address).status,
        200
    );
}

#[test]
fn pages_about_the_server_are_got_and_nothing_else() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("tokens");
    fs::write(&file, "token\n").unwrap();
    let file = file.to_str().unwrap();
    let args = ["--bearer-token-file", file, "--expose", "healthz,metrics"];
    let server = Program::serve("memory://", &args);
    for path in ["/metrics", "/healthz", "/"] {
        let preflight = Request::new("OPTIONS", path)
            .header("Origin", "https://app.example")
            .header("Access-Control-Request-Method", "GET");
        let post = with("token", Request::new("POST", path));
        for request in [preflight, post] {
            let answer = request.send(server.address);
            assert_eq!(
                (answer.status, answer.header("Allow")),
                (405, Some("GET, HEAD")),
                "{path}"
            );
            assert_eq!(answer.text(), "method not allowed\n");
        }
    }
    let head = Request::new("HEAD", "/metrics");
    assert_eq!(head.clone().send(server.address).status, 401);
    assert_eq!(with("token", head).send(server.address).status, 200);
}

#[test]
fn hook_servers_do_not_get_the_token() {
    let hooks = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", hooks.local_addr().unwrap());
    let dir = tempdir().unwrap();
    let file = dir.path().join("tokens");
    fs::write(&file, "c2VjcmV0\n").unwrap();
    let args = [
        "--bearer-token-file",
        file.to_str().unwrap(),
        "--hooks-http",
        &url,
        "--hooks-enabled-events",
        "post-create",
        "--hooks-http-forward-headers",
        "Authorization,X-App",
    ];
    let server = Program::serve("memory://", &args);
    let create = with("c2VjcmV0", Request::create(1)).header("X-App", "photos");
    assert_eq!(create.send(server.address).status, 201);
    let mut told = accept(&hooks);
    let mut message = String::new();
    while !message.contains("post-create") || !message.ends_with('}') {
        let mut piece = [0; 4096];
        let read = told.read(&mut piece).unwrap();
        assert_ne!(read, 0, "{message}");
        message += std::str::from_utf8(&piece[..read]).unwrap();
    }
    assert!(message.contains("photos"), "{message}");
    assert!(!message.contains("c2VjcmV0"), "{message}");
}

#[test]
fn a_refusal_arrives_although_the_body_is_long() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("tokens");
    fs::write(&file, "token\n").unwrap();
    let server = Program::serve(
        "memory://",
        &["--bearer-token-file", file.to_str().unwrap()],
    );
    let body = sample(8_000_000);
    let refused = Request::create(body.len()).body(&body).send(server.address);
    assert_eq!(refused.status, 401);
}

#[test]
fn tokens_are_read_anew_on_sighup_unless_there_are_none() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("tokens");
    fs::write(&file, "old\n").unwrap();
    let server = Program::serve(
        "memory://",
        &["--bearer-token-file", file.to_str().unwrap()],
    );
    let status = |token| with(token, Request::create(1)).send(server.address).status;
    assert_eq!((status("old"), status("new")), (201, 401));

    fs::write(&file, "new\n").unwrap();
    server.signal("HUP");
    eventually("the new token", || (status("new") == 201).then_some(()));
    assert_eq!(status("old"), 401);

    fs::write(&file, "# nothing\n").unwrap();
    server.signal("HUP");
    server.line("kept as before: the tokens");
    assert_eq!(status("new"), 201);

    let mut command = tus(["serve", "--listen", "127.0.0.1:0", "--bearer-token-file"]);
    command.arg(&file);
    let output = Output::of(command);
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert!(
        output.stderr.starts_with("error: there is no token in "),
        "{}",
        output.stderr
    );
}
