use http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{AUTHORIZATION, HOST},
};
use tokio::io::AsyncReadExt;
use tower::BoxError;
use tower_tus::{
    client::{Body, Client, NewUpload, Proxy, RetryPolicy},
    protocol::Metadata,
};

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

/// What was typed into a URL is no part of it to anybody else.
#[tokio::test]
async fn userinfo_of_an_uploads_url_is_authorization_at_its_origin() {
    let other = Server::start().await;
    let content = bytes(2_000_000);
    let part = other.client().upload(content.clone()).stop_at(1_000_000);
    let part = part.await.unwrap();
    let to = part.url().to_string();
    let server =
        Server::disturbed(move |_, _| Some(Instead::Answer(307, vec![("location", to.clone())])))
            .await;
    let begun = other.seen().len();
    let armed = |server: &Server, path: &str| -> Uri {
        let url = format!("http://me:pass@{}{path}", server.address);
        url.parse().unwrap()
    };

    let client = server.client();
    client.inspect(&armed(&server, "/files/a")).await.unwrap();
    assert_eq!(server.seen()[0].header("authorization"), BASIC);
    assert_eq!(other.seen()[begun].header("authorization"), "");

    // Of another origin than the endpoint's, from the first request to the last.
    let url = armed(&other, part.url().path());
    let done = client.upload(content.clone()).resume_at(url.clone());
    let done = done.await.unwrap();
    assert_eq!((done.url(), done.resumed_from()), (part.url(), 1_000_000));
    let seen = other.seen();
    let with = seen
        .iter()
        .filter(|seen| seen.header("authorization") == BASIC);
    assert_eq!(with.count(), seen.len() - begun - 1);
    assert_eq!(
        client.download(&url).bytes(3_000_000).await.unwrap(),
        content
    );
    assert_eq!(other.seen().pop().unwrap().header("authorization"), BASIC);

    // A header that was set is above it, as for the endpoint's.
    let own = other
        .client()
        .header(AUTHORIZATION, HeaderValue::from_static("Own"));
    own.terminate(&url).await.unwrap();
    assert_eq!(other.seen().pop().unwrap().header("authorization"), "Own");
    let gone = client.inspect(&url).await.unwrap_err();
    assert_eq!(gone.upload_url(), Some(part.url()));
}

#[tokio::test]
async fn userinfo_from_a_server_is_dropped() {
    let server = Server::disturbed(|seen, _| match seen.path.as_str() {
        "/files" => Some(Instead::Answer(
            201,
            vec![(
                "location",
                format!("http://me:pass@{}/files/a", seen.header("host")),
            )],
        )),
        "/files/a" => Some(Instead::Answer(
            307,
            vec![(
                "location",
                format!("//me:pass@{}/files/b", seen.header("host")),
            )],
        )),
        _ => Some(Instead::Answer(
            204,
            vec![("upload-offset", "0".into()), ("upload-length", "9".into())],
        )),
    })
    .await;
    let client = server.client();
    let created = client.create(NewUpload::new(9)).await.unwrap();
    assert_eq!(
        created.url.to_string(),
        format!("http://{}/files/a", server.address)
    );
    client.inspect(&created.url).await.unwrap();
    for seen in server.seen() {
        assert_eq!(seen.header("authorization"), "", "{seen:?}");
    }
}

#[tokio::test]
async fn no_password_is_in_a_request_line_nor_in_host_nor_in_a_list_of_parts() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let through = format!("http://{}", listener.local_addr().unwrap());
    let proxy = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap()
    });
    let client = Client::new(Uri::from_static("http://up.test/files"))
        .proxy(Proxy::url(through.parse().unwrap()))
        .retry(RetryPolicy::never());
    let url = Uri::from_static("http://me:pass@up.test/files/a");
    client.inspect(&url).await.unwrap_err();
    let head = proxy.await.unwrap();
    assert!(
        head.starts_with("HEAD http://up.test/files/a HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(head.contains(BASIC), "{head}");

    let (tell, told) = std::sync::mpsc::channel();
    let service = tower::service_fn(move |request: http::Request<Body>| {
        tell.send(request.headers().clone()).unwrap();
        async { Ok::<_, BoxError>(http::Response::new(String::new())) }
    });
    let client = Client::with_service(Uri::from_static("http://localhost/files"), service);
    let client = client.retry(RetryPolicy::never());
    client
        .inspect(&Uri::from_static("http://me:pass@localhost/a"))
        .await
        .unwrap_err();
    assert_eq!(told.recv().unwrap()[HOST], "localhost");
    let parts = [
        Uri::from_static("http://me:pass@other.test/a?b"),
        Uri::from_static("http://me:pass@localhost/c"),
    ];
    client
        .concat(&parts, &Metadata::default())
        .await
        .unwrap_err();
    let sent = told.recv().unwrap();
    assert_eq!(sent["upload-concat"], "final;http://other.test/a?b /c");
    assert!(!sent.contains_key(AUTHORIZATION));
}

const BASIC: &str = "Basic bWU6cGFzcw==";
