//! CONC: finals made of finished parts. What is refused is in `concatenation_refused`.

use crate::support::{OCTETS, Request, content, on_each_storage, on_each_storage_with};

#[tokio::test]
async fn conc_01_a_partial_upload_says_so() {
    on_each_storage(async |_server, client| {
        let url = client.create_with(Request::partial(4)).await;
        for (offset, body) in [(0, &b"da"[..]), (2, b"ta"), (4, b"")] {
            let head = client.head(&url).await.expect(200);
            assert_eq!(head.header("Upload-Concat"), Some("partial"));
            assert_eq!((head.offset(), head.length()), (Some(offset), Some(4)));
            client.patch(&url, offset, body).await.expect(204);
        }
    })
    .await;
}

#[tokio::test]
async fn conc_02_03_04_05_a_final_is_its_parts_in_the_order_of_the_list() {
    on_each_storage(async |server, client| {
        let a = client.part(b"first ").await;
        let b = client.part(b"second ").await;
        let c = client.part(b"third").await;
        for (parts, expected) in [
            ([&a, &b, &c], &b"first second third"[..]),
            ([&c, &a, &b], b"thirdfirst second "),
        ] {
            let concat = format!("final;{} {} {}", parts[0], parts[1], parts[2]);
            let created = client
                .send(Request::create().header("Upload-Concat", &concat))
                .await
                .expect(201);
            let url = created.header("Location").unwrap();
            let head = client.head(url).await.expect(200);
            assert_eq!((head.offset(), head.length()), (Some(18), Some(18)));
            assert_eq!(head.header("Upload-Concat"), Some(concat.as_str()));
            assert_eq!(head.header("Upload-Defer-Length"), None);
            server.assert_stored(url, expected).await;
        }
    })
    .await;
}

#[tokio::test]
async fn conc_22_one_part_is_enough() {
    on_each_storage(async |server, client| {
        let only = client.part(b"only").await;
        let url = client.join(&[&only]).await;
        assert_eq!(client.offset(&url).await, 4);
        server.assert_stored(&url, b"only").await;
    })
    .await;
}

#[tokio::test]
async fn conc_23_sixty_parts_are_joined() {
    on_each_storage(async |server, client| {
        let data = content(60 * 1001, 23);
        let mut parts = Vec::new();
        for piece in data.chunks(1001) {
            parts.push(client.part(piece).await);
        }
        let url = client.join(&parts).await;
        assert_eq!(client.offset(&url).await, 60_060);
        server.assert_stored(&url, &data).await;
    })
    .await;
}

#[tokio::test]
async fn conc_21_parts_may_be_empty() {
    on_each_storage(async |server, client| {
        let empty = client.create_with(Request::partial(0)).await;
        let data = client.part(b"data").await;
        let url = client.join(&[&empty, &data, &empty]).await;
        server.assert_stored(&url, b"data").await;

        let url = client.join(&[&empty]).await;
        let head = client.head(&url).await.expect(200);
        assert_eq!((head.offset(), head.length()), (Some(0), Some(0)));
        server.assert_stored(&url, b"").await;
    })
    .await;
}

#[tokio::test]
async fn conc_06_a_part_may_stand_several_times() {
    on_each_storage(async |server, client| {
        let a = client.part(b"ab").await;
        let b = client.part(b"-").await;
        let url = client.join(&[&a, &b, &a, &a]).await;
        assert_eq!(client.offset(&url).await, 7);
        server.assert_stored(&url, b"ab-abab").await;
    })
    .await;
}

#[tokio::test]
async fn conc_07_a_part_may_be_used_again() {
    on_each_storage(async |server, client| {
        let a = client.part(b"aa").await;
        let b = client.part(b"bb").await;
        let first = client.join(&[&a, &b]).await;
        let second = client.join(&[&b, &a]).await;
        server.assert_stored(&first, b"aabb").await;
        server.assert_stored(&second, b"bbaa").await;
        assert_eq!(client.offset(&a).await, 2);
    })
    .await;
}

#[tokio::test]
async fn conc_08_a_patch_to_a_final_is_403_and_modifies_nothing() {
    on_each_storage(async |server, client| {
        let a = client.part(b"data").await;
        let url = client.join(&[&a]).await;
        for (offset, body) in [(4, &b""[..]), (4, b"x"), (0, b"x"), (0, b""), (9, b"x")] {
            client.patch(&url, offset, body).await.expect(403);
        }
        let head = client.head(&url).await.expect(200);
        assert_eq!((head.offset(), head.length()), (Some(4), Some(4)));
        server.assert_stored(&url, b"data").await;
    })
    .await;
}

#[tokio::test]
async fn conc_09_metadata_of_parts_is_not_inherited() {
    on_each_storage(async |_server, client| {
        let a = client
            .create_with(Request::partial(0).header("Upload-Metadata", "filename YQ=="))
            .await;
        let head = client.head(&client.join(&[&a]).await).await.expect(200);
        assert_eq!(head.header("Upload-Metadata"), None);
        assert_eq!(
            client.head(&a).await.header("Upload-Metadata"),
            Some("filename YQ==")
        );
    })
    .await;
}

#[tokio::test]
async fn conc_10_a_final_has_its_own_metadata() {
    on_each_storage(async |_server, client| {
        let a = client
            .create_with(Request::partial(0).header("Upload-Metadata", "filename YQ=="))
            .await;
        let create = Request::create()
            .header("Upload-Concat", format!("final;{a}"))
            .header("Upload-Metadata", "name Yg==,flag");
        let head = client
            .head(&client.create_with(create).await)
            .await
            .expect(200);
        assert_eq!(head.header("Upload-Metadata"), Some("name Yg==,flag"));
    })
    .await;
}

#[tokio::test]
async fn conc_11_parts_may_be_paths_or_absolute_urls() {
    on_each_storage(async |server, client| {
        let a = client.part(b"a").await;
        let b = client.part(b"b").await;
        for concat in [
            format!("final;{a} {b}"),
            format!("final;http://tus.test{a} http://tus.test{b}"),
            format!("final;http://tus.test{a} {b}"),
            format!("final;{a} http://TUS.test{b}"),
            // Some clients put a blank behind the semicolon.
            format!("final; {a} {b}"),
        ] {
            let create = Request::create().header("Upload-Concat", &concat);
            let url = client.create_with(create).await;
            let head = client.head(&url).await.expect(200);
            assert_eq!(head.header("Upload-Concat"), Some(concat.as_str()));
            server.assert_stored(&url, b"ab").await;
        }
    })
    .await;
}

#[tokio::test]
async fn conc_11_parts_may_be_named_as_their_location_was_given() {
    on_each_storage_with(
        |tus| tus.base_url("https://uploads.example".parse().unwrap()),
        async |_server, client| {
            let url = client.create_with(Request::partial(0)).await;
            assert!(url.starts_with("https://uploads.example/"), "{url}");
            let concat = format!("final;{url}");
            let create = Request::create().header("Upload-Concat", concat);
            client.create_with(create).await;
        },
    )
    .await;
}

#[tokio::test]
async fn conc_27_a_parallel_upload_end_to_end() {
    on_each_storage(async |server, client| {
        let data = content(1 << 20, 27);
        let uploads: Vec<_> = data
            .chunks(300_000)
            .map(|piece| {
                let piece = piece.to_vec();
                tokio::spawn(async move {
                    let url = client
                        .create_with(Request::partial(piece.len() as u64))
                        .await;
                    for (index, chunk) in piece.chunks(70_000).enumerate() {
                        client
                            .patch(&url, 70_000 * index as u64, chunk)
                            .await
                            .expect(204);
                    }
                    url
                })
            })
            .collect();
        let mut parts = Vec::new();
        for upload in uploads {
            parts.push(upload.await.unwrap());
        }
        let url = client.join(&parts).await;
        assert_eq!(client.offset(&url).await, 1 << 20);
        server.assert_stored(&url, &data).await;
    })
    .await;
}

#[tokio::test]
async fn conc_28_deleting_the_parts_leaves_the_final() {
    on_each_storage(async |server, client| {
        let a = client.part(b"aa").await;
        let b = client.part(b"bb").await;
        let url = client.join(&[&a, &b]).await;
        for url in [&a, &b] {
            client.delete(url).await.expect(204);
            client.head(url).await.expect_any(&[404, 410]);
        }
        assert_eq!(client.offset(&url).await, 4);
        server.assert_stored(&url, b"aabb").await;
    })
    .await;
}

#[tokio::test]
async fn conc_29_a_final_can_be_deleted() {
    on_each_storage(async |server, client| {
        let a = client.part(b"aa").await;
        let url = client.join(&[&a]).await;
        client.delete(&url).await.expect(204);
        client.head(&url).await.expect_any(&[404, 410]);
        client.get(&url).await.expect_any(&[404, 410]);
        // The part is an upload of its own.
        assert_eq!(client.offset(&a).await, 2);
        server.assert_stored(&client.join(&[&a]).await, b"aa").await;
    })
    .await;
}

#[tokio::test]
async fn conc_34_a_plain_upload_says_nothing_of_concatenation() {
    on_each_storage(async |_server, client| {
        let url = client.create(4).await;
        assert_eq!(
            client.head(&url).await.expect(200).header("Upload-Concat"),
            None
        );
        client.patch(&url, 0, b"data").await.expect(204);
        assert_eq!(
            client.head(&url).await.expect(200).header("Upload-Concat"),
            None
        );
    })
    .await;
}

#[tokio::test]
async fn conc_32_a_part_follows_the_rules_of_every_upload() {
    on_each_storage(async |server, client| {
        let post = Request::partial(10)
            .header("Content-Type", OCTETS)
            .body("01234");
        let created = client.send(post).await.expect(201);
        assert_eq!(created.offset(), Some(5));
        let url = created.header("Location").unwrap();
        assert_eq!(
            client.patch(url, 0, b"x").await.expect(409).offset(),
            Some(5)
        );
        assert_eq!(
            client.patch(url, 6, b"x").await.expect(409).offset(),
            Some(5)
        );
        client.patch(url, 5, b"567890").await.expect(413);
        client.patch(url, 5, b"56789").await.expect(204);
        server
            .assert_stored(&client.join(&[url]).await, b"0123456789")
            .await;
    })
    .await;
}
