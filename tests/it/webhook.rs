//! WEBHOOK: a server over HTTP decides, and is told, in the words of tusd.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use http::{
    HeaderValue,
    header::{AUTHORIZATION, COOKIE},
};
use serde_json::{Value, json};
use sha2::Sha256;
use tower::{Layer, Service};
use tower_tus::{
    TusService,
    hooks::{
        Hook, RemoteAddr,
        webhook::{Secret, StorageInfo, Webhook},
    },
    storage::MemoryStorage,
};

use crate::support::{
    Asked, Front, HookServer, OCTETS, Request, Saying, Server, Site, base64, content, key_of,
    listen, wait,
};

/// Does not wait long.
fn webhook(server: &HookServer) -> Webhook {
    Webhook::new(server.url())
        .unwrap()
        .backoff(Duration::from_millis(1))
}

/// With every event of tusd.
fn of_all(server: &HookServer) -> Webhook {
    webhook(server).events(Hook::ALL)
}

fn serve(webhook: Webhook) -> Server {
    Server::with(move |tus| tus.hook_timeout(webhook.longest()).hooks(webhook.clone()))
}

fn yes() -> Saying {
    Saying::Json(json!({}))
}

fn create(length: u64) -> Request {
    Request::create().header("Upload-Length", length.to_string())
}

/// Says `saying` to one event, and yes to all others.
fn only(event: &'static str, saying: Saying) -> HookServer {
    HookServer::start(move |_, message| match message["Type"] == event {
        true => saying.clone(),
        false => yes(),
    })
}

/// What a hook server reads of a request, but for the header; and the address, where a framework tells it.
fn without_header(asked: &Asked) -> Value {
    let mut message = asked.json();
    let request = message["Event"]["HTTPRequest"].as_object_mut().unwrap();
    request.remove("Header");
    if Front::current().tells_addresses() {
        let address = request.insert("RemoteAddr".to_owned(), "".into());
        let address = address.unwrap();
        assert!(address.as_str().unwrap().starts_with("127.0.0.1:"));
    }
    message
}

#[tokio::test]
async fn every_event_is_told_in_the_format_of_tusd() {
    let hooks = HookServer::saying(yes());
    let storage = StorageInfo::directory("/my/upload/directory");
    let webhook = of_all(&hooks).storage(storage);
    let server =
        Server::with(move |tus| tus.progress_interval(Duration::ZERO).hooks(webhook.clone()));
    let client = server.client();
    let name = base64("Screenshot 2023-08-17 at 09.00.40 1.png".as_bytes());
    let kind = base64(b"image/png");
    let metadata = format!("filename {name},filetype {kind}");
    let url = client
        .create_with(create(5).header("Upload-Metadata", metadata))
        .await;
    client.patch(&url, 0, b"01234").await.expect(204);
    hooks.first("post-finish").await;
    client.delete(&url).await.expect(204);
    hooks.first("post-terminate").await;

    let id = key_of(&url);
    let expected = |event: &str, id: &str, offset: u64, method: &str, uri: &str| {
        json!({
            "Type": event,
            "Event": {
                "Upload": {
                    "ID": id,
                    "Size": 5,
                    "SizeIsDeferred": false,
                    "Offset": offset,
                    "MetaData": {
                        "filename": "Screenshot 2023-08-17 at 09.00.40 1.png",
                        "filetype": "image/png"
                    },
                    "IsPartial": false,
                    "IsFinal": false,
                    "PartialUploads": null,
                    "Storage": match id {
                        "" => Value::Null,
                        id => json!({
                            "Type": "filestore",
                            "Path": format!("/my/upload/directory/{id}"),
                        }),
                    }
                },
                "HTTPRequest": {"Method": method, "URI": uri, "RemoteAddr": ""}
            }
        })
    };
    for (event, id, offset, method, uri) in [
        ("pre-create", "", 0, "POST", "/files"),
        ("post-create", id, 0, "POST", "/files"),
        ("post-receive", id, 5, "PATCH", &url),
        ("pre-finish", id, 5, "PATCH", &url),
        ("post-finish", id, 5, "PATCH", &url),
        ("pre-terminate", id, 5, "DELETE", &url),
        ("post-terminate", id, 5, "DELETE", &url),
    ] {
        let told = hooks.first(event).await;
        assert_eq!(
            without_header(&told),
            expected(event, id, offset, method, uri)
        );
        assert_eq!(told.header("Content-Type"), Some("application/json"));
    }
    let patch = &hooks.first("post-finish").await.json()["Event"]["HTTPRequest"]["Header"];
    assert_eq!(
        *patch,
        json!({
            "Content-Length": ["5"],
            "Content-Type": ["application/offset+octet-stream"],
            "Host": ["tus.test"],
            "Tus-Resumable": ["1.0.0"],
            "Upload-Offset": ["0"],
        })
    );
}

#[tokio::test]
async fn by_default_the_events_are_those_of_tusd() {
    let hooks = HookServer::saying(yes());
    let server = serve(webhook(&hooks));
    let url = server.client().upload(b"01234").await;
    hooks.first("post-finish").await;
    server.client().delete(&url).await.expect(204);
    hooks.first("post-terminate").await;
    let told = hooks.events();
    assert_eq!(
        told,
        ["pre-create", "post-create", "post-finish", "post-terminate"]
    );
}

#[tokio::test]
async fn a_hook_server_rejects_an_upload_in_its_own_words() {
    let hooks = HookServer::saying(Saying::Json(json!({
        "HTTPResponse": {
            "StatusCode": 403,
            "Body": "{\"message\":\"authentication failed\"}",
            "Header": {"Content-Type": "application/json", "X-Some-Header": "yes"}
        },
        "RejectUpload": true
    })));
    let server = serve(webhook(&hooks));
    let refused = server.client().send(create(3)).await.expect(403);
    assert_eq!(refused.body, b"{\"message\":\"authentication failed\"}");
    assert_eq!(refused.header("Content-Type"), Some("application/json"));
    assert_eq!(refused.header("X-Some-Header"), Some("yes"));
    assert!(server.files().is_empty(), "{:?}", server.files());
    assert_eq!(hooks.events(), ["pre-create"]);
}

#[tokio::test]
async fn a_rejection_without_words_is_that_of_tusd() {
    let hooks = HookServer::saying(Saying::Json(json!({"RejectUpload": true})));
    let refused = serve(webhook(&hooks)).client().send(create(3)).await;
    let refused = refused.expect(400);
    assert!(
        refused.body.starts_with(b"ERR_UPLOAD_REJECTED"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_hook_server_changes_id_metadata_path_and_answer() {
    let hooks = only(
        "pre-create",
        Saying::Json(json!({
            "HTTPResponse": {"Header": {"X-Made": "yes"}, "Body": "made"},
            "ChangeFileInfo": {
                "ID": "my-custom-upload-id",
                "MetaData": {"my-custom-field": "..."},
                "Storage": {"Path": "./dir/presentation.pdf"}
            }
        })),
    );
    let server = serve(webhook(&hooks));
    let client = server.client();
    let created = client.send(create(3)).await.expect(201);
    assert_eq!(
        created.header("Location"),
        Some("/files/my-custom-upload-id")
    );
    assert_eq!(created.header("X-Made"), Some("yes"));
    assert_eq!(created.body, b"made");
    client
        .patch("/files/my-custom-upload-id", 0, b"abc")
        .await
        .expect(204);
    let head = client.head("/files/my-custom-upload-id").await.expect(200);
    let metadata = format!("my-custom-field {}", base64(b"..."));
    assert_eq!(head.header("Upload-Metadata"), Some(metadata.as_str()));
    let stored = std::fs::read(server.root().join("dir/presentation.pdf"));
    assert_eq!(stored.unwrap(), b"abc");
}

#[tokio::test]
async fn a_change_that_cannot_be_made_refuses_the_upload() {
    for change in [
        json!({"ID": "../up"}),
        json!({"Storage": {"Path": "../../etc/passwd"}}),
        json!({"MetaData": {"no key": "x"}}),
    ] {
        let hooks = HookServer::saying(Saying::Json(json!({"ChangeFileInfo": change})));
        let server = serve(webhook(&hooks));
        server.client().send(create(3)).await.expect(500);
        assert!(server.files().is_empty(), "{:?}", server.files());
    }
}

#[tokio::test]
async fn pre_finish_shapes_the_last_answer_or_keeps_the_upload_back() {
    let hooks = HookServer::start(|_, message| {
        let metadata = &message["Event"]["Upload"]["MetaData"];
        match message["Type"] == "pre-finish" && metadata.get("virus").is_some() {
            true => Saying::Json(json!({"HTTPResponse": {"StatusCode": 422, "Body": "a virus"}})),
            false => Saying::Json(json!({
                "HTTPResponse": {"Header": {"Link": "<https://example.com/files/12345>; rel=\"related\""}}
            })),
        }
    });
    let server = serve(of_all(&hooks));
    let client = server.client();
    let url = client.create(3).await;
    let last = client.patch(&url, 0, b"abc").await.expect(204);
    let link = last.header("Link").unwrap();
    assert_eq!(link, "<https://example.com/files/12345>; rel=\"related\"");

    let url = client
        .create_with(create(3).header("Upload-Metadata", "virus"))
        .await;
    let refused = client.patch(&url, 0, b"abc").await.expect(422);
    assert_eq!(refused.body, b"a virus");
    assert!(!server.path_of(&url).exists());
}

#[tokio::test]
async fn a_hook_server_stops_an_upload_in_its_own_words_or_those_of_tusd() {
    for (answer, status, words) in [
        (
            json!({"StopUpload": true}),
            400,
            "ERR_UPLOAD_STOPPED: upload has been stopped by server\n",
        ),
        (
            json!({"StopUpload": true, "HTTPResponse": {"StatusCode": 451, "Body": "no\n"}}),
            451,
            "no\n",
        ),
    ] {
        let hooks = only("post-receive", Saying::Json(answer));
        let webhook = of_all(&hooks);
        let server =
            Server::with(move |tus| tus.progress_interval(Duration::ZERO).hooks(webhook.clone()));
        let client = server.client();
        let url = client.create(1000).await;
        let mut writer = client.connect().await;
        let patch = Request::patch(&url, 0).body([0; 1000]);
        writer.write(patch.head_bytes()).await;
        writer.write("ab").await;
        let stopped = writer.response("PATCH").await.expect(status);
        assert_eq!(String::from_utf8_lossy(&stopped.body), words);
        hooks.first("post-terminate").await;
        client.head(&url).await.expect_any(&[404, 410]);
    }
}

#[tokio::test]
async fn a_hook_server_keeps_an_upload_from_being_removed() {
    let no =
        json!({"RejectTermination": true, "HTTPResponse": {"StatusCode": 409, "Body": "in use"}});
    let hooks = only("pre-terminate", Saying::Json(no));
    let server = serve(of_all(&hooks));
    let url = server.client().upload(b"abc").await;
    let refused = server.client().delete(&url).await.expect(409);
    assert_eq!(refused.body, b"in use");
    server.assert_stored(&url, b"abc").await;
}

#[tokio::test]
async fn a_hook_server_adds_to_the_answer_of_a_delete() {
    let yes = json!({"HTTPResponse": {"Header": {"X-Removed": "yes"}, "Body": "it is gone"}});
    let hooks = only("pre-terminate", Saying::Json(yes));
    let server = serve(of_all(&hooks));
    let client = server.client();
    let url = client.upload(b"abc").await;
    let removed = client.delete(&url).await.expect(200);
    assert_eq!(removed.body, b"it is gone");
    assert_eq!(removed.header("X-Removed"), Some("yes"));
    client.head(&url).await.expect(404);
}

#[tokio::test]
async fn what_fails_is_tried_again_and_what_is_refused_is_not() {
    for (failing, asked, status) in [
        (Saying::status(500), 3, 201),
        (Saying::status(503), 3, 201),
        (Saying::status(429), 3, 201),
        (Saying::status(404), 1, 500),
        (
            Saying::Plain(302, &[("Location", "/elsewhere")], String::new()),
            1,
            500,
        ),
        (
            Saying::Plain(307, &[("Location", "/elsewhere")], String::new()),
            1,
            500,
        ),
    ] {
        let said = failing.clone();
        let hooks = HookServer::start(move |number, _| match number {
            3 => yes(),
            _ => failing.clone(),
        });
        let server = serve(webhook(&hooks).events([Hook::PreCreate]));
        server.client().send(create(3)).await.expect(status);
        assert_eq!(hooks.asked().len(), asked, "{said:?}");
    }
}

#[tokio::test]
async fn attempts_of_one_question_have_one_id() {
    let hooks = HookServer::saying(Saying::status(500));
    let server = serve(webhook(&hooks).attempts(2));
    for _ in 0..2 {
        server.client().send(create(3)).await.expect(500);
    }
    let asked = hooks.asked();
    let ids: Vec<_> = asked
        .iter()
        .map(|asked| asked.header("webhook-id").unwrap())
        .collect();
    assert_eq!(ids.len(), 4);
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[1], ids[2]);
    assert!(ids.iter().all(|id| !id.contains('.')), "{ids:?}");
}

#[tokio::test]
async fn an_answer_that_is_not_understood_is_no_yes() {
    let long = format!("{{\"x\": \"{}\"}}", "x".repeat(5 << 10));
    for answer in [
        Saying::Plain(200, &[], "{}".to_owned()),
        Saying::Plain(200, &[("Content-Type", "text/html")], "{}".to_owned()),
        Saying::Plain(
            200,
            &[("Content-Type", "application/json")],
            "<html>".to_owned(),
        ),
        Saying::Plain(200, &[("Content-Type", "application/json")], long),
        Saying::Plain(204, &[], String::new()),
    ] {
        let said = format!("{answer:.100?}");
        let hooks = HookServer::saying(answer);
        let server = serve(webhook(&hooks).events([Hook::PreCreate]));
        let refused = server.client().send(create(3)).await.expect(500);
        assert_eq!(refused.body, b"internal server error\n", "{said}");
        assert_eq!(hooks.asked().len(), 1, "{said}");
    }
}

#[tokio::test]
async fn who_is_told_need_not_say_anything() {
    let hooks = only("post-finish", Saying::status(204));
    let mut server = serve(webhook(&hooks).events([Hook::PostFinish]));
    server.client().upload(b"abc").await;
    hooks.first("post-finish").await;
    server.restart().await;
    // It would be told again now.
    server.tus().recover().await.unwrap();
    server.restart().await;
    assert_eq!(hooks.events(), ["post-finish"]);
}

#[tokio::test]
async fn a_hook_server_that_says_nothing_is_not_waited_for_any_longer() {
    let hooks = HookServer::saying(Saying::Nothing);
    let webhook = webhook(&hooks).timeout(Duration::from_millis(50));
    let server = serve(webhook);
    server.client().send(create(3)).await.expect(500);
    assert_eq!(hooks.asked().len(), 1);
}

#[tokio::test]
async fn a_hook_server_that_is_down_refuses_creations_and_costs_no_byte() {
    let (listener, address) = listen::bind();
    drop(listener);
    let webhook = Webhook::new(format!("http://{address}/").parse().unwrap())
        .unwrap()
        .backoff(Duration::from_millis(1))
        .events([Hook::PreFinish]);
    let server = serve(webhook.clone());
    let client = server.client();
    let url = client.create(3).await;
    client.patch(&url, 0, b"abc").await.expect(500);
    client.head(&url).await.expect(500);

    // With a server that is there the client's next request finishes it.
    let hooks = HookServer::saying(yes());
    let again = self::webhook(&hooks).events([Hook::PreFinish]);
    let root = server.root().to_owned();
    drop(webhook);
    let storage = tower_tus::storage::FileStorage::open(root).unwrap();
    let site = Site::serve(TusService::new(storage).base_path("/files").hooks(again));
    assert_eq!(site.client().offset(&url).await, 3);
    server.tus().shutdown().await;
}

#[tokio::test]
async fn a_finish_is_told_again_until_it_was_heard_with_the_same_id() {
    let hooks = HookServer::start(|number, _| match number {
        1 | 2 => Saying::status(500),
        _ => yes(),
    });
    let server = serve(webhook(&hooks).events([Hook::PostFinish]).attempts(2));
    server.client().upload(b"abc").await;
    wait::until_true("two attempts", async || hooks.asked().len() == 2).await;
    wait::until_true("it is told again", async || {
        server.tus().recover().await.unwrap();
        hooks.asked().len() > 2
    })
    .await;
    let asked = hooks.asked();
    let ids: Vec<_> = asked
        .iter()
        .map(|asked| asked.header("webhook-id"))
        .collect();
    assert_eq!(ids, vec![ids[0]; ids.len()]);
}

#[tokio::test]
async fn a_slow_hook_server_holds_up_no_upload_that_does_not_ask_it() {
    let hooks = HookServer::saying(Saying::Nothing);
    let webhook = webhook(&hooks).events([Hook::PostCreate, Hook::PostReceive, Hook::PostFinish]);
    let server = Server::with(move |tus| {
        tus.progress_interval(Duration::ZERO)
            .hook_timeout(Duration::from_secs(3_600))
            .hooks(webhook.clone().timeout(Duration::from_secs(3_600)))
    });
    let data = content(1 << 20, 7);
    let url = server.client().upload(&data).await;
    server.assert_stored(&url, &data).await;
    hooks.first("post-create").await;
}

#[tokio::test]
async fn secrets_stay_unless_they_are_asked_for() {
    let request = || {
        create(3)
            .header("Authorization", "Bearer client")
            .header("Cookie", "session=client")
            .header("X-Project", "7")
    };
    let hooks = HookServer::saying(yes());
    let server = serve(webhook(&hooks).events([Hook::PreCreate]));
    server.client().send(request()).await.expect(201);
    let asked = hooks.first("pre-create").await;
    assert_eq!(asked.header("Authorization"), None);
    assert_eq!(asked.header("Cookie"), None);
    assert_eq!(asked.header("X-Project"), None);
    let told = &asked.json()["Event"]["HTTPRequest"]["Header"];
    assert_eq!(told["X-Project"], json!(["7"]));
    assert!(
        !String::from_utf8_lossy(&asked.body).contains("client"),
        "{told}"
    );

    let hooks = HookServer::saying(yes());
    let webhook = webhook(&hooks)
        .forward_headers([AUTHORIZATION, COOKIE])
        .header(AUTHORIZATION, HeaderValue::from_static("Bearer own"));
    let server = serve(webhook);
    server.client().send(request()).await.expect(201);
    let asked = hooks.first("pre-create").await;
    // One's own token is for the hook server, the client's is in the message.
    assert_eq!(asked.header("Authorization"), Some("Bearer own"));
    assert_eq!(asked.header("Cookie"), Some("session=client"));
    let told = &asked.json()["Event"]["HTTPRequest"]["Header"];
    assert_eq!(told["Authorization"], json!(["Bearer client"]));
}

#[tokio::test]
async fn messages_are_signed() {
    let hooks = HookServer::saying(yes());
    let (old, new) = (
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "a secret in plain text",
    );
    let webhook = webhook(&hooks)
        .secret(new.parse::<Secret>().unwrap())
        .secret(old.parse::<Secret>().unwrap());
    let server = serve(webhook);
    server.client().upload(b"abc").await;
    let asked = hooks.first("post-finish").await;

    let (id, timestamp) = (
        asked.header("webhook-id").unwrap(),
        asked.header("webhook-timestamp").unwrap(),
    );
    timestamp.parse::<u64>().unwrap();
    let keys = [
        new.as_bytes().to_vec(),
        BASE64_STANDARD.decode(&old["whsec_".len()..]).unwrap(),
    ];
    let signatures: Vec<_> = asked
        .header("webhook-signature")
        .unwrap()
        .split(' ')
        .collect();
    assert_eq!(signatures.len(), 2);
    for (key, signature) in keys.iter().zip(signatures) {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(&asked.body);
        let digest = BASE64_STANDARD.decode(signature.strip_prefix("v1,").unwrap());
        mac.verify_slice(&digest.unwrap()).unwrap();
    }
}

#[tokio::test]
async fn the_address_of_a_client_is_told_if_it_is_known() {
    #[derive(Clone)]
    struct FromThere<S>(S);

    impl<S: Service<http::Request<B>>, B> Service<http::Request<B>> for FromThere<S> {
        type Response = S::Response;
        type Error = S::Error;
        type Future = S::Future;

        fn poll_ready(
            &mut self,
            context: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), S::Error>> {
            self.0.poll_ready(context)
        }

        fn call(&mut self, mut request: http::Request<B>) -> S::Future {
            let peer = RemoteAddr("192.0.2.1:59395".parse().unwrap());
            request.extensions_mut().insert(peer);
            self.0.call(request)
        }
    }

    let hooks = HookServer::saying(yes());
    let tus = TusService::new(MemoryStorage::new())
        .base_path("/files")
        .hooks(webhook(&hooks));
    let site = Site::serve(tower::layer::layer_fn(FromThere).layer(tus));
    let request = create(3).header("Content-Type", OCTETS).body("abc");
    site.client().send(request).await.expect(201);
    let told = hooks.first("pre-create").await.json();
    assert_eq!(
        told["Event"]["HTTPRequest"]["RemoteAddr"],
        "192.0.2.1:59395"
    );
}
