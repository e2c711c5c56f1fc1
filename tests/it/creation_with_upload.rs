//! CWU: a POST with the first bytes.

use tower_tus::protocol::{Extension, Extensions};

use crate::support::{Client, OCTETS, Request, Server, content, on_each_storage};

#[tokio::test]
async fn cwu_01_some_bytes_come_with_the_post_and_the_rest_by_patch() {
    on_each_storage(async |server, client| {
        let (url, offset) = create(client, with_length(10).body("01234")).await;
        assert_eq!(offset, Some(5));
        let head = client.head(&url).await.expect(200);
        assert_eq!((head.offset(), head.length()), (Some(5), Some(10)));
        assert_eq!(
            client.patch(&url, 5, b"56789").await.expect(204).offset(),
            Some(10)
        );
        server.assert_stored(&url, b"0123456789").await;
    })
    .await;
}

#[tokio::test]
async fn cwu_02_all_bytes_come_with_the_post() {
    on_each_storage(async |server, client| {
        for size in [1, 4096, 3 << 20] {
            let data = content(size, 2);
            let (url, offset) = create(client, with_length(size).body(&data)).await;
            assert_eq!(offset, Some(size as u64));
            server.assert_stored(&url, &data).await;
        }
    })
    .await;
}

#[tokio::test]
async fn cwu_03_08_no_bytes_are_offset_zero() {
    on_each_storage(async |server, client| {
        let (url, offset) = create(client, with_length(4).body("")).await;
        assert_eq!(offset, Some(0));
        assert_eq!(client.offset(&url).await, 0);
        client.patch(&url, 0, b"data").await.expect(204);
        server.assert_stored(&url, b"data").await;

        let (url, offset) = create(client, with_length(0).body("")).await;
        assert_eq!(offset, Some(0));
        server.assert_stored(&url, b"").await;
    })
    .await;
}

#[tokio::test]
async fn cwu_04_a_body_longer_than_the_upload_is_413() {
    on_each_storage(async |_server, client| {
        for request in [
            with_length(4).body("data and more"),
            with_length(0).body("x"),
            with_length(4).chunked("data and more", 3),
            with_length(4).chunked("data and more", 100),
        ] {
            let response = client.send(request).await.expect(413);
            // A URL is allowed only if it leads to no more than the upload may hold.
            if let Some(url) = response.header("Location") {
                assert!(client.offset(url).await <= 4);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn cwu_05_the_body_may_be_chunked() {
    on_each_storage(async |server, client| {
        let data = content(10_000, 5);
        for chunk in [1, 7, 1024, data.len()] {
            let (url, offset) = create(client, with_length(10_001).chunked(&data, chunk)).await;
            assert_eq!(offset, Some(10_000));
            client.patch(&url, 10_000, b"!").await.expect(204);
            server
                .assert_stored(&url, &[data.as_slice(), b"!"].concat())
                .await;
        }
    })
    .await;
}

#[tokio::test]
async fn cwu_06_expect_continue_is_answered_before_the_body() {
    let server = Server::file();
    let client = server.client();
    let request = with_length(4).header("Expect", "100-continue").body("data");
    let mut connection = client.connect().await;
    connection.write(request.head_bytes()).await;
    assert_eq!(connection.head_of_response().await.status, 100);
    connection.write(request.body_bytes()).await;
    let response = connection.response("POST").await.expect(201);
    assert_eq!(response.offset(), Some(4));
    server
        .assert_stored(response.header("Location").unwrap(), b"data")
        .await;

    let doomed = request.without("Upload-Length");
    let mut connection = client.connect().await;
    connection.write(doomed.head_bytes()).await;
    assert_eq!(connection.head_of_response().await.status, 400);
}

#[tokio::test]
async fn cwu_07_metadata_comes_with_the_bytes() {
    on_each_storage(async |server, client| {
        let request = with_length(4)
            .header("Upload-Metadata", "filename eC50eHQ=,flag")
            .body("data");
        let (url, offset) = create(client, request).await;
        assert_eq!(offset, Some(4));
        let head = client.head(&url).await.expect(200);
        assert_eq!(
            head.header("Upload-Metadata"),
            Some("filename eC50eHQ=,flag")
        );
        server.assert_stored(&url, b"data").await;
    })
    .await;
}

#[tokio::test]
async fn cwu_09_the_length_may_be_deferred() {
    on_each_storage(async |server, client| {
        let deferred = Request::deferred().header("Content-Type", OCTETS);
        for request in [deferred.clone().body("da"), deferred.chunked("da", 1)] {
            let (url, offset) = create(client, request).await;
            assert_eq!(offset, Some(2));
            let head = client.head(&url).await.expect(200);
            assert_eq!((head.offset(), head.length()), (Some(2), None));
            assert_eq!(head.header("Upload-Defer-Length"), Some("1"));
            let rest = Request::patch(&url, 2)
                .header("Upload-Length", "4")
                .body("ta");
            client.send(rest).await.expect(204);
            server.assert_stored(&url, b"data").await;
        }
    })
    .await;
}

#[tokio::test]
async fn cwu_10_a_client_that_dies_during_the_post_does_no_harm() {
    on_each_storage(async |server, client| {
        let data = content(100, 10);
        let post = with_length(100).body(&data);
        for reset in [true, false] {
            let mut connection = client.connect().await;
            connection.write(post.head_bytes()).await;
            connection.write(&data[..10]).await;
            if reset {
                connection.reset();
            }
        }
        // Half-closed, a client can still read: its upload is refused, or told as far as it came.
        let mut connection = client.connect().await;
        connection.write(post.head_bytes()).await;
        connection.write(&data[..10]).await;
        connection.finish().await;
        let response = connection.response("POST").await.expect_any(&[201, 400]);
        if let Some(url) = response.header("Location") {
            assert_eq!(response.offset(), Some(10));
            assert_eq!(client.offset(url).await, 10);
            client.patch(url, 10, &data[10..]).await.expect(204);
            server.assert_stored(url, &data).await;
        }
        let (url, _) = create(client, post).await;
        server.assert_stored(&url, &data).await;
    })
    .await;
}

#[tokio::test]
async fn cwu_01_without_the_extension_the_body_is_not_stored() {
    let server = Server::with(|tus| {
        tus.extensions(Extensions::all().without(Extension::CreationWithUpload))
    });
    let client = server.client();
    let response = client.send(with_length(4).body("data")).await;
    if response.status == 201 {
        assert_eq!(client.offset(response.header("Location").unwrap()).await, 0);
    } else {
        response.expect_any(&[400, 415, 501]);
    }
    // A POST without a body is untouched by that.
    client.create(4).await;
}

/// The head of a creation with upload; the body is still to be said.
fn with_length(length: usize) -> Request {
    Request::create()
        .header("Upload-Length", length.to_string())
        .header("Content-Type", OCTETS)
}

/// The new upload's URL, and the offset that its 201 told.
async fn create(client: Client, request: Request) -> (String, Option<u64>) {
    let response = client.send(request).await.expect(201);
    (
        response.header("Location").unwrap().to_owned(),
        response.offset(),
    )
}
