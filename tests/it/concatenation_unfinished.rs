//! UNF: finals made before their parts are done.

use crate::support::{
    Client, Request, Response, Server, on_each_storage, on_each_storage_with, wait,
};

#[tokio::test]
async fn unf_01_02_04_09_a_final_completes_when_its_last_part_does() {
    on_each_storage(async |server, client| {
        let options = client.options("/files").await.expect(204);
        assert!(
            options
                .list("Tus-Extension")
                .contains(&"concatenation-unfinished")
        );
        let parts = [
            client.create_with(Request::partial(4)).await,
            client.create_with(Request::partial(4)).await,
            client.create_with(Request::partial(4)).await,
        ];
        client.patch(&parts[2], 0, b"ccCC").await.expect(204);
        let concat = format!("final;{} {} {}", parts[0], parts[1], parts[2]);
        let created = client
            .send(Request::create().header("Upload-Concat", concat))
            .await;
        let created = created.expect(201);
        assert_eq!(created.offset(), None);
        let whole = created.header("Location").unwrap();
        // The second part is done before the first; the list decides about the order.
        for (part, offset, body) in [(1, 0, b"bb"), (0, 0, b"aa"), (1, 2, b"BB"), (0, 2, b"AA")] {
            let head = client.head(whole).await.expect(200);
            assert_eq!(head.offset(), None);
            assert_eq!(head.length(), Some(12));
            client.get(whole).await.expect(404);
            client.patch(&parts[part], offset, body).await.expect(204);
        }
        completes(client, whole, 12).await;
        server.assert_stored(whole, b"aaAAbbBBccCC").await;
    })
    .await;
}

#[tokio::test]
async fn unf_04_a_final_of_parts_that_are_done_is_complete() {
    on_each_storage(async |server, client| {
        let part = client.create_with(Request::partial(4)).await;
        let empty = client.create_with(Request::partial(0)).await;
        client.patch(&part, 0, b"data").await.expect(204);
        let whole = client.join(&[&part, &empty, &part]).await;
        completes(client, &whole, 8).await;
        server.assert_stored(&whole, b"datadata").await;
    })
    .await;
}

#[tokio::test]
async fn unf_04_several_finals_may_wait_for_the_same_part() {
    on_each_storage(async |server, client| {
        let part = client.create_with(Request::partial(2)).await;
        let first = client.join(&[&part]).await;
        let second = client.join(&[&part, &part]).await;
        client.patch(&part, 0, b"ab").await.expect(204);
        completes(client, &first, 2).await;
        completes(client, &second, 4).await;
        server.assert_stored(&first, b"ab").await;
        server.assert_stored(&second, b"abab").await;
    })
    .await;
}

#[tokio::test]
async fn unf_03_08_the_length_is_told_when_it_is_known_and_never_invented() {
    on_each_storage(async |server, client| {
        let known = client.create_with(Request::partial(4)).await;
        let open = Request::deferred().header("Upload-Concat", "partial");
        let open = client.create_with(open).await;
        let whole = client.join(&[&known, &open]).await;
        for body in [b"ab", b"cd"] {
            let head = client.head(&whole).await.expect(200);
            assert_eq!((head.offset(), head.length()), (None, None));
            let offset = client.offset(&open).await;
            client.patch(&open, offset, body).await.expect(204);
        }
        client.patch(&known, 0, b"1234").await.expect(204);
        let head = client.head(&whole).await.expect(200);
        assert_eq!((head.offset(), head.length()), (None, None));

        let declare = Request::patch(&open, 4)
            .header("Upload-Length", "6")
            .body("");
        client.send(declare).await.expect(204);
        wait::until_true("the length to be told", async || {
            let head = client.head(&whole).await.expect(200);
            assert_eq!(head.offset(), None);
            head.length() == Some(10)
        })
        .await;
        client.patch(&open, 4, b"ef").await.expect(204);
        completes(client, &whole, 10).await;
        server.assert_stored(&whole, b"1234abcdef").await;
    })
    .await;
}

#[tokio::test]
async fn unf_05_a_patch_to_a_waiting_final_is_403() {
    on_each_storage(async |server, client| {
        let part = client.create_with(Request::partial(4)).await;
        client.patch(&part, 0, b"da").await.expect(204);
        let whole = client.join(&[&part]).await;
        for (offset, body) in [(0, &b"x"[..]), (0, b""), (2, b"ta"), (4, b"")] {
            let response = client.patch(&whole, offset, body).await.expect(403);
            assert_eq!(response.offset(), None);
        }
        client.patch(&part, 2, b"ta").await.expect(204);
        completes(client, &whole, 4).await;
        client.patch(&whole, 4, b"").await.expect(403);
        server.assert_stored(&whole, b"data").await;
    })
    .await;
}

#[tokio::test]
async fn unf_06_the_list_comes_back_as_received() {
    on_each_storage(async |_server, client| {
        let a = client.create_with(Request::partial(2)).await;
        let b = client.create_with(Request::partial(2)).await;
        let concat = format!("final;http://tus.test{a} {b}");
        let create = Request::create()
            .header("Upload-Concat", &concat)
            .header("Upload-Metadata", "filename eA==,flag");
        let whole = client.create_with(create).await;
        for (part, body) in [(&b, b"bb"), (&a, b"aa")] {
            assert_told(&client.head(&whole).await.expect(200), &concat);
            client.patch(part, 0, body).await.expect(204);
        }
        completes(client, &whole, 4).await;
        assert_told(&client.head(&whole).await.expect(200), &concat);
    })
    .await;
}

#[tokio::test]
async fn unf_07_a_final_whose_part_is_deleted_never_completes() {
    on_each_storage(async |_server, client| {
        let a = client.create_with(Request::partial(2)).await;
        let b = client.create_with(Request::partial(2)).await;
        client.patch(&a, 0, b"aa").await.expect(204);
        let whole = client.join(&[&a, &b]).await;
        // The deletion may be refused as long as the part is needed.
        let deleted = client
            .delete(&a)
            .await
            .expect_any(&[204, 400, 403, 409, 423])
            .status
            == 204;
        client.patch(&b, 0, b"bb").await.expect(204);
        if deleted {
            let head = client.head(&whole).await.expect_any(&[200, 404, 410]);
            assert_eq!(head.offset(), None);
            client.get(&whole).await.expect_any(&[404, 410]);
            client.delete(&whole).await.expect_any(&[204, 404, 410]);
        } else {
            completes(client, &whole, 4).await;
        }
    })
    .await;
}

#[tokio::test]
async fn unf_04_a_final_waits_over_a_restart() {
    let mut server = Server::file();
    let client = server.client();
    let a = client.create_with(Request::partial(4)).await;
    let b = client.create_with(Request::partial(2)).await;
    let whole = client.join(&[&a, &b]).await;
    client.patch(&a, 0, b"aa").await.expect(204);
    server.restart().await;
    client.patch(&b, 0, b"bb").await.expect(204);
    server.crash();
    let head = client.head(&whole).await.expect(200);
    assert_eq!((head.offset(), head.length()), (None, Some(6)));
    client.patch(&a, 2, b"aa").await.expect(204);
    completes(client, &whole, 6).await;
    server.assert_stored(&whole, b"aaaabb").await;
}

#[tokio::test]
async fn unf_03_a_waiting_final_above_the_maximum_never_completes() {
    on_each_storage_with(
        |tus| tus.max_size(10),
        async |_server, client| {
            let open = Request::deferred().header("Upload-Concat", "partial");
            let open = client.create_with(open).await;
            let known = client.create_with(Request::partial(6)).await;
            let whole = client.join(&[&open, &known]).await;
            client.patch(&known, 0, b"012345").await.expect(204);
            let declare = Request::patch(&open, 0)
                .header("Upload-Length", "5")
                .body("01234");
            client.send(declare).await.expect(204);
            let head = client.head(&whole).await;
            assert!(head.status < 500, "{head:?}");
            assert_eq!(head.offset(), None);
            client.get(&whole).await.expect_refused();
        },
    )
    .await;
}

/// Waits until the final is put together; until then it tells no offset.
async fn completes(client: Client, url: &str, length: u64) {
    wait::until_true("the final to be put together", async || {
        let head = client.head(url).await.expect(200);
        assert!(
            head.offset().is_none_or(|offset| offset == length),
            "{head:?}"
        );
        head.offset() == Some(length) && head.length() == Some(length)
    })
    .await;
}

#[track_caller]
fn assert_told(head: &Response, concat: &str) {
    assert_eq!(head.header("Upload-Concat"), Some(concat));
    assert_eq!(head.header("Upload-Metadata"), Some("filename eA==,flag"));
}
