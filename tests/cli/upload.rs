//! `tus upload` to a server: what is stored, what is printed, and how it ends.

use std::{
    fs,
    io::Write,
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::support::{Act, Output, Proxy, Running, Seen, World, sample, tus};

#[test]
fn the_url_is_all_that_standard_output_gets() {
    let world = World::new();
    let data = sample(3_000_000);
    world.file("a video.mp4", &data);
    let output = world.run(["upload", "a video.mp4", &world.url()]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(output.stdout.lines().count(), 1, "{}", output.stdout);
    let url = output.last_line();
    assert!(url.starts_with(&world.url()), "{url}");
    assert_eq!(world.stored(&url), data);
    assert!(
        output.stderr.contains("a video.mp4: 2.86 MiB in "),
        "{}",
        output.stderr
    );

    let metadata = world.run(["metadata", &url]);
    assert_eq!(
        metadata.stdout,
        "filename: a video.mp4\nfiletype: video/mp4\n"
    );

    let quiet = world.run(["upload", "-q", "a video.mp4", &world.url()]);
    assert_eq!((quiet.code, quiet.stderr.as_str()), (Some(0), ""));
    assert_ne!(quiet.last_line(), url, "a finished upload is forgotten");
}

#[test]
fn metadata_is_what_was_asked_for_above_what_is_known() {
    let world = World::new();
    world.file("a.txt", "x");
    let url = world.ok([
        "upload",
        "a.txt",
        "--metadata",
        "filetype=x/y",
        "--name",
        "ü.md",
        "-m",
        "flag",
        &world.url(),
    ]);
    let metadata = world.run(["metadata", "--json", &url]);
    assert_eq!(
        metadata.json()[0],
        serde_json::json!({ "filename": "ü.md", "filetype": "x/y", "flag": "" })
    );
}

#[test]
fn every_way_to_upload_gives_the_same_bytes() {
    let world = World::new();
    let data = sample(5_000_000);
    world.file("a.bin", &data);
    let table: &[&[&str]] = &[
        &["--parallel", "3"],
        &["--checksum", "sha256"],
        &["--checksum", "md5", "--chunk-size", "1MiB"],
        &[
            "--chunk-size",
            "700k",
            "--parallel",
            "2",
            "--checksum",
            "crc32c",
        ],
        &["--http2"],
        &["--method-override", "--request-id"],
        &[
            "--no-resume",
            "--limit-rate",
            "100MiB",
            "--retries",
            "0",
            "--timeout",
            "30s",
        ],
    ];
    for args in table {
        let mut all = vec!["upload", "a.bin"];
        all.extend(*args);
        let url = world.url();
        all.push(&url);
        let url = world.ok(all);
        assert!(world.stored(&url) == data, "{args:?}");
    }
    let list = world.run(["list"]);
    assert_eq!((list.code, list.stdout.as_str()), (Some(0), ""));
}

#[test]
fn standard_input_is_uploaded_to_its_end() {
    let world = World::new();
    let data = sample(20_000_000);
    let command = world.tus(["upload", "-", &world.url(), "--name", "in.tar"]);
    let mut running = Running::start(command, Stdio::piped());
    let mut input = running.input();
    for piece in data.chunks(777_777) {
        input.write_all(piece).unwrap();
    }
    drop(input);
    let output = running.wait();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let url = output.last_line();
    assert!(world.stored(&url) == data);
    let metadata = world.run(["metadata", &url]);
    assert_eq!(
        metadata.stdout,
        "filename: in.tar\nfiletype: application/x-tar\n"
    );

    let nothing = world.ok(["upload", "-", &world.url()]);
    assert_eq!(world.stored(&nothing), b"");
}

#[test]
fn a_directory_is_its_files_with_their_paths() {
    let world = World::new();
    for name in ["album/b/2.jpg", "album/1.png", "album/c"] {
        world.file(name, name);
    }
    fs::create_dir(world.home().join("album/empty")).unwrap();
    for jobs in ["1", "3"] {
        let url = world.url();
        let output = world.run(["upload", "album", &url, "--jobs", jobs, "--json"]);
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        let lines = output.json();
        let names = ["album/1.png", "album/b/2.jpg", "album/c"];
        assert_eq!(lines.len(), names.len());
        for (line, name) in lines.iter().zip(names) {
            assert_eq!(line["file"], name, "the order is that of the names");
            let url = line["url"].as_str().unwrap();
            assert_eq!(world.stored(url), name.as_bytes());
            let metadata = world.run(["metadata", "--json", url]);
            assert_eq!(metadata.json()[0]["relativePath"], name);
        }
    }
    let empty = world.run(["upload", "album/empty", &world.url()]);
    assert_eq!(empty.code, Some(1));
    assert_eq!(empty.stderr, "error: album/empty has no files\n");
}

#[test]
fn json_has_the_documented_fields() {
    let world = World::serving(&["--max-size", "1MB"]);
    world.file("small", "12345");
    world.file("large", sample(1_100_000));
    let small = world.run(["upload", "small", &world.url(), "--json"]);
    let line = &small.json()[0];
    assert_eq!(
        (line["file"].as_str(), line["size"].as_u64()),
        (Some("small"), Some(5))
    );
    assert!(line["seconds"].is_f64() && line["retries"] == 0, "{line}");
    assert_eq!(line["resumed"], 0);
    assert!(
        line["url"].as_str().unwrap().starts_with(&world.url()),
        "{line}"
    );

    let large = world.run(["upload", "large", &world.url(), "--json"]);
    let line = &large.json()[0];
    assert_eq!(
        (line["status"].as_u64(), line["exit"].as_u64()),
        (Some(413), Some(4))
    );
    assert!(line["error"].as_str().unwrap().contains("413"), "{line}");
    assert_eq!(large.code, Some(4));

    // For parts the server is asked before what it takes.
    let parts = world.run(["upload", "large", &world.url(), "--parallel", "2", "--json"]);
    let line = &parts.json()[0];
    assert!(line["status"].is_null(), "{line}");
    assert_eq!((line["exit"].as_u64(), parts.code), (Some(4), Some(4)));
}

/// Nothing goes on at a part: only the command knows them all.
#[test]
fn a_part_that_fails_is_not_told_as_the_upload() {
    let world = World::new();
    world.file("file", "12345678");
    let proxy = Proxy::start(world.server.address, |seen: &Seen| {
        match seen.method.as_str() {
            "PATCH" => Act::Answer(400, vec![]),
            _ => Act::Pass,
        }
    });
    let output = world.run(["upload", "file", &proxy.url(), "--parallel", "2"]);
    assert_eq!(output.code, Some(4), "{}", output.stderr);
    assert!(!output.stderr.contains("--resume-at"), "{}", output.stderr);
    assert!(
        output.stderr.contains("run the same command again"),
        "{}",
        output.stderr
    );
    let again = world.run(["upload", "file", &proxy.url(), "--parallel", "2", "--json"]);
    let line = &again.json()[0];
    assert!(line["url"].is_null() && line["resumable"] == true, "{line}");
}

/// One that fails does not end the others.
#[test]
fn of_several_files_each_has_its_own_end() {
    let world = World::new();
    let proxy = Proxy::start(world.server.address, |seen: &Seen| {
        match seen.header("upload-length") {
            "2" => Act::Answer(403, vec![]),
            _ => Act::Pass,
        }
    });
    for (name, content) in [("a", "1"), ("b", "22"), ("c", "333")] {
        world.file(name, content);
    }
    let output = world.run(["upload", "a", "b", "c", &proxy.url()]);
    assert_eq!(output.code, Some(4), "{}", output.stderr);
    let urls: Vec<_> = output.stdout.lines().collect();
    assert_eq!(urls.len(), 2, "{}", output.stdout);
    assert_eq!(
        (world.stored(urls[0]), world.stored(urls[1])),
        (b"1".into(), b"333".into())
    );
    assert!(
        output.stderr.contains("error: b: the server answered 403"),
        "{}",
        output.stderr
    );
}

#[test]
fn exit_codes_tell_what_happened() {
    let world = World::new();
    let refusing = Proxy::start(world.server.address, |seen: &Seen| {
        match seen.method.as_str() {
            "POST" => Act::Answer(403, vec![]),
            _ => Act::Pass,
        }
    });
    world.file("a", "x");
    let url = world.url();
    let missing = format!("{url}/0123456789abcdef0123456789abcdef");
    // A port that nobody listens on.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}/files", closed.local_addr().unwrap());
    drop(closed);
    let refusing = refusing.url();
    let table: &[(&[&str], i32)] = &[
        (&["upload", "a", &refusing], 4),
        (&["upload", "a", &nobody, "--retries", "0"], 1),
        (&["upload", "missing", &url], 1),
        (&["upload", "a", &url, "--resume-at", &missing], 3),
        (&["info", &missing], 3),
        (&["metadata", &missing], 3),
        (&["delete", &missing], 3),
        (&["download", &missing], 3),
        (&["upload", "a", "files"], 2),
        (&["upload", &url], 2),
        (&["upload", "a", &url, "--metadata", "a b=c"], 2),
        (&["upload", "a", &url, "-m", "k=1", "-m", "k=2"], 2),
        (&["upload", "a", &url, "--header", "nonsense"], 2),
        (&["upload", "a", &url, "--cacert", "a"], 2),
        (&["upload", "a", &url, "--checksum", "crc7"], 2),
        (&["upload", "a", &url, "--parallel", "0"], 2),
        (&["upload", "-", "-", &url], 2),
        (&["upload", "-", &url, "--parallel", "2"], 2),
        (&["upload", "a", "a", &url, "--name", "b"], 2),
        (&["forget", &missing], 3),
        (&["forget"], 2),
    ];
    for (args, code) in table {
        let output = world.run(*args);
        assert_eq!(output.code, Some(*code), "{args:?}: {}", output.stderr);
        assert_eq!(output.stdout, "", "{args:?}");
        assert!(
            output.stderr.starts_with("error: "),
            "{args:?}: {}",
            output.stderr
        );
    }
}

#[test]
fn what_fails_is_tried_again_and_said() {
    let world = World::new();
    let data = sample(2_000_000);
    world.file("a.bin", &data);
    let patches = AtomicUsize::new(0);
    let proxy = Proxy::start(world.server.address, move |seen: &Seen| {
        match seen.method.as_str() {
            "PATCH" => match patches.fetch_add(1, Ordering::SeqCst) {
                0 => Act::Cut(1_000_000),
                1 => Act::Answer(503, vec![]),
                _ => Act::Pass,
            },
            _ => Act::Pass,
        }
    });
    let output = world.run(["upload", "a.bin", &proxy.url(), "--json"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(
        output.stderr.contains("trying again (1 of 9)"),
        "{}",
        output.stderr
    );
    assert!(output.stderr.contains("503"), "{}", output.stderr);
    let line = &output.json()[0];
    assert!(line["retries"].as_u64().unwrap() >= 2, "{line}");
    assert!(world.stored(line["url"].as_str().unwrap()) == data);
    assert!(
        proxy.bytes() < 2_600_000,
        "{} bytes were sent",
        proxy.bytes()
    );
}

#[test]
fn no_secret_is_printed() {
    let world = World::new();
    world.file("a.txt", "hello");
    world.file(
        "headers",
        "X-Key: hidden-1\n\nAuthorization: Bearer hidden-2\n",
    );
    let proxy = Proxy::start(world.server.address, |seen: &Seen| {
        match seen.path.as_str() {
            "/refuse" => Act::Answer(401, vec![]),
            _ => Act::Pass,
        }
    });
    let url = |path: &str| format!("http://me:hidden-3@{}{path}", proxy.address);
    let good = url("/files");
    let table: &[&[&str]] = &[
        &["upload", "-v", "a.txt", &good, "-H", "@headers"],
        &[
            "upload",
            "-v",
            "a.txt",
            "--json",
            &good,
            "-H",
            "X-Key: hidden-1",
        ],
        &["upload", "-v", "a.txt", &url("/refuse"), "-H", "@headers"],
        &["upload", "-v", "a.txt", &url("/fi les?token=hidden-4")],
        &["upload", "-v", "a.txt", &good, "-H", "hidden-5 x: y"],
        &["upload", "-v", "a.txt", &good, "-H", "Bearer hidden-5"],
        &[
            "upload",
            "-v",
            "a.txt",
            &good,
            "-H",
            "X-Key: hidden-1\u{7f}",
        ],
        &["options", "-v", &good],
        &["info", "-v", &url("/files/0123456789abcdef?token=hidden-4")],
        &[
            "delete",
            "-v",
            &url("/files/0123456789abcdef?token=hidden-4"),
        ],
        &["doctor", "-v", &good],
    ];
    for args in table {
        let Output { stdout, stderr, .. } = world.run(*args);
        for secret in [
            "hidden-1",
            "hidden-2",
            "hidden-3",
            "hidden-5",
            "bWU6aGlkZGVuLTM",
        ] {
            assert!(!stdout.contains(secret), "{args:?}: {stdout}");
            assert!(!stderr.contains(secret), "{args:?}: {stderr}");
        }
        assert!(!stderr.contains("hidden-4"), "{args:?}: {stderr}");
    }
    let with_headers = proxy
        .seen()
        .into_iter()
        .filter(|seen| seen.header("x-key") == "hidden-1");
    assert!(with_headers.count() >= 2, "the headers were sent");
    let with_password = proxy.seen().into_iter();
    let mut with_password =
        with_password.filter(|seen| seen.header("authorization") == "Basic bWU6aGlkZGVuLTM=");
    assert!(with_password.next().is_some(), "the password was sent");
}

#[test]
fn help_is_short_and_names_every_command() {
    let help = Output::of(tus(["--help"]));
    for command in [
        "serve",
        "upload",
        "download",
        "info",
        "metadata",
        "delete",
        "options",
        "list",
        "forget",
        "concat",
        "doctor",
        "completions",
    ] {
        assert!(
            help.stdout.contains(&format!("\n  {command} ")),
            "{}",
            help.stdout
        );
        let own = Output::of(tus([command, "--help"]));
        assert_eq!(own.code, Some(0), "{command}");
        let longest = own.stdout.lines().map(|line| line.chars().count()).max();
        assert!(longest.unwrap() <= 110, "{command}:\n{}", own.stdout);
    }
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = Output::of(tus(["completions", shell]));
        assert_eq!(script.code, Some(0), "{shell}");
        assert!(script.stdout.contains("limit-rate"), "{shell}");
    }
}
