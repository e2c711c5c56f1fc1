use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::protocol::Limits;

/// Tells bodies that bring too little for too long.
#[derive(Debug)]
pub(super) struct Stalls {
    interval: Duration,
    min_bytes: u64,
    /// When the current interval ends, and what had been taken at its begin.
    window: Option<(Instant, u64)>,
}

impl Stalls {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            interval: limits.idle_interval,
            min_bytes: limits.idle_min_bytes,
            window: None,
        }
    }

    /// Returns when an interval is over in which too little came.
    pub(super) async fn wait(&mut self, taken: u64) {
        if self.interval.is_zero() {
            return std::future::pending().await;
        }
        loop {
            let (end, before) = *self
                .window
                .get_or_insert_with(|| (Instant::now() + self.interval, taken));
            sleep_until(end).await;
            if taken - before < self.min_bytes {
                return;
            }
            self.window = None;
        }
    }
}
