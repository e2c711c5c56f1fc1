//! Sockets in the file system.

use std::{
    fs,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::Path,
};

use tempfile::tempdir;

use crate::support::{Output, PATIENCE, Program, Request, tus};

fn connect(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn listen(path: &Path) -> String {
    format!("127.0.0.1:0,unix:{}", path.display())
}

#[test]
fn uploads_come_through_a_socket_of_its_mode() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("tus.sock");
    let storage = dir.path().join("uploads");
    let mut command = tus([
        "serve",
        "--socket-mode",
        "606",
        "--listen",
        &listen(&path),
        "--storage",
    ]);
    command.arg(&storage);
    let mut server = Program::start(command);
    server.line(&format!("unix:{}", path.display()));
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o606);

    let over = |request: Request| request.send_over(connect(&path));
    let created = over(Request::create(5).body(b"hello"));
    let upload = created.location();
    let file = storage.join(upload.rsplit('/').next().unwrap());
    assert_eq!(fs::read(file).unwrap(), b"hello");
    let head = Request::new("HEAD", &upload).send(server.address);
    assert_eq!((head.status, head.offset()), (200, 5));

    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert!(!path.exists(), "the socket is left behind");
}

/// However it ends, but by a crash.
#[test]
fn no_socket_is_left_behind() {
    let dir = tempdir().unwrap();
    let [uploads, admin] = ["tus.sock", "admin.sock"].map(|name| dir.path().join(name));
    let both = |exist: bool| [&uploads, &admin].map(|path| path.exists()) == [exist; 2];
    for (delay, signals, code) in [("0s", 1, 0), ("1h", 2, 1)] {
        let [uploads, admin] = [&uploads, &admin].map(|path| format!("unix:{}", path.display()));
        let listen = ["--listen", &*uploads, "--admin-listen", &*admin];
        let args = [&listen[..], &["--drain-delay", delay]].concat();
        let mut server = Program::serve("memory://", &args);
        assert!(both(true));
        for signal in 0..signals {
            server.signal("TERM");
            if signal == 0 {
                server.line("shutting down");
            }
        }
        assert_eq!(server.wait().code(), Some(code));
        assert!(both(false), "after {signals} signals");
    }
}

#[test]
fn a_socket_that_a_crash_left_behind_is_replaced() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("tus.sock");
    for _ in 0..2 {
        let server = Program::start(tus([
            "serve",
            "--storage",
            "memory://",
            "--listen",
            &listen(&path),
        ]));
        let health = Request::new("GET", "/healthz").send_over(connect(&path));
        assert_eq!(health.status, 200);
        // Kills it.
        drop(server);
        assert!(path.exists());
    }
}

#[test]
fn nothing_else_is_replaced() {
    let dir = tempdir().unwrap();
    let run = |path: &Path| {
        Output::of(tus([
            "serve",
            "--storage",
            "memory://",
            "--listen",
            &listen(path),
        ]))
    };

    let busy = dir.path().join("busy.sock");
    let listener = UnixListener::bind(&busy).unwrap();
    listener.set_nonblocking(true).unwrap();
    let output = run(&busy);
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    let reason = format!(
        "error: cannot listen on unix:{}: another process listens there\n",
        busy.display()
    );
    assert_eq!(output.stderr, reason);
    UnixStream::connect(&busy).unwrap();
    listener.accept().expect("it is still the listener's");

    let file = dir.path().join("file");
    fs::write(&file, "kept").unwrap();
    let output = run(&file);
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert!(
        output.stderr.contains("it is no socket"),
        "{}",
        output.stderr
    );
    assert_eq!(fs::read(&file).unwrap(), b"kept");

    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&busy, &link).unwrap();
    assert_eq!(run(&link).code, Some(1));
    assert!(fs::symlink_metadata(&busy).unwrap().file_type().is_socket());
}
