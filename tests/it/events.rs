//! EVT: what has happened is told, also after a crash.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use futures::StreamExt;
use tempfile::TempDir;
use tower_tus::{
    TusService,
    hooks::{Event, EventKind, Events, Hook, Hooks, Lagged, Notice, Undelivered},
    protocol::Announcement,
    storage::{FileStorage, Storage},
};

use crate::support::{
    Client, Manner, OCTETS, Process, Recorder, Request, Server, key_of, on_each_storage,
    on_each_storage_with, wait,
};

async fn next(events: &mut Events) -> Event {
    let event = tokio::time::timeout(wait::DEADLINE, events.next()).await;
    event
        .expect("an event")
        .expect("the service goes on")
        .expect("nothing was missed")
}

/// The next event of this kind.
async fn next_of(events: &mut Events, kind: EventKind) -> Event {
    loop {
        let event = next(events).await;
        if event.kind == kind {
            return event;
        }
    }
}

#[tokio::test]
async fn a_subscriber_sees_lives_from_begin_to_end() {
    let configure = |tus: TusService| tus.progress_interval(Duration::ZERO);
    on_each_storage_with(configure, async |server, client| {
        let mut events = server.tus().events();
        let create = Request::create()
            .header("Upload-Length", "3")
            .header("Content-Type", OCTETS)
            .body("abc");
        let url = client.create_with(create).await;
        client.delete(&url).await.expect(204);
        for kind in [
            EventKind::Created,
            EventKind::Progress,
            EventKind::Finished,
            EventKind::Terminated,
        ] {
            let event = next(&mut events).await;
            assert_eq!((event.kind, event.upload.id.as_str()), (kind, key_of(&url)));
            assert!(event.id.as_str().contains(kind.name()));
        }
    })
    .await;
}

#[tokio::test]
async fn a_subscriber_is_told_what_expires() {
    let configure = |tus: TusService| tus.expires_after(Duration::from_millis(1));
    on_each_storage_with(configure, async |server, client| {
        let mut events = server.tus().events();
        let stale = client.create(3).await;
        wait::until_true("the sweep", async || {
            server.tus().sweep().await.unwrap();
            client.head(&stale).await.status == 404
        })
        .await;
        let event = next_of(&mut events, EventKind::Expired).await;
        assert_eq!(event.upload.id.as_str(), key_of(&stale));
    })
    .await;
}

#[tokio::test]
async fn a_subscriber_that_sleeps_slows_nobody_and_is_told_what_it_missed() {
    let server = Server::memory();
    let client = server.client();
    let mut events = server.tus().events();
    for _ in 0..1_030 {
        client.create(1).await;
    }
    assert_eq!(events.next().await.unwrap().unwrap_err(), Lagged(6));
    assert_eq!(next(&mut events).await.kind, EventKind::Created);
}

#[tokio::test]
async fn a_finish_that_was_dealt_with_is_not_told_again_and_any_other_is() {
    on_each_storage(async |mut server, client| {
        let mut events = server.tus().events();
        let url = client.upload(b"abc").await;
        let held = next_of(&mut events, EventKind::Finished).await;
        server.crash();

        let mut events = server.tus().events();
        server.tus().recover().await.unwrap();
        let again = next_of(&mut events, EventKind::Finished).await;
        assert_eq!((&again.id, &again.upload.id), (&held.id, &held.upload.id));
        assert_eq!(again.upload.id.as_str(), key_of(&url));
        // While somebody is at it, it is told to nobody else.
        server.tus().recover().await.unwrap();
        drop(again);
        server.tus().shutdown().await;
        server.crash();

        let mut events = server.tus().events();
        server.tus().recover().await.unwrap();
        let other = client.upload(b"def").await;
        let event = next_of(&mut events, EventKind::Finished).await;
        assert_eq!(event.upload.id.as_str(), key_of(&other));
    })
    .await;
}

#[tokio::test]
async fn whoever_holds_an_event_holds_up_no_hook() {
    let recorder = Recorder::default();
    let recorded = recorder.clone();
    on_each_storage_with(
        move |tus| tus.hooks(recorded.clone()),
        async |server, client| {
            let mut events = server.tus().events();
            let url = client.upload(b"abc").await;
            let held = next_of(&mut events, EventKind::Finished).await;
            client.delete(&url).await.expect(204);
            wait::until_true("the last hook", async || {
                recorder.of(&url).contains(&"post-terminate")
            })
            .await;
            drop(held);
        },
    )
    .await;
}

/// Fails until it is told not to.
#[derive(Clone, Debug, Default)]
struct Flaky {
    works: Arc<AtomicBool>,
    recorder: Recorder,
}

#[async_trait::async_trait]
impl Hooks for Flaky {
    fn wants(&self, hook: Hook) -> bool {
        hook == Hook::PostFinish
    }

    async fn post_finish(&self, notice: &Notice) -> Result<(), Undelivered> {
        self.recorder.post_finish(notice).await?;
        match self.works.load(SeqCst) {
            true => Ok(()),
            false => Err(Undelivered::new("nobody is there")),
        }
    }
}

#[tokio::test]
async fn a_finish_that_was_not_delivered_is_told_again_until_it_is() {
    let flaky = Flaky::default();
    let hooks = flaky.clone();
    let configure = move |tus: TusService| tus.hooks(hooks.clone());
    on_each_storage_with(configure, async |mut server, client| {
        flaky.works.store(false, SeqCst);
        let url = client.upload(b"abc").await;
        let told = || {
            let calls = flaky.recorder.calls().into_iter();
            calls
                .filter(|call| call.id == key_of(&url))
                .collect::<Vec<_>>()
        };
        wait::until_true("the first try", async || !told().is_empty()).await;
        server.restart().await;
        let before = told().len();
        server.tus().recover().await.unwrap();
        wait::until_true("the second try", async || told().len() > before).await;

        flaky.works.store(true, SeqCst);
        server.restart().await;
        server.tus().recover().await.unwrap();
        server.restart().await;
        let delivered = told();
        // All were the same event, and now that it is delivered there will be no more.
        assert!(
            delivered
                .iter()
                .all(|call| call.event == delivered[0].event)
        );
        server.tus().recover().await.unwrap();
        server.restart().await;
        assert_eq!(told().len(), delivered.len());
    })
    .await;
}

#[tokio::test]
async fn without_anybody_to_tell_nothing_is_marked() {
    let directory = TempDir::new().unwrap();
    let storage = FileStorage::open(directory.path()).unwrap();
    let site = crate::support::Site::serve(TusService::new(storage.clone()).base_path("/files"));
    let url = site.client().upload(b"abc").await;
    let upload = storage.load(&key_of(&url).parse().unwrap()).await.unwrap();
    assert_eq!(upload.announcement, Announcement::None);
}

/// A process that dies in the middle of telling, at once or by being killed.
async fn is_told_by_the_next_process(manner: Manner) {
    let (root, log) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let log = log.path().join("log");
    let mut first = Process::announcing(root.path(), &log, manner);
    let url = first.client().create(3).await;
    // The process may die before it answers.
    let patch = Request::patch(&url, 0).body("abc");
    let sent = tokio::spawn(first.client().attempt(patch));
    wait::until_true("the hook", async || lines(&log).len() == 1).await;
    first.kill();
    let _ = sent.await;
    let mark = announcement(root.path(), &url).await;
    assert_eq!(mark, Announcement::Due);

    let second = Process::announcing(root.path(), &log, Manner::Tell);
    // Whatever comes first starts what runs in the background.
    second
        .client()
        .options("/files")
        .await
        .expect_any(&[200, 204]);
    wait::until_true("the next process", async || lines(&log).len() >= 2).await;
    let told = lines(&log);
    assert!(told[0].starts_with(key_of(&url)), "{told:?}");
    assert!(told.iter().all(|line| *line == told[0]), "{told:?}");
    assert_stored(second.client(), &url).await;
    wait::until_true("the mark", async || {
        announcement(root.path(), &url).await == Announcement::None
    })
    .await;
}

async fn assert_stored(client: Client, url: &str) {
    assert_eq!(client.get(url).await.expect(200).body, b"abc");
}

async fn announcement(root: &Path, url: &str) -> Announcement {
    let storage = FileStorage::open(root).unwrap();
    let upload = storage.load(&key_of(url).parse().unwrap()).await.unwrap();
    assert!(upload.is_finished());
    upload.announcement
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_finish_is_told_if_the_process_is_killed_while_it_tells() {
    is_told_by_the_next_process(Manner::Hang).await;
}

#[tokio::test]
async fn a_finish_is_told_if_the_process_dies_before_it_has() {
    is_told_by_the_next_process(Manner::Die).await;
}
