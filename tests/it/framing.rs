//! HTTP/1.1 itself: what stands on a connection is read as its RFCs say, and no byte of one request
//! becomes another one, or counts although its body was not whole (ROB).
//!
//! Much of this is hyper's doing; it is held here because an upload server stands and falls by it.

use futures::future::join_all;

use crate::support::{Client, Connection, OCTETS, Request, content, on_each_storage, wait};

#[tokio::test]
async fn rob_06_two_different_content_lengths_are_400() {
    on_each_storage(async |_, client| {
        let url = client.create(10).await;
        for lengths in [["5", "6"], ["6", "5"], ["5", "x"]] {
            let patch = lengths
                .iter()
                .fold(Request::patch(&url, 0), |patch, length| {
                    patch.header("Content-Length", length)
                });
            let mut connection = client.connect().await;
            connection.write(patch.to_bytes()).await;
            connection.write(b"123456").await;
            connection.response("PATCH").await.expect(400);
            assert_eq!(client.offset(&url).await, 0);
        }
    })
    .await;
}

#[tokio::test]
async fn rob_13_content_length_with_chunked_is_refused_or_the_last_request() {
    on_each_storage(async |_, client| {
        let url = client.create(100).await;
        for length in ["3", "15", "1000"] {
            let start = client.offset(&url).await;
            let patch = Request::patch(&url, start)
                .header("Content-Length", length)
                .chunked(b"12345", 5);
            let smuggled = Request::new("DELETE", &url);
            let mut connection = client.connect().await;
            connection
                .write([patch.to_bytes(), smuggled.to_bytes()].concat())
                .await;
            let answer = connection.response("PATCH").await;
            if answer.status == 204 {
                // Chunked counts, and the connection is not used any more.
                assert_eq!(answer.offset(), Some(start + 5));
            } else {
                answer.expect(400);
            }
            connection.read_to_end().await;
            client.head(&url).await.expect(200);
        }
    })
    .await;
}

#[tokio::test]
async fn rob_13_unknown_codings_are_refused() {
    on_each_storage(async |_, client| {
        let url = client.create(100).await;
        for coding in [
            "gzip",
            "chunked, gzip",
            "identity",
            "xchunked",
            "chunked;q=1",
        ] {
            let patch = Request::patch(&url, 0).header("Transfer-Encoding", coding);
            let mut connection = client.connect().await;
            connection.write(patch.to_bytes()).await;
            connection.write(b"5\r\n12345\r\n0\r\n\r\n").await;
            connection.response("PATCH").await.expect_any(&[400, 501]);
            assert_eq!(client.offset(&url).await, 0, "{coding}");
        }
    })
    .await;
}

#[tokio::test]
async fn rob_08_the_body_of_a_refused_patch_is_never_a_request() {
    on_each_storage(async |_, client| {
        let url = client.create(100).await;
        let smuggled = Request::new("DELETE", &url).to_bytes();
        let bodies = |patch: Request| [patch.clone().body(&smuggled), patch.chunked(&smuggled, 20)];
        let refused = [
            Request::patch(&url, 50),
            Request::patch("/files/unknown", 0),
            Request::patch(&url, 0).set("Content-Type", "text/plain"),
            Request::patch(&url, 0).without("Tus-Resumable"),
            Request::patch(&url, 0).without("Upload-Offset"),
            Request::new("FOO", &url),
            Request::new("POST", "/files"),
        ];
        for patch in refused.into_iter().flat_map(bodies) {
            let mut connection = client.connect().await;
            connection.write(patch.to_bytes()).await;
            connection.response(patch.method()).await.expect_refused();
            // Either the connection goes on behind the body, or it is closed.
            if connection
                .try_write(Request::new("HEAD", &url).to_bytes())
                .await
                .is_ok()
                && let Ok(answer) = connection.try_response("HEAD").await
            {
                assert_eq!(answer.expect(200).offset(), Some(0));
            }
            assert_eq!(client.offset(&url).await, 0);
        }
    })
    .await;
}

#[tokio::test]
async fn rob_08_early_refusals_reach_clients_that_send_on() {
    on_each_storage(async |_, client| {
        let url = client.create(10).await;
        let block = vec![b'x'; 64 << 10];
        for size in [1 << 20, 100 << 20] {
            for _ in 0..10 {
                let patch = Request::patch(&url, 5).header("Content-Length", size.to_string());
                let mut connection = client.connect().await;
                connection.write(patch.head_bytes()).await;
                wait::until_true("the answer", async || connection.has_surplus()).await;
                // Most clients write everything before they read anything.
                for _ in 0..size / block.len() {
                    let written = connection.try_write(&block).await;
                    // Up to a bound even those are served that give up when they cannot.
                    assert!(written.is_ok() || size > 1 << 20, "{written:?}");
                    if written.is_err() {
                        break;
                    }
                }
                let answer = connection.response("PATCH").await.expect(409);
                assert_eq!(answer.offset(), Some(0), "{size} bytes");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn rob_09_pipelined_requests_are_answered_in_order() {
    on_each_storage(async |server, client| {
        let url = client.create(15).await;
        let requests = [
            Request::patch(&url, 0).body(b"01234"),
            Request::new("HEAD", &url),
            Request::patch(&url, 5).chunked(b"56789", 2),
            Request::patch(&url, 3).body(b"wrong"),
            Request::patch(&url, 10).body(b"abcde"),
            Request::new("GET", &url),
        ];
        let bytes: Vec<_> = requests.iter().flat_map(Request::to_bytes).collect();
        let mut connection = client.connect().await;
        connection.write(bytes).await;
        let mut answers = Vec::new();
        for request in &requests {
            answers.push(connection.response(request.method()).await);
        }
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [204, 200, 204, 409, 204, 200]);
        let offsets: Vec<_> = answers.iter().map(|answer| answer.offset()).collect();
        assert_eq!(offsets[..5], [5, 5, 10, 10, 15].map(Some));
        assert_eq!(answers[5].body, b"0123456789abcde");
        assert!(!connection.has_surplus());
        server.assert_stored(&url, b"0123456789abcde").await;
    })
    .await;
}

#[tokio::test]
async fn rob_10_one_connection_serves_a_whole_upload() {
    on_each_storage(async |_, client| {
        let mut connection = client.connect().await;
        let create = Request::create().header("Upload-Length", "10");
        let created = connection.send(&create).await.expect(201);
        let url = created.header("Location").unwrap();
        for (offset, half) in [(0, b"01234"), (5, b"56789")] {
            connection
                .send(&Request::new("OPTIONS", "/files"))
                .await
                .expect(204);
            let patch = Request::patch(url, offset).body(half);
            connection.send(&patch).await.expect(204);
            let head = connection.send(&Request::new("HEAD", url)).await;
            assert_eq!(head.expect(200).offset(), Some(offset + 5));
        }
        let get = connection.send(&Request::new("GET", url)).await;
        assert_eq!(get.expect(200).body, b"0123456789");
        let delete = connection.send(&Request::new("DELETE", url)).await;
        delete.expect(204);
        assert!(!connection.has_surplus());
    })
    .await;
}

#[tokio::test]
async fn rob_14_http_1_0_is_served() {
    on_each_storage(async |server, client| {
        let create = Request::create()
            .version("HTTP/1.0")
            .header("Upload-Length", "5");
        let url = client.create_with(create).await;
        let patch = Request::patch(&url, 0).version("HTTP/1.0").body(b"12345");
        let mut connection = client.connect().await;
        let answer = connection.send(&patch).await.expect(204);
        assert_eq!(answer.offset(), Some(5));
        assert_eq!(
            connection.read_to_end().await,
            b"",
            "it is closed behind it"
        );
        let get = Request::new("GET", &url).version("HTTP/1.0");
        assert_eq!(client.send(get).await.expect(200).body, b"12345");
        server.assert_stored(&url, b"12345").await;
    })
    .await;
}

#[tokio::test]
async fn rob_15_the_absolute_form_names_the_same_upload() {
    on_each_storage(async |server, client| {
        let create = Request::create()
            .target("http://tus.test/files")
            .header("Upload-Length", "5");
        let url = client.create_with(create).await;
        let absolute = format!("http://tus.test{url}");
        assert_eq!(client.offset(&absolute).await, 0);
        client.patch(&absolute, 0, b"12345").await.expect(204);
        server.assert_stored(&url, b"12345").await;
    })
    .await;
}

#[tokio::test]
async fn rob_19_names_of_fields_are_read_in_any_case() {
    on_each_storage(async |server, client| {
        for change in [str::to_ascii_lowercase, str::to_ascii_uppercase] {
            let field = |name: &str, value: &str| format!("{}: {value}\r\n", change(name));
            let create = [
                "POST /files HTTP/1.1\r\n".to_owned(),
                field("Host", "tus.test"),
                field("Tus-Resumable", "1.0.0"),
                field("Upload-Length", "5"),
                "\r\n".to_owned(),
            ];
            let mut connection = client.connect().await;
            connection.write(create.concat()).await;
            let created = connection.response("POST").await.expect(201);
            let url = created.header("Location").unwrap();
            let patch = [
                format!("PATCH {url} HTTP/1.1\r\n"),
                field("Host", "tus.test"),
                field("Tus-Resumable", "1.0.0"),
                field("Upload-Offset", "0"),
                field("Content-Type", OCTETS),
                field("Content-Length", "5"),
                "\r\n12345".to_owned(),
            ];
            connection.write(patch.concat()).await;
            connection.response("PATCH").await.expect(204);
            server.assert_stored(url, b"12345").await;
        }
    })
    .await;
}

#[tokio::test]
async fn rob_20_white_space_around_values_is_none_of_them() {
    on_each_storage(async |server, client| {
        let create = Request::create().header("Upload-Length", " \t 5\t ");
        let url = client.create_with(create).await;
        let patch = Request::patch(&url, 0)
            .set("Upload-Offset", "   0 \t")
            .set("Tus-Resumable", "\t1.0.0 ")
            .set("Content-Type", format!("  {OCTETS}  "))
            .body(b"12345");
        client.send(patch).await.expect(204);
        server.assert_stored(&url, b"12345").await;
    })
    .await;
}

#[tokio::test]
async fn rob_21_extensions_of_chunks_are_not_data() {
    on_each_storage(async |server, client| {
        let url = client.create(10).await;
        let body =
            b"5;name=value\r\n01234\r\n5;a;b=\"c\"\r\n56789\r\n0;last\r\nX-Trailer: y\r\n\r\n";
        let mut connection = begin(client, &url).await;
        connection.write(body).await;
        let answer = connection.response("PATCH").await.expect(204);
        assert_eq!(answer.offset(), Some(10));
        server.assert_stored(&url, b"0123456789").await;
    })
    .await;
}

#[tokio::test]
async fn rob_22_a_malformed_chunked_body_is_never_acknowledged() {
    on_each_storage(async |_, client| {
        for rest in [
            &b"zz\r\n56789\r\n0\r\n\r\n"[..],
            b"-5\r\n56789\r\n0\r\n\r\n",
            b"0x5\r\n56789\r\n0\r\n\r\n",
            b"5\r\n56789xx0\r\n\r\n",
            b"ffffffffffffffffff\r\n56789",
            b"\r\n56789\r\n0\r\n\r\n",
            b"5 5\r\n56789\r\n0\r\n\r\n",
        ] {
            let url = client.create(15).await;
            let mut connection = begin(client, &url).await;
            connection.write(b"5\r\n01234\r\n").await;
            connection.write(rest).await;
            connection.finish().await;
            if let Ok(answer) = connection.try_response("PATCH").await {
                answer.expect_refused();
            }
            // What came before it was good, and the upload goes on there.
            let offset = client.offset(&url).await;
            assert!(offset <= 10, "{}", rest.escape_ascii());
            let data = &b"0123456789abcde"[offset as usize..];
            client.patch(&url, offset, data).await.expect(204);
            assert_eq!(client.get(&url).await.body, b"0123456789abcde");
        }
    })
    .await;
}

#[tokio::test]
async fn rob_22_a_chunked_body_without_its_end_is_never_acknowledged() {
    on_each_storage(async |_, client| {
        // All bytes of the upload are there; what is missing is that the body says so.
        for end in [&b""[..], b"\r\n", b"\r\n0", b"\r\n0\r\n"] {
            let url = client.create(10).await;
            let mut connection = begin(client, &url).await;
            connection.write(b"a\r\n0123456789").await;
            connection.write(end).await;
            connection.finish().await;
            if let Ok(answer) = connection.try_response("PATCH").await {
                answer.expect(400);
            }
            // They are kept all the same, and the client learns it by HEAD.
            wait::until_true("the bytes", async || client.offset(&url).await == 10).await;
            client.patch(&url, 10, b"").await.expect(204);
        }
    })
    .await;
}

#[tokio::test]
async fn rob_23_half_sent_requests_block_nobody() {
    on_each_storage(async |server, client| {
        let url = client.create(1000).await;
        let mut open = Vec::new();
        for at in 0..40 {
            let mut connection = client.connect().await;
            let patch = Request::patch(&url, 0).body([b'x'; 1000]).to_bytes();
            // Cut within the request line, within the fields, and behind the head.
            let end = [3, 40, patch.len() - 1000][at % 3];
            connection.write(&patch[..end]).await;
            open.push(connection);
        }
        let files: Vec<_> = (0..8).map(|seed| content(10_000, seed)).collect();
        let urls = join_all(files.iter().map(|data| client.upload(data))).await;
        for (url, data) in urls.iter().zip(&files) {
            server.assert_stored(url, data).await;
        }
        drop(open);
    })
    .await;
}

/// A chunked PATCH at 0, of which the head has been sent.
async fn begin(client: Client, url: &str) -> Connection {
    let mut connection = client.connect().await;
    connection
        .write(Request::patch(url, 0).chunked(b"", 1).head_bytes())
        .await;
    connection
}
