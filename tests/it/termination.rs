//! TERM: DELETE ends and removes an upload.

use tower_tus::protocol::{Extension, Extensions};

use crate::support::{Client, Request, Server, content, on_each_storage, wait};

#[tokio::test]
async fn term_01_an_upload_can_be_deleted_at_every_stage() {
    on_each_storage(async |_server, client| {
        for url in each_stage(client).await {
            let response = client.delete(&url).await.expect(204);
            assert_eq!(response.header("Tus-Resumable"), Some("1.0.0"));
            assert_eq!(response.header("Content-Length"), None);
            assert_eq!(response.body, b"");
        }
    })
    .await;
}

#[tokio::test]
async fn term_02_03_04_06_afterwards_it_is_gone_for_every_method() {
    on_each_storage(async |_server, client| {
        for url in each_stage(client).await {
            client.delete(&url).await.expect(204);
            for _ in 0..2 {
                let head = client.head(&url).await.expect_any(&[404, 410]);
                assert_eq!((head.offset(), head.length()), (None, None));
                // Not even at the offset where it stood does a PATCH bring it back.
                for offset in [0, 5, 10] {
                    client
                        .patch(&url, offset, b"x")
                        .await
                        .expect_any(&[404, 410]);
                }
                client.get(&url).await.expect_any(&[404, 410]);
                client.delete(&url).await.expect_any(&[404, 410]);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn term_07_an_unknown_upload_is_404() {
    on_each_storage(async |_server, client| {
        let elsewhere = Server::memory().client().create(4).await;
        for target in [
            &elsewhere,
            "/files/x",
            "/files/..",
            "/files/.tus",
            "/files/a.info",
        ] {
            client.delete(target).await.expect(404);
        }
        client.delete("/files").await.expect_any(&[404, 405]);
    })
    .await;
}

#[tokio::test]
async fn term_10_other_uploads_are_untouched() {
    on_each_storage(async |server, client| {
        let finished = client.upload(b"finished").await;
        let half = client.create(10).await;
        client.patch(&half, 0, b"01234").await.expect(204);
        for url in each_stage(client).await {
            client.delete(&url).await.expect(204);
        }
        server.assert_stored(&finished, b"finished").await;
        client.patch(&half, 5, b"56789").await.expect(204);
        server.assert_stored(&half, b"0123456789").await;
    })
    .await;
}

#[tokio::test]
async fn term_15_a_new_upload_of_the_same_content_is_another_one() {
    on_each_storage(async |server, client| {
        let first = client.upload(b"same").await;
        client.delete(&first).await.expect(204);
        let second = client.upload(b"same").await;
        assert_ne!(first, second);
        client.get(&first).await.expect_any(&[404, 410]);
        client.delete(&first).await.expect_any(&[404, 410]);
        server.assert_stored(&second, b"same").await;
    })
    .await;
}

#[tokio::test]
async fn term_14_the_storage_is_freed() {
    let server = Server::file();
    let client = server.client();
    for url in each_stage(client).await {
        client.delete(&url).await.expect(204);
        let id = url.rsplit('/').next().unwrap();
        let mentions = || -> u64 {
            let files = server.files();
            let own = files
                .iter()
                .filter(|file| file.to_string_lossy().contains(id));
            own.map(|file| server.root().join(file).metadata().map_or(0, |m| m.len()))
                .sum()
        };
        // A small tombstone would be allowed; bytes of the upload would not.
        wait::until_true("the bytes to go", async || mentions() < 1000).await;
        assert!(!server.path_of(&url).exists());
    }
}

#[tokio::test]
async fn term_12_a_delete_may_come_with_a_body() {
    on_each_storage(async |_server, client| {
        for delete in [
            Request::new("DELETE", "").body(""),
            Request::new("DELETE", "").body("a body"),
            Request::new("DELETE", "").chunked("a body", 3),
        ] {
            let url = client.create(4).await;
            let other = client.create(4).await;
            let mut connection = client.connect().await;
            connection
                .send(&delete.clone().target(&url))
                .await
                .expect(204);
            client.head(&url).await.expect_any(&[404, 410]);
            // Whatever becomes of the body, it is not taken for the next request.
            if let Ok(response) = connection.try_send(&Request::new("HEAD", &other)).await {
                response.expect(200);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn term_13_concurrent_deletes_have_no_error_of_the_server() {
    on_each_storage(async |_server, client| {
        for url in each_stage(client).await {
            let deletes: Vec<_> = (0..8)
                .map(|_| {
                    let url = url.clone();
                    tokio::spawn(async move { client.delete(&url).await })
                })
                .collect();
            let mut deleted = 0;
            for delete in deletes {
                let response = delete.await.unwrap().expect_any(&[204, 404, 410]);
                deleted += u32::from(response.status == 204);
            }
            assert!(deleted > 0);
            client.head(&url).await.expect_any(&[404, 410]);
        }
    })
    .await;
}

#[tokio::test]
async fn term_16_without_the_extension_the_upload_stays() {
    let server =
        Server::with(|tus| tus.extensions(Extensions::all().without(Extension::Termination)));
    let client = server.client();
    let options = client.options("/files").await.expect(204);
    assert!(!options.list("Tus-Extension").contains(&"termination"));
    let url = client.upload(b"data").await;
    client.delete(&url).await.expect_any(&[400, 405, 501]);
    server.assert_stored(&url, b"data").await;
}

/// A fresh, a half, a finished, an empty, an open and a partial upload.
async fn each_stage(client: Client) -> Vec<String> {
    let half = client.create(200_000).await;
    client
        .patch(&half, 0, &content(100_000, 1))
        .await
        .expect(204);
    vec![
        client.create(4).await,
        half,
        client.upload(&content(100_000, 2)).await,
        client.create(0).await,
        client.create_with(Request::deferred()).await,
        client.create_with(Request::partial(4)).await,
    ]
}
