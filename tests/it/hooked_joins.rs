//! HOOK: what the application says to uploads that are joined from parts.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tower_tus::{
    TusService,
    hooks::{EventKind, Hook, Hooks, Notice, Rejection, Undelivered},
    protocol::{Length, Limits},
    service::ConcatParts,
};

use crate::support::{Judge, Kind, Request, Server, Verdict, on_each_storage_with, wait};
use futures::StreamExt;

fn join(parts: &[&str]) -> Request {
    Request::create().header("Upload-Concat", format!("final;{}", parts.join(" ")))
}

#[tokio::test]
async fn a_creation_knows_the_length_of_parts_that_are_there() {
    let configure = |tus: TusService| {
        tus.on_create(|creation| {
            let length = match creation.upload().length {
                Length::Known(length) => length.to_string(),
                Length::Deferred => "unknown".to_owned(),
            };
            creation.reply().body = length.into();
            Ok(())
        })
    };
    on_each_storage_with(configure, async |_server, client| {
        let (first, second) = (client.part(b"abc").await, client.part(b"de").await);
        let joined = client.send(join(&[&first, &second, &first])).await;
        assert_eq!(joined.expect(201).body, b"8");
        let open = Request::deferred().header("Upload-Concat", "partial");
        let open = client.create_with(open).await;
        let joined = client.send(join(&[&first, &open])).await;
        assert_eq!(joined.expect(201).body, b"unknown");
        client.send(join(&["/files/none"])).await.expect(400);
    })
    .await;
}

#[tokio::test]
async fn a_size_that_a_hook_allows_holds_for_joined_uploads() {
    let configure = |tus: TusService| {
        tus.on_create(|creation| {
            creation.set_max_size(4);
            Ok(())
        })
    };
    on_each_storage_with(configure, async |server, client| {
        let part = client.part(b"abc").await;
        let before = server.files();
        client.send(join(&[&part, &part])).await.expect(413);
        assert_eq!(server.files(), before);
        client.send(join(&[&part])).await.expect(201);
    })
    .await;
}

#[tokio::test]
async fn a_hook_that_panics_over_a_joined_upload_is_a_500_and_leaves_nothing() {
    let judge = Judge::default();
    let judged = judge.clone();
    let configure = move |tus: TusService| tus.hooks(judged.clone());
    on_each_storage_with(configure, async |server, client| {
        judge.says(Verdict::Pass);
        let part = client.part(b"abc").await;
        let before = server.files();
        judge.says(Verdict::Panic);
        client.send(join(&[&part])).await.expect(500);
        assert_eq!(server.files(), before);
    })
    .await;
}

#[tokio::test]
async fn a_joined_upload_that_waits_for_the_application_keeps_nobody_from_writing() {
    let (judge, end) = (Judge::default(), CancellationToken::new());
    let judged = judge.clone();
    let server = Server::start(Kind::Memory, move |tus| {
        tus.hooks(judged.clone())
            .limits(Limits::default().max_writers(1))
    });
    let client = server.client();
    let part = client.part(b"abc").await;
    judge.says(Verdict::Wait(end.clone()));
    let joining = tokio::spawn(client.send(join(&[&part])));
    let asked = judge.clone();
    wait::until_true("the hook", async || asked.is_asked()).await;
    judge.says(Verdict::Pass);
    client.upload(b"as ever").await;
    assert!(!joining.is_finished());
    end.cancel();
    joining.await.unwrap().expect(201);
}

/// Cannot be told until it works.
#[derive(Clone, Debug, Default)]
struct Away {
    works: CancellationToken,
}

#[async_trait::async_trait]
impl Hooks for Away {
    fn wants(&self, hook: Hook) -> bool {
        hook == Hook::PostFinish
    }

    async fn post_finish(&self, _: &Notice) -> Result<(), Undelivered> {
        match self.works.is_cancelled() {
            true => Ok(()),
            false => Err(Undelivered::new("nobody is there")),
        }
    }
}

#[tokio::test]
async fn a_part_stays_until_its_finish_is_told() {
    for kind in Kind::ALL {
        let away = Away::default();
        let hooks = away.clone();
        let server = Server::start(kind, move |tus| {
            tus.hooks(hooks.clone()).concat_parts(ConcatParts::Remove)
        });
        let client = server.client();
        let mut events = server.tus().events();
        let part = client.part(b"abc").await;
        client.create_with(join(&[&part])).await;
        server.tus().recover().await.unwrap();
        client.head(&part).await.expect(200);

        away.works.cancel();
        server.tus().recover().await.unwrap();
        let removed = async {
            while let Some(event) = events.next().await {
                if event.expect("nothing was missed").kind == EventKind::Terminated {
                    return;
                }
            }
        };
        tokio::time::timeout(wait::DEADLINE, removed)
            .await
            .expect("the part is removed");
        client.head(&part).await.expect_any(&[404, 410]);
    }
}

#[tokio::test]
async fn a_part_that_has_expired_stays_until_its_finish_is_told() {
    let away = Away::default();
    let hooks = away.clone();
    let server = Server::start(Kind::Memory, move |tus| {
        tus.hooks(hooks.clone())
            .expires_after(Duration::from_secs(2))
    });
    let client = server.client();
    let part = client.part(b"abc").await;
    wait::until_true("the expiry", async || {
        client.head(&part).await.status == 410
    })
    .await;
    server.tus().sweep().await.unwrap();
    client.head(&part).await.expect(410);

    away.works.cancel();
    wait::until_true("the end", async || {
        server.tus().recover().await.unwrap();
        server.tus().sweep().await.unwrap();
        client.head(&part).await.status == 404
    })
    .await;
}

#[tokio::test]
async fn a_rejection_of_a_joined_upload_comes_in_its_own_words() {
    let judge = Judge::default();
    let judged = judge.clone();
    let configure = move |tus: TusService| tus.hooks(judged.clone());
    on_each_storage_with(configure, async |_server, client| {
        judge.says(Verdict::Pass);
        let part = client.part(b"abc").await;
        judge.says(Verdict::Veto(Rejection::unprocessable().body("no\n")));
        let refused = client.send(join(&[&part])).await.expect(422);
        assert_eq!(refused.body, b"no\n");
    })
    .await;
}
