//! Uploads to `tus serve`, and what its flags change about them.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use tempfile::tempdir;

use crate::support::{Output, Program, Request, connect, eventually, sample, skipped, tus};

#[test]
fn the_first_run_tells_how_to_upload() {
    let dir = tempdir().unwrap();
    let mut command = tus(["serve", "--listen", "127.0.0.1:0"]);
    command.current_dir(&dir);
    let server = Program::start(command);
    let url = format!("http://{}/files", server.address);
    assert_eq!(server.line("Uploads go to"), format!("Uploads go to {url}"));
    assert_eq!(
        server.line("Finished files"),
        "Finished files appear as ./uploads/{id}"
    );
    let started = server.line("listening");
    assert!(started.contains(&server.address.to_string()), "{started}");
    assert!(started.contains("storage=./uploads"), "{started}");

    let line = server.line("curl -i");
    assert!(line.contains(&url), "{line}");
    if Command::new("curl").arg("--version").output().is_err() {
        return skipped("the greeting's line was not run: there is no curl");
    }
    let mut shell = Command::new("sh");
    shell.args(["-c", &line]);
    let output = Output::of(shell);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(
        output.stdout.starts_with("HTTP/1.1 201"),
        "{}",
        output.stdout
    );
    let location = output
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("location: "))
        .unwrap();
    let id = location.trim().rsplit('/').next().unwrap();
    let file = dir.path().join("uploads").join(id);
    assert_eq!(fs::read(file).unwrap(), fs::read("/etc/hosts").unwrap());
}

#[test]
fn an_upload_becomes_a_file() {
    let dir = tempdir().unwrap();
    let server = Program::serve(dir.path(), &[]);
    let data = sample(1_000_000);
    let upload = Request::create(data.len()).send(server.address).location();
    let id = upload.strip_prefix("/files/").unwrap();
    let file = dir.path().join(id);

    let half = Request::patch(&upload, 0, &data[..400_000]).send(server.address);
    assert_eq!((half.status, half.offset()), (204, 400_000));
    assert!(!file.exists(), "half a file appeared");
    let head = Request::new("HEAD", &upload).send(server.address);
    assert_eq!((head.status, head.offset()), (200, 400_000));

    let whole = Request::patch(&upload, 400_000, &data[400_000..]).send(server.address);
    assert_eq!((whole.status, whole.offset()), (204, data.len()));
    assert_eq!(fs::read(&file).unwrap(), data);
    let download = Request::new("GET", &upload).send(server.address);
    assert_eq!(download.status, 200);
    assert_eq!(download.body, data);

    assert_eq!(
        Request::new("DELETE", &upload).send(server.address).status,
        204
    );
    assert!(!file.exists());
}

#[test]
fn paths_beside_the_uploads() {
    let server = Program::serve("memory://", &[]);
    let get = |path: &str| Request::new("GET", path).send(server.address);
    let health = get("/healthz");
    assert_eq!((health.status, health.text()), (200, "ok"));
    let root = get("/");
    assert_eq!(root.status, 200);
    assert!(root.text().contains("/files"), "{root:?}");
    for nowhere in ["/filesx", "/healthz/", "/x", "/.tus"] {
        assert_eq!(get(nowhere).status, 404, "{nowhere}");
    }
    for both in ["/files", "/files/"] {
        let options = Request::new("OPTIONS", both).send(server.address);
        assert_eq!(
            (options.status, options.header("Tus-Version")),
            (204, Some("1.0.0")),
            "{both}"
        );
        let created = Request::new("POST", both)
            .header("Upload-Length", 1)
            .send(server.address);
        assert!(created.location().starts_with("/files/"), "{created:?}");
    }
}

#[test]
fn uploads_may_live_at_the_root() {
    let server = Program::serve("memory://", &["--base-path", "/"]);
    let upload = Request::new("POST", "/")
        .header("Upload-Length", 1)
        .send(server.address);
    let upload = upload.location();
    assert!(
        !upload.starts_with("//") && upload.starts_with('/'),
        "{upload}"
    );
    assert_eq!(
        Request::patch(&upload, 0, b"x").send(server.address).status,
        204
    );
    assert_eq!(
        Request::new("GET", "/healthz").send(server.address).text(),
        "ok"
    );
}

#[test]
fn limits_are_kept() {
    let args = [
        "--max-size",
        "1k",
        "--max-metadata",
        "10B",
        "--max-body",
        "100",
        "--max-parts",
        "1",
    ];
    let server = Program::serve("memory://", &args);
    let options = Request::new("OPTIONS", "/files").send(server.address);
    assert_eq!(options.header("Tus-Max-Size"), Some("1000"));
    assert_eq!(Request::create(1001).send(server.address).status, 413);
    let metadata = Request::create(1).header("Upload-Metadata", "a YWJjZGVmZ2hpamts");
    assert_eq!(metadata.send(server.address).status, 431);
    assert_eq!(
        Request::create(200)
            .body(&sample(101))
            .send(server.address)
            .status,
        413
    );
    let parts = Request::new("POST", "/files").header("Upload-Concat", "final;/files/a /files/b");
    assert_eq!(parts.send(server.address).status, 413);
}

#[test]
fn a_silent_body_ends_and_keeps_its_bytes() {
    let server = Program::serve("memory://", &["--idle-timeout", "200ms"]);
    let upload = Request::create(10).send(server.address).location();
    let mut stream = Request::patch(&upload, 0, b"").announce(server.address, 10);
    std::io::Write::write_all(&mut stream, b"hello").unwrap();
    let answer = crate::support::Answer::read(stream);
    assert_eq!((answer.status, answer.offset()), (408, 5));
}

#[test]
fn flags_shape_the_protocol() {
    let args = [
        "--checksums",
        "sha1,crc32c",
        "--disable",
        "termination",
        "--downloads",
        "off",
        "--expires-after",
        "1h30m",
        "--base-url",
        "https://example.com/up",
        "--cors",
        "https://a.example,https://b.example",
    ];
    let server = Program::serve("memory://", &args);
    let options = Request::new("OPTIONS", "/files").send(server.address);
    assert_eq!(
        options.header("Tus-Checksum-Algorithm"),
        Some("sha1,crc32c")
    );
    assert!(
        !options
            .header("Tus-Extension")
            .unwrap()
            .contains("termination"),
        "{options:?}"
    );

    let created = Request::create(1)
        .header("Origin", "https://b.example")
        .send(server.address);
    assert_eq!(
        created.header("Access-Control-Allow-Origin"),
        Some("https://b.example")
    );
    assert!(created.header("Upload-Expires").is_some(), "{created:?}");
    let url = created.location();
    let id = url
        .strip_prefix("https://example.com/up/")
        .expect("an absolute Location");
    let upload = format!("/files/{id}");
    let stranger = Request::create(1)
        .header("Origin", "https://c.example")
        .send(server.address);
    assert_eq!(stranger.header("Access-Control-Allow-Origin"), None);

    assert_eq!(
        Request::patch(&upload, 0, b"x").send(server.address).status,
        204
    );
    let download = Request::new("GET", &upload).send(server.address);
    assert!((400..500).contains(&download.status), "{download:?}");
    let delete = Request::new("DELETE", &upload).send(server.address);
    assert!(matches!(delete.status, 405 | 501), "{delete:?}");
}

#[test]
fn names_that_are_taken() {
    let upload = |server: &Program, data: &[u8]| {
        Request::create(data.len())
            .header("Upload-Metadata", "filename YS50eHQ=")
            .body(data)
            .send(server.address)
    };
    let dir = tempdir().unwrap();
    let args = ["--key", "{filename}", "--durability", "always"];
    {
        let server = Program::serve(dir.path(), &args);
        assert_eq!(upload(&server, b"one").status, 201);
        assert!(
            upload(&server, b"two").status >= 400,
            "a taken name was accepted"
        );
        assert_eq!(fs::read(dir.path().join("a.txt")).unwrap(), b"one");
    }
    let url = format!("file://{}", dir.path().display());
    let server = Program::serve(url, &[&args[..], &["--collision", "replace"]].concat());
    assert_eq!(upload(&server, b"three").status, 201);
    assert_eq!(fs::read(dir.path().join("a.txt")).unwrap(), b"three");
}

#[test]
fn parts_may_be_removed() {
    let server = Program::serve("memory://", &["--concat-parts", "remove"]);
    let part = |data: &[u8]| {
        let part = Request::create(data.len())
            .header("Upload-Concat", "partial")
            .body(data);
        part.send(server.address).location()
    };
    let (a, b) = (part(b"hello "), part(b"world"));
    let whole = Request::new("POST", "/files").header("Upload-Concat", format!("final;{a} {b}"));
    let whole = whole.send(server.address).location();
    let download = Request::new("GET", &whole).send(server.address);
    assert_eq!(download.body, b"hello world");
    eventually("removal of the parts", || {
        let gone = |part: &str| {
            matches!(
                Request::new("HEAD", part).send(server.address).status,
                404 | 410
            )
        };
        (gone(&a) && gone(&b)).then_some(())
    });
}

/// `tus serve 2>&1 | head -n 1`
#[test]
fn a_log_that_nobody_reads_ends_nothing() {
    let mut child = tus(["serve", "--listen", "127.0.0.1:0", "--storage", "memory://"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let line = stderr
        .lines()
        .map_while(Result::ok)
        .find(|line| line.contains("http://"))
        .unwrap();
    let (_, url) = line.split_once("http://").unwrap();
    let address = url.split('/').next().unwrap().parse().unwrap();

    let statuses: Vec<_> = (0..3)
        .map(|_| Request::create(1).send(address).status)
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(statuses, [201; 3]);
}

/// ROB-29: hyper leaves this to the server.
#[test]
fn a_request_without_host_is_400() {
    use std::io::{Read, Write};

    let dir = tempdir().unwrap();
    let server = Program::serve(dir.path(), &[]);
    for (version, status) in [("1.1", "400"), ("1.0", "200")] {
        let mut stream = connect(server.address);
        let request = format!("GET /healthz HTTP/{version}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer.split(' ').nth(1), Some(status), "{answer}");
    }
}
