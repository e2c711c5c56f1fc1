//! Where the service is mounted: the URLs that it gives out lead back to it.

use axum::Router;
use tower_tus::{TusService, service::Cors, storage::MemoryStorage};

use crate::support::{Client, Request, Site};

fn tus() -> TusService {
    TusService::new(MemoryStorage::new())
}

/// A whole upload under `base`, by all of its URLs.
pub(crate) async fn works_at(client: Client, base: &str) {
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
async fn routers_with_a_state_add_up_too() {
    use axum::{extract::State, routing::get};

    let name = async |State(name): State<&'static str>| name;
    let inner = Router::new()
        .route("/name", get(name))
        .nest_service("/files", tus());
    let app: Router = Router::new().nest("/{tenant}", inner).with_state("uploads");
    let site = Site::serve(app);
    works_at(site.client(), "/acme/files").await;
    assert_eq!(site.client().get("/acme/name").await.body, b"uploads");
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn layers_still_see_the_original_uri() {
    use axum::{
        extract::{OriginalUri, Request},
        middleware::{Next, from_fn},
    };

    let tell = async |OriginalUri(uri): OriginalUri, request: Request, next: Next| {
        let mut response = next.run(request).await;
        let uri = uri.to_string().try_into().expect("a URI is visible");
        response.headers_mut().insert("x-original", uri);
        response
    };
    let inner = Router::new().nest_service("/files", tus());
    let app: Router = Router::new().nest("/api", inner.layer(from_fn(tell)));
    let answer = Site::serve(app).client().head("/api/files/none").await;
    assert_eq!(answer.header("x-original"), Some("/api/files/none"));
}

#[cfg(feature = "actix")]
#[tokio::test]
async fn as_a_scope_of_actix_web_location_has_the_prefix() {
    let tus = tus();
    let site = Site::actix(move |app| {
        app.service(tower_tus::actix::scope("/files", tus.clone()));
    });
    works_at(site.client(), "/files").await;
    site.client().options("/filesystem").await.expect(404);
}

#[cfg(feature = "actix")]
#[tokio::test]
async fn scopes_of_actix_web_add_up() {
    use actix_web::web;

    let tus = tus();
    let site = Site::actix(move |app| {
        let files = tower_tus::actix::scope("/files", tus.clone());
        let up = tower_tus::actix::scope("/up/", tus.clone());
        app.service(web::scope("/a").service(web::scope("/b").service(files)))
            .service(web::scope("/{tenant}").service(up));
    });
    works_at(site.client(), "/a/b/files").await;
    works_at(site.client(), "/acme/up").await;
    works_at(site.client(), "/%41cm%20e/up").await;
}

#[cfg(feature = "actix")]
#[tokio::test]
async fn in_actix_web_a_base_url_counts_as_everywhere() {
    let tus = tus().base_url(http::Uri::from_static("https://example.org/up"));
    let site = Site::actix(move |app| {
        app.service(tower_tus::actix::scope("/files", tus.clone()));
    });
    let create = Request::create().header("Upload-Length", "4");
    let url = site.client().create_with(create).await;
    let id = url.strip_prefix("https://example.org/up/").unwrap();
    assert_eq!(site.client().offset(&format!("/files/{id}")).await, 0);
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
