//! The suites over the wire once more, with another server around the service: this program runs
//! itself, and is told which.
//!
//! `TUS_FRONT=actix cargo test --all-features --test it patch::` does so by hand.

use std::{
    env, fs,
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crate::support::{FRONT, Front};

/// What depends on how requests reach the service and answers leave it. `framing` is not among them:
/// how HTTP/1.1 is read is the server's own business.
const SUITES: &[&str] = &[
    "checksum::",
    "checksum_trailer::",
    "concatenation::",
    "concatenation_refused::",
    "concatenation_unfinished::",
    "concurrency::",
    "core::",
    "cors::",
    "crash::",
    "creation::",
    "creation_with_upload::",
    "deferred_length::",
    "downloads::",
    "events::",
    "expiration::",
    "faults::",
    "head::",
    "hooked_joins::",
    "hooks::",
    "interruption::",
    #[cfg(target_os = "linux")]
    "memory::",
    "owner_limits::",
    "owners::",
    "patch::",
    "patch_body::",
    "paths::",
    "pitfalls::",
    "properties::",
    "reused::",
    "robustness::",
    "stopped::",
    "termination::",
    #[cfg(feature = "webhook")]
    "webhook::",
];

/// How long all of them together may take: far above what is ever needed.
const DEADLINE: Duration = Duration::from_secs(30 * 60);

/// What cannot hold in actix-web, and why.
#[cfg(feature = "actix")]
const NOT_IN_ACTIX: [(&str, &str); 5] = [
    (
        "checksum_trailer::",
        "it drops trailers; `actix` tests what is answered instead",
    ),
    (
        "core::core_10_extensions_are_a_clean_list",
        "which is why `checksum-trailer` is not in the list",
    ),
    (
        "core::core_01_a_client_of_http_1_0_is_served_as_well",
        "it refuses a POST of HTTP/1.0 without Content-Length",
    ),
    (
        "patch::patch_20_a_doomed_patch_is_refused_without_100",
        "it says 100 before the service is asked",
    ),
    (
        "creation_with_upload::cwu_06_expect_continue_is_answered_before_the_body",
        "it says 100 before the service is asked",
    ),
];

#[test]
fn all_suites_are_there() {
    let output = this_program().arg("--list").output();
    let output = output.expect("run this program once more");
    let list = String::from_utf8_lossy(&output.stdout);
    for suite in SUITES {
        let is_there = list.lines().any(|test| test.starts_with(suite));
        assert!(is_there, "no test begins with {suite}:\n{list}");
    }
}

#[test]
fn all_suites_hold_in_axum() {
    run(Front::Axum, &[]);
}

#[cfg(feature = "actix")]
#[test]
fn all_suites_hold_in_actix_web() {
    run(Front::Actix, &NOT_IN_ACTIX);
}

fn run(front: Front, skipped: &[(&str, &str)]) {
    // One after the other: each keeps the machine busy by itself.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let skips = skipped.iter().flat_map(|(name, _)| ["--skip", name]);
    // A file, which never fills as a pipe does.
    let output = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut child = this_program()
        .args(SUITES)
        .args(skips)
        .env(FRONT, front.name())
        .stdin(Stdio::null())
        .stdout(output.reopen().expect("the file once more"))
        .spawn()
        .expect("run this program once more");
    let started = Instant::now();
    let status = loop {
        match child.try_wait().expect("the state of the other process") {
            Some(status) => break Some(status),
            None if started.elapsed() > DEADLINE => break None,
            None => thread::sleep(Duration::from_millis(100)),
        }
    };
    if status.is_none() {
        child.kill().expect("the end of the other process");
        child.wait().expect("the end of the other process");
    }
    let text = fs::read(output.path()).expect("what it has said");
    let text = String::from_utf8_lossy(&text);
    let status = status.unwrap_or_else(|| panic!("in {front:?}: not within {DEADLINE:?}:\n{text}"));
    assert!(status.success(), "in {front:?}:\n{text}");
    assert!(text.contains("test result: ok"), "{text}");
}

fn this_program() -> Command {
    Command::new(env::current_exe().expect("this program"))
}
