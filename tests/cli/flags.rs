//! `--help`, the environment, and values that are none.

use tempfile::tempdir;

use crate::support::{Output, Program, Request, tus};

#[test]
fn help_tells_every_flag_and_its_default() {
    let help = Output::of(tus(["serve", "--help"]));
    assert_eq!(help.code, Some(0));
    assert_eq!(help.stderr, "");
    for expected in [
        "Address:",
        "Files:",
        "Object storage:",
        "Limits:",
        "Protocol:",
        "Operation:",
        "Examples:",
        "--listen <WHERE,…>",
        "[default: 127.0.0.1:1080]",
        "--storage <DIR|URL>",
        "./uploads]",
        "--base-path",
        "--base-url",
        "--trust-forwarded",
        "--max-size",
        "--max-body",
        "--max-metadata",
        "--max-parts",
        "--max-writers",
        "--idle-timeout",
        "--idle-min-bytes",
        "--expires-after",
        "--sweep-every",
        "--durability",
        "--part-size",
        "--storage-memory",
        "--single-node",
        "--download-redirect",
        "--collision",
        "--key",
        "--checksums",
        "--disable",
        "--cors",
        "--downloads",
        "--concat-parts",
        "--socket-mode",
        "--tls-cert",
        "--tls-key",
        "--bearer-token-file",
        "--admin-listen",
        "--expose",
        "--drain-delay",
        "Hooks:",
        "--hooks-http <URL>",
        "--hooks-enabled-events",
        "--hooks-http-forward-headers",
        "--hooks-http-secret-file",
        "--shutdown-timeout",
        "--grace",
        "--config",
        "--print-config",
        "--log <LEVEL>",
        "--log-format",
        "TUS_MAX_SIZE=8GiB",
    ] {
        assert!(
            help.stdout.contains(expected),
            "{expected} is missing in:\n{}",
            help.stdout
        );
    }
    for line in help.stdout.lines() {
        assert!(
            line.chars().count() <= 100,
            "too long for a terminal: {line}"
        );
    }
}

#[test]
fn without_a_command_there_is_help() {
    let nothing = Output::of(tus::<&str>([]));
    assert_eq!(nothing.code, Some(2));
    assert!(nothing.stderr.contains("serve"), "{}", nothing.stderr);

    let version = Output::of(tus(["--version"]));
    assert_eq!(version.code, Some(0));
    assert_eq!(
        version.stdout,
        format!("tus {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn wrong_values_are_named_and_end_with_2() {
    let table: &[(&[&str], &str)] = &[
        (&["--listen", "1080"], "as in 127.0.0.1:1080"),
        (&["--listen", "localhost:99999"], "as in 127.0.0.1:1080"),
        (&["--storage", "ftp://host"], "ftp:// is not known"),
        (&["--storage", "s3://"], "names no bucket"),
        (&["--part-size", "big"], "as in 8GiB"),
        (&["--download-redirect", "0s"], "longer than nothing"),
        (&["--storage", "file://relative"], "file:///srv/uploads"),
        (&["--storage", "memory://x"], "memory:// takes no path"),
        (&["--base-path", "files"], "as in /files"),
        (&["--base-url", "example.com"], "as in https://example.com"),
        (&["--max-size", "big"], "as in 8GiB"),
        (&["--max-size=-1"], "as in 8GiB"),
        (&["--max-writers", "0"], "--max-writers"),
        (&["--idle-timeout", "60"], "time unit needed"),
        (&["--expires-after", "0s"], "longer than nothing"),
        (&["--durability", "sometimes"], "finish"),
        (&["--collision", "merge"], "replace"),
        (&["--key", "{nonsense}"], "--key"),
        (&["--key", "../{id}"], "--key"),
        (&["--checksums", "sha1,crc7"], "crc32c"),
        (&["--disable", "everything"], "termination"),
        (&["--cors", "example.com"], "is not an origin"),
        (&["--downloads", "inline"], "attachment"),
        (&["--concat-parts", "burn"], "remove"),
        (&["--log", "verbose"], "not a level"),
        (&["--log-format", "xml"], "json"),
        (&["--max-sizes", "1"], "--max-size"),
    ];
    for (args, reason) in table {
        let mut command = tus(["serve"]);
        // If it were taken, the program should end all the same.
        command
            .env("TUS_LISTEN", "nowhere.invalid:1")
            .env("TUS_STORAGE", "memory://");
        command.args(*args);
        let output = Output::of(command);
        assert_eq!(output.code, Some(2), "{args:?}: {}", output.stderr);
        assert!(
            output.stderr.contains(reason),
            "{args:?}: {}",
            output.stderr
        );
        assert_eq!(output.stdout, "");
    }
}

#[test]
fn flags_without_use_for_the_storage_end_with_2_and_one_line() {
    let table: &[(&[&str], &str)] = &[
        (
            &["--storage", "memory://", "--durability", "none"],
            "--durability is for a directory, and memory:// is none",
        ),
        (
            &["--storage", "s3://bucket/a", "--durability", "always"],
            "--durability is for a directory, and s3://bucket/a is none",
        ),
        (
            &["--part-size", "8MiB"],
            "--part-size is for a bucket, and ./uploads is none",
        ),
        (
            &["--storage-memory", "1GiB"],
            "--storage-memory is for a bucket, and ./uploads is none",
        ),
        (
            &["--storage", "memory://", "--single-node"],
            "--single-node is for a bucket, and memory:// is none",
        ),
        (
            &["--storage", "file:///srv/a", "--download-redirect", "5m"],
            "--download-redirect is for a bucket, and /srv/a is none",
        ),
        (
            &[
                "--storage",
                "gs://b",
                "--download-redirect",
                "5m",
                "--downloads",
                "off",
            ],
            "--download-redirect has no use with --downloads off",
        ),
        (
            &["--storage", "s3://key:secret@bucket/a"],
            "the URL of s3://bucket/a has credentials: they belong in the environment",
        ),
    ];
    for (args, reason) in table {
        let mut command = tus(["serve", "--listen", "nowhere.invalid:1"]);
        command.args(*args);
        let output = Output::of(command);
        assert_eq!(output.code, Some(2), "{args:?}: {}", output.stderr);
        assert_eq!(output.stderr, format!("error: {reason}\n"));
        assert_eq!(output.stdout, "");
    }
}

#[test]
fn what_cannot_be_used_ends_with_1_and_one_line() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let mut command = tus(["serve", "--listen", "127.0.0.1:0", "--storage"]);
    command.arg(&file);
    let output = Output::of(command);
    assert_eq!(output.code, Some(1));
    assert!(
        output.stderr.starts_with("error: cannot use "),
        "{}",
        output.stderr
    );
    assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);

    let first = Program::serve("memory://", &[]);
    let address = first.address.to_string();
    let output = Output::of(tus([
        "serve",
        "--storage",
        "memory://",
        "--listen",
        &address,
    ]));
    assert_eq!(output.code, Some(1));
    assert!(
        output
            .stderr
            .starts_with(&format!("error: cannot listen on {address}: "))
    );
    assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
}

#[test]
fn the_environment_sets_flags() {
    let dir = tempdir().unwrap();
    let mut command = tus(["serve", "--max-size", "2KiB"]);
    command
        .env("TUS_LISTEN", "127.0.0.1:0")
        .env("TUS_STORAGE", dir.path())
        .env("TUS_BASE_PATH", "/up/loads/")
        .env("TUS_MAX_SIZE", "1KiB")
        .env("TUS_DISABLE", "termination,concatenation")
        .env("TUS_TRUST_FORWARDED", "yes")
        .env("TUS_KEY", "{filename}")
        .env("TUS_MAXSIZE", "1");
    let server = Program::start(command);
    server.line("TUS_MAXSIZE");

    let options = Request::new("OPTIONS", "/up/loads").send(server.address);
    assert_eq!(
        options.header("Tus-Max-Size"),
        Some("2048"),
        "a flag beats the environment"
    );
    let extensions = options.header("Tus-Extension").unwrap();
    assert!(extensions.contains("creation-with-upload"), "{extensions}");
    assert!(!extensions.contains("termination"), "{extensions}");
    assert!(!extensions.contains("concatenation"), "{extensions}");

    let created = Request::new("POST", "/up/loads")
        .header("Upload-Length", 5)
        .header("Upload-Metadata", "filename aGVsbG8udHh0")
        .header("X-Forwarded-Proto", "https")
        .header("X-Forwarded-Host", "example.com")
        .body(b"hello")
        .send(server.address);
    let location = created.location();
    assert!(
        location.starts_with("https://example.com/up/loads/"),
        "{location}"
    );
    assert_eq!(
        std::fs::read(dir.path().join("hello.txt")).unwrap(),
        b"hello"
    );

    let mut command = tus(["serve"]);
    command.env("TUS_MAX_SIZE", "huge");
    let output = Output::of(command);
    assert_eq!(output.code, Some(2));
    assert!(output.stderr.contains("--max-size"), "{}", output.stderr);
}
