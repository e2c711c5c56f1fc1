//! CONC: finals that are not made, and that leave their parts as they were.

use tower_tus::protocol::{Extension, Extensions};

use crate::support::{
    Client, OCTETS, Request, Response, Server, on_each_storage, on_each_storage_with,
};

#[tokio::test]
async fn conc_12_an_unfinished_part_is_refused_without_concatenation_unfinished() {
    on_each_storage_with(
        |tus| tus.extensions(Extensions::all().without(Extension::ConcatenationUnfinished)),
        async |server, client| {
            let done = client.part(b"done").await;
            let half = client.create_with(Request::partial(4)).await;
            client.patch(&half, 0, b"ha").await.expect(204);
            let deferred = Request::deferred().header("Upload-Concat", "partial");
            let deferred = client.create_with(deferred).await;
            for other in [&half, &deferred] {
                assert_refused(client, &format!("final;{done} {other}")).await;
                assert_refused(client, &format!("final;{other}")).await;
            }
            client.patch(&half, 2, b"lf").await.expect(204);
            let concat = format!("final;{done} {half}");
            let url = client
                .create_with(Request::create().header("Upload-Concat", concat))
                .await;
            server.assert_stored(&url, b"donehalf").await;
        },
    )
    .await;
}

#[tokio::test]
async fn conc_13_30_an_unknown_or_deleted_part_is_refused() {
    on_each_storage(async |_server, client| {
        let known = client.part(b"known").await;
        let deleted = client.part(b"deleted").await;
        client.delete(&deleted).await.expect(204);
        let elsewhere = Server::memory().client().part(b"elsewhere").await;
        for other in [
            deleted.as_str(),
            &elsewhere,
            "/files/x",
            "/files/x.info",
            "/files/.tus",
        ] {
            assert_refused(client, &format!("final;{known} {other}")).await;
            assert_refused(client, &format!("final;{other}")).await;
        }
    })
    .await;
}

#[tokio::test]
async fn conc_14_15_anything_but_partial_and_a_list_is_400() {
    on_each_storage(async |_server, client| {
        let known = client.part(b"known").await;
        for concat in [
            "".to_owned(),
            "final".to_owned(),
            "final;".to_owned(),
            "final; ".to_owned(),
            ";".to_owned(),
            "Partial".to_owned(),
            "partial;".to_owned(),
            "partials".to_owned(),
            format!("partial;{known}"),
            format!("Final;{known}"),
            format!("finally;{known}"),
            format!("final {known}"),
            format!("final:{known}"),
            format!("final;{known},{known}"),
            format!("final;{known};{known}"),
            format!("final;\"{known}\""),
            format!("final;{known}\u{e9}"),
        ] {
            // With a length it might pass for a plain upload.
            for create in [
                Request::create(),
                Request::create().header("Upload-Length", "4"),
            ] {
                let response = client.send(create.header("Upload-Concat", &concat)).await;
                assert_eq!(response.status, 400, "{concat:?}: {response:?}");
                assert_eq!(response.header("Location"), None, "{concat:?}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn conc_16_urls_of_others_are_refused() {
    let server = Server::file();
    let client = server.client();
    std::fs::write(server.root().join("secret"), "secret").unwrap();
    let own = client.part(b"own").await;
    let id = own.strip_prefix("/files/").unwrap();
    // Something listens there: a server that fetches would succeed.
    let other = Server::memory();
    let fetchable = other.client().part(b"other").await;
    let authority = format!("127.0.0.1:{}", other.port());
    for url in [
        format!("http://{authority}{fetchable}"),
        format!("http://elsewhere.test{own}"),
        format!("https://elsewhere.test{own}"),
        format!("http://tus.test:8080{own}"),
        format!("http://tus.test.elsewhere.test{own}"),
        format!("http://tus.test@elsewhere.test{own}"),
        format!("//elsewhere.test{own}"),
        format!("ftp://tus.test{own}"),
        format!("file://{}/secret", server.root().display()),
        "file:///etc/hostname".to_owned(),
        "/etc/hostname".to_owned(),
        "/files/../../etc/hostname".to_owned(),
        "/files/secret".to_owned(),
        "/files/../files/secret".to_owned(),
        "/files/%2e%2e/secret".to_owned(),
        "/files/.tus/../secret".to_owned(),
        format!("/files/.tus/{id}.data"),
        format!("/files/{id}.data"),
        format!("/elsewhere/{id}"),
        "javascript:alert(1)".to_owned(),
        "http://".to_owned(),
        "://".to_owned(),
        "%".to_owned(),
        "\u{e9}".to_owned(),
    ] {
        assert_refused(client, &format!("final;{url}")).await;
        assert_refused(client, &format!("final;{own} {url}")).await;
    }
    assert_eq!(client.offset(&own).await, 3);
}

#[tokio::test]
async fn conc_17_a_length_on_a_final_is_never_believed() {
    on_each_storage(async |_server, client| {
        let own = client.part(b"data").await;
        for length in ["4", "3", "100", "x"] {
            let create = Request::create()
                .header("Upload-Concat", format!("final;{own}"))
                .header("Upload-Length", length);
            client.send(create).await.expect(400);
        }
        let create = Request::create()
            .header("Upload-Concat", format!("final;{own}"))
            .header("Upload-Defer-Length", "1");
        client.send(create).await.expect(400);
    })
    .await;
}

#[tokio::test]
async fn conc_26_a_final_with_a_body_is_403() {
    on_each_storage(async |_server, client| {
        let own = client.part(b"data").await;
        let create = Request::create()
            .header("Upload-Concat", format!("final;{own}"))
            .header("Content-Type", OCTETS);
        for request in [create.clone().body("more"), create.chunked("more", 2)] {
            let response = client.send(request).await.expect(403);
            assert_eq!(response.header("Location"), None);
        }
        assert_eq!(client.offset(&own).await, 4);
    })
    .await;
}

#[tokio::test]
async fn conc_31_a_plain_upload_is_no_part() {
    on_each_storage(async |server, client| {
        let own = client.part(b"part").await;
        let plain = client.upload(b"plain").await;
        let whole = Request::create().header("Upload-Concat", format!("final;{own}"));
        let whole = client.create_with(whole).await;
        for other in [&plain, &whole] {
            assert_refused(client, &format!("final;{own} {other}")).await;
            assert_refused(client, &format!("final;{other}")).await;
        }
        server.assert_stored(&plain, b"plain").await;
        server.assert_stored(&whole, b"part").await;
    })
    .await;
}

#[tokio::test]
async fn conc_33_a_refusal_leaves_the_parts_usable() {
    on_each_storage(async |server, client| {
        let a = client.part(b"aa").await;
        let b = client.create_with(Request::partial(4)).await;
        client.patch(&b, 0, b"bb").await.expect(204);
        for concat in [
            format!("final;{a} {b} /files/unknown"),
            format!("final;{a} http://elsewhere.test{b}"),
        ] {
            assert_refused(client, &concat).await;
        }
        assert_eq!(client.offset(&b).await, 2);
        client.patch(&b, 2, b"bb").await.expect(204);
        let whole = Request::create().header("Upload-Concat", format!("final;{a} {b}"));
        server
            .assert_stored(&client.create_with(whole).await, b"aabbbb")
            .await;
    })
    .await;
}

#[tokio::test]
async fn conc_35_without_the_extension_there_are_no_parts() {
    let server =
        Server::with(|tus| tus.extensions(Extensions::all().without(Extension::Concatenation)));
    let client = server.client();
    let options = client.options("/files").await.expect(204);
    assert!(
        !options
            .header("Tus-Extension")
            .unwrap()
            .contains("concatenation")
    );
    let plain = client.upload(b"data").await;
    for create in [
        Request::partial(4),
        Request::create().header("Upload-Concat", format!("final;{plain}")),
    ] {
        let response = client.send(create).await.expect_any(&[400, 501]);
        assert_eq!(response.header("Location"), None);
    }
}

#[tokio::test]
async fn conc_18_a_final_above_the_maximum_is_413() {
    on_each_storage_with(
        |tus| tus.max_size(10),
        async |server, client| {
            let a = client.part(b"01234").await;
            let b = client.part(b"56789").await;
            let c = client.part(b"x").await;
            let concat = format!("final;{a} {b} {c}");
            let response = client
                .send(Request::create().header("Upload-Concat", concat))
                .await
                .expect(413);
            assert_eq!(response.header("Location"), None);
            let concat = format!("final;{a} {b}");
            let url = client
                .create_with(Request::create().header("Upload-Concat", concat))
                .await;
            server.assert_stored(&url, b"0123456789").await;
        },
    )
    .await;
}

async fn assert_refused(client: Client, concat: &str) -> Response {
    println!("Upload-Concat: {concat}");
    let create = Request::create().header("Upload-Concat", concat);
    let response = client.send(create).await.expect_refused();
    assert_eq!(response.header("Location"), None);
    response
}
