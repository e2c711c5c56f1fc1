//! PATCH: bodies of every size, framing and speed arrive bit by bit as they were sent, and an
//! interrupted one leaves what had been received.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::{client::legacy, rt::TokioExecutor};

use crate::support::{
    Client, Connection, Front, OCTETS, Request, Server, content, on_each_storage, wait,
};

#[tokio::test]
async fn patch_14_every_byte_value_is_data() {
    on_each_storage(async |server, client| {
        let data: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
        server
            .assert_stored(&client.upload(&data).await, &data)
            .await;
        let framing = b"0\r\n\r\nPATCH /files HTTP/1.1\r\n\r\n";
        server
            .assert_stored(&client.upload(framing).await, framing)
            .await;
    })
    .await;
}

#[tokio::test]
async fn patch_15_a_file_can_come_in_patches_of_one_byte() {
    on_each_storage(async |server, client| {
        let data = content(200, 15);
        let url = client.create(200).await;
        let mut connection = client.connect().await;
        for (offset, byte) in data.iter().enumerate() {
            let patch = Request::patch(&url, offset as u64).body([*byte]);
            let response = connection.send(&patch).await.expect(204);
            assert_eq!(response.offset(), Some(offset as u64 + 1));
        }
        server.assert_stored(&url, &data).await;
    })
    .await;
}

#[tokio::test]
async fn patch_29_sizes_around_buffers_are_stored_exactly() {
    on_each_storage(async |server, client| {
        for edge in [4 << 10, 64 << 10, 1 << 20] {
            for size in [edge - 1, edge, edge + 1] {
                let data = content(size, size as u64);
                server
                    .assert_stored(&client.upload(&data).await, &data)
                    .await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn patch_16_large_bodies_are_stored_exactly() {
    on_each_storage(async |server, client| {
        let data = content(64 << 20, 16);
        server
            .assert_stored(&client.upload(&data).await, &data)
            .await;

        let url = client.create(data.len() as u64).await;
        let patch = Request::patch(&url, 0).chunked(&data, 100_000);
        let response = client.send(patch).await.expect(204);
        assert_eq!(response.offset(), Some(data.len() as u64));
        server.assert_stored(&url, &data).await;
    })
    .await;
}

#[tokio::test]
async fn patch_16_a_body_over_http_2_is_stored_exactly() {
    on_each_storage(async |server, client| {
        let http2 = legacy::Client::builder(TokioExecutor::new())
            .http2_only(true)
            .build_http::<Full<Bytes>>();
        let data = content(3 << 20, 2);
        let url = client.create(data.len() as u64).await;
        let request = http::Request::patch(client.uri(&url))
            .header("Tus-Resumable", "1.0.0")
            .header("Content-Type", OCTETS)
            .header("Upload-Offset", "0")
            .body(Full::from(data.clone()))
            .unwrap();
        let response = http2.request(request).await.unwrap();
        assert_eq!(response.version(), http::Version::HTTP_2);
        assert_eq!(response.status(), 204);
        assert_eq!(response.headers()["Upload-Offset"], data.len().to_string());
        assert_eq!(response.headers()["Tus-Resumable"], "1.0.0");
        server.assert_stored(&url, &data).await;
    })
    .await;
}

#[tokio::test]
async fn patch_17_a_chunked_body_is_stored_without_its_framing() {
    on_each_storage(async |server, client| {
        let data = content(5000, 17);
        for chunk in [1, 7, 1024, data.len()] {
            let url = client.create(data.len() as u64).await;
            let response = client
                .send(Request::patch(&url, 0).chunked(&data, chunk))
                .await
                .expect(204);
            assert_eq!(response.offset(), Some(5000), "chunks of {chunk}");
            server.assert_stored(&url, &data).await;
        }
    })
    .await;
}

#[tokio::test]
async fn patch_19_head_and_body_may_come_in_pieces() {
    on_each_storage(async |server, client| {
        let url = client.create(30).await;
        let data = content(30, 19);
        let mut connection = client.connect().await;
        for piece in Request::patch(&url, 0).body(&data).to_bytes().chunks(3) {
            connection.write(piece).await;
            // Lets the server take this piece by itself; nothing depends on whether it does.
            tokio::task::yield_now().await;
        }
        connection.response("PATCH").await.expect(204);
        server.assert_stored(&url, &data).await;
    })
    .await;
}

#[tokio::test]
async fn patch_27_a_slow_body_is_accepted_and_holds_up_nobody() {
    on_each_storage(async |server, client| {
        let url = client.create(8).await;
        let patch = Request::patch(&url, 0).body("slowness");
        let mut slow = client.connect().await;
        slow.write(patch.head_bytes()).await;
        // The pauses are what this test is about: nothing races with them.
        tokio::time::sleep(Duration::from_secs(1)).await;
        for byte in patch.body_bytes() {
            slow.write([byte]).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            client.head(&url).await.expect(200);
            client.upload(b"quick").await;
        }
        slow.response("PATCH").await.expect(204);
        server.assert_stored(&url, b"slowness").await;
    })
    .await;
}

#[tokio::test]
async fn patch_10_every_received_byte_survives_a_fin() {
    on_each_storage(async |server, client| {
        for framing in [Framing::Sized, Framing::Chunked] {
            let data = content(1 << 20, 10);
            let sent = 700_001;
            let url = client.create(data.len() as u64).await;
            let mut connection = begin(client, &url, 0, &data, sent, framing).await;
            connection.finish().await;
            let answer = connection.response("PATCH").await.expect(400);
            let offset = answer.offset().unwrap();
            let kept = sent as u64 - Front::current().forgets()..=sent as u64;
            assert!(kept.contains(&offset), "{answer:?}");
            assert_eq!(client.offset(&url).await, offset);
            client
                .patch(&url, offset, &data[offset as usize..])
                .await
                .expect(204);
            server.assert_stored(&url, &data).await;
        }
    })
    .await;
}

#[tokio::test]
async fn patch_10_bytes_that_come_with_the_fin_survive_too() {
    on_each_storage(async |server, client| {
        // The server finds bytes and end at once, with no quiet moment in between to write them.
        for sent in 1..30 {
            let data = content(1000, sent as u64);
            let url = client.create(1000).await;
            let patch = Request::patch(&url, 0).body(&data);
            let mut connection = client.connect().await;
            connection
                .write([patch.head_bytes(), data[..sent].to_vec()].concat())
                .await;
            connection.finish().await;
            let response = connection.response("PATCH").await.expect(400);
            assert_eq!(response.offset(), Some(sent as u64));
            assert_eq!(client.offset(&url).await, sent as u64);
            client
                .patch(&url, sent as u64, &data[sent..])
                .await
                .expect(204);
            server.assert_stored(&url, &data).await;
        }
    })
    .await;
}

#[tokio::test]
async fn patch_10_every_received_byte_survives_a_reset() {
    on_each_storage(async |server, client| {
        for framing in [Framing::Sized, Framing::Chunked] {
            let data = content(1 << 20, 11);
            let sent = 700_001;
            let url = client.create(data.len() as u64).await;
            let connection = begin(client, &url, 0, &data, sent, framing).await;
            // A reset throws away what the server has not read yet: only then is it received.
            offset_becomes(client, &url, sent as u64).await;
            connection.reset();
            // The upload can be continued at once, whether the server has seen the reset or not.
            client
                .patch(&url, sent as u64, &data[sent..])
                .await
                .expect(204);
            server.assert_stored(&url, &data).await;
        }
    })
    .await;
}

#[tokio::test]
async fn patch_21_an_upload_interrupted_again_and_again_is_identical() {
    on_each_storage(async |server, client| {
        let data = content(300_000, 21);
        let defer = Request::deferred();
        for url in [
            client.create(data.len() as u64).await,
            client.create_with(defer).await,
        ] {
            let mut offset = 0;
            for (round, sent) in [1, 70_000, 12_345, 65_536, 99_999].into_iter().enumerate() {
                let framing = [Framing::Chunked, Framing::Sized][round % 2];
                let rest = &data[offset as usize..];
                let connection = begin(client, &url, offset, rest, sent, framing).await;
                offset += sent as u64;
                offset_becomes(client, &url, offset).await;
                if round % 3 == 0 {
                    connection.reset();
                } else {
                    drop(connection);
                }
            }
            let rest = Request::patch(&url, offset)
                .header("Upload-Length", data.len().to_string())
                .body(&data[offset as usize..]);
            client.send(rest).await.expect(204);
            server.assert_stored(&url, &data).await;
        }
    })
    .await;
}

#[tokio::test]
async fn patch_28_offset_length_and_metadata_survive_a_restart() {
    let mut server = Server::file();
    let client = server.client();
    let create = Request::create()
        .header("Upload-Length", "12")
        .header("Upload-Metadata", "name eC50eHQ=,flag,empty ");
    let url = client.create_with(create).await;
    let deferred = client.create_with(Request::deferred()).await;
    let finished = client.upload(b"finished").await;
    let fields = [
        "Upload-Offset",
        "Upload-Length",
        "Upload-Defer-Length",
        "Upload-Metadata",
    ];
    for (round, body) in [b"0123", b"4567", b"89ab"].into_iter().enumerate() {
        let offset = 4 * round as u64;
        client.patch(&url, offset, body).await.expect(204);
        client.patch(&deferred, offset, body).await.expect(204);
        let mut before = Vec::new();
        for target in [&url, &deferred, &finished] {
            let head = client.head(target).await.expect(200);
            before.push(fields.map(|name| head.header(name).map(str::to_owned)));
        }
        if round % 2 == 0 {
            server.crash();
        } else {
            server.restart().await;
        }
        for (target, before) in [&url, &deferred, &finished].into_iter().zip(before) {
            let head = client.head(target).await.expect(200);
            assert_eq!(
                fields.map(|name| head.header(name).map(str::to_owned)),
                before
            );
        }
    }
    let declare = Request::patch(&deferred, 12)
        .header("Upload-Length", "12")
        .body("");
    client.send(declare).await.expect(204);
    server.assert_stored(&url, b"0123456789ab").await;
    server.assert_stored(&deferred, b"0123456789ab").await;
    server.assert_stored(&finished, b"finished").await;
}

#[tokio::test]
async fn patch_30_a_flood_for_a_small_upload_does_no_harm() {
    on_each_storage(async |_server, client| {
        let flood = content(16 << 20, 30);
        let url = client.create(10).await;
        for patch in [
            Request::patch(&url, 0).body(&flood),
            Request::patch(&url, 0).chunked(&flood, 65_536),
        ] {
            // The server may close the connection rather than read on.
            if let Ok(response) = client.try_send(patch).await {
                response.expect(413);
            }
            let head = client.head(&url).await.expect(200);
            assert!(head.offset().unwrap() <= 10, "{head:?}");
            assert_eq!(head.length(), Some(10));
            client.upload(b"alive").await;
        }
    })
    .await;
}

#[derive(Clone, Copy, Debug)]
enum Framing {
    Sized,
    Chunked,
}

/// Starts a PATCH that promises all of `data` and sends only the first `sent` bytes of it.
async fn begin(
    client: Client,
    url: &str,
    offset: u64,
    data: &[u8],
    sent: usize,
    framing: Framing,
) -> Connection {
    let patch = Request::patch(url, offset);
    let mut connection = client.connect().await;
    match framing {
        Framing::Sized => {
            connection.write(patch.body(data).head_bytes()).await;
            connection.write(&data[..sent]).await;
        }
        Framing::Chunked => {
            connection.write(patch.chunked(data, 1).head_bytes()).await;
            // One chunk that promises more than will come.
            connection.write(format!("{:x}\r\n", data.len())).await;
            connection.write(&data[..sent]).await;
        }
    }
    connection
}

async fn offset_becomes(client: Client, url: &str, offset: u64) {
    let what = format!("offset {offset}");
    wait::until_true(&what, async || client.offset(url).await == offset).await;
}
