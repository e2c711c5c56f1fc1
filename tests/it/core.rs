//! CORE: versions, discovery and the method override.

use std::time::Duration;

use tower_tus::protocol::{Extension, Extensions};

use crate::support::{Client, OCTETS, Request, Server, on_each_storage};

#[tokio::test]
async fn core_01_tus_resumable_is_on_every_success() {
    on_each_storage(async |_server, client| {
        let create = Request::create().header("Upload-Length", "4");
        let created = client.send(create.clone()).await.expect(201);
        let url = created.header("Location").unwrap().to_owned();
        let with_upload = create.header("Content-Type", OCTETS).body("data");
        for response in [
            created,
            client.send(with_upload).await.expect(201),
            client.head(&url).await.expect(200),
            client.patch(&url, 0, b"da").await.expect(204),
            client.patch(&url, 2, b"ta").await.expect(204),
            client.get(&url).await.expect(200),
            client.delete(&url).await.expect(204),
        ] {
            assert_eq!(
                response.header("Tus-Resumable"),
                Some("1.0.0"),
                "{response:?}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn core_01_a_client_of_http_1_0_is_served_as_well() {
    let server = Server::file();
    let client = server.client();
    let create = Request::create()
        .header("Upload-Length", "4")
        .version("HTTP/1.0");
    let url = client.create_with(create).await;
    let patch = Request::patch(&url, 0).body("data").version("HTTP/1.0");
    let response = client.send(patch).await.expect(204);
    assert_eq!(response.header("Tus-Resumable"), Some("1.0.0"));
    server.assert_stored(&url, b"data").await;
}

#[tokio::test]
async fn core_02_tus_resumable_is_on_every_error() {
    let server = Server::with(|tus| tus.max_size(10));
    let client = server.client();
    let url = client.create(4).await;
    let unknown = unknown_url(client).await;
    let patch = Request::patch(&url, 0).body("data");
    let create = Request::create().header("Upload-Length", "4");
    for (status, request) in [
        (404, Request::new("HEAD", &unknown)),
        (404, Request::new("GET", &unknown)),
        (404, Request::new("DELETE", &unknown)),
        (404, Request::patch(&unknown, 0).body("data")),
        (409, Request::patch(&url, 1).body("ata")),
        (412, patch.clone().without("Tus-Resumable")),
        (412, patch.clone().set("Tus-Resumable", "0.2.2")),
        (415, patch.clone().without("Content-Type")),
        (400, patch.clone().set("Upload-Offset", "x")),
        (
            460,
            patch.header("Upload-Checksum", "md5 AAAAAAAAAAAAAAAAAAAAAA=="),
        ),
        (400, create.clone().without("Upload-Length")),
        (413, create.clone().set("Upload-Length", "11")),
        (
            431,
            create.header("Upload-Metadata", format!("name {}", "A".repeat(20_000))),
        ),
        (405, Request::new("PUT", &url)),
    ] {
        let name = format!("{request:?}");
        let response = client.send(request).await.expect(status);
        assert_eq!(response.header("Tus-Resumable"), Some("1.0.0"), "{name}");
    }
}

#[tokio::test]
async fn core_03_04_an_unknown_version_is_412_and_processes_nothing() {
    let server = Server::file();
    let client = server.client();
    assert_refuses_version(&server, |request| request.set("Tus-Resumable", "0.2.2")).await;

    let url = client.create(4).await;
    let head = Request::new("HEAD", &url).set("Tus-Resumable", "0.2.2");
    let response = client.send(head).await.expect(412);
    assert_eq!(response.header("Tus-Version"), Some("1.0.0"));
    assert_eq!(response.offset(), None);
}

#[tokio::test]
async fn core_05_a_missing_version_is_412_and_processes_nothing() {
    assert_refuses_version(&Server::file(), |request| request.without("Tus-Resumable")).await;
}

#[tokio::test]
async fn core_06_head_without_a_version_is_served_or_412_and_get_is_served() {
    let server = Server::file();
    let client = server.client();
    let finished = client.upload(b"data").await;
    let unfinished = client.create(4).await;
    for url in [&finished, &unfinished] {
        let head = Request::new("HEAD", url).without("Tus-Resumable");
        client.send(head).await.expect_any(&[200, 204, 412]);
    }
    let get = Request::new("GET", &finished).without("Tus-Resumable");
    assert_eq!(client.send(get).await.expect(200).body, b"data");
}

#[tokio::test]
async fn core_16_look_alike_versions_are_412() {
    let server = Server::file();
    for version in [
        "",
        "1",
        "1.0",
        "v1.0.0",
        "1.0.0.0",
        "01.0.0",
        "1.0.0, 0.2.2",
        "1.0.0;",
        "*",
        "\u{e9}",
    ] {
        println!("version {version:?}");
        assert_refuses_version(&server, |request| request.set("Tus-Resumable", version)).await;
    }
}

#[tokio::test]
async fn core_07_08_options_names_the_version_once() {
    on_each_storage(async |_server, client| {
        let response = client.options("/files").await.expect(204);
        assert_eq!(response.header("Tus-Version"), Some("1.0.0"));
        assert_eq!(response.header("Content-Length"), None);
    })
    .await;
}

#[tokio::test]
async fn core_09_options_ignores_the_version_asked_for() {
    let server = Server::file();
    let client = server.client();
    let plain = tus_fields(client, Request::new("OPTIONS", "/files")).await;
    for version in ["1.0.0", "0.2.2", "", "*"] {
        let request = Request::new("OPTIONS", "/files").header("Tus-Resumable", version);
        assert_eq!(tus_fields(client, request).await, plain, "{version:?}");
    }
}

#[tokio::test]
async fn core_10_extensions_are_a_clean_list() {
    let server = Server::with(|tus| tus.expires_after(Duration::from_secs(3600)));
    let response = server.client().options("/files").await.expect(204);
    let mut names = response.list("Tus-Extension");
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "checksum",
            "checksum-trailer",
            "concatenation",
            "concatenation-unfinished",
            "creation",
            "creation-defer-length",
            "creation-with-upload",
            "expiration",
            "termination",
        ]
    );
}

#[tokio::test]
async fn core_10_no_extension_is_named_without_its_base() {
    for (removed, gone) in [
        (
            Extension::Creation,
            &[
                "creation",
                "creation-with-upload",
                "creation-defer-length",
                "concatenation",
            ][..],
        ),
        (Extension::Checksum, &["checksum", "checksum-trailer"]),
        (
            Extension::Concatenation,
            &["concatenation", "concatenation-unfinished"],
        ),
        (Extension::Termination, &["termination"]),
    ] {
        let server = Server::with(move |tus| tus.extensions(Extensions::all().without(removed)));
        let response = server.client().options("/files").await.expect(204);
        let named = response.list("Tus-Extension");
        assert!(!named.is_empty());
        assert!(
            gone.iter().all(|name| !named.contains(name)),
            "{removed:?}: {named:?}"
        );
    }
}

#[tokio::test]
async fn core_10_without_extensions_the_field_is_absent() {
    let server = Server::with(|tus| tus.extensions(Extensions::none()));
    let response = server.client().options("/files").await.expect(204);
    assert_eq!(response.header("Tus-Extension"), None);
    assert_eq!(response.header("Tus-Version"), Some("1.0.0"));
}

#[tokio::test]
async fn core_11_max_size_is_one_integer_where_there_is_a_limit() {
    let limited = Server::with(|tus| tus.max_size(1 << 40));
    let response = limited.client().options("/files").await.expect(204);
    assert_eq!(response.header("Tus-Max-Size"), Some("1099511627776"));
    let unlimited = Server::file();
    let response = unlimited.client().options("/files").await.expect(204);
    assert_eq!(response.header("Tus-Max-Size"), None);
}

#[tokio::test]
async fn core_12_options_is_the_same_on_every_url() {
    let server = Server::with(|tus| tus.max_size(1000));
    let client = server.client();
    let url = client.create(4).await;
    let expected = tus_fields(client, Request::new("OPTIONS", "/files")).await;
    for target in ["/files/", &url, "/files/unknown"] {
        let fields = tus_fields(client, Request::new("OPTIONS", target)).await;
        assert_eq!(fields, expected, "{target}");
    }
}

#[tokio::test]
async fn core_14_options_with_stray_fields_does_nothing() {
    let server = Server::file();
    let client = server.client();
    let url = client.create(4).await;
    let before = server.files();
    for target in ["/files", &url] {
        let request = Request::new("OPTIONS", target)
            .header("Tus-Resumable", "1.0.0")
            .header("Upload-Length", "3")
            .header("Upload-Offset", "0")
            .header("Upload-Metadata", "name eA==")
            .header("Content-Type", OCTETS)
            .body("abc");
        let response = client.send(request).await.expect(204);
        assert_eq!(response.header("Location"), None);
    }
    assert_eq!(server.files(), before);
    assert_eq!(client.head(&url).await.length(), Some(4));
    assert_eq!(client.offset(&url).await, 0);
}

#[tokio::test]
async fn core_13_the_override_decides_whatever_the_method_is() {
    on_each_storage(async |server, client| {
        let url = client.create(6).await;
        for (offset, method) in [(0, "POST"), (2, "PUT"), (4, "GET")] {
            let body = &b"abcdef"[offset as usize..offset as usize + 2];
            let request = Request::new(method, &url)
                .set("Tus-Resumable", "1.0.0")
                .header("X-HTTP-Method-Override", "PATCH")
                .header("Content-Type", OCTETS)
                .header("Upload-Offset", offset.to_string())
                .body(body);
            let response = client.send(request).await.expect(204);
            assert_eq!(response.offset(), Some(offset + 2), "{method}");
        }
        server.assert_stored(&url, b"abcdef").await;

        for method in ["POST", "GET", "DELETE", "PATCH"] {
            let request = Request::new(method, &url)
                .set("Tus-Resumable", "1.0.0")
                .header("X-HTTP-Method-Override", "HEAD");
            let response = client.send(request).await.expect(200);
            assert_eq!(response.offset(), Some(6), "{method}");
            assert!(response.body.is_empty(), "{method}");
        }
        server.assert_stored(&url, b"abcdef").await;

        let create = Request::new("PUT", "/files")
            .header("X-HTTP-Method-Override", "POST")
            .header("Upload-Length", "0");
        client.create_with(create).await;

        let delete = Request::new("POST", &url).header("X-HTTP-Method-Override", "DELETE");
        client.send(delete).await.expect(204);
        client.head(&url).await.expect_any(&[404, 410]);
    })
    .await;
}

/// Where CORE-13 gives way: whoever guards this server has to let `OPTIONS` pass, for browsers ask without
/// credentials.
#[tokio::test]
async fn core_13_an_override_of_options_is_refused() {
    on_each_storage(async |server, client| {
        let url = client.create(4).await;
        let before = server.files();
        for (target, method) in [
            (url.as_str(), "PATCH"),
            (&url, "DELETE"),
            (&url, "HEAD"),
            (&url, "GET"),
            ("/files", "POST"),
        ] {
            let request = Request::new("OPTIONS", target)
                .set("Tus-Resumable", "1.0.0")
                .header("X-HTTP-Method-Override", method)
                .header("Origin", "https://a.example")
                .header("Access-Control-Request-Method", method)
                .header("Content-Type", OCTETS)
                .header("Upload-Offset", "0")
                .header("Upload-Length", "4")
                .body("data");
            client.send(request).await.expect(400);
        }
        assert_eq!(client.offset(&url).await, 0);
        assert_eq!(server.files(), before);
    })
    .await;
}

#[tokio::test]
async fn core_15_an_unknown_override_does_nothing() {
    let server = Server::file();
    let client = server.client();
    let url = client.create(4).await;
    let before = server.files();
    for method in ["POST", "PATCH", "DELETE"] {
        for meant in [
            "FROBNICATE",
            "",
            "PATCH, DELETE",
            "DELETE x",
            "DEL\u{e9}TE",
            "@",
        ] {
            let request = Request::new(method, &url)
                .header("X-HTTP-Method-Override", meant)
                .header("Content-Type", OCTETS)
                .header("Upload-Offset", "0")
                .body("data");
            let response = client.send(request).await;
            let refused = (400..500).contains(&response.status) || response.status == 501;
            assert!(refused, "{method} as {meant:?}: {response:?}");
        }
    }
    assert_eq!(client.offset(&url).await, 0);
    assert_eq!(server.files(), before);
}

/// A well-formed URL that this server knows nothing of: it was made by another one.
async fn unknown_url(client: Client) -> String {
    let url = Server::memory().client().create(4).await;
    client.head(&url).await.expect(404);
    url
}

/// POST, PATCH and DELETE, changed by `spoil`, are 412 and leave no trace.
async fn assert_refuses_version(server: &Server, spoil: impl Fn(Request) -> Request) {
    let client = server.client();
    let url = client.create(4).await;
    let before = server.files();
    for request in [
        Request::create().header("Upload-Length", "4"),
        Request::patch(&url, 0).body("data"),
        Request::new("DELETE", &url),
    ] {
        let response = client.send(spoil(request)).await.expect(412);
        assert_eq!(
            response.header("Tus-Version"),
            Some("1.0.0"),
            "{response:?}"
        );
        assert_eq!(response.header("Location"), None);
    }
    assert_eq!(server.files(), before);
    assert_eq!(client.offset(&url).await, 0);
}

/// What an OPTIONS answer says about tus.
async fn tus_fields(client: Client, request: Request) -> Vec<(String, Vec<u8>)> {
    let response = client.send(request).await.expect(204);
    let mut fields = response.headers;
    fields.retain(|(name, _)| name.to_ascii_lowercase().starts_with("tus-"));
    assert!(!fields.is_empty());
    // Their order means nothing.
    fields.sort();
    fields
}
