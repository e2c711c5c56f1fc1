use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// The most that is sent in a second. Clones are one limit, shared by all who have one.
///
/// After a pause up to a quarter of a second's bytes go at once.
#[derive(Debug, Clone)]
pub struct RateLimit {
    bucket: Arc<Mutex<Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    per_second: u64,
    /// When what was taken so far is paid for. Before now: there is something to spare.
    paid: Option<Instant>,
}

impl RateLimit {
    /// At most this many bytes per second. At least 1.
    #[must_use]
    pub fn per_second(bytes: u64) -> Self {
        Self {
            bucket: Arc::new(Mutex::new(Bucket {
                per_second: bytes.max(1),
                paid: None,
            })),
        }
    }

    /// Another limit for all who share this one, from their next piece on.
    pub fn set(&self, bytes_per_second: u64) {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.per_second = bytes_per_second.max(1);
    }

    /// The size of a piece that goes at once: a tenth of a second's.
    pub(crate) fn piece(&self) -> u64 {
        let bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        (bucket.per_second / 10).max(1)
    }

    /// Waits until `bytes` may be sent. Cancelled, they are paid for all the same.
    pub(crate) async fn take(&self, bytes: u64) {
        let until = {
            let now = Instant::now();
            let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
            bucket.take(bytes, now)
        };
        sleep_until(until).await;
    }
}

impl Bucket {
    /// When `bytes` may go.
    fn take(&mut self, bytes: u64, now: Instant) -> Instant {
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let from = self.paid.map_or(earliest, |paid| paid.max(earliest));
        let cost = Duration::from_secs_f64(bytes as f64 / self.per_second as f64);
        let paid = from + cost;
        self.paid = Some(paid);
        paid
    }
}

const BURST: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn those_who_share_a_limit_send_no_more_than_it() {
        let limit = RateLimit::per_second(1000);
        let start = Instant::now();
        let send = |limit: RateLimit| async move {
            for _ in 0..50 {
                limit.take(100).await;
            }
        };
        tokio::join!(send(limit.clone()), send(limit.clone()));
        let elapsed = start.elapsed();
        assert!(elapsed >= Duration::from_millis(9_750), "{elapsed:?}");
        assert!(elapsed <= Duration::from_millis(10_100), "{elapsed:?}");
    }
}
