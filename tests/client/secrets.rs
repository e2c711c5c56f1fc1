use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};
use tower_tus::client::{Client, NewUpload, Proxy};

use crate::support::{Instead, Server, bytes, quick};

const KEY: HeaderName = HeaderName::from_static("x-api-key");

fn armed(client: Client) -> Client {
    client
        .header(KEY, HeaderValue::from_static("hidden"))
        .header_source(|| async {
            Ok(HeaderMap::from_iter([(
                AUTHORIZATION,
                HeaderValue::from_static("Bearer hidden"),
            )]))
        })
}

fn is_armed(server: &Server) -> Vec<bool> {
    let seen = server.seen();
    let with = |seen: &crate::support::Seen| {
        let key = seen.headers.contains_key(KEY);
        assert_eq!(key, seen.headers.contains_key(AUTHORIZATION));
        key
    };
    seen.iter().map(with).collect()
}

#[tokio::test]
async fn credentials_do_not_follow_to_another_origin() {
    let other = Server::start().await;
    let elsewhere = other.endpoint().to_string();
    let to = elsewhere.clone();
    let server =
        Server::disturbed(move |_, _| Some(Instead::Answer(307, vec![("location", to.clone())])))
            .await;
    let client = armed(server.client());
    let content = bytes(2_000_000);
    // The content is sent again behind a redirect.
    let done = client.upload(content.clone()).await.unwrap();
    assert!(other.content(done.url()).await == content);
    client
        .create(NewUpload::new(5).content("hello"))
        .await
        .unwrap();
    assert_eq!(is_armed(&server), [true, true]);
    assert_eq!(is_armed(&other), [false, false, false]);

    let trusting = armed(server.client()).trust(&elsewhere.parse().unwrap());
    trusting.upload(bytes(2_000_000)).await.unwrap();
    assert_eq!(is_armed(&other)[3..], [true, true]);
}

#[tokio::test]
async fn redirects_that_lose_the_content_or_never_end_are_errors() {
    for status in [301, 302, 303] {
        let server = Server::disturbed(move |_, _| {
            Some(Instead::Answer(status, vec![("location", "/x".into())]))
        })
        .await;
        let error = server.client().upload(bytes(2_000_000)).await.unwrap_err();
        assert!(error.is_protocol(), "{error}");
        assert_eq!(server.methods(), "POST");
    }
    let server =
        Server::disturbed(|_, _| Some(Instead::Answer(308, vec![("location", "/files".into())])))
            .await;
    let error = server.client().upload(bytes(2_000_000)).await.unwrap_err();
    assert!(error.is_protocol(), "{error}");
    assert_eq!(server.seen().len(), 11);
}

#[tokio::test]
async fn userinfo_becomes_authorization_and_is_never_shown() {
    let server = Server::start().await;
    let endpoint = format!("http://me:pass@{}/files?sig=hidden", server.address);
    let client = Client::new(endpoint.parse().unwrap()).proxy(Proxy::none());
    let client = quick(client);
    let shown = format!("{client:?} {:?}", client.upload(bytes(1)));
    assert!(
        !shown.contains("pass") && !shown.contains("hidden"),
        "{shown}"
    );
    client.upload(bytes(10)).await.unwrap();
    let seen = server.seen();
    assert_eq!(seen[0].header("authorization"), "Basic bWU6cGFzcw==");
}

#[tokio::test]
async fn observers_see_and_change_requests() {
    let server = Server::start().await;
    let (tell, told) = std::sync::mpsc::channel();
    let client = server
        .client()
        .on_request(|request| {
            let headers = request.headers_mut();
            headers.insert(KEY, HeaderValue::from_static("late"));
        })
        .on_response(move |answer| tell.send((answer.method.clone(), answer.status)).unwrap());
    client.upload(bytes(2_000_000)).await.unwrap();
    assert!(
        server
            .seen()
            .iter()
            .all(|seen| seen.header("x-api-key") == "late")
    );
    let told: Vec<_> = told.try_iter().map(|(_, status)| status.as_u16()).collect();
    assert_eq!(told, [201, 204]);
}
