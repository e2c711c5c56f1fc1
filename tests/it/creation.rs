//! CREA: POST makes an upload.

use std::path::PathBuf;

use tower_tus::protocol::{Extension, Extensions};

use crate::support::{Client, Request, Server, base64, on_each_storage, on_each_storage_with};

#[tokio::test]
async fn crea_01_02_a_post_makes_an_upload_at_offset_zero() {
    on_each_storage(async |server, client| {
        let create = Request::create().header("Upload-Length", "4");
        let response = client.send(create).await.expect(201);
        let url = response.header("Location").unwrap().to_owned();
        let id = url
            .strip_prefix("/files/")
            .expect("the path under which the server is mounted");
        assert!(id.len() >= 22, "128 random bits: {id}");
        assert!(
            id.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        );
        let head = client.head(&url).await.expect(200);
        assert_eq!((head.offset(), head.length()), (Some(0), Some(4)));
        client.get(&url).await.expect(404);
        client.patch(&url, 0, b"data").await.expect(204);
        server.assert_stored(&url, b"data").await;
    })
    .await;
}

#[tokio::test]
async fn crea_03_uploads_are_made_only_where_creation_is_announced() {
    let server = Server::file();
    let options = server.client().options("/files").await.expect(204);
    assert!(options.list("Tus-Extension").contains(&"creation"));

    let server = Server::with(|tus| tus.extensions(Extensions::all().without(Extension::Creation)));
    let create = Request::create().header("Upload-Length", "4");
    let response = server
        .client()
        .send(create)
        .await
        .expect_any(&[400, 404, 405, 501]);
    assert_eq!(response.header("Location"), None);
    assert_no_upload(&server);
}

#[tokio::test]
async fn crea_04_a_post_without_any_length_is_400() {
    on_each_storage(async |server, client| {
        let response = client.send(Request::create()).await.expect(400);
        assert_eq!(response.header("Location"), None);
        assert_no_upload(&server);
    })
    .await;
}

#[tokio::test]
async fn crea_05_a_malformed_length_is_400() {
    let server = Server::file();
    for length in [
        "",
        "-1",
        "-0",
        "+1",
        "abc",
        "1.5",
        "1e3",
        "0x10",
        "5,6",
        "5, 5",
        "5 6",
        "NaN",
        "1_000",
        "18446744073709551616",
        "99999999999999999999999999",
        "\u{663}",
        "\u{ff13}",
        "\u{b2}",
    ] {
        let create = Request::create().header("Upload-Length", length);
        let response = server.client().send(create).await;
        assert_eq!(response.status, 400, "{length:?}: {response:?}");
        assert_eq!(response.header("Location"), None, "{length:?}");
    }
    assert_no_upload(&server);
}

#[tokio::test]
async fn crea_06_an_upload_of_no_bytes_is_complete_at_once() {
    on_each_storage(async |server, client| {
        let url = client.create(0).await;
        for _ in 0..2 {
            let head = client.head(&url).await.expect(200);
            assert_eq!((head.offset(), head.length()), (Some(0), Some(0)));
            server.assert_stored(&url, b"").await;
            assert_eq!(
                client.patch(&url, 0, b"").await.expect(204).offset(),
                Some(0)
            );
        }
        client.patch(&url, 0, b"x").await.expect(413);
        server.assert_stored(&url, b"").await;
    })
    .await;
}

#[tokio::test]
async fn crea_07_08_metadata_comes_back_byte_for_byte() {
    on_each_storage(async |_server, client| {
        let pairs = [
            "filename d29ybGRfZG9taW5hdGlvbl9wbGFuLnBkZg==".to_owned(),
            "is_confidential".to_owned(),
            "with_blank ".to_owned(),
            "a,b ,c".to_owned(),
            format!("name {}", base64("Ünïcödé 🦀.txt")),
            format!("binary {}", base64([0, 1, 13, 10, 127, 128, 255])),
            format!("z {},y {},x", base64("1"), base64("22")),
            format!("!#$%&'*+-.^_`|~/:;<=>?@[]{{}}() {}", base64("odd")),
            "Key a2V5,key S0VZ".to_owned(),
        ];
        for metadata in pairs {
            let create = Request::create()
                .header("Upload-Length", "4")
                .header("Upload-Metadata", &metadata);
            let url = client.create_with(create).await;
            assert_metadata(client, &url, metadata.trim_end()).await;
            client.patch(&url, 0, b"data").await.expect(204);
            assert_metadata(client, &url, metadata.trim_end()).await;
        }
    })
    .await;
}

#[tokio::test]
async fn crea_22_a_value_that_is_not_utf_8_is_not_garbled() {
    on_each_storage(async |_server, client| {
        let metadata = format!("filename {},other {}", base64([0xff, 0xfe]), base64([0xc3]));
        let create = Request::create()
            .header("Upload-Length", "1")
            .header("Upload-Metadata", &metadata);
        let url = client.create_with(create).await;
        assert_metadata(client, &url, &metadata).await;
    })
    .await;
}

#[tokio::test]
async fn crea_09_metadata_outside_the_grammar_is_400() {
    let server = Server::file();
    for metadata in [
        "name !!!!",
        "name YQ",
        "name YQ=",
        "name Y",
        "name YQ===",
        "name _-8=",
        "a YQ==,,b Yg==",
        ",a YQ==",
        "a YQ==,",
        "a YQ== Yg==",
        "a  YQ==",
        "a YQ==,a Yg==",
        "a,a",
        ",",
        ",,,",
        "\u{e9} YQ==",
        "a \u{e9}",
        "\u{4e2d}\u{6587} YQ==",
    ] {
        let create = Request::create()
            .header("Upload-Length", "4")
            .header("Upload-Metadata", metadata);
        let response = server.client().send(create).await;
        assert_eq!(response.status, 400, "{metadata:?}: {response:?}");
        assert_eq!(response.header("Location"), None, "{metadata:?}");
    }
    assert_no_upload(&server);
}

#[tokio::test]
async fn crea_13_17_without_metadata_none_is_told() {
    on_each_storage(async |_server, client| {
        let plain = Request::create().header("Upload-Length", "4");
        for create in [plain.clone(), plain.header("Upload-Metadata", "")] {
            let url = client.create_with(create).await;
            assert_eq!(
                client
                    .head(&url)
                    .await
                    .expect(200)
                    .header("Upload-Metadata"),
                None
            );
        }
    })
    .await;
}

#[tokio::test]
async fn crea_15_long_metadata_is_kept_whole_or_refused() {
    let server = Server::file();
    let client = server.client();
    for (size, status) in [(3_000, 201), (6_000, 201), (12_000, 201), (40_000, 431)] {
        let metadata = format!("name {}", base64("x".repeat(size)));
        let create = Request::create()
            .header("Upload-Length", "4")
            .header("Upload-Metadata", &metadata);
        let response = client.send(create).await.expect(status);
        match response.header("Location") {
            Some(url) => assert_metadata(client, url, &metadata).await,
            None => assert_eq!(status, 431),
        }
    }
}

#[tokio::test]
async fn crea_10_a_length_above_the_maximum_is_413() {
    on_each_storage_with(
        |tus| tus.max_size(10),
        async |server, client| {
            for length in ["11", "18446744073709551615"] {
                let create = Request::create().header("Upload-Length", length);
                let response = client.send(create).await.expect(413);
                assert_eq!(response.header("Location"), None);
            }
            assert_no_upload(&server);
            let url = client.create(10).await;
            client.patch(&url, 0, b"0123456789").await.expect(204);
            server.assert_stored(&url, b"0123456789").await;
        },
    )
    .await;
}

#[tokio::test]
async fn crea_11_equal_requests_make_distinct_uploads() {
    on_each_storage(async |server, client| {
        let mut urls = Vec::new();
        for round in 0..20 {
            let create = Request::create()
                .header("Upload-Length", "2")
                .header("Upload-Metadata", "filename eA==");
            let url = client.create_with(create).await;
            client
                .patch(&url, 0, format!("{round:02}").as_bytes())
                .await
                .expect(204);
            urls.push(url);
        }
        for (round, url) in urls.iter().enumerate() {
            server
                .assert_stored(url, format!("{round:02}").as_bytes())
                .await;
        }
        urls.sort();
        urls.dedup();
        assert_eq!(urls.len(), 20);
    })
    .await;
}

#[tokio::test]
async fn crea_12_a_body_of_another_type_is_not_stored() {
    on_each_storage(async |_server, client| {
        let create = Request::create().header("Upload-Length", "4").body("data");
        for request in [
            create.clone(),
            create.clone().header("Content-Type", "text/plain"),
            create.header("Content-Type", "application/octet-stream"),
        ] {
            let response = client.send(request).await.expect_any(&[201, 415]);
            assert_eq!(
                response.header("Location").is_some(),
                response.status == 201
            );
            if let Some(url) = response.header("Location") {
                assert_eq!(client.offset(url).await, 0);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn crea_16_the_creation_url_may_end_in_a_slash() {
    let server = Server::file();
    let client = server.client();
    for target in ["/files", "/files/"] {
        let create = Request::new("POST", target).header("Upload-Length", "4");
        let url = client.create_with(create).await;
        assert_eq!(url.matches('/').count(), 2, "{url}");
        assert_eq!(client.offset(&url).await, 0);
    }
}

#[tokio::test]
async fn crea_18_huge_lengths_are_exact_or_refused() {
    on_each_storage(async |_server, client| {
        for length in [
            1 << 31,
            1 << 32,
            (1 << 53) - 1,
            1 << 53,
            (1 << 53) + 1,
            i64::MAX as u64,
            1 << 63,
            u64::MAX,
        ] {
            let create = Request::create().header("Upload-Length", length.to_string());
            let response = client.send(create).await;
            if response.status != 201 {
                response.expect_any(&[400, 413]);
                continue;
            }
            let url = response.header("Location").unwrap();
            assert_eq!(client.head(url).await.expect(200).length(), Some(length));
            client.patch(url, 0, b"data").await.expect(204);
            assert_eq!(client.head(url).await.expect(200).length(), Some(length));
        }
    })
    .await;
}

#[tokio::test]
async fn crea_20_two_different_lengths_are_400() {
    let server = Server::file();
    let create = Request::create()
        .header("Upload-Length", "4")
        .header("Upload-Length", "5");
    let response = server.client().send(create).await.expect(400);
    assert_eq!(response.header("Location"), None);
    assert_no_upload(&server);
}

#[tokio::test]
async fn crea_21_the_connection_stays_usable_after_a_201() {
    let server = Server::file();
    let mut connection = server.client().connect().await;
    let create = Request::create().header("Upload-Length", "4");
    for _ in 0..3 {
        let response = connection.send(&create).await.expect(201);
        let framed = response.header("Content-Length") == Some("0")
            || response.header("Transfer-Encoding") == Some("chunked");
        assert!(framed, "{response:?}");
        assert_ne!(response.header("Connection"), Some("close"));
        assert!(!connection.has_surplus());
    }
}

async fn assert_metadata(client: Client, url: &str, expected: &str) {
    let head = client.head(url).await.expect(200);
    assert_eq!(head.header("Upload-Metadata"), Some(expected));
}

/// No upload was begun; only a server on files can be looked into.
fn assert_no_upload(server: &Server) {
    let files = server.files();
    let begun = |file: &PathBuf| file.extension().is_some_and(|e| e == "info" || e == "data");
    assert!(!files.iter().any(begun), "{files:?}");
}
