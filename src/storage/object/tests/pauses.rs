//! What becomes of bytes while nothing comes, or when nobody goes on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use tokio::time::{Instant, sleep};

use super::*;

async fn opened(storage: &ObjectStorage, length: u64, mode: AppendMode) -> Box<dyn Appender> {
    storage.create(&draft("a", length)).await.unwrap();
    let upload = storage.load(&id("a")).await.unwrap();
    let mut appender = storage.append(&upload, mode).await.unwrap();
    appender.flush().await.unwrap();
    appender
}

/// How long it takes until another node sees so many bytes.
async fn seen_after(other: &ObjectStorage, bytes: u64) -> Duration {
    let start = Instant::now();
    while other.load(&id("a")).await.unwrap().offset < bytes {
        sleep(Duration::from_millis(100)).await;
    }
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_trickle_is_saved_ever_more_rarely_and_a_burst_at_once() {
    let simulation = s3();
    let (one, two) = (small(&simulation), small(&simulation));
    let mut appender = opened(&one, 3000 * PART, AppendMode::Streaming).await;
    let mut waits = Vec::new();
    for sent in 1..10 {
        appender.write(content(1)).await.unwrap();
        waits.push(seen_after(&two, sent).await.as_secs());
    }
    assert!(waits[0] <= 3, "{waits:?}");
    assert!(waits.is_sorted(), "{waits:?}");
    assert!((25..=32).contains(&waits[8]), "{waits:?}");
    for _ in 0..20 {
        appender.write(content(PART)).await.unwrap();
    }
    let burst = seen_after(&two, 9 + 20 * PART).await;
    assert!(burst <= Duration::from_secs(3), "{burst:?}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_slow_is_no_pause_of_the_body() {
    let simulation = s3();
    let slow = Faulty::new(simulation.clone(), |call| match call.operation {
        Operation::PutPart => Fault::pass().delayed(Duration::from_secs(5)),
        _ => Fault::pass(),
    });
    let storage = ObjectStorage::new(slow).part_size(PART).parts_in_flight(1);
    let mut appender = opened(&storage, 5 * PART, AppendMode::Streaming).await;
    simulation.reset_requests();
    appender.write(content(5 * PART)).await.unwrap();
    assert_eq!(simulation.requests().put, 0);
    assert_eq!(appender.commit().await.unwrap(), 5 * PART);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_appender_leaves_nothing_behind() {
    for mode in [AppendMode::Streaming, AppendMode::Atomic] {
        let simulation = s3();
        let started = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&started);
        let slow = Faulty::new(simulation.clone(), move |call| match call.operation {
            Operation::PutPart => {
                count.fetch_add(1, SeqCst);
                Fault::pass().delayed(Duration::from_secs(20))
            }
            _ => Fault::pass(),
        });
        let storage = ObjectStorage::new(slow).part_size(PART);
        let memory = Arc::clone(&storage.shared.memory);
        let all = memory.available_permits();
        let mut appender = opened(&storage, 40 * PART, mode).await;
        appender.write(content(3 * PART)).await.unwrap();
        while started.load(SeqCst) < 3 {
            tokio::task::yield_now().await;
        }
        assert!(memory.available_permits() < all);
        drop(appender);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(memory.available_permits(), all);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(simulation.open_sessions(), [], "{mode:?}");
        assert_eq!(simulation.loose_bytes(), 0, "{mode:?}");
        assert_eq!(storage.load(&id("a")).await.unwrap().offset, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_must_not_count_yet_goes_with_its_appender() {
    let simulation = s3();
    let storage = small(&simulation);
    let mut appender = opened(&storage, 40 * PART, AppendMode::Atomic).await;
    appender.write(content(PART - 1)).await.unwrap();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(simulation.paths().len(), 2, "a segment");
    drop(appender);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(simulation.paths().len(), 1);
}

/// Others may go on in a session that was to be named, whether that is known or not: only a few numbers are
/// still ours then.
#[tokio::test(start_paused = true)]
async fn a_body_goes_on_after_its_session_could_not_be_named() {
    let broken = Arc::new(AtomicBool::new(false));
    let is_broken = Arc::clone(&broken);
    let simulation = s3();
    let bucket = Faulty::new(simulation.clone(), move |call| match call.operation {
        Operation::Put if is_broken.load(SeqCst) => Fault::fail_before(),
        _ => Fault::pass(),
    });
    let storage = ObjectStorage::new(bucket).part_size(PART);
    let mut appender = opened(&storage, 200 * PART, AppendMode::Streaming).await;
    appender.write(content(2 * PART)).await.unwrap();
    broken.store(true, SeqCst);
    simulation.reset_requests();
    while simulation.requests().get == 0 {
        sleep(Duration::from_secs(1)).await;
    }
    sleep(Duration::from_secs(20)).await;
    broken.store(false, SeqCst);
    let rest = content(200 * PART).slice(2 * PART as usize..);
    for piece in rest.chunks(PART as usize) {
        appender.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    let upload = storage.load(&id("a")).await.unwrap();
    let (end, stage) = appender.commit_and_finish(&upload).await.unwrap();
    assert_eq!((end, stage), (200 * PART, Stage::Finished));
    let upload = storage.load(&id("a")).await.unwrap();
    assert_eq!(read(&storage, &upload).await, content(200 * PART));
}

/// A part that waits for memory has no number yet: those before it may have to be sent again.
#[tokio::test(start_paused = true)]
async fn numbers_keep_the_order_of_parts() {
    const PART: u64 = 256 << 10;
    let failures = Arc::new(AtomicU64::new(0));
    let left = Arc::clone(&failures);
    let simulation = Simulation::new().min_part(PART);
    let bucket = Faulty::new(simulation.clone(), move |call| match call.operation {
        Operation::PutPart if left.load(SeqCst) > 0 => {
            left.fetch_sub(1, SeqCst);
            Fault::fail_before().delayed(Duration::from_secs(10))
        }
        _ => Fault::pass(),
    });
    let storage = ObjectStorage::new(bucket).part_size(PART).memory(2 * PART);
    let mut appender = opened(&storage, 2 * PART, AppendMode::Atomic).await;
    failures.store(1, SeqCst);
    appender
        .write(content(2 * PART).slice(..(PART + PART / 2) as usize))
        .await
        .unwrap();
    sleep(Duration::from_secs(5)).await;
    // Somebody else uses the memory.
    let memory = Arc::clone(&storage.shared.memory);
    let others = memory.available_permits() as u64 - PART / 2;
    let others = memory.acquire_many_owned(u32::try_from(others).unwrap());
    let others = others.await.unwrap();
    appender
        .write(content(2 * PART).slice((PART + PART / 2) as usize..))
        .await
        .unwrap();
    drop(others);
    assert_eq!(appender.commit().await.unwrap(), 2 * PART);
}
