//! Ctrl-C in the middle of an upload, and the same command once more.

use std::{
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::support::{Act, Proxy, Running, Seen, World, eventually, sample, skipped};

/// What may be on its way when a request is cut: a piece of the client's.
const IN_FLIGHT: u64 = 256 << 10;

#[test]
fn an_interrupted_upload_goes_on_where_it_was() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let world = World::new();
        let data = sample(8_000_000);
        world.file("a.bin", &data);
        let proxy = Proxy::start(world.server.address, |_| Act::Pass);
        let slow = [
            "upload",
            "a.bin",
            &proxy.url(),
            "--limit-rate",
            "2MiB",
            "--json",
        ];
        let running = Running::start(world.tus(slow), Stdio::null());
        eventually("some bytes", || (proxy.bytes() > 2_000_000).then_some(()));
        running.signal(signal);
        let output = running.wait();
        assert_eq!(output.code, Some(code), "{}", output.stderr);
        assert!(
            output.stderr.contains("run the same command again"),
            "{}",
            output.stderr
        );
        let stopped = &output.json()[0];
        assert_eq!(stopped["resumable"], true, "{stopped}");
        assert_eq!(stopped["exit"], code, "{stopped}");

        let again = world.run(["upload", "a.bin", &proxy.url(), "--json"]);
        assert_eq!(again.code, Some(0), "{}", again.stderr);
        let done = &again.json()[0];
        assert_eq!(done["url"], stopped["url"], "it is the same upload");
        assert!(done["resumed"].as_u64().unwrap() > 1_500_000, "{done}");
        assert!(world.stored(done["url"].as_str().unwrap()) == data);
        let sent = proxy.bytes();
        assert!(
            sent <= data.len() as u64 + IN_FLIGHT,
            "{sent} bytes were sent"
        );
        assert_eq!(
            world.run(["list"]).stdout,
            "",
            "nothing is left to go on with"
        );
    }
}

#[test]
fn an_interrupted_upload_in_parts_goes_on_too() {
    let world = World::new();
    let data = sample(8_000_000);
    world.file("a.bin", &data);
    let proxy = Proxy::start(world.server.address, |_| Act::Pass);
    let url = proxy.url();
    let slow = [
        "upload",
        "a.bin",
        &url,
        "--parallel",
        "3",
        "--limit-rate",
        "2MiB",
    ];
    let running = Running::start(world.tus(slow), Stdio::null());
    eventually("some bytes", || (proxy.bytes() > 2_000_000).then_some(()));
    running.signal("INT");
    let output = running.wait();
    assert_eq!(output.code, Some(130), "{}", output.stderr);
    assert_eq!(output.stdout, "", "there is no URL yet");
    let again = world.ok(["upload", "a.bin", &url, "--parallel", "3"]);
    assert!(world.stored(&again) == data);
    let sent = proxy.bytes();
    assert!(
        sent <= data.len() as u64 + 3 * IN_FLIGHT,
        "{sent} bytes were sent"
    );
}

#[test]
fn the_second_signal_ends_at_once() {
    let world = World::new();
    world.file("a.bin", sample(1_000_000));
    // The creation is waited for: nobody could remove an upload whose URL is not known.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/files", silent.local_addr().unwrap());
    let running = Running::start(world.tus(["upload", "a.bin", &url]), Stdio::null());
    let (connection, _) = silent.accept().unwrap();
    running.signal("INT");
    running.says("SIGINT: stopping; once more ends at once");
    running.signal("INT");
    assert_eq!(running.wait().code, Some(130));
    drop(connection);
}

#[test]
fn what_cannot_go_on_by_itself_says_how_it_can() {
    let world = World::new();
    let data = sample(4_000_000);
    world.file("a.bin", &data);
    let proxy = Proxy::start(world.server.address, |_| Act::Pass);
    let slow = [
        "upload",
        "a.bin",
        &proxy.url(),
        "--no-resume",
        "--limit-rate",
        "500KiB",
        "--json",
    ];
    let running = Running::start(world.tus(slow), Stdio::null());
    eventually("some bytes", || (proxy.bytes() > 300_000).then_some(()));
    running.signal("INT");
    let output = running.wait();
    assert_eq!(output.code, Some(130));
    let stopped = &output.json()[0];
    assert_eq!(stopped["resumable"], false);
    let upload = stopped["url"].as_str().unwrap();
    let hint = format!("add --resume-at '{upload}' to go on");
    assert!(output.stderr.contains(&hint), "{}", output.stderr);
    assert_eq!(world.run(["list"]).stdout, "");

    let again = world.run([
        "upload",
        "a.bin",
        &proxy.url(),
        "--resume-at",
        upload,
        "--json",
    ]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert!(again.json()[0]["resumed"].as_u64().unwrap() > 100_000);
    assert!(world.stored(upload) == data);
}

#[test]
fn fingerprints_find_what_they_say() {
    let world = World::new();
    let data = sample(1_500_000);
    world.file("a.bin", &data);
    // Kept, so that the second run finds what the first one uploaded.
    let keep = |file: &str, how: &str| {
        let url = world.url();
        world.ok(["upload", file, &url, "--keep", "--fingerprint", how])
    };
    for how in ["path", "sha256", "md5", "auto"] {
        let first = keep("a.bin", how);
        assert_eq!(keep("a.bin", how), first, "{how}");
        std::fs::copy(world.home().join("a.bin"), world.home().join("b.bin")).unwrap();
        let same = keep("b.bin", how) == first;
        assert_eq!(same, matches!(how, "sha256" | "md5"), "{how}");
        world.run(["forget", "--all"]);
    }
    let store = world.home().join("urls.json");
    let url = world.url();
    let args = ["upload", "a.bin", &url, "--keep", "--store", "urls.json"];
    let first = world.ok(args);
    assert!(store.exists());
    assert_eq!(world.run(["list"]).stdout, "");
    assert!(
        world
            .run(["list", "--store", "urls.json"])
            .stdout
            .contains(&first)
    );
    assert_eq!(world.ok(args), first);
    // It is gone on the server: another one, without a word.
    assert_eq!(world.run(["delete", &first]).code, Some(0));
    assert_ne!(world.ok(args), first);
}

#[test]
fn an_interrupted_download_goes_on() {
    let world = World::new();
    let data = sample(3_000_000);
    world.file("up.bin", &data);
    let url = world.ok(["upload", "up.bin", &world.url()]);
    let path = url.rsplit('/').next().unwrap();
    let proxy = Proxy::start(world.server.address, {
        let gets = AtomicUsize::new(0);
        move |_| match gets.fetch_add(1, Ordering::SeqCst) {
            0 => Act::HoldAnswer(1_000_000),
            _ => Act::Pass,
        }
    });
    let args = [
        "download",
        &format!("{}/{path}", proxy.url()),
        "-o",
        "down.bin",
    ];
    let running = Running::start(world.tus(args), Stdio::null());
    eventually("a part of the file", || {
        let files = std::fs::read_dir(world.home()).unwrap();
        let mut sizes = files.map(|file| file.unwrap().metadata().unwrap().len());
        sizes
            .any(|size| (1..=1_000_000).contains(&size))
            .then_some(())
    });
    running.signal("INT");
    let output = running.wait();
    assert_eq!(output.code, Some(130), "{}", output.stderr);
    assert!(
        output
            .stderr
            .contains("run the same command again to go on"),
        "{}",
        output.stderr
    );
    assert!(!world.home().join("down.bin").exists());
    assert_eq!(world.ok(args), "down.bin");
    assert!(std::fs::read(world.home().join("down.bin")).unwrap() == data);
    let last = proxy.seen().pop().unwrap();
    assert!(last.header("range").starts_with("bytes="), "it began anew");
}

#[test]
fn an_interrupted_doctor_leaves_nothing_behind() {
    let world = World::new();
    let proxy = Proxy::start(world.server.address, |seen: &Seen| {
        match seen.method.as_str() {
            "PATCH" => Act::Buffer,
            _ => Act::Pass,
        }
    });
    let running = Running::start(world.tus(["doctor", &proxy.url()]), Stdio::null());
    // The long request, which is looked at for seconds.
    eventually("the last check", || {
        proxy
            .seen()
            .iter()
            .any(|seen| seen.length() > 1 << 30)
            .then_some(())
    });
    running.signal("INT");
    assert_eq!(running.wait().code, Some(130));
    let created = proxy
        .seen()
        .into_iter()
        .filter(|seen| seen.method == "POST")
        .count();
    let removed = proxy
        .seen()
        .into_iter()
        .filter(|seen| seen.method == "DELETE")
        .count();
    assert_eq!((created, removed), (2, 2));
}

#[test]
fn a_url_that_cannot_be_printed_is_a_failure() {
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else {
        return skipped("a full disk behind standard output: there is no /dev/full");
    };
    let world = World::new();
    world.file("a", "x");
    let mut command = world.tus(["upload", "a", &world.url()]);
    let output = command.stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("error: "), "{told}");
}

#[test]
fn what_cannot_go_on_does_not_say_it_can() {
    let world = World::new();
    world.file("a.bin", sample(4_000_000));
    let proxy = Proxy::start(world.server.address, |_| Act::Pass);
    let slow = [
        "upload",
        "a.bin",
        &proxy.url(),
        "--limit-rate",
        "500KiB",
        "--json",
    ];
    let running = Running::start(world.tus(slow), Stdio::null());
    eventually("some bytes", || (proxy.bytes() > 300_000).then_some(()));

    let claimed = world.run(slow);
    assert_eq!(claimed.code, Some(1), "{}", claimed.stderr);
    assert!(
        claimed.stderr.contains("--no-resume uploads it once more"),
        "{}",
        claimed.stderr
    );
    assert_eq!(claimed.json()[0]["resumable"], false);

    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(world.home().join("a.bin"));
    file.unwrap().set_len(1_000_000).unwrap();
    let output = running.wait();
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert!(output.stderr.contains("changed"), "{}", output.stderr);
    assert!(!output.stderr.contains("again"), "{}", output.stderr);
    assert_eq!(output.json()[0]["resumable"], false);

    // Nobody listens: there is nothing to go on with.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}/files", closed.local_addr().unwrap());
    drop(closed);
    let running = Running::start(world.tus(["upload", "a.bin", &nobody]), Stdio::null());
    running.says("trying again (1 of 9)");
    running.signal("INT");
    let output = running.wait();
    assert_eq!(output.code, Some(130), "{}", output.stderr);
    assert!(
        output
            .stderr
            .contains("a.bin: stopped. Nothing was uploaded."),
        "{}",
        output.stderr
    );
}
