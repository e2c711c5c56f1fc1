//! A handler of axum that makes the answer to a finished upload.

use axum::{
    Extension, Json, Router,
    extract::State,
    handler::{Handler, HandlerWithoutStateExt},
    http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE},
    middleware::map_response,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tower::Layer;
use tower_tus::{
    TusService,
    axum::{FinishedLayer, FinishedUpload},
    hooks::{Finish, Hooks, Rejection},
    storage::MemoryStorage,
};

use crate::support::{OCTETS, Request, Site};

#[derive(Clone)]
struct Gallery(&'static str);

#[derive(Clone)]
struct Account(u32);

async fn describe(
    State(Gallery(gallery)): State<Gallery>,
    Extension(Account(account)): Extension<Account>,
    FinishedUpload(upload): FinishedUpload,
    headers: HeaderMap,
) -> impl IntoResponse {
    let answer = json!({
        "gallery": gallery,
        "account": account,
        "bytes": upload.offset,
        "asked": headers["x-question"].to_str().unwrap(),
    });
    // The protocol's own fields are not the handler's to choose.
    ([("upload-offset", "99"), ("x-own", "yes")], Json(answer))
}

fn tus() -> TusService {
    TusService::new(MemoryStorage::new())
}

fn described() -> Site {
    let handler = describe.with_state(Gallery("holiday"));
    let uploads = FinishedLayer::new(handler).layer(tus());
    let app: Router = Router::new()
        .nest_service("/files", uploads)
        .layer(Extension(Account(7)));
    Site::serve(app)
}

fn expected(bytes: u64) -> Value {
    json!({ "gallery": "holiday", "account": 7, "bytes": bytes, "asked": "why" })
}

#[tokio::test]
async fn the_last_patch_is_answered_by_the_handler_with_the_fields_of_the_protocol() {
    let site = described();
    let client = site.client();
    let url = client.create(10).await;
    let first = client.patch(&url, 0, b"01234").await.expect(204);
    assert_eq!(first.header("X-Own"), None);
    let last = Request::patch(&url, 5)
        .header("X-Question", "why")
        .header("Origin", "https://app.example.org")
        .body("56789");
    let answer = client.send(last).await.expect(200);
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    assert_eq!(answer.header("X-Own"), Some("yes"));
    assert_eq!(answer.offset(), Some(10));
    assert_eq!(answer.header("Tus-Resumable"), Some("1.0.0"));
    assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("*"));
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(told, expected(10));
    assert_eq!(client.get(&url).await.expect(200).body, b"0123456789");
}

#[tokio::test]
async fn a_post_that_was_enough_stays_a_201_with_its_location() {
    let site = described();
    let client = site.client();
    let post = Request::create()
        .header("Upload-Length", "4")
        .header("Content-Type", OCTETS)
        .header("X-Question", "why")
        .body("data");
    let answer = client.send(post).await.expect(201);
    let url = answer.header("Location").expect("a Location").to_owned();
    assert_eq!(answer.offset(), Some(4));
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(told, expected(4));
    assert_eq!(client.get(&url).await.expect(200).body, b"data");
}

#[tokio::test]
async fn parts_are_not_reported_but_what_is_made_of_them() {
    let site = described();
    let client = site.client();
    let part = client.part(b"data").await;
    let join = Request::create()
        .header("Upload-Concat", format!("final;{part}"))
        .header("X-Question", "why");
    let answer = client.send(join).await.expect(201);
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(told, expected(4));
}

#[tokio::test]
async fn a_handler_with_nothing_to_say_leaves_the_answer_as_it_was() {
    async fn silent(_: FinishedUpload) {}

    let uploads = FinishedLayer::new(silent.into_service()).layer(tus());
    let app: Router = Router::new().nest_service("/files", uploads);
    let site = Site::serve(app);
    let client = site.client();
    let url = client.create(4).await;
    let answer = client.patch(&url, 0, b"data").await.expect(204);
    assert_eq!(answer.offset(), Some(4));
    assert_eq!(answer.header("Content-Length"), None);
}

/// Answers the last request by itself.
#[derive(Debug)]
struct Shaping;

#[async_trait::async_trait]
impl Hooks for Shaping {
    async fn pre_finish(&self, finish: &mut Finish<'_>) -> Result<(), Rejection> {
        let json = HeaderValue::from_static("application/json");
        finish.reply().headers.insert(CONTENT_TYPE, json);
        finish.reply().body = "{\"of\": \"the hook\"}".into();
        Ok(())
    }
}

#[tokio::test]
async fn a_handler_with_nothing_to_say_leaves_what_a_hook_has_said() {
    async fn silent(_: FinishedUpload) -> [(&'static str, &'static str); 1] {
        [("x-own", "yes")]
    }

    let uploads = FinishedLayer::new(silent.into_service()).layer(tus().hooks(Shaping));
    let app: Router = Router::new().nest_service("/files", uploads);
    let site = Site::serve(app);
    let client = site.client();
    let url = client.create(4).await;
    let answer = client.patch(&url, 0, b"data").await.expect(200);
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    assert_eq!(answer.body, b"{\"of\": \"the hook\"}");
    assert_eq!(answer.header("X-Own"), Some("yes"));
    assert_eq!(answer.offset(), Some(4));
}

#[tokio::test]
async fn a_handler_that_has_something_to_say_is_heard_instead_of_a_hook() {
    async fn says(_: FinishedUpload) -> &'static str {
        "of the handler"
    }

    let uploads = FinishedLayer::new(says.into_service()).layer(tus().hooks(Shaping));
    let app: Router = Router::new().nest_service("/files", uploads);
    let site = Site::serve(app);
    let client = site.client();
    let url = client.create(4).await;
    let answer = client.patch(&url, 0, b"data").await.expect(200);
    let text = Some("text/plain; charset=utf-8");
    assert_eq!(answer.header("Content-Type"), text);
    assert_eq!(answer.body, b"of the handler");
}

#[tokio::test]
async fn a_layer_around_finds_the_finished_upload_too() {
    async fn silent(_: FinishedUpload) {}

    let uploads = FinishedLayer::new(silent.into_service()).layer(tus());
    let told = map_response(async |mut answer: Response| {
        if let Some(FinishedUpload(upload)) = answer.extensions().get().cloned() {
            let offset = upload.offset.into();
            answer.headers_mut().insert("x-finished", offset);
        }
        answer
    });
    let app: Router = Router::new().nest_service("/files", uploads).layer(told);
    let site = Site::serve(app);
    let client = site.client();
    let url = client.create(4).await;
    let first = client.patch(&url, 0, b"da").await.expect(204);
    assert_eq!(first.header("X-Finished"), None);
    let last = client.patch(&url, 2, b"ta").await.expect(204);
    assert_eq!(last.header("X-Finished"), Some("4"));
}

#[tokio::test]
async fn a_refusal_of_the_handler_is_told_and_takes_nothing_back() {
    async fn refuse(_: FinishedUpload) -> (StatusCode, &'static str) {
        (StatusCode::UNPROCESSABLE_ENTITY, "no picture")
    }

    let uploads = FinishedLayer::new(refuse.into_service()).layer(tus());
    let app: Router = Router::new().nest_service("/files", uploads);
    let site = Site::serve(app);
    let client = site.client();
    let url = client.create(4).await;
    let answer = client.patch(&url, 0, b"data").await.expect(422);
    assert_eq!(answer.body, b"no picture");
    assert_eq!(answer.offset(), Some(4));
    assert_eq!(client.get(&url).await.expect(200).body, b"data");
}

#[tokio::test]
async fn without_the_layer_the_extractor_is_500() {
    async fn lost(_: FinishedUpload) {}

    let app: Router = Router::new().route("/lost", axum::routing::get(lost));
    Site::serve(app).client().get("/lost").await.expect(500);
}
