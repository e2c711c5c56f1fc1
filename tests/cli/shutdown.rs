//! Signals: bytes stay, clients are told, the process ends.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
};

use tempfile::tempdir;

use crate::support::{Answer, Program, Request, eventually, sample};

#[test]
fn sigterm_in_the_middle_of_a_patch_keeps_every_byte() {
    let dir = tempdir().unwrap();
    let data = sample(8_000_000);
    let mut server = Program::serve(dir.path(), &[]);
    let upload = Request::create(data.len()).send(server.address).location();

    let sent = 3_000_123;
    let mut stream = Request::patch(&upload, 0, b"").announce(server.address, data.len());
    stream.write_all(&data[..sent]).unwrap();
    wait_for_offset(&server, &upload, sent);
    server.signal("TERM");
    let answer = Answer::read(stream);
    assert_eq!((answer.status, answer.offset()), (503, sent), "{answer:?}");
    assert!(answer.header("Retry-After").is_some(), "{answer:?}");
    assert_eq!(server.wait().code(), Some(0));

    let server = Program::serve(dir.path(), &[]);
    let head = Request::new("HEAD", &upload).send(server.address);
    assert_eq!((head.status, head.offset()), (200, sent));
    assert_eq!(
        Request::patch(&upload, sent, &data[sent..])
            .send(server.address)
            .status,
        204
    );
    let id = upload.rsplit('/').next().unwrap();
    assert_eq!(fs::read(dir.path().join(id)).unwrap(), data);
}

/// Bytes are on their way when the signal comes: what the answer counts is what is there.
#[test]
fn the_offset_told_at_shutdown_is_the_offset_found_after_the_restart() {
    let dir = tempdir().unwrap();
    let data = sample(16_000_000);
    let mut upload = None;
    let mut offset = 0;
    for round in 0..4 {
        let mut server = Program::serve(dir.path(), &[]);
        let upload = upload
            .get_or_insert_with(|| Request::create(data.len()).send(server.address).location());
        let head = Request::new("HEAD", upload).send(server.address);
        assert_eq!(head.offset(), offset, "round {round}");

        let rest = data.len() - offset;
        let mut stream = Request::patch(upload, offset, b"").announce(server.address, rest);
        stream.write_all(&data[offset..offset + 1_000_000]).unwrap();
        wait_for_offset(&server, upload, offset + 1);
        stream
            .write_all(&data[offset + 1_000_000..offset + 1_500_000])
            .unwrap();
        server.signal(if round % 2 == 0 { "TERM" } else { "INT" });
        let answer = Answer::read(stream);
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(
            (offset + 1..=offset + 1_500_000).contains(&answer.offset()),
            "{answer:?}"
        );
        offset = answer.offset();
        assert_eq!(server.wait().code(), Some(0));
    }
    let upload = upload.unwrap();
    let server = Program::serve(dir.path(), &[]);
    assert_eq!(
        Request::patch(&upload, offset, &data[offset..])
            .send(server.address)
            .status,
        204
    );
    assert_eq!(Request::new("GET", &upload).send(server.address).body, data);
}

#[test]
fn idle_connections_do_not_hold_the_process() {
    let mut server = Program::serve("memory://", &["--shutdown-timeout", "1h"]);
    let silent = TcpStream::connect(server.address).unwrap();
    let mut kept_alive = TcpStream::connect(server.address).unwrap();
    kept_alive
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let mut answer = [0; 12];
    kept_alive.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");

    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert!(TcpStream::connect(server.address).is_err());
    drop((silent, kept_alive));
}

#[test]
fn connections_that_do_not_end_are_closed_in_time() {
    let args = [&PATIENT[..], &["--shutdown-timeout", "100ms"]].concat();
    let mut server = Program::serve("memory://", &args);
    let download = stalled_download(&server);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    server.line("still open");
    drop(download);
}

#[test]
fn a_second_signal_ends_at_once() {
    let args = [&PATIENT[..], &["--shutdown-timeout", "1h"]].concat();
    let mut server = Program::serve("memory://", &args);
    let download = stalled_download(&server);
    server.signal("TERM");
    server.line("shutting down");
    server.signal("INT");
    assert_eq!(server.wait().code(), Some(1));
    server.line("error: SIGINT during shutdown");
    drop(download);
}

#[track_caller]
pub(crate) fn wait_for_offset(server: &Program, upload: &str, offset: usize) {
    eventually("the bytes at the server", || {
        let head = Request::new("HEAD", upload).send(server.address);
        (head.offset() >= offset).then_some(())
    });
}

/// For a server that is to wait for such a client, however long the test takes.
pub(crate) const PATIENT: [&str; 2] = ["--keep-alive-timeout", "0s"];

/// A client that asked for more than the sockets' buffers hold, and does not read it.
pub(crate) fn stalled_download(server: &Program) -> TcpStream {
    let data = vec![b'x'; 64 << 20];
    let upload = Request::create(data.len())
        .body(&data)
        .send(server.address)
        .location();
    let mut download = Request::new("GET", &upload).announce(server.address, 0);
    let mut answer = [0; 12];
    download.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    download
}
