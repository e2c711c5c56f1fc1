//! What layers of tower-http do to uploads: none of them loses a byte that it let through, and what a
//! client sees of them is in the README's table.

use std::time::Duration;

use http::{HeaderName, StatusCode};
use tower::{Layer, ServiceBuilder, limit::ConcurrencyLimitLayer};
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::CompressionLayer,
    cors::CorsLayer,
    decompression::RequestDecompressionLayer,
    limit::RequestBodyLimitLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    timeout::TimeoutLayer,
    trace::TraceLayer,
};
use tower_tus::{TusService, service::Cors, storage::MemoryStorage};

use crate::{
    mounting::works_at,
    support::{Request, Site, content, wait},
};

fn tus() -> TusService {
    TusService::new(MemoryStorage::new())
}

#[tokio::test]
async fn under_trace_all_is_as_without_it() {
    let site = Site::serve(TraceLayer::new_for_http().layer(tus().base_path("/files")));
    works_at(site.client(), "/files").await;
}

#[tokio::test]
async fn a_timeout_layer_ends_a_patch_and_keeps_its_bytes() {
    let layer = TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, Duration::from_secs(1));
    let site = Site::serve(layer.layer(tus().base_path("/files")));
    let client = site.client();
    let data = content(300_000, 1);
    let url = client.create(300_000).await;
    let patch = Request::patch(&url, 0).body(&data);
    let mut connection = client.connect().await;
    connection.write(patch.head_bytes()).await;
    connection.write(&data[..123_456]).await;
    let answer = connection.response("PATCH").await.expect(408);
    // The layer's own words: it knows nothing of offsets.
    assert_eq!(answer.offset(), None);
    wait::until_true("what was sent", async || {
        client.offset(&url).await == 123_456
    })
    .await;
    // Its writer takes what is on the way, and is gone then; or the next one takes over.
    let _ = connection.try_write(&data[123_456..200_000]).await;
    let mut seen = 123_456;
    wait::until_true("the rest to be taken", async || {
        let offset = client.offset(&url).await;
        assert!((seen..=200_000).contains(&offset), "{seen}, {offset}");
        seen = offset;
        let rest = &data[offset as usize..];
        let answer = client.patch(&url, offset, rest).await;
        answer.expect_any(&[204, 409]).status == 204
    })
    .await;
    assert!(client.get(&url).await.expect(200).body == data);
}

#[tokio::test]
async fn a_body_limit_layer_is_413_and_smaller_patches_go_on() {
    let site = Site::serve(RequestBodyLimitLayer::new(1_000).layer(tus().base_path("/files")));
    let client = site.client();
    let data = content(2_500, 2);
    let url = client.create(2_500).await;
    client.patch(&url, 0, &data).await.expect(413);
    assert_eq!(client.offset(&url).await, 0);
    // Without a length the limit is met on the way, and what came before it counts.
    let stream = Request::patch(&url, 0).chunked(&data, 300);
    let answer = client.send(stream).await.expect(413);
    let offset = client.offset(&url).await;
    assert!(offset <= 1_000, "{offset}");
    assert_eq!(answer.offset(), Some(offset));
    let mut offset = offset as usize;
    for piece in data[offset..].chunks(1_000) {
        let answer = client.patch(&url, offset as u64, piece).await.expect(204);
        offset += piece.len();
        assert_eq!(answer.offset(), Some(offset as u64));
    }
    assert!(client.get(&url).await.expect(200).body == data);
}

#[tokio::test]
async fn with_a_cors_layer_each_field_stands_once() {
    let own = tus().base_path("/files").cors(Cors::off());
    let site = Site::serve(CorsLayer::permissive().layer(own));
    let client = site.client();
    let origin = |request: Request| request.header("Origin", "https://app.example.org");
    let preflight = Request::new("OPTIONS", "/files")
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "tus-resumable");
    let answer = client.send(origin(preflight)).await.expect(200);
    assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("*"));
    let create = Request::create().header("Upload-Length", "4");
    let answer = client.send(origin(create)).await.expect(201);
    assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("*"));
    let missing = Request::new("HEAD", "/files/unknown");
    let answer = client.send(origin(missing)).await.expect(404);
    assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("*"));
}

#[tokio::test]
async fn under_catch_panic_all_is_as_without_it() {
    let site = Site::serve(CatchPanicLayer::new().layer(tus().base_path("/files")));
    works_at(site.client(), "/files").await;
}

#[tokio::test]
async fn request_ids_come_back_with_every_answer() {
    let name = HeaderName::from_static("x-request-id");
    let layers = ServiceBuilder::new()
        .layer(SetRequestIdLayer::new(name.clone(), MakeRequestUuid))
        .layer(PropagateRequestIdLayer::new(name));
    let site = Site::serve(layers.service(tus().base_path("/files")));
    let client = site.client();
    works_at(client, "/files").await;
    let create = Request::create().header("Upload-Length", "4");
    let answer = client.send(create.header("X-Request-Id", "mine")).await;
    assert_eq!(answer.expect(201).header("X-Request-Id"), Some("mine"));
    let answer = client.head("/files/unknown").await.expect(404);
    assert!(answer.header("X-Request-Id").is_some(), "{answer:?}");
}

#[tokio::test]
async fn under_a_concurrency_limit_readers_wait_for_running_uploads() {
    let site = Site::serve(ConcurrencyLimitLayer::new(1).layer(tus().base_path("/files")));
    let client = site.client();
    works_at(client, "/files").await;
    let url = client.create(10).await;
    let patch = Request::patch(&url, 0)
        .header("Expect", "100-continue")
        .body("0123456789");
    let mut uploading = client.connect().await;
    uploading.write(patch.head_bytes()).await;
    // It has the only place: its body is asked for.
    assert_eq!(uploading.head_of_response().await.status, 100);
    uploading.write("01234").await;
    let mut reading = client.connect().await;
    reading.write(Request::new("HEAD", &url).to_bytes()).await;
    uploading.write("56789").await;
    uploading.response("PATCH").await.expect(204);
    let head = reading.response("HEAD").await.expect(200);
    assert_eq!(head.offset(), Some(10));
}

#[tokio::test]
async fn compression_leaves_ranges_and_uploads_alone() {
    let site = Site::serve(CompressionLayer::new().layer(tus().base_path("/files")));
    let client = site.client();
    works_at(client, "/files").await;
    let text = "all work and no play ".repeat(1_000);
    let create = Request::create()
        .header("Upload-Length", text.len().to_string())
        .header("Upload-Metadata", "filetype dGV4dC9wbGFpbg==");
    let url = client.create_with(create).await;
    client.patch(&url, 0, text.as_bytes()).await.expect(204);
    let gzip = |request: Request| request.header("Accept-Encoding", "gzip");
    let get = Request::new("GET", &url);

    let whole = client.send(gzip(get.clone())).await.expect(200);
    assert_eq!(whole.header("Content-Encoding"), Some("gzip"), "{whole:?}");
    assert_eq!(whole.header("Content-Length"), None);
    assert!(whole.body.len() < text.len() / 2);

    let part = client
        .send(gzip(get.clone().header("Range", "bytes=5-9")))
        .await;
    let part = part.expect(206);
    assert_eq!(part.header("Content-Encoding"), None, "{part:?}");
    assert_eq!(part.body, text.as_bytes()[5..10]);

    let plain = client.send(get).await.expect(200);
    assert!(plain.body == text.as_bytes());
    let head = client.send(gzip(Request::new("HEAD", &url))).await;
    assert_eq!(head.expect(200).offset(), Some(text.len() as u64));
}

#[tokio::test]
async fn decompression_changes_only_what_says_it_is_compressed() {
    let layer = RequestDecompressionLayer::new();
    let site = Site::serve(layer.layer(tus().base_path("/files")));
    let client = site.client();
    works_at(client, "/files").await;
    let data = "all work and no play ".repeat(100);
    let packed = gzip(data.as_bytes());

    // A file that happens to be compressed is stored as it is.
    let url = client.upload(&packed).await;
    assert!(client.get(&url).await.expect(200).body == packed);

    // Offsets are those of the bytes behind the layer, of which the client that sent it knows nothing.
    let url = client.create(data.len() as u64).await;
    let patch = Request::patch(&url, 0)
        .header("Content-Encoding", "gzip")
        .body(&packed);
    let answer = client.send(patch).await.expect(204);
    assert_eq!(answer.offset(), Some(data.len() as u64));
    assert!(client.get(&url).await.expect(200).body == data.as_bytes());
}

/// `data` as a gzip member (RFC 1952) of one stored block.
fn gzip(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).expect("a block");
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, data);
    let mut bytes = b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01".to_vec();
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&(!length).to_le_bytes());
    bytes.extend_from_slice(data);
    bytes.extend_from_slice(&u32::try_from(sum).expect("32 bits").to_le_bytes());
    bytes.extend_from_slice(&u32::from(length).to_le_bytes());
    bytes
}
