//! CHK: a body with a checksum is taken whole or not at all.

use tower_tus::protocol::{Algorithm, Extension, Extensions};

use crate::support::{
    Client, OCTETS, Request, Response, Server, base64, content, on_each_storage, sha1, wait,
};

/// Digests of `123456789`, made with Python's hashlib; the crc32c is the check value of RFC 3720.
const DIGESTS: [&str; 5] = [
    "sha1 98O8HYCOBHMq32eZZczDTKeuNEE=",
    "sha256 FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=",
    "sha512 2eZ2LdHI6vbWGzxhkvxAjU1tXxF20MKRabwk5xw/J0rSf81YEbMT1oH35V7ALXPUmclUVba1u1A6z1dPuo/+hQ==",
    "md5 JfnnlDI7RTiF9RgfG2JNCw==",
    "crc32c 4waSgw==",
];

#[tokio::test]
async fn chk_01_02_the_algorithms_are_announced() {
    let server = Server::file();
    let options = server.client().options("/files").await.expect(204);
    let mut names = options.list("Tus-Checksum-Algorithm");
    names.sort_unstable();
    assert_eq!(names, ["crc32c", "md5", "sha1", "sha256", "sha512"]);
    assert!(options.list("Tus-Extension").contains(&"checksum"));

    let server = Server::with(|tus| tus.checksums([Algorithm::Sha1]));
    let client = server.client();
    let options = client.options("/files").await.expect(204);
    assert_eq!(options.header("Tus-Checksum-Algorithm"), Some("sha1"));
    let url = client.create(9).await;
    patch(client, &url, 0, DIGESTS[3], b"123456789")
        .await
        .expect(400);
    patch(client, &url, 0, DIGESTS[0], b"123456789")
        .await
        .expect(204);

    let server = Server::with(|tus| tus.extensions(Extensions::all().without(Extension::Checksum)));
    let client = server.client();
    let options = client.options("/files").await.expect(204);
    assert_eq!(options.header("Tus-Checksum-Algorithm"), None);
    // A sum that nobody verifies must not be acknowledged as if somebody had.
    let url = client.create(9).await;
    patch(client, &url, 0, DIGESTS[0], b"123456780")
        .await
        .expect_any(&[400, 501]);
    assert_eq!(client.offset(&url).await, 0);
}

#[tokio::test]
async fn chk_03_a_match_is_204() {
    on_each_storage(async |server, client| {
        for digest in DIGESTS {
            let url = client.create(9).await;
            let response = patch(client, &url, 0, digest, b"123456789")
                .await
                .expect(204);
            assert_eq!(response.offset(), Some(9), "{digest}");
            server.assert_stored(&url, b"123456789").await;
        }
    })
    .await;
}

#[tokio::test]
async fn chk_04_05_a_mismatch_is_460_and_discards_the_chunk() {
    on_each_storage(async |server, client| {
        for digest in DIGESTS {
            let url = client.create(20).await;
            client.patch(&url, 0, b"first").await.expect(204);
            let response = patch(client, &url, 5, digest, b"123456780")
                .await
                .expect(460);
            assert!(
                response.offset().is_none_or(|offset| offset == 5),
                "{response:?}"
            );
            assert_eq!(client.offset(&url).await, 5, "{digest}");
            patch(client, &url, 5, digest, b"123456789")
                .await
                .expect(204);
            client.patch(&url, 14, b"second").await.expect(204);
            server.assert_stored(&url, b"first123456789second").await;
        }
    })
    .await;
}

#[tokio::test]
async fn chk_06_an_unsupported_algorithm_is_400() {
    on_each_storage(async |server, client| {
        let url = client.create(9).await;
        for checksum in [
            "crc64 AAAAAAAAAAA=",
            "sha3 AAAA",
            "none AAAA",
            "sha-1 98O8HYCOBHMq32eZ",
        ] {
            patch(client, &url, 0, checksum, b"123456789")
                .await
                .expect(400);
            assert_eq!(client.offset(&url).await, 0, "{checksum}");
        }
        client.patch(&url, 0, b"123456789").await.expect(204);
        server.assert_stored(&url, b"123456789").await;
    })
    .await;
}

#[tokio::test]
async fn chk_07_08_a_malformed_checksum_is_400_and_discards_the_chunk() {
    let server = Server::file();
    let client = server.client();
    let url = client.create(9).await;
    for checksum in [
        "",
        "sha1",
        "sha1 ",
        "98O8HYCOBHMq32eZZczDTKeuNEE=",
        "sha1 !!!!",
        "sha1 98O8HYCOBHMq32eZZczDTKeuNEE",
        "sha1 f7c3bc1d808e04732adf679965ccc34ca7ae3441",
        "sha1 JfnnlDI7RTiF9RgfG2JNCw==",
        "crc32c AADjBpKD",
        "sha1 98O8HYCOBHMq32eZZczDTKeuNEE= trailing",
        "sha1 98O8HYCOBHMq32eZZczDTKeuNEE=,md5 JfnnlDI7RTiF9RgfG2JNCw==",
        "sha1=98O8HYCOBHMq32eZZczDTKeuNEE=",
        "sha1:98O8HYCOBHMq32eZZczDTKeuNEE=",
        "sha1  98O8HYCOBHMq32eZZczDTKeuNEE=",
        "sha1 98O8HYCOBHMq32eZZczDTKeuNE\u{e9}=",
    ] {
        let response = patch(client, &url, 0, checksum, b"123456789").await;
        assert_eq!(response.status, 400, "{checksum:?}: {response:?}");
        assert_eq!(client.offset(&url).await, 0, "{checksum:?}");
    }
    // A NUL is refused by the HTTP server already.
    patch(
        client,
        &url,
        0,
        "sha1 98O8HYCOBHMq32eZZczDTKeuNEE=\0",
        b"123456789",
    )
    .await
    .expect_refused();
    let twice = Request::patch(&url, 0)
        .header("Upload-Checksum", DIGESTS[0])
        .header("Upload-Checksum", DIGESTS[3])
        .body("123456789");
    client.send(twice).await.expect(400);
    assert_eq!(client.offset(&url).await, 0);
    patch(client, &url, 0, DIGESTS[0], b"123456789")
        .await
        .expect(204);
    server.assert_stored(&url, b"123456789").await;
}

#[tokio::test]
async fn chk_16_the_body_of_a_post_is_verified() {
    on_each_storage(async |server, client| {
        let post = Request::create()
            .header("Upload-Length", "9")
            .header("Content-Type", OCTETS)
            .header("Upload-Checksum", DIGESTS[0]);
        let url = client.create_with(post.clone().body("123456789")).await;
        server.assert_stored(&url, b"123456789").await;

        let files = server.files();
        let response = client
            .send(post.clone().body("123456780"))
            .await
            .expect(460);
        assert_eq!(response.header("Location"), None);
        let malformed = post.set("Upload-Checksum", "sha1 x").body("123456789");
        let response = client.send(malformed).await.expect(400);
        assert_eq!(response.header("Location"), None);
        assert_eq!(server.files(), files);
    })
    .await;
}

#[tokio::test]
async fn chk_14_an_interrupted_patch_with_a_checksum_stores_nothing() {
    on_each_storage(async |server, client| {
        let data = content(300_000, 14);
        let url = client.create(300_000).await;
        client.patch(&url, 0, &data[..1000]).await.expect(204);
        let request = Request::patch(&url, 1000)
            .header("Upload-Checksum", sha1(&data[1000..]))
            .body(&data[1000..]);
        for round in 0..3 {
            let mut connection = client.connect().await;
            connection.write(request.head_bytes()).await;
            connection.write(&data[1000..200_000]).await;
            assert_eq!(
                client.offset(&url).await,
                1000,
                "bytes that are not verified count"
            );
            match round {
                0 => connection.reset(),
                1 => drop(connection),
                _ => {
                    connection.finish().await;
                    // 400 as a rule; 409 if the server got to an earlier round's request only now.
                    if let Ok(response) = connection.try_response("PATCH").await {
                        assert_eq!(response.expect_refused().offset().unwrap_or(1000), 1000);
                    }
                }
            }
            assert_eq!(client.offset(&url).await, 1000);
        }
        assert_eq!(
            client.send(request).await.expect(204).offset(),
            Some(300_000)
        );
        server.assert_stored(&url, &data).await;
    })
    .await;
}

#[tokio::test]
async fn chk_09_an_empty_chunk_has_a_checksum_too() {
    on_each_storage(async |_server, client| {
        let url = client.create(9).await;
        let empty = "sha1 2jmj7l5rSw0yVb/vlWAYkK/YBwk=";
        assert_eq!(
            patch(client, &url, 0, empty, b"")
                .await
                .expect(204)
                .offset(),
            Some(0)
        );
        patch(client, &url, 0, DIGESTS[0], b"").await.expect(460);
        assert_eq!(client.offset(&url).await, 0);
    })
    .await;
}

#[tokio::test]
async fn chk_12_each_chunk_has_its_own_checksum() {
    on_each_storage(async |server, client| {
        let data = content(30_000, 12);
        let url = client.create(30_000).await;
        for (index, chunk) in data.chunks(10_000).enumerate() {
            let offset = 10_000 * index as u64;
            patch(client, &url, offset, &sha1(&data), chunk)
                .await
                .expect(460);
            let response = patch(client, &url, offset, &sha1(chunk), chunk)
                .await
                .expect(204);
            assert_eq!(response.offset(), Some(offset + 10_000));
        }
        server.assert_stored(&url, &data).await;
    })
    .await;
}

#[tokio::test]
async fn chk_13_a_mismatch_in_the_last_chunk_does_not_complete_the_upload() {
    on_each_storage(async |server, client| {
        let url = client.create(9).await;
        client.patch(&url, 0, b"1234").await.expect(204);
        let response = patch(client, &url, 4, &sha1(b"56789"), b"56780")
            .await
            .expect(460);
        assert!(
            response.offset().is_none_or(|offset| offset == 4),
            "{response:?}"
        );
        assert_eq!(client.offset(&url).await, 4);
        client.get(&url).await.expect(404);
        patch(client, &url, 4, &sha1(b"56789"), b"56789")
            .await
            .expect(204);
        server.assert_stored(&url, b"123456789").await;
    })
    .await;
}

#[tokio::test]
async fn chk_15_a_chunk_of_8_mib_is_rolled_back_whole() {
    on_each_storage(async |server, client| {
        let data = content(8 << 20, 15);
        let url = client.create(data.len() as u64 + 4).await;
        client.patch(&url, 0, b"head").await.expect(204);
        let mut wrong = data.clone();
        *wrong.last_mut().unwrap() ^= 1;
        patch(client, &url, 4, &sha1(&data), &wrong)
            .await
            .expect(460);
        assert_eq!(client.offset(&url).await, 4);
        patch(client, &url, 4, &sha1(&data), &data)
            .await
            .expect(204);
        server
            .assert_stored(&url, &[b"head".as_slice(), &data].concat())
            .await;
    })
    .await;
}

#[tokio::test]
async fn chk_17_a_chunked_body_is_verified_too() {
    on_each_storage(async |server, client| {
        for chunk in [1, 4, 9] {
            let url = client.create(9).await;
            let patch = Request::patch(&url, 0).header("Upload-Checksum", DIGESTS[0]);
            client
                .send(patch.clone().chunked("123456780", chunk))
                .await
                .expect(460);
            assert_eq!(client.offset(&url).await, 0);
            // Too many bytes are refused before they are compared with anything.
            client
                .send(patch.clone().chunked("1234567890", chunk))
                .await
                .expect(413);
            assert_eq!(client.offset(&url).await, 0);
            client
                .send(patch.chunked("123456789", chunk))
                .await
                .expect(204);
            server.assert_stored(&url, b"123456789").await;
        }
    })
    .await;
}

#[tokio::test]
async fn chk_18_at_another_offset_it_is_409_whatever_the_checksum() {
    on_each_storage(async |_server, client| {
        let url = client.create(18).await;
        patch(client, &url, 0, DIGESTS[0], b"123456789")
            .await
            .expect(204);
        for checksum in [DIGESTS[0], &sha1(b"other")] {
            let response = patch(client, &url, 0, checksum, b"123456789")
                .await
                .expect(409);
            assert_eq!(response.offset(), Some(9));
            patch(client, &url, 10, checksum, b"123456789")
                .await
                .expect(409);
        }
        assert_eq!(client.offset(&url).await, 9);
    })
    .await;
}

#[tokio::test]
async fn chk_05_a_mismatch_leaves_nothing_on_disk() {
    let server = Server::file();
    let client = server.client();
    let url = client.create(9).await;
    let on_disk = || -> u64 {
        let files = server.files();
        files
            .iter()
            .map(|file| server.root().join(file).metadata().map_or(0, |m| m.len()))
            .sum()
    };
    let before = on_disk();
    let wrong = format!("md5 {}", base64([0; 16]));
    let mut longer = Request::create().header("Upload-Length", "1000000");
    longer = longer
        .header("Content-Type", OCTETS)
        .header("Upload-Checksum", &wrong);
    client
        .send(longer.body(content(1_000_000, 5)))
        .await
        .expect(460);
    patch(client, &url, 0, &wrong, b"123456789")
        .await
        .expect(460);
    // A fence in an info file may stay; the bytes may not.
    wait::until_true("the bytes to go", async || on_disk() < before + 1000).await;
    assert_eq!(client.offset(&url).await, 0);
}

async fn patch(client: Client, url: &str, offset: u64, checksum: &str, body: &[u8]) -> Response {
    let request = Request::patch(url, offset)
        .header("Upload-Checksum", checksum)
        .body(body);
    client.send(request).await
}
