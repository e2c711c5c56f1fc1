//! A service may outlive the runtime of a request: each worker of actix-web has one of its own.

use std::future::pending;

use tokio::{
    runtime::{Builder, Runtime},
    time,
};

use super::*;

/// Does the work in a runtime that ends with it.
fn in_a_runtime(work: impl Future<Output = ()>) {
    Runtime::new().unwrap().block_on(work);
}

async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = time::timeout(Duration::from_secs(30), waiting).await;
    waited.expect("it comes about");
}

#[test]
fn the_sweeper_starts_again_in_the_next_runtime() {
    let storage = MemoryStorage::new();
    let tus = TusService::new(storage.clone())
        .expires_after(Duration::from_millis(50))
        .sweep_every(Duration::from_millis(10));
    for _ in 0..2 {
        in_a_runtime(async {
            created(&tus, 9).await;
            until(async || storage.list().next().await.is_none()).await;
        });
    }
}

#[test]
fn what_a_runtime_has_not_told_the_next_one_tells() {
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    let tus = TusService::new(MemoryStorage::new()).on_finish(move |_| {
        let before = count.fetch_add(1, Relaxed);
        async move {
            match before {
                0 => pending().await,
                _ => Ok(()),
            }
        }
    });
    in_a_runtime(async {
        let url = created(&tus, 3).await;
        let pieces = stream::iter([Ok(Bytes::from_static(b"abc"))]);
        let response = call(&tus, patch(&url, 0, pieces)).await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        until(async || told.load(Relaxed) == 1).await;
    });
    in_a_runtime(async {
        tus.recover().await.unwrap();
        until(async || told.load(Relaxed) == 2).await;
        tus.shutdown().await;
    });
}

#[test]
fn what_a_runtime_has_not_begun_to_tell_the_next_one_tells() {
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    let tus = TusService::new(MemoryStorage::new()).on_finish(move |_| {
        count.fetch_add(1, Relaxed);
        async { Ok(()) }
    });
    // It ends as soon as there is an answer: nothing else has had a turn.
    let brief = Builder::new_current_thread().enable_all().build().unwrap();
    brief.block_on(async {
        let url = created(&tus, 3).await;
        let pieces = stream::iter([Ok(Bytes::from_static(b"abc"))]);
        let response = call(&tus, patch(&url, 0, pieces)).await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
    });
    drop(brief);
    assert_eq!(told.load(Relaxed), 0);
    in_a_runtime(async {
        tus.recover().await.unwrap();
        until(async || told.load(Relaxed) == 1).await;
    });
}
