//! CHK-T: the checksum follows the body.

use tower_tus::protocol::{Extension, Extensions};

use crate::support::{OCTETS, Request, Server, content, on_each_storage, sha1};

const SHA1: &str = "sha1 98O8HYCOBHMq32eZZczDTKeuNEE=";

#[tokio::test]
async fn chk_t01_a_match_is_204() {
    on_each_storage(async |server, client| {
        for checksum in [SHA1, "md5 JfnnlDI7RTiF9RgfG2JNCw==", "crc32c 4waSgw=="] {
            for chunk in [1, 4, 9] {
                let url = client.create(9).await;
                let patch = announced(&url, 0).chunked("123456789", chunk);
                let response = client
                    .send(patch.trailer("Upload-Checksum", checksum))
                    .await;
                assert_eq!(response.expect(204).offset(), Some(9));
                server.assert_stored(&url, b"123456789").await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn chk_t02_a_mismatch_is_460_and_discards_the_chunk() {
    on_each_storage(async |server, client| {
        let url = client.create(14).await;
        client.patch(&url, 0, b"first").await.expect(204);
        let wrong = announced(&url, 5)
            .chunked("123456780", 4)
            .trailer("Upload-Checksum", SHA1);
        client.send(wrong).await.expect(460);
        assert_eq!(client.offset(&url).await, 5);
        client.get(&url).await.expect(404);
        let right = announced(&url, 5)
            .chunked("123456789", 4)
            .trailer("Upload-Checksum", SHA1);
        client.send(right).await.expect(204);
        server.assert_stored(&url, b"first123456789").await;
    })
    .await;
}

#[tokio::test]
async fn chk_t03_t04_an_unusable_trailer_is_400_and_discards_the_chunk() {
    on_each_storage(async |server, client| {
        let url = client.create(9).await;
        for checksum in [
            "crc64 AAAAAAAAAAA=",
            "none AAAA",
            "",
            "sha1",
            "sha1 ",
            "sha1 !!!!",
            "sha1 98O8HYCOBHMq32eZZczDTKeuNEE= x",
            "sha1 JfnnlDI7RTiF9RgfG2JNCw==",
        ] {
            let patch = announced(&url, 0).chunked("123456789", 9);
            let response = client
                .send(patch.trailer("Upload-Checksum", checksum))
                .await;
            assert_eq!(response.status, 400, "{checksum:?}: {response:?}");
            assert_eq!(client.offset(&url).await, 0, "{checksum:?}");
        }
        client.patch(&url, 0, b"123456789").await.expect(204);
        server.assert_stored(&url, b"123456789").await;
    })
    .await;
}

#[tokio::test]
async fn chk_t07_3_mib_are_taken_whole_or_not_at_all() {
    on_each_storage(async |server, client| {
        let data = content(3 << 20, 7);
        let url = client.create(data.len() as u64).await;
        let patch = announced(&url, 0).chunked(&data, 60_000);
        let wrong = patch.clone().trailer("Upload-Checksum", sha1(&data[1..]));
        client.send(wrong).await.expect(460);
        assert_eq!(client.offset(&url).await, 0);
        client
            .send(patch.trailer("Upload-Checksum", sha1(&data)))
            .await
            .expect(204);
        server.assert_stored(&url, &data).await;
    })
    .await;
}

#[tokio::test]
async fn chk_t06_names_of_trailers_have_no_case() {
    on_each_storage(async |server, client| {
        for (announcement, name) in [
            ("upload-checksum", "UPLOAD-CHECKSUM"),
            ("UPLOAD-CHECKSUM", "upload-checksum"),
            ("X-Other, upload-Checksum", "uPLOAD-cHECKSUM"),
        ] {
            let url = client.create(9).await;
            let patch = Request::patch(&url, 0).header("Trailer", announcement);
            let wrong = patch.clone().chunked("123456780", 9).trailer(name, SHA1);
            client.send(wrong).await.expect(460);
            assert_eq!(client.offset(&url).await, 0);
            client
                .send(patch.chunked("123456789", 9).trailer(name, SHA1))
                .await
                .expect(204);
            server.assert_stored(&url, b"123456789").await;
        }
    })
    .await;
}

#[tokio::test]
async fn chk_t05_an_announced_trailer_that_is_missing_is_400() {
    on_each_storage(async |_server, client| {
        let url = client.create(9).await;
        for patch in [
            announced(&url, 0).chunked("123456789", 4),
            announced(&url, 0)
                .chunked("123456789", 4)
                .trailer("X-Other", SHA1),
            announced(&url, 0).body("123456789"),
        ] {
            client.send(patch).await.expect(400);
            assert_eq!(client.offset(&url).await, 0);
        }
    })
    .await;
}

#[tokio::test]
async fn chk_t08_a_trailer_that_was_not_announced_is_never_acknowledged_unverified() {
    on_each_storage(async |server, client| {
        let url = client.create(9).await;
        let wrong = Request::patch(&url, 0)
            .chunked("12345678", 4)
            .trailer("Upload-Checksum", SHA1);
        let response = client.send(wrong).await.expect_any(&[400, 460]);
        let offset = client.offset(&url).await;
        assert_eq!(response.offset().unwrap_or(offset), offset);
        if response.status == 460 {
            assert_eq!(offset, 0);
        }
        client
            .patch(&url, offset, &b"123456789"[offset as usize..])
            .await
            .expect(204);
        server.assert_stored(&url, b"123456789").await;
    })
    .await;
}

#[tokio::test]
async fn chk_t01_t02_the_body_of_a_post_is_verified() {
    on_each_storage(async |server, client| {
        let post = Request::create()
            .header("Upload-Length", "9")
            .header("Content-Type", OCTETS)
            .header("Trailer", "Upload-Checksum");
        let right = post
            .clone()
            .chunked("123456789", 4)
            .trailer("Upload-Checksum", SHA1);
        server
            .assert_stored(&client.create_with(right).await, b"123456789")
            .await;

        let files = server.files();
        let wrong = post
            .chunked("123456780", 4)
            .trailer("Upload-Checksum", SHA1);
        assert_eq!(
            client.send(wrong).await.expect(460).header("Location"),
            None
        );
        assert_eq!(server.files(), files);
    })
    .await;
}

#[tokio::test]
async fn chk_t05_without_the_extension_no_trailer_is_taken_for_verified() {
    let server =
        Server::with(|tus| tus.extensions(Extensions::all().without(Extension::ChecksumTrailer)));
    let client = server.client();
    let options = client.options("/files").await.expect(204);
    assert!(!options.list("Tus-Extension").contains(&"checksum-trailer"));
    let url = client.create(9).await;
    let wrong = announced(&url, 0)
        .chunked("123456780", 4)
        .trailer("Upload-Checksum", SHA1);
    client.send(wrong).await.expect_any(&[400, 460, 501]);
    assert_eq!(client.offset(&url).await, 0);
}

/// A PATCH that announces its checksum; the body is still to be said.
fn announced(url: &str, offset: u64) -> Request {
    Request::patch(url, offset).header("Trailer", "Upload-Checksum")
}
