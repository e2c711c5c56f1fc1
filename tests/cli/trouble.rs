//! What goes wrong around an upload: names that steer a terminal, pipes nobody writes to, other processes.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};

use sha2::{Digest, Sha256};

use crate::support::{Act, Output, Proxy, Request, Running, World, eventually, sample, skipped};

#[test]
fn names_cannot_steer_the_terminal() {
    let world = World::new();
    let name = "a\u{1b}[31mred\u{202e}gnp";
    world.file(name, "x");
    let proxy = Proxy::start(world.server.address, |_| Act::Answer(503, vec![]));
    let failed = world.run(["upload", name, &proxy.url(), "--retries", "1"]);
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    assert!(failed.stderr.contains("trying again"), "{}", failed.stderr);
    let missing = format!("{name}-missing");
    let missing = world.run(["upload", &missing, &proxy.url()]);
    assert!(missing.stderr.contains("cannot read"), "{}", missing.stderr);
    let told = failed.stderr + &missing.stderr;
    assert!(!told.contains(['\u{1b}', '\u{202e}']), "{told:?}");
    // JSON has its own escapes, and the name as it is.
    let json = world.run(["upload", name, &proxy.url(), "--retries", "0", "--json"]);
    assert_eq!(json.json()[0]["file"], name);
}

#[test]
fn a_pipe_that_nobody_writes_to_can_be_interrupted() {
    let world = World::new();
    let pipe = world.home().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    if !made.is_ok_and(|status| status.success()) {
        return skipped("pipes with a name: there is no mkfifo");
    }
    world.file("a.bin", "x");
    let both = ["upload", "pipe", "a.bin", &world.url(), "--jobs", "2"];
    let running = Running::start(world.tus(both), Stdio::null());
    running.says("a.bin: 1 B in ");
    running.signal("INT");
    let output = running.wait();
    assert_eq!(output.code, Some(130), "{}", output.stderr);
    assert!(
        output.stderr.contains("Nothing was uploaded"),
        "{}",
        output.stderr
    );

    for flags in [
        ["--parallel", "2"],
        ["--resume-at", "http://localhost/files/a"],
    ] {
        let mut args = vec!["upload", "pipe", "http://localhost/files"];
        args.extend(flags);
        let output = world.run(args);
        assert_eq!(output.code, Some(2), "{}", output.stderr);
        assert!(
            output.stderr.contains("read only once"),
            "{}",
            output.stderr
        );
    }
}

#[test]
fn what_another_process_uploads_is_waited_for_aloud() {
    let world = World::new();
    world.file("a.bin", sample(3_000_000));
    world.file("b.bin", "b");
    let proxy = Proxy::start(world.server.address, |_| Act::Pass);
    let url = proxy.url();
    let first = ["upload", "a.bin", &url, "--limit-rate", "1MiB"];
    let first = Running::start(world.tus(first), Stdio::null());
    eventually("some bytes", || (proxy.bytes() > 100_000).then_some(()));
    let second = ["upload", "a.bin", "b.bin", &url, "--jobs", "2"];
    let second = Running::start(world.tus(second), Stdio::null());
    second.says("a.bin: the same content is being uploaded already: waiting for its end");
    let done = first.wait();
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let output = second.wait();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(output.stdout.lines().count(), 2);
    assert_eq!(output.stderr.matches("waiting for its end").count(), 1);
}

#[test]
fn a_store_that_fails_names_the_way_around_it() {
    let world = World::new();
    world.file("a", "x");
    world.file("state", "no directory");
    let store = world.home().join("state/uploads.json");
    let store = store.to_str().unwrap();
    let failed = world.run(["upload", "a", &world.url(), "--store", store]);
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    assert!(failed.stderr.contains("--no-resume"), "{}", failed.stderr);
    // Claims are impossible.
    world.file("urls.json.claims", "no directory");
    let failed = world.run(["upload", "a", &world.url(), "--store", "urls.json"]);
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    assert!(failed.stderr.contains("--no-resume"), "{}", failed.stderr);
}

#[test]
fn without_the_usual_store_files_are_uploaded_all_the_same() {
    let world = World::new();
    world.file("a", "x");
    let uploads = || {
        let done = world.run(["upload", "a", &world.url()]);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert!(world.stored(done.stdout.trim()) == b"x");
        assert!(done.stderr.contains("--resume-at"), "{}", done.stderr);
    };
    // Claims are impossible.
    let state = world.home().join("../state");
    fs::create_dir_all(state.join("tus")).unwrap();
    fs::write(state.join("tus/uploads.json.claims"), "no directory").unwrap();
    uploads();
    // Nor is there a place for the file.
    fs::remove_dir_all(&state).unwrap();
    fs::write(&state, "no directory").unwrap();
    uploads();
}

/// Neither is ever found again by its content, so nothing is said about where that would be kept.
#[test]
fn what_needs_no_store_opens_none() {
    let world = World::new();
    world.file("a", sample(100_000));
    fs::write(world.path().join("state"), "no directory").unwrap();
    let store = world.path().join("state/urls.json");
    let store = store.to_str().unwrap();
    let created = Request::create(100_000)
        .send(world.server.address)
        .location();
    let begun = format!("http://{}{created}", world.server.address);
    for args in [&["-"][..], &["a", "--resume-at", &begun]] {
        for named in [&["--store", store][..], &[]] {
            let url = world.url();
            let all = [&["upload"], args, &[&url], named].concat();
            let output = world.run(all);
            assert_eq!(output.code, Some(0), "{args:?}: {}", output.stderr);
            assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
        }
    }
}

#[test]
fn without_a_home_files_are_uploaded_all_the_same() {
    let world = World::new();
    world.file("a", "x");
    let mut command = world.tus(["upload", "a", &world.url()]);
    command.env_remove("HOME").env_remove("XDG_STATE_HOME");
    let output = Output::of(command);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(
        output.stderr.contains("no home directory"),
        "{}",
        output.stderr
    );
    assert!(world.stored(output.stdout.trim()) == b"x");
}

/// Its entry of long ago cannot be claimed, and so not be removed.
#[test]
fn a_store_that_cannot_be_tidied_up_is_used() {
    let world = World::new();
    world.file("a", "x");
    let entry = r#"{"fingerprint": "f", "endpoint": "e", "url": "http://h/old", "created": 0}"#;
    world.file("urls.json", format!(r#"{{"uploads": [{entry}]}}"#));
    let claim: String = Sha256::digest(b"f\0e")
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    fs::create_dir_all(world.home().join("urls.json.claims").join(claim)).unwrap();
    let output = world.run([
        "upload",
        "a",
        &world.url(),
        "--store",
        "urls.json",
        "--keep",
    ]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(
        output.stderr.contains("cannot tidy up"),
        "{}",
        output.stderr
    );
    let list = world.run(["list", "--store", "urls.json"]);
    assert!(
        list.stdout.contains(output.stdout.trim()),
        "{}",
        list.stdout
    );
}

/// First for the header that somebody is to write into a pipe, then for the lock of the store.
#[test]
fn what_is_waited_for_before_an_upload_can_be_interrupted() {
    let world = World::new();
    world.file("a", "x");
    let entry = r#"{"fingerprint": "f", "endpoint": "e", "url": "http://h/old", "created": 0}"#;
    world.file("urls.json", format!(r#"{{"uploads": [{entry}]}}"#));
    let lock = fs::File::create(world.home().join("urls.json.lock")).unwrap();
    lock.lock().unwrap();
    let pipe = world.home().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    if !made.is_ok_and(|status| status.success()) {
        return skipped("pipes with a name: there is no mkfifo");
    }
    for header in [None, Some("X-Key: k\n")] {
        for (signal, code) in [("INT", 130), ("TERM", 143)] {
            let url = world.url();
            let args = ["upload", "a", &url, "--store", "urls.json", "-H", "@pipe"];
            let running = Running::start(world.tus(args), Stdio::null());
            // Opens when the command reads it: from there on it listens for signals.
            let writer = fs::OpenOptions::new().write(true).open(&pipe);
            let mut writer = Some(writer.unwrap());
            if let Some(header) = header {
                let mut writer = writer.take().unwrap();
                writer.write_all(header.as_bytes()).unwrap();
            }
            running.signal(signal);
            assert_eq!(running.wait().code, Some(code), "{header:?}");
        }
    }
}

#[test]
fn entries_of_any_date_are_listed() {
    let world = World::new();
    let entry = |created: &str, name: &str| {
        format!(
            r#"{{"fingerprint": "{name}", "endpoint": "http://h/files", "url": "http://h/files/{name}", "created": {created}}}"#
        )
    };
    let far = i64::MAX.to_string();
    let entries = [entry("-1", "early"), entry(&far, "far")].join(",");
    world.file(
        "urls.json",
        format!(r#"{{"version": 1, "uploads": [{entries}]}}"#),
    );
    let list = world.run(["list", "--store", "urls.json"]);
    assert_eq!(list.code, Some(0), "{}", list.stderr);
    assert!(list.stdout.contains("/files/far"), "{}", list.stdout);
    assert!(list.stdout.contains("/files/early"), "{}", list.stdout);
}

#[test]
fn parts_are_not_without_number() {
    let world = World::new();
    world.file("a", "x");
    let many = world.run(["upload", "a", "http://localhost/files", "--parallel", "65"]);
    assert_eq!(many.code, Some(2), "{}", many.stderr);
}
