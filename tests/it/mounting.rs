//! Where the service is mounted and what stands before it: the URLs that it gives out lead back to
//! it, and layers of others lose no byte.

use std::time::Duration;

use axum::Router;
use http::StatusCode;
use tower::Layer;
use tower_http::{
    cors::CorsLayer, limit::RequestBodyLimitLayer, timeout::TimeoutLayer, trace::TraceLayer,
};
use tower_tus::{TusService, service::Cors, storage::MemoryStorage};

use crate::support::{Client, Request, Site, content, wait};

fn tus() -> TusService {
    TusService::new(MemoryStorage::new())
}

/// A whole upload under `base`, by all of its URLs.
async fn works_at(client: Client, base: &str) {
    for creation in [base.to_owned(), format!("{base}/")] {
        let create = Request::create()
            .target(&creation)
            .header("Upload-Length", "4");
        let url = client.create_with(create).await;
        let id = url.strip_prefix(base).and_then(|id| id.strip_prefix('/'));
        let id = id.unwrap_or_else(|| panic!("{url} is not right under {base}"));
        assert!(!id.is_empty() && !id.contains('/'), "{url}");
        assert_eq!(client.offset(&url).await, 0);
        client.patch(&url, 0, b"data").await.expect(204);
        assert_eq!(client.get(&url).await.expect(200).body, b"data");
        client.delete(&url).await.expect(204);
        client.head(&url).await.expect(404);
    }
    let create = || Request::create().target(base);
    let part = create()
        .header("Upload-Length", "0")
        .header("Upload-Concat", "partial");
    let part = client.create_with(part).await;
    let joined = create().header("Upload-Concat", format!("final;{part}"));
    let joined = client.create_with(joined).await;
    assert_eq!(client.offset(&joined).await, 0);
    client.options(base).await.expect(204);
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn nested_in_axum_location_has_the_prefix() {
    let app: Router = Router::new().nest_service("/api/files", tus());
    works_at(Site::serve(app).client(), "/api/files").await;
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn nested_routers_add_up() {
    let inner = Router::new().nest_service("/c", tus());
    let app: Router = Router::new().nest("/a", Router::new().nest("/b", inner));
    works_at(Site::serve(app).client(), "/a/b/c").await;
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn a_prefix_with_a_parameter_is_given_out_as_it_came() {
    let app: Router = Router::new().nest_service("/api/{tenant}/up", tus());
    let site = Site::serve(app);
    works_at(site.client(), "/api/acme/up").await;
    works_at(site.client(), "/api/other/up").await;
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn two_mounts_of_one_service_share_their_uploads() {
    let tus = tus();
    let app: Router = Router::new()
        .nest_service("/a", tus.clone())
        .nest_service("/b", tus);
    let site = Site::serve(app);
    let client = site.client();
    let create = Request::create().target("/a").header("Upload-Length", "4");
    let url = client.create_with(create).await;
    let other = url.replacen("/a/", "/b/", 1);
    client.patch(&other, 0, b"data").await.expect(204);
    assert_eq!(client.offset(&url).await, 4);
}

#[tokio::test]
async fn routes_that_strip_nothing_need_the_base_path() {
    let tus = tus().base_path("/files");
    let app: Router = Router::new()
        .route_service("/files", tus.clone())
        .route_service("/files/", tus.clone())
        .route_service("/files/{id}", tus);
    works_at(Site::serve(app).client(), "/files").await;
}

#[tokio::test]
async fn as_a_fallback_it_serves_its_base_path() {
    let tus = tus().base_path("/deep/er/files/");
    let app: Router = Router::new().fallback_service(tus);
    works_at(Site::serve(app).client(), "/deep/er/files").await;
}

#[tokio::test]
async fn on_plain_hyper_the_request_tells_the_mount() {
    let site = Site::serve(tus());
    works_at(site.client(), "/files").await;
    works_at(site.client(), "/some/where/else").await;
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
async fn switched_off_cors_says_nothing() {
    let site = Site::serve(tus().base_path("/files").cors(Cors::off()));
    let create = Request::create()
        .header("Upload-Length", "4")
        .header("Origin", "https://app.example.org");
    let answer = site.client().send(create).await.expect(201);
    for (name, _) in &answer.headers {
        let name = name.to_ascii_lowercase();
        assert!(!name.starts_with("access-control-"), "{answer:?}");
    }
}
