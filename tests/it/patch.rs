//! PATCH: the rules by which one is taken or refused. What bodies do is in `patch_body`.

use crate::support::{Request, Response, Server, on_each_storage};

#[tokio::test]
async fn patch_01_22_23_a_patch_at_the_offset_is_204_with_the_new_offset() {
    on_each_storage(async |server, client| {
        let url = client.create(10).await;
        let first = client.patch(&url, 0, b"01234").await.expect(204);
        assert_eq!(first.header("Upload-Offset"), Some("5"));
        assert_unframed(&first);
        let last = client.patch(&url, 5, b"56789").await.expect(204);
        assert_eq!(last.header("Upload-Offset"), Some("10"));
        assert_unframed(&last);
        server.assert_stored(&url, b"0123456789").await;
    })
    .await;
}

#[tokio::test]
async fn patch_02_each_patch_adds_its_bytes() {
    on_each_storage(async |server, client| {
        let url = client.create(15).await;
        let mut offset = 0;
        for body in [&b"a"[..], b"bcde", b"", b"fghijklm", b"no"] {
            let response = client.patch(&url, offset, body).await.expect(204);
            offset += body.len() as u64;
            assert_eq!(response.offset(), Some(offset));
            assert_eq!(client.offset(&url).await, offset);
        }
        server.assert_stored(&url, b"abcdefghijklmno").await;
    })
    .await;
}

#[tokio::test]
async fn patch_03_04_another_content_type_is_415_and_nothing_is_stored() {
    let server = Server::file();
    let client = server.client();
    let url = client.create(4).await;
    let patch = Request::patch(&url, 0).body("data");
    client
        .send(patch.clone().without("Content-Type"))
        .await
        .expect(415);
    for content_type in [
        "",
        "text/plain",
        "application/octet-stream",
        "application/offset+octet-streams",
        "application/offset",
        "offset+octet-stream",
        "text/plain, application/offset+octet-stream",
    ] {
        client
            .send(patch.clone().set("Content-Type", content_type))
            .await
            .expect(415);
    }
    assert_eq!(client.offset(&url).await, 0);
    client.send(patch).await.expect(204);
    server.assert_stored(&url, b"data").await;
}

#[tokio::test]
async fn patch_24_the_content_type_is_a_media_type() {
    let server = Server::file();
    let client = server.client();
    let url = client.create(6).await;
    for (offset, content_type) in [
        (0, "Application/Offset+Octet-Stream"),
        (2, "application/offset+octet-stream; charset=utf-8"),
        (4, "application/offset+octet-stream;x=\"y\""),
    ] {
        let request = Request::patch(&url, offset)
            .set("Content-Type", content_type)
            .body(b"ab");
        client.send(request).await.expect(204);
    }
    server.assert_stored(&url, b"ababab").await;
}

#[tokio::test]
async fn patch_05_06_at_another_offset_it_is_409_with_the_current_one() {
    on_each_storage(async |server, client| {
        let url = client.create(10).await;
        client.patch(&url, 0, b"01234").await.expect(204);
        for offset in [0, 4, 6, 10, 11, 1 << 40, u64::MAX] {
            for body in [&b"xy"[..], b""] {
                let response = client.patch(&url, offset, body).await.expect(409);
                assert_eq!(response.offset(), Some(5), "at {offset}");
            }
        }
        assert_eq!(client.offset(&url).await, 5);
        client.patch(&url, 5, b"56789").await.expect(204);
        let response = client.patch(&url, 5, b"xxxxx").await.expect(409);
        assert_eq!(response.offset(), Some(10));
        server.assert_stored(&url, b"0123456789").await;
    })
    .await;
}

#[tokio::test]
async fn patch_07_an_unknown_upload_is_404() {
    on_each_storage(async |server, client| {
        let elsewhere = Server::memory().client().create(4).await;
        let files = server.files();
        for target in [&elsewhere, "/files/x", "/files/..", "/files/a.info"] {
            let response = client.patch(target, 0, b"data").await.expect(404);
            assert_eq!(response.offset(), None, "{target}");
        }
        assert_eq!(server.files(), files);
    })
    .await;
}

#[tokio::test]
async fn patch_08_a_malformed_offset_is_400_and_nothing_is_stored() {
    let server = Server::file();
    let client = server.client();
    let url = client.create(4).await;
    let patch = Request::patch(&url, 0).body("data");
    for offset in [
        "",
        "-1",
        "-0",
        "+0",
        "abc",
        "1.0",
        "0.0",
        "1e3",
        "0x0",
        "0,0",
        "0, 4",
        "0 0",
        "NaN",
        "1_0",
        "18446744073709551616",
        "99999999999999999999999999",
        "\u{660}",
        "\u{ff10}",
    ] {
        let response = client
            .send(patch.clone().set("Upload-Offset", offset))
            .await;
        assert_eq!(response.status, 400, "{offset:?}: {response:?}");
    }
    assert_eq!(client.offset(&url).await, 0);
    client.send(patch).await.expect(204);
    server.assert_stored(&url, b"data").await;
}

#[tokio::test]
async fn patch_09_a_missing_offset_is_400_and_nothing_is_stored() {
    on_each_storage(async |_server, client| {
        let url = client.create(4).await;
        let patch = Request::patch(&url, 0)
            .without("Upload-Offset")
            .body("data");
        client.send(patch).await.expect(400);
        assert_eq!(client.offset(&url).await, 0);
    })
    .await;
}

#[tokio::test]
async fn patch_11_a_body_longer_than_the_upload_is_413_and_nothing_is_stored() {
    on_each_storage(async |server, client| {
        let url = client.create(10).await;
        client.patch(&url, 0, b"01234567890").await.expect(413);
        assert_eq!(client.offset(&url).await, 0);
        client.patch(&url, 0, b"01234").await.expect(204);
        client.patch(&url, 5, b"567890").await.expect(413);
        assert_eq!(client.offset(&url).await, 5);
        client.patch(&url, 5, b"56789").await.expect(204);
        client.patch(&url, 10, b"x").await.expect(413);
        server.assert_stored(&url, b"0123456789").await;
    })
    .await;
}

#[tokio::test]
async fn patch_18_a_chunked_body_never_goes_beyond_the_length() {
    on_each_storage(async |server, client| {
        for chunk in [1, 4, 10, 11, 100] {
            let url = client.create(10).await;
            let body = b"0123456789and more";
            let response = client
                .send(Request::patch(&url, 0).chunked(body, chunk))
                .await;
            let response = response.expect(413);
            assert!(
                response.offset().is_none_or(|offset| offset <= 10),
                "{response:?}"
            );
            let offset = client.offset(&url).await;
            assert!(offset <= 10, "{offset}");
            // What was kept is the beginning of what was sent.
            client
                .patch(&url, offset, &body[offset as usize..10])
                .await
                .expect(204);
            server.assert_stored(&url, &body[..10]).await;
        }
    })
    .await;
}

#[tokio::test]
async fn patch_12_an_empty_body_changes_nothing() {
    on_each_storage(async |server, client| {
        let url = client.create(4).await;
        for (offset, body) in [(0, &b"da"[..]), (2, b"ta")] {
            for empty in [
                Request::patch(&url, offset).body(""),
                Request::patch(&url, offset).chunked("", 1),
                Request::patch(&url, offset),
            ] {
                let response = client.send(empty).await.expect(204);
                assert_eq!(response.offset(), Some(offset));
                assert_eq!(client.offset(&url).await, offset);
            }
            client.patch(&url, offset, body).await.expect(204);
        }
        server.assert_stored(&url, b"data").await;
    })
    .await;
}

#[tokio::test]
async fn patch_13_an_empty_patch_at_the_end_of_a_finished_upload_is_204() {
    on_each_storage(async |server, client| {
        let url = client.upload(b"data").await;
        for _ in 0..2 {
            let response = client.patch(&url, 4, b"").await.expect(204);
            assert_eq!(response.offset(), Some(4));
        }
        server.assert_stored(&url, b"data").await;
    })
    .await;
}

#[tokio::test]
async fn patch_25_the_length_of_an_upload_does_not_change() {
    on_each_storage(async |server, client| {
        let url = client.create(4).await;
        for length in ["3", "5", "0", "x", ""] {
            let patch = Request::patch(&url, 0)
                .header("Upload-Length", length)
                .body("da");
            client.send(patch).await.expect(400);
            let head = client.head(&url).await;
            assert_eq!(
                (head.offset(), head.length()),
                (Some(0), Some(4)),
                "{length:?}"
            );
        }
        let equal = Request::patch(&url, 0)
            .header("Upload-Length", "4")
            .body("data");
        client.send(equal).await.expect(204);
        assert_eq!(client.head(&url).await.length(), Some(4));
        server.assert_stored(&url, b"data").await;
    })
    .await;
}

#[tokio::test]
async fn patch_26_interleaved_uploads_do_not_mix() {
    on_each_storage(async |server, client| {
        let a = client.create(6).await;
        let b = client.create(6).await;
        let mut to_a = client.connect().await;
        let mut to_b = client.connect().await;
        to_a.write(
            Request::patch(&a, 0)
                .header("Content-Length", "6")
                .head_bytes(),
        )
        .await;
        to_b.write(
            Request::patch(&b, 0)
                .header("Content-Length", "6")
                .head_bytes(),
        )
        .await;
        for (one, other) in [("a", "B"), ("bc", "CD"), ("def", "EFG")] {
            to_a.write(one).await;
            to_b.write(other).await;
        }
        assert_eq!(to_a.response("PATCH").await.expect(204).offset(), Some(6));
        assert_eq!(to_b.response("PATCH").await.expect(204).offset(), Some(6));
        server.assert_stored(&a, b"abcdef").await;
        server.assert_stored(&b, b"BCDEFG").await;
    })
    .await;
}

#[tokio::test]
async fn patch_20_expect_continue_is_answered_before_the_body() {
    on_each_storage(async |server, client| {
        let url = client.create(4).await;
        let patch = Request::patch(&url, 0)
            .header("Expect", "100-continue")
            .body("data");
        let mut connection = client.connect().await;
        connection.write(patch.head_bytes()).await;
        assert_eq!(connection.head_of_response().await.status, 100);
        connection.write(patch.body_bytes()).await;
        let response = connection.response("PATCH").await.expect(204);
        assert_eq!(response.offset(), Some(4));
        server.assert_stored(&url, b"data").await;
    })
    .await;
}

#[tokio::test]
async fn patch_20_a_doomed_patch_is_refused_without_100() {
    let server = Server::file();
    let client = server.client();
    let url = client.create(4).await;
    let patch = Request::patch(&url, 0)
        .header("Expect", "100-continue")
        .body("data");
    for (status, doomed) in [
        (409, patch.clone().set("Upload-Offset", "1")),
        (400, patch.clone().set("Upload-Offset", "x")),
        (412, patch.clone().without("Tus-Resumable")),
        (415, patch.clone().without("Content-Type")),
        (413, patch.clone().body("data and more")),
        (400, patch.header("Upload-Checksum", "none x")),
    ] {
        let mut connection = client.connect().await;
        connection.write(doomed.head_bytes()).await;
        assert_eq!(
            connection.head_of_response().await.status,
            status,
            "{doomed:?}"
        );
    }
    assert_eq!(client.offset(&url).await, 0);
}

/// RFC 9110 section 8.6: a 204 has no Content-Length; RFC 9112 section 6.1: no Transfer-Encoding.
fn assert_unframed(response: &Response) {
    assert_eq!(response.header("Content-Length"), None);
    assert_eq!(response.header("Transfer-Encoding"), None);
    assert_eq!(response.body, b"");
}
