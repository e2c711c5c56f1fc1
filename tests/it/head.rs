//! HEAD: what is told about an upload.

use crate::support::{OCTETS, Request, Response, Server, on_each_storage};

#[tokio::test]
async fn head_01_02_03_05_offset_and_length_are_told_at_every_stage() {
    on_each_storage(async |_server, client| {
        let url = client.create(10).await;
        for (offset, body) in [(0, &b"01234"[..]), (5, b"56789"), (10, b"")] {
            let response = client.head(&url).await.expect(200);
            assert_eq!(response.offset(), Some(offset));
            assert_eq!(response.length(), Some(10));
            assert_eq!(response.header("Upload-Defer-Length"), None);
            client.patch(&url, offset, body).await.expect(204);
        }
    })
    .await;
}

#[tokio::test]
async fn head_04_an_unknown_upload_is_404_without_an_offset() {
    on_each_storage(async |_server, client| {
        let elsewhere = Server::memory().client().create(4).await;
        for target in [
            &elsewhere,
            "/files/x",
            "/files/x.info",
            "/files/.tus",
            "/files/a/b",
        ] {
            let response = client.head(target).await.expect(404);
            assert_eq!(response.offset(), None, "{target}");
            assert_eq!(response.length(), None, "{target}");
        }
    })
    .await;
}

#[tokio::test]
async fn head_06_no_cache_may_store_the_answer() {
    on_each_storage(async |_server, client| {
        let url = client.create(4).await;
        let fresh = client.head(&url).await.expect(200);
        assert_eq!(fresh.header("Cache-Control"), Some("no-store"));
        client.patch(&url, 0, b"data").await.expect(204);
        let finished = client.head(&url).await.expect(200);
        assert_eq!(finished.header("Cache-Control"), Some("no-store"));
    })
    .await;
}

#[tokio::test]
async fn head_07_no_body_follows_on_a_connection_that_stays_open() {
    let server = Server::file();
    let client = server.client();
    let finished = client.upload(b"data").await;
    let fresh = client.create(4).await;
    let mut connection = client.connect().await;
    for (status, target) in [
        (200, finished.as_str()),
        (200, &fresh),
        (404, "/files/unknown"),
        (200, &finished),
    ] {
        // A body would be taken for the next answer's status line, and fail the test there.
        connection
            .send(&Request::new("HEAD", target))
            .await
            .expect(status);
        assert!(!connection.has_surplus(), "{target}");
    }
    let wrong = Request::new("HEAD", &finished).set("Tus-Resumable", "9.9.9");
    connection.send(&wrong).await.expect(412);
    // Then the server closes, and the head was really the last it had to say.
    let last = Request::new("HEAD", &finished).header("Connection", "close");
    connection.send(&last).await.expect(200);
    assert_eq!(connection.read_to_end().await, b"");
}

#[tokio::test]
async fn head_08_repeating_it_with_stray_fields_changes_nothing() {
    on_each_storage(async |server, client| {
        let create = Request::create()
            .header("Upload-Length", "10")
            .header("Upload-Metadata", "name eA==")
            .header("Content-Type", OCTETS)
            .body("01234");
        let url = client.create_with(create).await;
        let files = server.files();
        let first = fields(&client.head(&url).await.expect(200));
        for _ in 0..3 {
            let stray = Request::new("HEAD", &url)
                .header("Upload-Length", "99")
                .header("Upload-Offset", "7")
                .header("Upload-Defer-Length", "1")
                .header("Upload-Metadata", "name eQ==")
                .header("Upload-Concat", "partial")
                .header("Upload-Checksum", "sha1 x")
                .header("Content-Type", OCTETS);
            let again = client.send(stray).await.expect(200);
            assert_eq!(fields(&again), first);
        }
        assert_eq!(server.files(), files);
    })
    .await;
}

#[tokio::test]
async fn head_09_the_creation_url_is_no_upload() {
    let server = Server::file();
    for target in ["/files", "/files/"] {
        let response = server.client().head(target).await.expect_any(&[404, 405]);
        assert_eq!(response.offset(), None);
        assert_eq!(response.length(), None);
        assert_eq!(response.header("Tus-Resumable"), Some("1.0.0"));
    }
}

/// What is told, in whatever order; `Date` is when.
fn fields(response: &Response) -> Vec<(String, Vec<u8>)> {
    let mut fields = response.headers.clone();
    fields.retain(|(name, _)| !name.eq_ignore_ascii_case("date"));
    fields.sort();
    fields
}
