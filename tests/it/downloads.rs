//! GET: finished uploads come back, and only as harmless bytes (ROB-25, ROB-26, ROB-32).

use std::{
    io,
    ops::Range,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use futures::stream::BoxStream;
use tower_tus::{
    TusService,
    protocol::{Upload, UploadId, Version},
    service::Downloads,
    storage::{AppendMode, Appender, ByteStream, Error, MemoryStorage, Result, Storage},
};

use crate::support::{Client, Request, Response, Server, Site, base64, content, on_each_storage};

#[tokio::test]
async fn rob_25_an_unfinished_upload_is_404() {
    on_each_storage(async |server, client| {
        let url = client.create(4).await;
        let open = client.create_with(Request::deferred()).await;
        for (offset, body) in [(0, &b"da"[..]), (2, b"ta")] {
            for unfinished in [&url, &open] {
                let response = client.get(unfinished).await.expect(404);
                assert!(
                    !response.body.windows(2).any(|window| window == b"da"),
                    "{response:?}"
                );
            }
            client.patch(&url, offset, body).await.expect(204);
            client.patch(&open, offset, body).await.expect(204);
        }
        server.assert_stored(&url, b"data").await;
        client.get(&open).await.expect(404);
        client.get("/files/unknown").await.expect(404);
    })
    .await;
}

#[tokio::test]
async fn rob_25_a_finished_upload_is_200_with_its_length() {
    on_each_storage(async |_server, client| {
        for size in [0, 1, 100_000, 3 << 20] {
            let data = content(size, 25);
            let url = client.upload(&data).await;
            for _ in 0..2 {
                let response = client.get(&url).await.expect(200);
                assert_eq!(
                    response.header("Content-Length"),
                    Some(size.to_string().as_str())
                );
                assert_eq!(response.header("Transfer-Encoding"), None);
                assert_eq!(response.body, data);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn rob_25_a_range_is_a_part_of_the_bytes() {
    on_each_storage(async |_server, client| {
        let data = content(10_000, 26);
        let url = client.upload(&data).await;
        for (range, said, expected) in [
            ("bytes=0-0", "bytes 0-0/10000", &data[..1]),
            ("bytes=100-4999", "bytes 100-4999/10000", &data[100..5000]),
            ("bytes=9999-", "bytes 9999-9999/10000", &data[9999..]),
            ("bytes=5000-99999", "bytes 5000-9999/10000", &data[5000..]),
            ("bytes=-300", "bytes 9700-9999/10000", &data[9700..]),
        ] {
            let response = client
                .send(Request::new("GET", &url).header("Range", range))
                .await;
            let response = response.expect(206);
            assert_eq!(response.header("Content-Range"), Some(said));
            assert_eq!(response.body, expected, "{range}");
        }
        let beyond = Request::new("GET", &url).header("Range", "bytes=10000-");
        let response = client.send(beyond).await.expect(416);
        assert_eq!(response.header("Content-Range"), Some("bytes */10000"));
    })
    .await;
}

#[tokio::test]
async fn rob_25_switched_off_nothing_is_downloaded() {
    let server = Server::with(|tus| tus.downloads(Downloads::off()));
    let client = server.client();
    let url = client.upload(b"data").await;
    let response = client.get(&url).await.expect_any(&[404, 405]);
    assert_ne!(response.body, b"data");
    assert_eq!(client.offset(&url).await, 4);
}

#[tokio::test]
async fn rob_25_a_redirect_sends_readers_to_the_signed_url() {
    let site = redirecting(Signs::Url("https://bucket.example/a%20b?signature=c%2Fd&e"));
    let client = site.client();
    let url = client.upload(b"data").await;
    let get = Request::new("GET", &url);
    for get in [get.clone(), get.clone().header("Range", "bytes=1-2")] {
        let response = client.send(get).await.expect(307);
        let location = "https://bucket.example/a%20b?signature=c%2Fd&e&for=300";
        assert_eq!(response.header("Location"), Some(location));
        assert_eq!(response.header("Cache-Control"), Some("no-store"));
        assert_eq!(response.header("Content-Length"), Some("0"));
        assert_eq!(response.body, b"");
    }
    let empty = client.upload(b"").await;
    client.get(&empty).await.expect(307);

    // Nobody is sent away before everything has been looked at here.
    let head = client.send(Request::new("HEAD", &url).without("Tus-Resumable"));
    let head = head.await.expect(200);
    assert_eq!(head.header("Content-Length"), Some("4"));
    let etag = head.header("ETag").unwrap();
    let known = get.clone().header("If-None-Match", etag);
    assert_eq!(
        client.send(known).await.expect(304).header("Location"),
        None
    );
    let beyond = get.header("Range", "bytes=4-");
    client.send(beyond).await.expect(416);
    client.get(&client.create(4).await).await.expect(404);
    client.get("/files/unknown").await.expect(404);
    assert_eq!(client.offset(&url).await, 4);
}

#[tokio::test]
async fn rob_25_a_redirect_without_a_signed_url_is_a_download() {
    let site = redirecting(Signs::Nothing);
    let client = site.client();
    let url = client.upload(b"data").await;
    let response = client.get(&url).await.expect(200);
    assert_eq!(response.body, b"data");
    assert_harmless(&response);
}

#[tokio::test]
async fn rob_25_a_redirect_that_fails_is_500_and_tells_nothing() {
    for signs in [
        Signs::Url("https://a.example/\r\nSet-Cookie: b=c"),
        Signs::Error,
    ] {
        let site = redirecting(signs);
        let client = site.client();
        let url = client.upload(b"data").await;
        let response = client.get(&url).await.expect(500);
        assert_eq!(response.header("Location"), None);
        assert_eq!(response.header("Set-Cookie"), None);
        assert_eq!(response.body, b"internal error\n");
    }
}

#[tokio::test]
async fn rob_26_nothing_that_can_run_is_shown_inline() {
    on_each_storage(async |_server, client| {
        let script = b"<script>alert(1)</script>";
        for kind in [
            "text/html",
            "text/html; charset=utf-8",
            "TEXT/HTML",
            " text/html",
            "text/html\0",
            "text/plain\r\nContent-Type: text/html",
            "application/xhtml+xml",
            "image/svg+xml",
            "application/xml",
            "text/xml",
            "text/javascript",
            "application/x-unknown",
            "",
        ] {
            for key in ["filetype", "type", "content-type"] {
                let metadata = format!("filename {},{key} {}", base64("x.html"), base64(kind));
                let response = download(client, &metadata, script).await;
                let disposition = response.header("Content-Disposition").unwrap();
                assert!(
                    disposition.starts_with("attachment"),
                    "{key} {kind:?}: {response:?}"
                );
                assert_harmless(&response);
                assert_eq!(response.body, script);
            }
        }
        // Without any metadata too.
        assert_harmless(&client.get(&client.upload(script).await).await.expect(200));
    })
    .await;
}

#[tokio::test]
async fn rob_26_a_picture_keeps_its_type() {
    let server = Server::file();
    let metadata = format!(
        "filename {},filetype {}",
        base64("x.png"),
        base64("image/png")
    );
    let response = download(server.client(), &metadata, b"\x89PNG").await;
    assert_eq!(response.header("Content-Type"), Some("image/png"));
    assert_eq!(response.header("X-Content-Type-Options"), Some("nosniff"));
}

#[tokio::test]
async fn rob_32_every_name_can_be_downloaded() {
    on_each_storage(async |_server, client| {
        for name in [
            "plain.txt",
            "with blank.txt",
            "quote\".txt",
            "back\\slash.txt",
            "\\\"; filename=evil.html; x=\"",
            "semi;colon=.txt",
            "100%25.txt",
            "r\u{e9}sum\u{e9}.pdf",
            "\u{65e5}\u{672c}\u{8a9e} \u{1f980}.txt",
            "line\r\nSet-Cookie: evil=1",
            "tab\tand\0nul",
            "../../etc/passwd",
            "/etc/passwd",
            "..",
            "'",
            " ",
            "",
            &"long".repeat(1000),
        ] {
            let metadata = format!("filename {}", base64(name));
            let response = download(client, metadata.trim_end(), b"data").await;
            assert_eq!(response.body, b"data", "{name:?}");
            assert_eq!(response.header("Set-Cookie"), None, "{name:?}");
            assert_harmless(&response);
            let disposition = response.header("Content-Disposition").unwrap();
            let told = file_name(disposition);
            // What a browser saves is the name, or a tame form of it, never a path.
            let tame = ["", ".", ".."].contains(&name) || name.contains(|c: char| c.is_control());
            let path = name.contains(['/', '\\', '"']);
            if !tame && !path && !name.trim().is_empty() {
                assert_eq!(told.as_deref(), Some(name), "{disposition}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn rob_32_a_name_that_is_no_text_does_no_harm() {
    on_each_storage(async |_server, client| {
        for bytes in [&[0xff, 0xfe][..], &[0xc3], &[b'a', 0x80, b'"']] {
            let metadata = format!("filename {}", base64(bytes));
            let response = download(client, &metadata, b"data").await;
            assert_eq!(response.body, b"data");
            assert_harmless(&response);
        }
    })
    .await;
}

/// Uploads and downloads again.
async fn download(client: Client, metadata: &str, data: &[u8]) -> Response {
    let create = Request::create()
        .header("Upload-Length", data.len().to_string())
        .header("Upload-Metadata", metadata);
    let url = client.create_with(create).await;
    client.patch(&url, 0, data).await.expect(204);
    client.get(&url).await.expect(200)
}

/// Whatever the bytes are, no browser runs them with the rights of this origin.
#[track_caller]
fn assert_harmless(response: &Response) {
    assert_eq!(response.header("X-Content-Type-Options"), Some("nosniff"));
    let kind = response
        .header("Content-Type")
        .expect("a type, or browsers guess");
    assert_eq!(kind, "application/octet-stream", "{response:?}");
    let disposition = response
        .header("Content-Disposition")
        .expect("a disposition");
    assert!(
        disposition
            .bytes()
            .all(|byte| (b' '..=b'~').contains(&byte)),
        "{disposition}"
    );
    assert!(disposition.matches('"').count() <= 2, "{disposition}");
    assert!(!disposition.contains('\\'), "{disposition}");
}

/// The name as RFC 6266 reads it: `filename*` before `filename`.
fn file_name(disposition: &str) -> Option<String> {
    if let Some((_, encoded)) = disposition.split_once("filename*=UTF-8''") {
        return Some(percent_decoded(encoded));
    }
    let (_, quoted) = disposition.split_once("filename=\"")?;
    quoted.split('"').next().map(str::to_owned)
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        if *byte == b'%' {
            let digits = std::str::from_utf8(&tail[..2]).expect("two digits");
            bytes.push(u8::from_str_radix(digits, 16).expect("hexadecimal digits"));
            rest = &tail[2..];
        } else {
            bytes.push(*byte);
            rest = tail;
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}

/// A server whose storage signs, and that sends its readers there.
fn redirecting(signs: Signs) -> Site {
    let storage = Signing {
        memory: MemoryStorage::new(),
        signs,
    };
    let redirect = Downloads::redirect(Duration::from_secs(300));
    Site::serve(
        TusService::new(storage)
            .base_path("/files")
            .downloads(redirect),
    )
}

#[derive(Debug)]
struct Signing {
    memory: MemoryStorage,
    signs: Signs,
}

/// What a storage gives for a URL.
#[derive(Debug)]
enum Signs {
    Url(&'static str),
    Nothing,
    Error,
}

#[async_trait]
impl Storage for Signing {
    async fn create(&self, upload: &Upload) -> Result<Version> {
        self.memory.create(upload).await
    }

    async fn load(&self, id: &UploadId) -> Result<Upload> {
        self.memory.load(id).await
    }

    async fn update(&self, upload: &Upload) -> Result<Version> {
        self.memory.update(upload).await
    }

    async fn append(&self, upload: &Upload, mode: AppendMode) -> Result<Box<dyn Appender>> {
        self.memory.append(upload, mode).await
    }

    async fn finish(&self, upload: &Upload) -> Result<()> {
        self.memory.finish(upload).await
    }

    async fn concat(&self, target: &Upload, parts: &[Upload]) -> Result<()> {
        self.memory.concat(target, parts).await
    }

    async fn read(&self, upload: &Upload, range: Range<u64>) -> Result<ByteStream> {
        self.memory.read(upload, range).await
    }

    async fn signed_url(&self, upload: &Upload, lifetime: Duration) -> Result<Option<String>> {
        assert!(upload.is_finished());
        match self.signs {
            Signs::Url(url) => Ok(Some(format!("{url}&for={}", lifetime.as_secs()))),
            Signs::Nothing => Ok(None),
            Signs::Error => Err(Error::from(io::Error::other("no key to sign with"))),
        }
    }

    async fn delete(&self, id: &UploadId) -> Result<()> {
        self.memory.delete(id).await
    }

    fn list(&self) -> BoxStream<'_, Result<Upload>> {
        self.memory.list()
    }

    async fn reclaim(&self, before: SystemTime) -> Result<u64> {
        self.memory.reclaim(before).await
    }
}
