//! Where file operations run.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use crate::storage::{Error, Result};

/// Runs file operations: on the spot while the disk is quick, in the blocking pool when it is not.
///
/// A write into the page cache takes microseconds, a hop to another thread and back takes more than
/// that; but a disk that stalls (dirty-page throttling, a network file system) must not stall the
/// runtime. So each operation is timed. One that took longer than [`SLOW`] sends all that follow to
/// the pool for a while, which doubles each time the disk is found slow again.
#[derive(Debug)]
pub(super) struct Disk {
    started: Instant,
    /// Milliseconds since `started` until which operations go to the pool.
    pool_until: AtomicU64,
    /// How long the next penalty will be, in milliseconds.
    penalty: AtomicU64,
}

/// The longest an operation may hold up a thread of the runtime before the disk counts as slow.
const SLOW: Duration = Duration::from_millis(5);
const MIN_PENALTY: u64 = 100;
const MAX_PENALTY: u64 = 30_000;

impl Disk {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            pool_until: AtomicU64::new(0),
            penalty: AtomicU64::new(MIN_PENALTY),
        }
    }

    /// Runs an operation that is expected to take microseconds.
    ///
    /// Once begun it goes on to its end, also when the future is dropped.
    pub(super) async fn run<T, F>(&self, operation: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T> + Send + 'static,
    {
        if self.now() < self.pool_until.load(Relaxed) {
            return Self::run_in_pool(operation).await;
        }
        let begun = Instant::now();
        let result = operation();
        self.observe(begun.elapsed());
        result
    }

    /// Runs an operation that may take long: it waits for the device, or moves many bytes.
    pub(super) async fn run_in_pool<T, F>(operation: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T> + Send + 'static,
    {
        match tokio::task::spawn_blocking(operation).await {
            Ok(result) => result,
            Err(error) => Err(Error::Backend(Box::new(error))),
        }
    }

    fn observe(&self, took: Duration) {
        let penalty = self.penalty.load(Relaxed);
        if took > SLOW {
            self.pool_until.store(self.now() + penalty, Relaxed);
            self.penalty.store((penalty * 2).min(MAX_PENALTY), Relaxed);
        } else if penalty > MIN_PENALTY && self.now() > self.pool_until.load(Relaxed) + penalty {
            // As long again without a stall: forgiven.
            self.penalty.store(MIN_PENALTY, Relaxed);
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    async fn thread_of(disk: &Disk) -> thread::ThreadId {
        disk.run(|| Ok(thread::current().id())).await.unwrap()
    }

    #[tokio::test]
    async fn a_slow_disk_is_moved_to_the_pool_and_back() {
        let disk = Disk::new();
        let here = thread::current().id();
        assert_eq!(thread_of(&disk).await, here);

        disk.observe(SLOW + Duration::from_millis(1));
        assert_ne!(thread_of(&disk).await, here);
        assert_eq!(disk.penalty.load(Relaxed), 2 * MIN_PENALTY);

        disk.pool_until.store(0, Relaxed);
        assert_eq!(thread_of(&disk).await, here);
    }

    #[tokio::test]
    async fn penalties_grow_up_to_a_bound() {
        let disk = Disk::new();
        for _ in 0..20 {
            disk.observe(SLOW * 2);
        }
        assert_eq!(disk.penalty.load(Relaxed), MAX_PENALTY);
    }
}
