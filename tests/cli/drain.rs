//! The order in which a server goes down.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

use tempfile::tempdir;

use crate::{
    shutdown::{PATIENT, stalled_download, wait_for_offset},
    support::{Answer, Program, Request, accept, connect, eventually, sample},
};

const ADMIN: [&str; 2] = ["--admin-listen", "127.0.0.1:0"];

#[test]
fn readiness_goes_first_and_everything_else_stays_for_the_delay() {
    let args = [&ADMIN[..], &["--drain-delay", "1h"]].concat();
    let mut server = Program::serve("memory://", &args);
    let both = [server.admin(), server.address];
    let get = |address, path: &str| Request::new("GET", path).send(address).status;
    for address in both {
        assert_eq!(get(address, "/readyz"), 200);
    }
    server.signal("TERM");
    for address in both {
        eventually("readiness to go", || {
            (get(address, "/readyz") == 503).then_some(())
        });
        assert_eq!(get(address, "/healthz"), 200);
    }
    let created = Request::create(5).body(b"hello").send(server.address);
    assert_eq!((created.status, created.offset()), (201, 5));

    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(1));
}

/// A client that does not read holds the server at its last step for as long as the test looks at it.
#[test]
fn a_running_patch_is_kept_while_a_server_drains() {
    let dir = tempdir().unwrap();
    let data = sample(2_000_000);
    let args = [&ADMIN[..], &PATIENT, &["--grace", "1h"]].concat();
    let mut server = Program::serve(dir.path(), &args);
    let admin = server.admin();
    let download = stalled_download(&server);
    let upload = Request::create(data.len()).send(server.address).location();
    let sent = 1_000_123;
    let mut patch = Request::patch(&upload, 0, b"").announce(server.address, data.len());
    patch.write_all(&data[..sent]).unwrap();
    wait_for_offset(&server, &upload, sent);

    server.signal("TERM");
    eventually("readiness to go", || {
        let ready = Request::new("GET", "/readyz").send(admin);
        (ready.status == 503).then_some(())
    });
    let answer = Answer::read(patch);
    assert_eq!((answer.status, answer.offset()), (503, sent), "{answer:?}");
    eventually("the end of new connections", || {
        TcpStream::connect(server.address).is_err().then_some(())
    });
    let metrics = Request::new("GET", "/metrics").send(admin);
    assert_eq!(metrics.status, 200, "what watches the server stays");

    drop(download);
    assert_eq!(server.wait().code(), Some(0));
    let server = Program::serve(dir.path(), &[]);
    let head = Request::new("HEAD", &upload).send(server.address);
    assert_eq!((head.status, head.offset()), (200, sent));
}

/// A hook server that does not answer holds the server, but nobody who could go elsewhere.
#[test]
fn connections_are_told_while_hooks_are_waited_for() {
    let hooks = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", hooks.local_addr().unwrap());
    let args = [
        "--grace",
        "1h",
        "--hooks-http",
        &url,
        "--hooks-http-timeout",
        "1h",
        "--hooks-enabled-events",
        "post-create",
    ];
    let mut server = Program::serve("memory://", &args);
    let mut client = connect(server.address);
    client
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    assert_eq!(Answer::read(&mut client).status, 200);
    assert_eq!(Request::create(1).send(server.address).status, 201);
    let asked = accept(&hooks);

    server.signal("TERM");
    assert_eq!(client.read(&mut [0; 64]).unwrap(), 0, "closed");
    drop((asked, hooks));
    server.signal("TERM");
    server.wait();
}
