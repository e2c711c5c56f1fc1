//! Where file operations run.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::storage::{Error, Result};

/// Runs file operations: on the spot while the disk is quick, in the blocking pool when it is not.
///
/// A write into the page cache takes microseconds, a hop to another thread and back takes more than
/// that; but a disk that stalls (dirty-page throttling, a network file system) must not stall the
/// runtime. So each operation is timed, wherever it runs, and a moving average decides. A single
/// operation of 32 ms, or a few of some milliseconds, send all that follow to the pool, until the disk
/// has been quick for a while. The thread that was preempted once does not.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk(Arc<Pace>);

#[derive(Debug, Default)]
struct Pace {
    /// Nanoseconds. Updates may get lost between threads, which makes it no worse an average.
    average: AtomicU64,
    is_slow: AtomicBool,
}

/// From this average on the disk is slow.
const SLOW: Duration = Duration::from_millis(2);

/// Below this one it is quick again.
const QUICK: Duration = Duration::from_micros(500);

/// How many operations the average is about.
const WINDOW: u64 = 16;

impl Disk {
    /// Runs an operation that is expected to take microseconds.
    ///
    /// Once begun it goes on to its end, also when the future is dropped.
    pub(super) async fn run<T, F>(&self, operation: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T> + Send + 'static,
    {
        if !self.0.is_slow.load(Relaxed) {
            return self.0.time(operation);
        }
        let pace = Arc::clone(&self.0);
        Self::run_in_pool(move || pace.time(operation)).await
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
}

impl Pace {
    fn time<T>(&self, operation: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let result = operation();
        self.observe(begun.elapsed());
        result
    }

    fn observe(&self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX) / WINDOW;
        let before = self.average.load(Relaxed);
        let average = (before - before / WINDOW).saturating_add(took);
        self.average.store(average, Relaxed);
        let average = Duration::from_nanos(average);
        if average > SLOW {
            self.is_slow.store(true, Relaxed);
        } else if average < QUICK {
            self.is_slow.store(false, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread::{self, ThreadId};

    use super::*;

    const INSTANT: Duration = Duration::from_micros(5);

    async fn thread_of(disk: &Disk) -> ThreadId {
        disk.run(|| Ok(thread::current().id())).await.unwrap()
    }

    #[tokio::test]
    async fn a_slow_disk_is_moved_to_the_pool_and_back() {
        let (disk, here) = (Disk::default(), thread::current().id());
        assert_eq!(thread_of(&disk).await, here);

        disk.0.observe(Duration::from_millis(40));
        assert_ne!(thread_of(&disk).await, here);

        // It stays there as long as it is slow, and comes back when it is quick.
        for _ in 0..1_000 {
            disk.0.observe(Duration::from_millis(1));
        }
        assert_ne!(thread_of(&disk).await, here);
        for _ in 0..100 {
            disk.0.observe(INSTANT);
        }
        assert_eq!(thread_of(&disk).await, here);
    }

    #[tokio::test]
    async fn a_disk_that_hangs_holds_up_one_operation_and_not_the_next() {
        let (disk, here) = (Disk::default(), thread::current().id());
        let hangs = || {
            thread::sleep(Duration::from_millis(50));
            Ok(thread::current().id())
        };
        assert_eq!(disk.run(hangs).await.unwrap(), here);
        for _ in 0..5 {
            assert_ne!(disk.run(hangs).await.unwrap(), here);
        }
    }

    #[test]
    fn a_preempted_thread_is_no_slow_disk() {
        let pace = Pace::default();
        for _ in 0..100 {
            pace.observe(Duration::from_millis(8));
            (0..20).for_each(|_| pace.observe(INSTANT));
            assert!(!pace.is_slow.load(Relaxed));
        }
    }
}
