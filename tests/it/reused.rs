//! HOOK: ids that the application chooses, and that come again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures::StreamExt;
use tokio_util::sync::CancellationToken;
use tower_tus::{
    TusService,
    hooks::{Creation, EventKind, Hook, Hooks, Notice, Rejection, Undelivered},
    service::ConcatParts,
};

use crate::support::{
    Kind, OCTETS, Recorder, Request, Server, base64, content, on_each_storage_with, wait,
};

/// The id is the name.
fn named(tus: TusService) -> TusService {
    tus.on_create(take_name)
}

fn take_name(creation: &mut Creation<'_>) -> Result<(), Rejection> {
    if let Some(name) = creation.upload().metadata.get_str("name") {
        let id = name.parse().map_err(|_| Rejection::bad_request())?;
        creation.set_id(id);
    }
    Ok(())
}

fn create(name: &str, length: usize) -> Request {
    Request::create()
        .header("Upload-Length", length.to_string())
        .header(
            "Upload-Metadata",
            format!("name {}", base64(name.as_bytes())),
        )
}

#[tokio::test]
async fn a_creation_that_is_taken_over_keeps_what_came() {
    on_each_storage_with(named, async |server, client| {
        let data = content(1000, 1);
        let mut creating = client.connect().await;
        let post = create("one", 1000)
            .header("Content-Type", OCTETS)
            .body(&data);
        creating.write(post.head_bytes()).await;
        creating.write(&data[..500]).await;
        wait::until_true("the first bytes", async || {
            client.head("/files/one").await.offset() == Some(500)
        })
        .await;
        client
            .patch("/files/one", 500, &data[500..])
            .await
            .expect(204);
        creating.response("POST").await.expect(201);
        server.assert_stored("/files/one", &data).await;
    })
    .await;
}

/// Waits with the first finish it is told of, and fails with others until it works.
#[derive(Clone, Debug, Default)]
struct Slow {
    told: Arc<AtomicUsize>,
    end: CancellationToken,
    works: Arc<AtomicBool>,
    recorder: Recorder,
}

#[async_trait::async_trait]
impl Hooks for Slow {
    fn wants(&self, hook: Hook) -> bool {
        matches!(hook, Hook::PreCreate | Hook::PostFinish)
    }

    async fn pre_create(&self, creation: &mut Creation<'_>) -> Result<(), Rejection> {
        take_name(creation)
    }

    async fn post_finish(&self, notice: &Notice) -> Result<(), Undelivered> {
        if self.told.fetch_add(1, SeqCst) == 0 {
            self.end.cancelled().await;
            return Ok(());
        }
        self.recorder.post_finish(notice).await?;
        match self.works.load(SeqCst) {
            true => Ok(()),
            false => Err(Undelivered::new("nobody is there")),
        }
    }
}

#[tokio::test]
async fn a_finish_is_told_although_an_earlier_one_of_the_id_is_told_late() {
    for kind in Kind::ALL {
        let slow = Slow::default();
        let hooks = slow.clone();
        let server = Server::start(kind, move |tus| tus.hooks(hooks.clone()));
        let client = server.client();
        let first = create("one", 3).header("Content-Type", OCTETS).body("abc");
        client.send(first).await.expect(201);
        wait::until_true("the hook", async || slow.told.load(SeqCst) == 1).await;
        client.delete("/files/one").await.expect(204);
        next_millisecond().await;
        client.send(create("one", 3)).await.expect(201);
        slow.end.cancel();
        client.patch("/files/one", 0, b"def").await.expect(204);
        let times = || slow.recorder.of("/files/one").len();
        wait::until_true("the second finish", async || times() == 1).await;
        slow.works.store(true, SeqCst);
        wait::until_true("the second finish, once more", async || {
            server.tus().recover().await.unwrap();
            times() > 1
        })
        .await;
    }
}

#[tokio::test]
async fn a_part_of_the_same_id_is_not_removed_for_one_that_was_joined() {
    let configure = |tus| named(tus).concat_parts(ConcatParts::Remove);
    on_each_storage_with(configure, async |server, client| {
        let mut events = server.tus().events();
        let part = |length| create("part", length).header("Upload-Concat", "partial");
        client.send(part(3)).await.expect(201);
        client.patch("/files/part", 0, b"abc").await.expect(204);
        let held = loop {
            let event = tokio::time::timeout(wait::DEADLINE, events.next()).await;
            let event = event.unwrap().unwrap().unwrap();
            if event.kind == EventKind::Finished {
                break event;
            }
        };
        let join = Request::create().header("Upload-Concat", "final;/files/part");
        client.send(join).await.expect(201);
        client.delete("/files/part").await.expect(204);
        next_millisecond().await;
        client.send(part(5)).await.expect(201);
        client.patch("/files/part", 0, b"de").await.expect(204);
        drop(held);
        server.tus().shutdown().await;
        assert_eq!(client.offset("/files/part").await, 2);
    })
    .await;
}

/// Says no to whatever has more than three bytes, late.
#[derive(Clone, Debug, Default)]
struct Late {
    asked: Arc<AtomicUsize>,
    end: CancellationToken,
}

#[async_trait::async_trait]
impl Hooks for Late {
    fn wants(&self, hook: Hook) -> bool {
        matches!(hook, Hook::PreCreate | Hook::PostReceive)
    }

    async fn pre_create(&self, creation: &mut Creation<'_>) -> Result<(), Rejection> {
        take_name(creation)
    }

    async fn post_receive(&self, notice: &Notice) -> Result<(), Rejection> {
        self.asked.fetch_add(1, SeqCst);
        self.end.cancelled().await;
        match notice.upload.offset {
            ..=3 => Ok(()),
            _ => Err(Rejection::unprocessable()),
        }
    }
}

#[tokio::test]
async fn an_upload_of_the_same_id_is_not_stopped_for_an_earlier_one() {
    for kind in Kind::ALL {
        let late = Late::default();
        let hooks = late.clone();
        let server = Server::start(kind, move |tus| {
            tus.hooks(hooks.clone()).progress_interval(Duration::ZERO)
        });
        let client = server.client();
        client.send(create("one", 100)).await.expect(201);
        client.patch("/files/one", 0, b"abcdef").await.expect(204);
        wait::until_true("the hook", async || late.asked.load(SeqCst) == 1).await;
        client.delete("/files/one").await.expect(204);
        next_millisecond().await;
        client.send(create("one", 100)).await.expect(201);
        client.patch("/files/one", 0, b"de").await.expect(204);
        late.end.cancel();
        server.tus().shutdown().await;
        assert_eq!(client.offset("/files/one").await, 2);
    }
}

/// Two uploads of one id are told apart by when they were made.
async fn next_millisecond() {
    let then = now();
    wait::until_true("the time", async || now() != then).await;
}

fn now() -> u128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("a time after 1970").as_millis()
}
