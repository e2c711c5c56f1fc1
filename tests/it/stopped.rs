//! HOOK: the application stops an upload while it comes.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tower_tus::{
    TusService,
    hooks::{Hook, Hooks, Notice, Rejection},
};

use crate::support::{Kind, OCTETS, Recorder, Request, Server, on_each_storage_with, wait};

/// Takes no more than three bytes, and says so when it may.
#[derive(Clone, Debug, Default)]
struct Stingy {
    may_say: CancellationToken,
}

#[async_trait::async_trait]
impl Hooks for Stingy {
    fn wants(&self, hook: Hook) -> bool {
        hook == Hook::PostReceive
    }

    async fn post_receive(&self, notice: &Notice) -> Result<(), Rejection> {
        self.may_say.cancelled().await;
        match notice.upload.offset {
            ..=3 => Ok(()),
            _ => Err(Rejection::unprocessable().body("too many\n")),
        }
    }
}

fn stopped_by(
    stingy: &Stingy,
    recorder: &Recorder,
) -> impl Fn(TusService) -> TusService + Clone + Send + Sync + use<> {
    let (stingy, recorder) = (stingy.clone(), recorder.clone());
    move |tus| {
        tus.hooks(stingy.clone())
            .hooks(recorder.clone())
            .progress_interval(Duration::ZERO)
    }
}

async fn was_told(recorder: &Recorder, url: &str, hook: &str) {
    wait::until_true(hook, async || recorder.of(url).contains(&hook)).await;
}

#[tokio::test]
async fn an_upload_can_be_stopped_while_it_comes() {
    let (stingy, recorder) = (Stingy::default(), Recorder::default());
    stingy.may_say.cancel();
    on_each_storage_with(stopped_by(&stingy, &recorder), async |server, client| {
        let before = server.files();
        let url = client.create(1000).await;
        client.patch(&url, 0, b"abc").await.expect(204);
        let mut writer = client.connect().await;
        let patch = Request::patch(&url, 3).body([0; 997]);
        writer.write(patch.head_bytes()).await;
        writer.write("de").await;
        let stopped = writer.response("PATCH").await.expect(422);
        assert_eq!(stopped.body, b"too many\n");
        was_told(&recorder, &url, "post-terminate").await;
        client.head(&url).await.expect_any(&[404, 410]);
        assert_eq!(server.files(), before);
    })
    .await;
}

#[tokio::test]
async fn a_stopped_creation_leaves_nothing_behind_and_is_told_once() {
    let (stingy, recorder) = (Stingy::default(), Recorder::default());
    stingy.may_say.cancel();
    on_each_storage_with(stopped_by(&stingy, &recorder), async |server, client| {
        let before = server.files();
        let told = recorder.calls().len();
        let mut writer = client.connect().await;
        let create = Request::create()
            .header("Upload-Length", "1000")
            .header("Content-Type", OCTETS)
            .body([0; 1000]);
        writer.write(create.head_bytes()).await;
        writer.write("abcde").await;
        let stopped = writer.response("POST").await.expect(422);
        assert_eq!(stopped.body, b"too many\n");
        server.tus().shutdown().await;
        assert_eq!(server.files(), before);
        let calls = recorder.calls();
        let ends = calls[told..].iter();
        let ends = ends.filter(|call| call.hook == "post-terminate");
        assert_eq!(ends.count(), 1, "{calls:?}");
    })
    .await;
}

#[tokio::test]
async fn an_upload_is_whole_although_its_request_goes_on() {
    let (stingy, recorder) = (Stingy::default(), Recorder::default());
    stingy.may_say.cancel();
    on_each_storage_with(stopped_by(&stingy, &recorder), async |server, client| {
        let url = client.create(6).await;
        let mut writer = client.connect().await;
        let patch = Request::patch(&url, 0).chunked("abcdef", 6);
        writer.write(patch.head_bytes()).await;
        // Without the last chunk.
        writer.write("6\r\nabcdef\r\n").await;
        let answer = writer.response("PATCH").await.expect(204);
        assert_eq!(answer.offset(), Some(6));
        server.assert_stored(&url, b"abcdef").await;
    })
    .await;
}

#[tokio::test]
async fn an_upload_that_is_whole_cannot_be_stopped_any_more() {
    for kind in Kind::ALL {
        let (stingy, recorder) = (Stingy::default(), Recorder::default());
        let server = Server::start(kind, stopped_by(&stingy, &recorder));
        let url = server.client().upload(b"abcdef").await;
        stingy.may_say.cancel();
        // Which comes behind the word that is too late.
        was_told(&recorder, &url, "post-finish").await;
        server.assert_stored(&url, b"abcdef").await;
    }
}
