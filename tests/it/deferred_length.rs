//! DEF: uploads whose length follows later.

use tower_tus::protocol::{Extension, Extensions};

use crate::support::{
    Client, Request, Response, Server, content, on_each_storage, on_each_storage_with, sha1,
};

#[tokio::test]
async fn def_01_02_05_an_open_length_is_told_as_long_as_it_is_unknown() {
    on_each_storage(async |server, client| {
        let url = open(client).await;
        assert_open(client, &url, 0).await;
        assert_eq!(
            client.patch(&url, 0, b"da").await.expect(204).offset(),
            Some(2)
        );
        assert_open(client, &url, 2).await;
        client
            .send(Request::patch(&url, 2).chunked("ta", 1))
            .await
            .expect(204);
        assert_open(client, &url, 4).await;
        client.get(&url).await.expect(404);
        declare(client, &url, 4, "4", b"").await.expect(204);
        assert_known(client, &url, 4, 4).await;
        server.assert_stored(&url, b"data").await;
    })
    .await;
}

#[tokio::test]
async fn def_03_any_other_value_is_400() {
    let server = Server::file();
    for value in ["0", "2", "", "true", "01", "1, 1", "11", "-1", "1.0"] {
        let create = Request::create().header("Upload-Defer-Length", value);
        let response = server.client().send(create).await;
        assert_eq!(response.status, 400, "{value:?}: {response:?}");
        assert_eq!(response.header("Location"), None);
    }
}

#[tokio::test]
async fn def_04_both_lengths_are_400() {
    let server = Server::file();
    let create = Request::deferred().header("Upload-Length", "4");
    let response = server.client().send(create).await.expect(400);
    assert_eq!(response.header("Location"), None);
}

#[tokio::test]
async fn def_06_the_length_comes_with_data() {
    on_each_storage(async |server, client| {
        let url = open(client).await;
        declare(client, &url, 0, "4", b"da").await.expect(204);
        assert_known(client, &url, 2, 4).await;
        client.patch(&url, 2, b"ta").await.expect(204);
        assert_known(client, &url, 4, 4).await;
        server.assert_stored(&url, b"data").await;

        // All at once, the body as long as the length it declares.
        let url = open(client).await;
        declare(client, &url, 0, "4", b"data").await.expect(204);
        server.assert_stored(&url, b"data").await;
    })
    .await;
}

#[tokio::test]
async fn def_08_the_length_comes_with_an_empty_body() {
    on_each_storage(async |server, client| {
        let url = open(client).await;
        declare(client, &url, 0, "4", b"").await.expect(204);
        assert_known(client, &url, 0, 4).await;
        client.patch(&url, 0, b"data").await.expect(204);
        server.assert_stored(&url, b"data").await;
    })
    .await;
}

#[tokio::test]
async fn def_12_a_length_of_zero_completes_an_empty_upload() {
    on_each_storage(async |server, client| {
        let url = open(client).await;
        declare(client, &url, 0, "0", b"").await.expect(204);
        assert_known(client, &url, 0, 0).await;
        server.assert_stored(&url, b"").await;
    })
    .await;
}

#[tokio::test]
async fn def_16_the_length_comes_after_a_chunked_stream() {
    on_each_storage(async |server, client| {
        let data = content(100_000, 16);
        let url = open(client).await;
        client
            .send(Request::patch(&url, 0).chunked(&data, 999))
            .await
            .expect(204);
        assert_open(client, &url, 100_000).await;
        declare(client, &url, 100_000, "100000", b"")
            .await
            .expect(204);
        assert_known(client, &url, 100_000, 100_000).await;
        server.assert_stored(&url, &data).await;
    })
    .await;
}

#[tokio::test]
async fn def_07_a_declared_length_stays() {
    on_each_storage(async |server, client| {
        let url = open(client).await;
        declare(client, &url, 0, "4", b"da").await.expect(204);
        for other in ["3", "5", "2", "0", "x"] {
            declare(client, &url, 2, other, b"").await.expect(400);
            assert_known(client, &url, 2, 4).await;
        }
        // A client that repeats itself is fine.
        declare(client, &url, 2, "4", b"ta").await.expect(204);
        server.assert_stored(&url, b"data").await;
    })
    .await;
}

#[tokio::test]
async fn def_09_a_length_that_cannot_be_declares_nothing() {
    on_each_storage(async |server, client| {
        let url = open(client).await;
        client.patch(&url, 0, b"data").await.expect(204);
        for length in ["3", "0", "-4", "4.0", "abc", "", "18446744073709551616"] {
            declare(client, &url, 4, length, b"").await.expect(400);
            assert_open(client, &url, 4).await;
        }
        declare(client, &url, 4, "4", b"").await.expect(204);
        server.assert_stored(&url, b"data").await;
    })
    .await;
}

#[tokio::test]
async fn def_10_a_length_above_the_maximum_declares_nothing() {
    on_each_storage_with(
        |tus| tus.max_size(10),
        async |server, client| {
            let url = open(client).await;
            declare(client, &url, 0, "11", b"data").await.expect(413);
            assert_open(client, &url, 0).await;
            declare(client, &url, 0, "10", b"0123456789")
                .await
                .expect(204);
            server.assert_stored(&url, b"0123456789").await;
        },
    )
    .await;
}

#[tokio::test]
async fn def_13_a_body_beyond_the_length_it_declares_is_413() {
    on_each_storage(async |server, client| {
        let url = open(client).await;
        declare(client, &url, 0, "3", b"data").await.expect(413);
        assert_open(client, &url, 0).await;
        declare(client, &url, 0, "4", b"data").await.expect(204);
        server.assert_stored(&url, b"data").await;
    })
    .await;
}

#[tokio::test]
async fn def_13_a_chunked_body_never_goes_beyond_the_length_it_declares() {
    on_each_storage(async |server, client| {
        for chunk in [1, 3, 100] {
            let url = open(client).await;
            let patch = Request::patch(&url, 0).header("Upload-Length", "3");
            client.send(patch.chunked("data", chunk)).await.expect(413);
            let head = client.head(&url).await.expect(200);
            let offset = head.offset().unwrap();
            assert!(offset <= 3, "{head:?}");
            assert!(head.length().is_none_or(|length| length == 3), "{head:?}");
            declare(client, &url, offset, "3", &b"dat"[offset as usize..])
                .await
                .expect(204);
            server.assert_stored(&url, b"dat").await;
        }
    })
    .await;
}

#[tokio::test]
async fn def_17_a_refused_patch_declares_nothing() {
    on_each_storage(async |_server, client| {
        let url = open(client).await;
        client.patch(&url, 0, b"da").await.expect(204);
        let patch = Request::patch(&url, 2)
            .header("Upload-Length", "4")
            .body("ta");
        for (status, refused) in [
            (409, patch.clone().set("Upload-Offset", "1")),
            (415, patch.clone().set("Content-Type", "text/plain")),
            (412, patch.clone().without("Tus-Resumable")),
            (400, patch.header("Upload-Checksum", "sha1 x")),
        ] {
            client.send(refused).await.expect(status);
            assert_open(client, &url, 2).await;
        }
    })
    .await;
}

#[tokio::test]
async fn def_17_a_patch_whose_checksum_does_not_hold_declares_nothing() {
    on_each_storage(async |server, client| {
        let url = open(client).await;
        let patch = Request::patch(&url, 0).header("Upload-Checksum", sha1(b"data"));
        let wrong = patch.clone().header("Upload-Length", "5").body("other");
        client.send(wrong).await.expect(460);
        assert_open(client, &url, 0).await;
        client
            .send(patch.header("Upload-Length", "4").body("data"))
            .await
            .expect(204);
        server.assert_stored(&url, b"data").await;
    })
    .await;
}

#[tokio::test]
async fn def_19_a_stream_beyond_the_maximum_is_413() {
    on_each_storage_with(
        |tus| tus.max_size(10),
        async |_server, client| {
            let url = open(client).await;
            client.patch(&url, 0, b"0123456789x").await.expect(413);
            assert_open(client, &url, 0).await;

            client
                .send(Request::patch(&url, 0).chunked("0123456789x", 4))
                .await
                .expect(413);
            let offset = client.offset(&url).await;
            assert!(offset <= 10, "{offset}");
            assert_open(client, &url, offset).await;
        },
    )
    .await;
}

#[tokio::test]
async fn def_14_a_partial_upload_may_defer_its_length() {
    on_each_storage(async |server, client| {
        let create = Request::deferred().header("Upload-Concat", "partial");
        let part = client.create_with(create).await;
        assert_open(client, &part, 0).await;
        declare(client, &part, 0, "4", b"data").await.expect(204);
        let concat = format!("final;{part}");
        let whole = client
            .create_with(Request::create().header("Upload-Concat", concat))
            .await;
        server.assert_stored(&whole, b"data").await;
    })
    .await;
}

#[tokio::test]
async fn def_15_nothing_is_deferred_where_the_length_is_known() {
    on_each_storage(async |_server, client| {
        let url = client.create(4).await;
        assert_known(client, &url, 0, 4).await;
        client.patch(&url, 0, b"data").await.expect(204);
        assert_known(client, &url, 4, 4).await;
    })
    .await;
}

#[tokio::test]
async fn def_18_without_the_extension_no_length_is_deferred() {
    let server = Server::with(|tus| {
        tus.extensions(Extensions::all().without(Extension::CreationDeferLength))
    });
    let client = server.client();
    let create = Request::deferred();
    let response = client.send(create).await.expect_any(&[400, 501]);
    assert_eq!(response.header("Location"), None);
    let options = client.options("/files").await;
    assert!(
        !options
            .list("Tus-Extension")
            .contains(&"creation-defer-length")
    );
}

async fn open(client: Client) -> String {
    client.create_with(Request::deferred()).await
}

/// A PATCH that says the length.
async fn declare(client: Client, url: &str, offset: u64, length: &str, body: &[u8]) -> Response {
    client
        .send(
            Request::patch(url, offset)
                .header("Upload-Length", length)
                .body(body),
        )
        .await
}

async fn assert_open(client: Client, url: &str, offset: u64) {
    let head = client.head(url).await.expect(200);
    assert_eq!((head.offset(), head.length()), (Some(offset), None));
    assert_eq!(head.header("Upload-Defer-Length"), Some("1"));
}

async fn assert_known(client: Client, url: &str, offset: u64, length: u64) {
    let head = client.head(url).await.expect(200);
    assert_eq!((head.offset(), head.length()), (Some(offset), Some(length)));
    assert_eq!(head.header("Upload-Defer-Length"), None);
}
