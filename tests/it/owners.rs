//! OWN: uploads that belong to somebody.

use tower_tus::{TusService, protocol::Owner, service::ConcatParts};

use crate::support::{Request, Server, on_each_storage_with, wait};

pub(crate) fn by_header(tus: TusService) -> TusService {
    tus.owner(|request| {
        let user = request.headers.get("x-user")?.to_str().ok()?;
        Some(Owner::from(user))
    })
}

pub(crate) fn by(user: &str, request: Request) -> Request {
    request.header("X-User", user)
}

pub(crate) fn create(user: &str, length: u64) -> Request {
    by(
        user,
        Request::create().header("Upload-Length", length.to_string()),
    )
}

#[tokio::test]
async fn to_others_an_upload_does_not_exist() {
    on_each_storage_with(by_header, async |mut server, client| {
        let url = client.create_with(create("ann", 5)).await;
        let patch = Request::patch(&url, 0).body("abc");
        client.send(by("ann", patch)).await.expect(204);
        for restarted in [false, true] {
            if restarted {
                server.restart().await;
            }
            for stranger in [Some("bob"), None] {
                let as_stranger = |request: Request| match stranger {
                    Some(user) => by(user, request),
                    None => request,
                };
                for method in ["HEAD", "GET", "DELETE"] {
                    let ask = |url| client.send(as_stranger(Request::new(method, url)));
                    let (foreign, unknown) = (ask(&url).await, ask("/files/unknown").await);
                    assert_eq!(foreign.status, 404, "{method} {stranger:?}");
                    assert_eq!(
                        (foreign.status, &foreign.body),
                        (unknown.status, &unknown.body)
                    );
                }
                let patch = Request::patch(&url, 3).body("de");
                let patched = client.send(as_stranger(patch)).await.expect(404);
                assert_eq!(patched.offset(), None);
            }
            let head = client
                .send(by("ann", Request::new("HEAD", &url)))
                .await
                .expect(200);
            assert_eq!(head.offset(), Some(3));
        }
        let patch = Request::patch(&url, 3).body("de");
        client.send(by("ann", patch)).await.expect(204);
        client
            .send(by("bob", Request::new("GET", &url)))
            .await
            .expect(404);
        let got = client
            .send(by("ann", Request::new("GET", &url)))
            .await
            .expect(200);
        assert_eq!(got.body, b"abcde");
    })
    .await;
}

#[tokio::test]
async fn nobody_joins_the_parts_of_others() {
    on_each_storage_with(by_header, async |_server, client| {
        let part = client.create_with(by("ann", Request::partial(0))).await;
        let join = |user: &str, part: &str| {
            let concat = format!("final;{part}");
            client.send(by(user, Request::create().header("Upload-Concat", concat)))
        };
        let foreign = join("bob", &part).await.expect(400);
        let unknown = join("bob", "/files/unknown").await.expect(400);
        assert_eq!(foreign.body, unknown.body);
        join("ann", &part).await.expect(201);
    })
    .await;
}

#[tokio::test]
async fn joining_removed_parts_again_tells_their_owner_of_the_same_upload() {
    let configure = |tus| by_header(tus).concat_parts(ConcatParts::Remove);
    on_each_storage_with(configure, async |_server, client| {
        let part = client.create_with(by("ann", Request::partial(3))).await;
        let patch = Request::patch(&part, 0).body("abc");
        client.send(by("ann", patch)).await.expect(204);
        let join = |user: &str| {
            let concat = format!("final;{part}");
            client.send(by(user, Request::create().header("Upload-Concat", concat)))
        };
        let first = join("ann").await.expect(201);
        wait::until_true("the part's end", async || {
            let head = by("ann", Request::new("HEAD", &part));
            client.send(head).await.status == 404
        })
        .await;
        // The answer was lost.
        let again = join("ann").await.expect(201);
        assert_eq!(again.header("Location"), first.header("Location"));
        join("bob").await.expect(400);
    })
    .await;
}

#[tokio::test]
async fn pre_create_decides_whose_an_upload_is() {
    let server = Server::with(|tus| {
        by_header(tus).on_create(|creation| {
            creation.set_owner(Some("team".into()));
            Ok(())
        })
    });
    let client = server.client();
    let url = client.create_with(create("ann", 1)).await;
    client
        .send(by("ann", Request::new("HEAD", &url)))
        .await
        .expect(404);
    client
        .send(by("team", Request::new("HEAD", &url)))
        .await
        .expect(200);
}
