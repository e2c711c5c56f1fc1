//! Connections: how many there are at a time, and those that do nothing.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Command,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{task::JoinHandle, time::timeout};

use crate::{
    metrics::value,
    shutdown::{stalled_download, wait_for_offset},
    support::{Answer, PATIENCE, Program, Request, connect, eventually},
};

const ADMIN: [&str; 2] = ["--admin-listen", "127.0.0.1:0"];

/// How many connections there are, this test's to the admin's pages among them.
fn open(server: &Program) -> f64 {
    let metrics = Request::new("GET", "/metrics").send(server.admin());
    value(metrics.text(), "tusd_connections_open", &[])
}

/// With a time in which this test has its turn even where much else runs.
fn serve_impatiently(args: &[&str]) -> Program {
    let args = [&["--keep-alive-timeout", "5s"], args].concat();
    Program::serve("memory://", &args)
}

fn get_health(stream: &mut TcpStream) {
    let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).unwrap();
    assert_eq!(Answer::read(&mut *stream).text(), "ok");
}

/// Which is not closed at once when it is idle, but when its last chance is over.
fn half_a_request(server: &Program) -> TcpStream {
    let mut stream = connect(server.address);
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHo").unwrap();
    stream
}

#[track_caller]
fn assert_closed(mut stream: TcpStream) {
    assert_eq!(stream.read(&mut [0; 64]).unwrap(), 0, "closed");
}

#[test]
fn a_client_that_asks_for_nothing_is_let_go() {
    let server = serve_impatiently(&[]);
    let mut kept = connect(server.address);
    get_health(&mut kept);
    let (silent, half) = (connect(server.address), half_a_request(&server));
    for client in [kept, silent, half] {
        assert_closed(client);
    }
}

#[test]
fn a_request_that_takes_long_is_not_idle() {
    let server = serve_impatiently(&[]);
    let upload = Request::create(10).send(server.address).location();
    let mut patch = Request::patch(&upload, 0, b"").announce(server.address, 10);
    patch.write_all(b"hello").unwrap();
    wait_for_offset(&server, &upload, 5);
    // Its time has passed, so that of the other one has.
    assert_closed(half_a_request(&server));
    patch.write_all(b"world").unwrap();
    assert_eq!(Answer::read(patch).status, 204);
}

#[test]
fn a_client_that_does_not_read_is_let_go() {
    let server = serve_impatiently(&ADMIN);
    let download = stalled_download(&server);
    eventually("the end of the download", || {
        (open(&server) == 1.0).then_some(())
    });
    drop(download);
}

type Client = SendRequest<Empty<Bytes>>;

/// A client that answers PINGs, and how it ends.
async fn connect_h2(server: &Program) -> (Client, JoinHandle<hyper::Result<()>>) {
    let stream = tokio::net::TcpStream::connect(server.address).await;
    let (client, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .handshake(TokioIo::new(stream.unwrap()))
        .await
        .unwrap();
    (client, tokio::spawn(connection))
}

fn get(server: &Program, path: &str) -> http::Request<Empty<Bytes>> {
    let url = format!("http://{}{path}", server.address);
    http::Request::get(url).body(Empty::new()).unwrap()
}

#[tokio::test]
async fn an_http2_client_without_requests_is_told_to_go() {
    let server = serve_impatiently(&[]);
    let (mut client, connection) = connect_h2(&server).await;
    let answer = client.send_request(get(&server, "/healthz")).await.unwrap();
    answer.into_body().collect().await.unwrap();
    let ended = timeout(PATIENCE, connection).await.expect("it ends");
    assert!(ended.unwrap().is_ok(), "by a GOAWAY without an error");
    drop(client);
}

#[tokio::test]
async fn an_http2_client_that_opens_no_window_is_let_go() {
    let server = serve_impatiently(&[]);
    let body = vec![b'x'; 8 << 20];
    let upload = Request::create(body.len()).body(&body).send(server.address);
    let (mut client, connection) = connect_h2(&server).await;
    let download = client.send_request(get(&server, &upload.location())).await;
    let download = download.unwrap();
    assert_eq!(download.status(), 200);
    let ended = timeout(PATIENCE, connection).await.expect("it ends");
    drop((ended, download, client));
}

#[test]
fn others_wait_when_there_are_as_many_as_may_be() {
    let server = Program::serve(
        "memory://",
        &[&ADMIN[..], &["--max-connections", "1"]].concat(),
    );
    let mut first = connect(server.address);
    get_health(&mut first);
    let waiting: Vec<_> = (0..20)
        .map(|_| Request::create(1).announce(server.address, 0))
        .collect();
    let mut admin = connect(server.admin());
    for _ in 0..20 {
        let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
        admin.write_all(request).unwrap();
        let metrics = Answer::read(&mut admin);
        let open = value(metrics.text(), "tusd_connections_open", &[]);
        assert_eq!(open, 2.0, "the first, and this one of the admin's");
    }
    get_health(&mut first);
    drop(first);
    for stream in waiting {
        assert_eq!(Answer::read(stream).status, 201);
    }
}

/// Each listener waits for a connection; where there is one place, they do not wait for each other.
#[test]
fn one_place_is_enough_for_several_listeners() {
    let args = ["--listen", "127.0.0.1:0", "--max-connections", "1"];
    let server = Program::serve("memory://", &args);
    let is_url = |line: &String| line.contains("listening address=");
    let addresses = eventually("both addresses", || {
        let lines: Vec<_> = server.output().into_iter().filter(is_url).collect();
        (lines.len() == 2).then_some(lines)
    });
    for line in addresses {
        let (_, address) = line.split_once("address=").unwrap();
        let address = address.split(' ').next().unwrap().parse().unwrap();
        // The second one goes to a listener that the other must not wait for.
        for _ in 0..2 {
            assert_eq!(Request::create(1).send(address).status, 201);
        }
    }
}

/// `tus serve` where few files may be open.
fn serve_with_files(limit: &str, args: &[&str]) -> Program {
    let mut shell = Command::new("sh");
    let script = format!("{limit}; exec \"$@\"");
    shell.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_tus"), "serve"]);
    shell.args(["--listen", "127.0.0.1:0", "--storage", "memory://"]);
    shell.args(ADMIN).args(args);
    Program::start(shell)
}

#[test]
fn a_crowd_leaves_files_for_those_who_look_after_the_server() {
    let server = serve_with_files("ulimit -n 40", &[]);
    let crowd: Vec<_> = (0..60).map(|_| connect(server.address)).collect();
    eventually("a full house", || (open(&server) == 11.0).then_some(()));
    drop(crowd);
    let created = Request::create(1).send(server.address);
    assert_eq!(created.status, 201);
    let complaint = |line: &String| line.contains("cannot take connections");
    assert!(!server.output().iter().any(complaint));
}

/// Where more connections are asked for than there are files, `accept` fails until clients leave.
#[test]
fn too_few_files_do_not_end_the_server() {
    let server = serve_with_files("ulimit -n 40", &["--max-connections", "1000"]);
    server.line("too few files may be open for --max-connections");
    let crowd: Vec<_> = (0..60).map(|_| connect(server.address)).collect();
    server.line("cannot take connections");
    drop(crowd);
    let health = Request::new("GET", "/healthz").send(server.address);
    assert_eq!((health.status, health.text()), (200, "ok"));
}

#[cfg(target_os = "linux")]
#[test]
fn the_limit_of_open_files_is_raised_as_far_as_it_may_be() {
    let server = serve_with_files("ulimit -S -n 40; ulimit -H -n 1024", &[]);
    eventually("a higher limit", || {
        (server.files() == "1024").then_some(())
    });
}

/// Uploads that are held back leave something of the connection's window to others.
#[test]
fn http2_windows_are_of_one_size() {
    let server = Program::serve("memory://", &[]);
    let mut stream = connect(server.address);
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .unwrap();
    stream.write_all(&settings).unwrap();
    let mut frame = || {
        let mut head = [0; 9];
        stream.read_exact(&mut head).unwrap();
        let mut payload = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
        stream.read_exact(&mut payload).unwrap();
        (head[3], payload)
    };
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
    let (kind, settings) = frame();
    assert_eq!(kind, 4, "SETTINGS");
    let setting = settings.chunks(6).find(|setting| setting[..2] == [0, 4]);
    let window = number(&setting.expect("SETTINGS_INITIAL_WINDOW_SIZE")[2..]);
    assert_eq!(window, 4 << 20);
    let update = loop {
        match frame() {
            (8, update) => break number(&update),
            (4 | 6, _) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(update + 65_535, 16 << 20, "WINDOW_UPDATE of the connection");
}
