//! CORS: pages of other origins upload with a browser.

use tower_tus::service::Cors;

use crate::support::{Client, Request, Response, Server, on_each_storage};

const PAGE: &str = "https://page.example";

#[tokio::test]
async fn cors_01_a_page_may_create() {
    let server = Server::file();
    let asked = "content-type, tus-resumable, upload-length, upload-metadata";
    let response = preflight(server.client(), "/files", "POST", asked).await;
    assert_allows(&response, "POST", asked);
}

#[tokio::test]
async fn cors_02_03_a_page_may_patch_ask_and_delete() {
    let server = Server::file();
    let client = server.client();
    let url = client.create(4).await;
    for (method, asked) in [
        (
            "PATCH",
            "content-type, tus-resumable, upload-offset, upload-length",
        ),
        ("HEAD", "tus-resumable"),
        ("DELETE", "tus-resumable"),
        ("GET", "tus-resumable"),
    ] {
        assert_allows(&preflight(client, &url, method, asked).await, method, asked);
    }
    assert_eq!(client.offset(&url).await, 0);
}

#[tokio::test]
async fn cors_04_a_page_may_use_every_extension() {
    let server = Server::file();
    for asked in [
        "x-http-method-override",
        "upload-checksum",
        "upload-concat",
        "upload-defer-length",
        "Upload-Concat,Upload-Metadata,X-Requested-With",
    ] {
        let response = preflight(server.client(), "/files", "POST", asked).await;
        assert_allows(&response, "POST", asked);
    }
}

#[tokio::test]
async fn cors_05_a_page_can_read_what_the_protocol_says() {
    on_each_storage(async |_server, client| {
        let create = Request::create()
            .header("Origin", PAGE)
            .header("Upload-Length", "4");
        let created = client.send(create).await.expect(201);
        let url = created.header("Location").unwrap().to_owned();
        let patch = Request::patch(&url, 0).header("Origin", PAGE).body("data");
        for response in [
            created,
            client.send(patch).await.expect(204),
            client
                .send(Request::new("HEAD", &url).header("Origin", PAGE))
                .await
                .expect(200),
        ] {
            assert_readable(&response);
        }
        // A page that looks for extensions asks without a preflight's fields.
        let options = Request::new("OPTIONS", "/files").header("Origin", PAGE);
        let options = client.send(options).await.expect(204);
        assert_eq!(options.header("Tus-Version"), Some("1.0.0"));
        assert_readable(&options);
    })
    .await;
}

#[tokio::test]
async fn cors_06_errors_are_readable_too() {
    let server = Server::with(|tus| tus.max_size(10));
    let client = server.client();
    let url = client.create(4).await;
    for (status, request) in [
        (404, Request::new("HEAD", "/files/unknown")),
        (404, Request::new("GET", "/files/unknown")),
        (409, Request::patch(&url, 3).body("x")),
        (
            412,
            Request::patch(&url, 0)
                .set("Tus-Resumable", "9.9.9")
                .body("x"),
        ),
        (
            415,
            Request::patch(&url, 0)
                .set("Content-Type", "text/plain")
                .body("x"),
        ),
        (400, Request::create()),
        (413, Request::create().header("Upload-Length", "11")),
        (405, Request::new("PUT", &url)),
    ] {
        assert_readable(
            &client
                .send(request.header("Origin", PAGE))
                .await
                .expect(status),
        );
    }
}

#[tokio::test]
async fn cors_07_credentials_never_go_with_a_wildcard() {
    for server in [
        Server::file(),
        Server::with(|tus| tus.cors(Cors::origins([PAGE]))),
    ] {
        let client = server.client();
        let request = Request::new("HEAD", "/files/unknown")
            .header("Origin", PAGE)
            .header("Cookie", "session=1");
        for response in [
            client.send(request).await.expect(404),
            preflight(client, "/files", "POST", "authorization").await,
        ] {
            let wildcard = response.header("Access-Control-Allow-Origin") == Some("*");
            let credentials = response
                .header("Access-Control-Allow-Credentials")
                .is_some();
            assert!(!(wildcard && credentials), "{response:?}");
        }
    }
}

#[tokio::test]
async fn cors_08_listed_origins_are_named_and_vary() {
    let server = Server::with(|tus| tus.cors(Cors::origins([PAGE, "http://localhost:3000"])));
    let client = server.client();
    for (origin, allowed) in [
        (PAGE, true),
        ("http://localhost:3000", true),
        ("https://elsewhere.example", false),
        ("https://page.example.elsewhere.example", false),
        ("https://page.example:8443", false),
        ("http://page.example", false),
        ("null", false),
    ] {
        let preflight = Request::new("OPTIONS", "/files")
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "POST")
            .header("Access-Control-Request-Headers", "tus-resumable");
        for request in [
            preflight,
            Request::new("HEAD", "/files/unknown").header("Origin", origin),
            Request::new("OPTIONS", "/files").header("Origin", origin),
        ] {
            let response = client.send(request).await;
            let expected = allowed.then_some(origin);
            assert_eq!(
                response.header("Access-Control-Allow-Origin"),
                expected,
                "{origin}"
            );
            // Caches must not give one origin's answer to another, not even a refusal.
            let vary = response.list("Vary");
            assert!(
                vary.iter().any(|name| name.eq_ignore_ascii_case("origin")),
                "{response:?}"
            );
        }
    }
}

#[tokio::test]
async fn cors_09_switched_off_nothing_is_said() {
    let server = Server::with(|tus| tus.cors(Cors::off()));
    let client = server.client();
    for response in [
        preflight(client, "/files", "POST", "tus-resumable").await,
        client
            .send(Request::create().header("Origin", PAGE))
            .await
            .expect(400),
    ] {
        let said = |name: &str| name.to_ascii_lowercase().starts_with("access-control-");
        assert!(
            !response.headers.iter().any(|(name, _)| said(name)),
            "{response:?}"
        );
    }
}

async fn preflight(client: Client, target: &str, method: &str, headers: &str) -> Response {
    let request = Request::new("OPTIONS", target)
        .header("Origin", PAGE)
        .header("Access-Control-Request-Method", method)
        .header("Access-Control-Request-Headers", headers);
    client.send(request).await.expect_any(&[200, 204])
}

/// The answer to a preflight lets a browser send this method with these fields.
#[track_caller]
fn assert_allows(response: &Response, method: &str, headers: &str) {
    let origin = response.header("Access-Control-Allow-Origin");
    assert!(matches!(origin, Some("*" | PAGE)), "{response:?}");
    assert!(
        response
            .list("Access-Control-Allow-Methods")
            .contains(&method),
        "{response:?}"
    );
    let allowed: Vec<_> = response
        .list("Access-Control-Allow-Headers")
        .into_iter()
        .map(str::to_ascii_lowercase)
        .collect();
    for header in headers
        .split(',')
        .map(|header| header.trim().to_ascii_lowercase())
    {
        // Authorization is the one field that a wildcard does not cover.
        let listed = allowed.contains(&header)
            || (allowed.iter().any(|name| name == "*") && header != "authorization");
        assert!(listed, "{header} is not allowed: {response:?}");
    }
}

/// A page may read the answer, and every field that a client of tus needs.
#[track_caller]
fn assert_readable(response: &Response) {
    let origin = response.header("Access-Control-Allow-Origin");
    assert!(matches!(origin, Some("*" | PAGE)), "{response:?}");
    let exposed: Vec<_> = response
        .list("Access-Control-Expose-Headers")
        .into_iter()
        .map(str::to_ascii_lowercase)
        .collect();
    for needed in [
        "location",
        "tus-checksum-algorithm",
        "tus-extension",
        "tus-max-size",
        "tus-resumable",
        "tus-version",
        "upload-concat",
        "upload-defer-length",
        "upload-expires",
        "upload-length",
        "upload-metadata",
        "upload-offset",
    ] {
        let is_exposed = exposed.iter().any(|name| name == needed || name == "*");
        assert!(is_exposed, "{needed} is not exposed: {response:?}");
    }
}
