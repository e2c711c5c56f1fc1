//! Hostile and odd requests: no 5xx, and nothing told that is not the client's business (ROB).

use std::{collections::BTreeSet, fs, time::Duration};

use tower_tus::protocol::Limits;

use crate::support::{
    Request, Server, base64, content, on_each_storage, on_each_storage_with, wait,
};

#[tokio::test]
async fn rob_04_odd_methods_are_405_with_the_methods_that_are_not() {
    on_each_storage(async |_, client| {
        let url = client.create(10).await;
        for method in ["PUT", "TRACE", "PROPFIND", "LOCK", "FOO", "patch"] {
            for target in [url.as_str(), "/files"] {
                let answer = client.send(Request::new(method, target)).await.expect(405);
                let allowed = answer.list("Allow");
                assert!(
                    allowed.contains(&"OPTIONS"),
                    "{method} {target}: {answer:?}"
                );
                assert!(!allowed.contains(&method), "{method} {target}: {answer:?}");
            }
        }
        let on_upload = client.send(Request::new("PUT", &url)).await;
        for method in ["HEAD", "PATCH", "DELETE", "GET"] {
            assert!(on_upload.list("Allow").contains(&method), "{on_upload:?}");
        }
        let on_files = client.send(Request::new("PUT", "/files")).await;
        assert!(on_files.list("Allow").contains(&"POST"), "{on_files:?}");
        assert_eq!(client.offset(&url).await, 0);
    })
    .await;
}

#[tokio::test]
async fn rob_06_contradicting_offsets_are_refused() {
    on_each_storage(async |_, client| {
        let url = client.create(10).await;
        for (first, second) in [("0", "5"), ("0", "0"), ("5", "0"), ("0", "x")] {
            let patch = Request::patch(&url, 0)
                .set("Upload-Offset", first)
                .header("Upload-Offset", second)
                .body(b"12345");
            client.send(patch).await.expect(400);
            assert_eq!(client.offset(&url).await, 0, "{first} and {second}");
        }
    })
    .await;
}

#[tokio::test]
async fn rob_07_metadata_never_becomes_structure_of_an_answer() {
    on_each_storage(async |_, client| {
        for value in [
            "x\r\nX-Evil: 1",
            "x\nX-Evil: 1",
            "x\rX-Evil: 1",
            "\"; filename=\"evil.html",
            "a\"b\\c",
            "\0\u{1}\u{7f}",
            "\u{85}\u{2028}x",
            "x\r\n\r\n<script>alert(1)</script>",
        ] {
            for key in ["filename", "filetype", "name", "type"] {
                let metadata = format!("{key} {}", base64(value));
                let create = Request::create()
                    .header("Upload-Length", "4")
                    .header("Upload-Metadata", &metadata);
                let url = client.create_with(create).await;
                client.patch(&url, 0, b"data").await.expect(204);
                let head = client.head(&url).await.expect(200);
                assert_eq!(head.header("Upload-Metadata"), Some(metadata.as_str()));
                let get = client.get(&url).await.expect(200);
                assert_eq!(get.body, b"data", "{key}: {value:?}");
                for answer in [head, get] {
                    assert_eq!(answer.header("X-Evil"), None, "{answer:?}");
                    for (_, field) in &answer.headers {
                        assert!(!field.iter().any(u8::is_ascii_control), "{answer:?}");
                    }
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn rob_27_ids_cannot_be_guessed() {
    on_each_storage(async |_, client| {
        let mut ids = BTreeSet::new();
        let mut nibbles = BTreeSet::new();
        for _ in 0..64 {
            let url = client.create(1).await;
            let id = url.rsplit('/').next().unwrap().to_owned();
            // 128 bits in whatever spelling take at least that many characters of 6 bits.
            assert!(id.len() >= 22, "{id}");
            nibbles.extend(id.chars().enumerate());
            ids.insert(id);
        }
        assert_eq!(ids.len(), 64);
        // No position is fixed, as those of a clock or a counter would be.
        let length = ids.first().unwrap().len();
        let constant = (0..length).find(|at| nibbles.iter().filter(|(it, _)| it == at).count() < 3);
        assert_eq!(constant, None, "{ids:?}");
    })
    .await;
}

#[tokio::test]
async fn rob_28_30_errors_are_short_text_without_markup_or_paths() {
    let server = Server::with(|tus| tus.max_size(1000));
    let client = server.client();
    let url = client.create(10).await;
    let root = server.root().to_str().unwrap().to_owned();
    let markup = "<script>alert(1)</script>";
    let refused = [
        Request::new("GET", &format!("/files/{markup}")),
        Request::new("GET", &format!("/files/x?{markup}")),
        Request::new("SCRIPT", "/files/%3Cscript%3E"),
        Request::patch(&url, 0)
            .set("Upload-Offset", markup)
            .body(b"x"),
        Request::patch(&url, 7).body(b"x"),
        Request::patch(&url, 0)
            .set("Content-Type", "text/html")
            .body(markup),
        Request::patch(&url, 0)
            .header("Upload-Checksum", format!("{markup} YQ=="))
            .body(b"x"),
        Request::create().header("Upload-Length", markup),
        Request::create().header("Upload-Length", "1001"),
        Request::create()
            .header("Upload-Length", "1")
            .header("Upload-Metadata", format!("{markup} {markup} {markup}")),
        Request::create().header("Upload-Concat", format!("final;{markup}")),
        Request::create().header("Upload-Concat", "final;/files/../../etc/passwd"),
        Request::new("DELETE", &format!("/files/{}", "a".repeat(300))),
        Request::new("PUT", &url),
        Request::create().set("Tus-Resumable", markup),
    ];
    for request in refused {
        let method = request.method().to_owned();
        let mut connection = client.connect().await;
        connection.write(request.to_bytes()).await;
        let answer = connection.response(&method).await.expect_refused();
        let text = String::from_utf8(answer.body.clone()).unwrap();
        assert!(text.len() < 200, "{answer:?}");
        for leak in [
            "<",
            "script",
            "alert",
            "os error",
            ".tus",
            root.as_str(),
            "src/",
        ] {
            assert!(!text.contains(leak), "{leak:?} in {answer:?}");
        }
        if !text.is_empty() {
            let kind = answer.header("Content-Type").unwrap();
            assert!(kind.starts_with("text/plain"), "{answer:?}");
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn rob_30_a_failing_disk_is_a_5xx_that_tells_nothing() {
    let server = Server::file();
    let client = server.client();
    let url = client.create(10).await;
    let id = url.rsplit('/').next().unwrap();
    // A directory in the place of the record: no reading of it succeeds, for nobody.
    let record = server.root().join(".tus").join(format!("{id}.info"));
    fs::remove_file(&record).unwrap();
    fs::create_dir(&record).unwrap();
    for request in [
        Request::new("GET", &url),
        Request::patch(&url, 0).body(b"x"),
        Request::new("DELETE", &url),
    ] {
        let answer = client.send(request).await.expect(500);
        assert_eq!(answer.body, b"internal error\n", "{answer:?}");
    }
    client.upload(b"others are well").await;
}

#[tokio::test]
async fn rob_11_a_huge_header_is_431_and_others_are_served() {
    on_each_storage(async |server, client| {
        let data = content(10, 11);
        let url = client.create(10).await;
        let patch = Request::patch(&url, 0)
            .header("X-Filler", "a".repeat(1 << 20))
            .body(&data);
        let mut connection = client.connect().await;
        // hyper stops reading after some 400 KiB, and says so.
        let _ = connection.try_write(patch.to_bytes()).await;
        if let Ok(answer) = connection.try_response("PATCH").await {
            answer.expect(431);
        }
        assert_eq!(client.offset(&url).await, 0);
        client.patch(&url, 0, &data).await.expect(204);
        server.assert_stored(&url, &data).await;
    })
    .await;
}

#[tokio::test]
async fn rob_23_a_body_that_trickles_too_slowly_is_ended_and_kept() {
    let slow = Limits::default().idle(Duration::from_millis(500), 1_000_000);
    on_each_storage_with(
        move |tus| tus.limits(slow.clone()),
        async |_, client| {
            let data = content(2_000, 23);
            let url = client.create(2_000).await;
            let mut connection = client.connect().await;
            let patch = Request::patch(&url, 0).body(&data);
            connection.write(patch.head_bytes()).await;
            // A byte now and then is no sign of life.
            let mut sent = 0;
            wait::until_true("the server's patience to end", async || {
                if sent < 1_999 && connection.try_write(&data[sent..=sent]).await.is_ok() {
                    sent += 1;
                }
                connection.has_surplus()
            })
            .await;
            let answer = connection.response("PATCH").await.expect(408);
            let offset = client.offset(&url).await;
            assert_eq!(answer.offset(), Some(offset));
            assert!((1..=sent as u64).contains(&offset), "{offset} of {sent}");
            let rest = &data[offset as usize..];
            client.patch(&url, offset, rest).await.expect(204);
            assert!(client.get(&url).await.expect(200).body == data);
        },
    )
    .await;
}

#[tokio::test]
async fn rob_29_without_host_the_server_makes_none_up() {
    on_each_storage(async |_, client| {
        for version in ["HTTP/1.1", "HTTP/1.0"] {
            // hyper leaves the refusal of such requests to proxies.
            let create = Request::create()
                .without("Host")
                .version(version)
                .header("Upload-Length", "5");
            let answer = client.send(create).await.expect_any(&[201, 400]);
            if answer.status == 201 {
                let url = answer.header("Location").unwrap();
                assert!(url.starts_with("/files/"), "{answer:?}");
                assert_eq!(client.offset(url).await, 0);
            }
        }
    })
    .await;
}
