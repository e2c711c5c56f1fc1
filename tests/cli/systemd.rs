//! Sockets and messages of systemd, without systemd.

use std::{
    fs,
    net::TcpListener,
    os::{
        fd::OwnedFd,
        unix::net::{UnixDatagram, UnixListener, UnixStream},
    },
    process::Command,
};

use command_fds::{CommandFdExt, FdMapping};
use tempfile::tempdir;

use crate::support::{Output, PATIENCE, Program, Request, skipped};

/// `tus serve` with open sockets, each with its name.
fn activate(sockets: Vec<(&str, OwnedFd)>, args: &[&str]) -> Command {
    // Only the process itself knows its id before it starts.
    let mut command = Command::new("sh");
    command.args(["-c", "LISTEN_PID=$$; export LISTEN_PID; exec \"$@\"", "sh"]);
    command.args([env!("CARGO_BIN_EXE_tus"), "serve", "--storage", "memory://"]);
    command.args(args);
    let names: Vec<_> = sockets.iter().map(|(name, _)| *name).collect();
    command.env("LISTEN_FDNAMES", names.join(":"));
    command.env("LISTEN_FDS", sockets.len().to_string());
    let numbered = (3..)
        .zip(sockets)
        .map(|(child_fd, (_, parent_fd))| FdMapping {
            parent_fd,
            child_fd,
        });
    command.fd_mappings(numbered.collect()).unwrap();
    command
}

#[test]
fn sockets_that_are_open_already_are_served() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("admin.sock");
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let admin = UnixListener::bind(&path).unwrap();
    let sockets = vec![("admin", admin.into()), ("tus.socket", tcp.into())];
    let args = ["--listen", "systemd", "--admin-listen", "systemd:admin"];
    let mut server = Program::start(activate(sockets, &args));
    assert_eq!(server.address, address);
    assert_eq!(Request::create(5).body(b"hello").send(address).offset(), 5);
    let metrics = Request::new("GET", "/metrics").send_over(UnixStream::connect(&path).unwrap());
    assert_eq!(metrics.status, 200);

    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert!(path.exists(), "it is systemd's");
}

#[test]
fn sockets_that_are_not_there_are_missed_and_others_are_told_of() {
    let output = Output::of(activate(Vec::new(), &["--listen", "systemd"]));
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    let reason =
        "error: cannot listen on systemd: systemd has opened no such socket for this process\n";
    assert_eq!(output.stderr, reason);

    let unused = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Program::start(activate(
        vec![("a", unused.into())],
        &["--listen", "127.0.0.1:0"],
    ));
    server.line("nobody listens on what systemd has opened");
}

#[test]
fn systemd_is_told_of_the_start_and_of_the_end() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("notify");
    let notified = UnixDatagram::bind(&path).unwrap();
    notified.set_read_timeout(Some(PATIENCE)).unwrap();
    let message = || {
        let mut bytes = [0; 256];
        let length = notified.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };
    let mut command =
        crate::support::tus(["serve", "--listen", "127.0.0.1:0", "--storage", "memory://"]);
    command.env("NOTIFY_SOCKET", &path);
    let mut server = Program::start(command);
    assert_eq!(message().trim_end(), "READY=1");
    assert_eq!(Request::create(1).send(server.address).status, 201);
    server.signal("TERM");
    assert_eq!(message().trim_end(), "STOPPING=1");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn the_units_in_the_manual_are_units() {
    let blocks = include_str!("../../docs/serve.md")
        .split("```ini\n")
        .skip(1);
    let units = blocks.map(|block| block.split_once("```").unwrap().0);
    let units: Vec<_> = units
        .map(|unit| unit.replace("/usr/local/bin/tus", env!("CARGO_BIN_EXE_tus")))
        .collect();
    assert_eq!(units.len(), 2);
    let misspelt: Vec<_> = units
        .iter()
        .map(|unit| unit.replace("NoNewPrivileges", "NoNewPrivilege"))
        .collect();
    if complaints(&misspelt).is_empty() {
        return skipped("the manual's units: there is no systemd-analyze that verifies");
    }
    assert_eq!(complaints(&units), [""; 0]);
}

/// What systemd says of units whose first line has their path; of others that they refer to it may say
/// anything.
fn complaints(units: &[String]) -> Vec<String> {
    let dir = tempdir().unwrap();
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]);
    for unit in units {
        let (path, _) = unit.split_once('\n').unwrap();
        let path = dir.path().join(path.rsplit('/').next().unwrap());
        fs::write(&path, unit).unwrap();
        verify.arg(path);
    }
    let Ok(verified) = verify.output() else {
        return Vec::new();
    };
    let stderr = String::from_utf8(verified.stderr).unwrap();
    let lines = stderr.lines().filter(|line| line.contains("tus.s"));
    lines.map(str::to_owned).collect()
}
