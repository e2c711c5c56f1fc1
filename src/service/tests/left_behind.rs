//! What a crash, or another node, left behind.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    hooks::{Finish, Hook, Hooks, Rejection},
    protocol::{Concat, Kind, Length, Upload, UploadId},
    storage::AppendMode,
};

/// Lets every finish wait.
#[derive(Debug, Clone, Default)]
struct Waiting {
    asked: Arc<AtomicUsize>,
    end: CancellationToken,
}

#[async_trait]
impl Hooks for Waiting {
    fn wants(&self, hook: Hook) -> bool {
        hook == Hook::PreFinish
    }

    async fn pre_finish(&self, _: &mut Finish<'_>) -> Result<(), Rejection> {
        self.asked.fetch_add(1, Relaxed);
        self.end.cancelled().await;
        Ok(())
    }
}

/// More than are put in place at once.
const MANY: usize = 100;

#[tokio::test]
async fn nothing_that_is_whole_is_swept_before_somebody_has_tried_to_finish_it() {
    let storage = MemoryStorage::new();
    for number in 0..MANY {
        let id = format!("upload-{number}").parse().unwrap();
        let mut upload = Upload::new(id, Length::Known(3), SystemTime::now());
        upload.lifetime = Some(Duration::from_nanos(1));
        upload.version = storage.create(&upload).await.unwrap();
        let mut appender = storage
            .append(&upload, AppendMode::Streaming)
            .await
            .unwrap();
        appender.write(Bytes::from_static(b"abc")).await.unwrap();
        appender.commit().await.unwrap();
    }
    let waiting = Waiting::default();
    let tus = TusService::new(storage.clone())
        .hooks(waiting.clone())
        .sweep_every(Duration::from_millis(1));
    tus.start();
    while waiting.asked.load(Relaxed) < 64 {
        tokio::task::yield_now().await;
    }
    assert_eq!(tus.sweep().await.unwrap(), Swept::default());
    waiting.end.cancel();
    while waiting.asked.load(Relaxed) < MANY {
        tokio::task::yield_now().await;
    }
    tus.shutdown().await;
    let finished = storage.list().filter(|upload| {
        let finished = upload.as_ref().is_ok_and(Upload::is_finished);
        async move { finished }
    });
    assert_eq!(finished.count().await, MANY);
}

#[tokio::test]
async fn parts_are_kept_for_a_final_that_is_being_made_and_not_for_one_that_is_gone() {
    let tus = TusService::new(MemoryStorage::new());
    let part: UploadId = "part".parse().unwrap();
    let mut joined = Upload::new(
        "final".parse().unwrap(),
        Length::Deferred,
        SystemTime::now(),
    );
    joined.kind = Kind::Final(Concat::new("final;part", vec![part.clone()]));
    let making = tus.engine.sessions.try_claim(&joined.id);
    tus.engine.wait_for(&joined);
    tus.recover().await.unwrap();
    assert!(tus.engine.is_waited_for(&part));
    drop(making);
    tus.recover().await.unwrap();
    assert!(!tus.engine.is_waited_for(&part));
}
