//! Buckets that cannot be used.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    process::{Command, Stdio},
    thread,
};

use crate::support::{Output, Running, accept, tus};

/// `tus serve` on a bucket of a store at this address.
fn serve_from(store: SocketAddr) -> Command {
    let mut command = tus(["serve", "--listen", "127.0.0.1:0"]);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    command
        .args(["--storage", "s3://bucket/prefix"])
        .env("AWS_ENDPOINT", format!("http://{store}"))
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_REGION", "nowhere")
        .env("AWS_ACCESS_KEY_ID", "somebody")
        .env("AWS_SECRET_ACCESS_KEY", "wrong-secret");
    command
}

#[test]
fn a_store_that_refuses_ends_with_1_and_one_line() {
    let store = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = store.local_addr().unwrap();
    thread::spawn(move || {
        for stream in store.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 16 << 10]);
            let body = "<Error>\n  <Code>SignatureDoesNotMatch</Code>\n</Error>\n";
            let answer = format!(
                "HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let output = Output::of(serve_from(address));
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    let reason = "error: cannot use s3://bucket/prefix as storage: ";
    assert!(output.stderr.starts_with(reason), "{}", output.stderr);
    assert!(output.stderr.contains("403"), "{}", output.stderr);
    assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
    assert!(!output.stderr.contains("wrong-secret"), "{}", output.stderr);
}

#[cfg(unix)]
#[test]
fn a_signal_ends_the_wait_for_a_store() {
    let store = TcpListener::bind("127.0.0.1:0").unwrap();
    let command = serve_from(store.local_addr().unwrap());
    let server = Running::start(command, Stdio::null());
    // It says nothing.
    let _silent = accept(&store);
    // It is for later, and ends nothing.
    server.signal("HUP");
    server.signal("TERM");
    let output = server.wait();
    assert_eq!(output.code, Some(1));
    assert_eq!(
        output.stderr,
        "error: SIGTERM before the storage was open\n"
    );
}
