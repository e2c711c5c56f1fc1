use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

/// How far an upload is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes that are handed to the network or stored already. Falls when some have to be sent again.
    pub sent: u64,
    /// Bytes the server has acknowledged.
    pub stored: u64,
    /// Bytes in all, once that is known.
    pub total: Option<u64>,
    /// Bytes per second of late, without those that were stored before this run.
    pub rate: f64,
    /// How long the rest takes at this rate.
    pub eta: Option<Duration>,
    /// Since the upload was started.
    pub elapsed: Duration,
    /// Requests with content that succeeded.
    pub chunks: u32,
    /// Attempts that failed.
    pub retries: u32,
}

impl Progress {
    /// From 0 to 1; 0 as long as the total is not known.
    #[must_use]
    pub fn fraction(&self) -> f64 {
        match self.total {
            None => 0.0,
            Some(0) => 1.0,
            Some(total) => self.sent as f64 / total as f64,
        }
    }
}

pub(crate) type Callback = dyn Fn(&Progress) + Send + Sync;

/// Counts, and tells those who want to know, ten times per second at most.
pub(crate) struct Meter {
    started: Instant,
    sent: AtomicU64,
    stored: AtomicU64,
    /// `u64::MAX` while it is not known.
    total: AtomicU64,
    chunks: AtomicU32,
    retries: AtomicU32,
    /// Milliseconds after the start at which something may be told again.
    next: AtomicU64,
    speed: Mutex<Speed>,
    listeners: watch::Sender<Progress>,
    callback: Option<Arc<Callback>>,
}

impl Meter {
    pub(crate) fn new(callback: Option<Arc<Callback>>) -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Self {
            started: now,
            sent: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            total: AtomicU64::new(u64::MAX),
            chunks: AtomicU32::new(0),
            retries: AtomicU32::new(0),
            next: AtomicU64::new(0),
            speed: Mutex::new(Speed {
                per_second: 0.0,
                at: now,
                fresh: 0,
            }),
            listeners: watch::Sender::new(Progress::default()),
            callback,
        })
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Progress> {
        self.listeners.subscribe()
    }

    pub(crate) fn total(&self, total: Option<u64>) {
        self.total
            .store(total.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn chunk(&self) {
        self.chunks.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
        self.tell();
    }

    /// Tells whatever the time is.
    pub(crate) fn tell(&self) {
        let now = Instant::now();
        let sent = self.sent.load(Ordering::Relaxed);
        let total = Some(self.total.load(Ordering::Relaxed)).filter(|total| *total != u64::MAX);
        let rate = {
            let mut speed = self.speed.lock().unwrap_or_else(PoisonError::into_inner);
            speed.measure(now)
        };
        let left = total.map(|total| total.saturating_sub(sent) as f64);
        let progress = Progress {
            sent,
            stored: self.stored.load(Ordering::Relaxed),
            total,
            rate,
            eta: left
                .map(|left| if left == 0.0 { 0.0 } else { left / rate })
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
            elapsed: now - self.started,
            chunks: self.chunks.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
        };
        if let Some(callback) = &self.callback {
            callback(&progress);
        }
        self.listeners.send_replace(progress);
    }

    fn sent(&self, bytes: u64) {
        let mut speed = self.speed.lock().unwrap_or_else(PoisonError::into_inner);
        speed.fresh += bytes;
    }

    fn perhaps_tell(&self) {
        let now = self.started.elapsed().as_millis() as u64;
        if now >= self.next.load(Ordering::Relaxed) {
            self.next.store(now + EVERY, Ordering::Relaxed);
            self.tell();
        }
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meter")
    }
}

/// What one part adds to the whole.
#[derive(Debug)]
pub(crate) struct Share {
    meter: Arc<Meter>,
    sent: u64,
    stored: u64,
    /// The end of all bytes that were ever on their way.
    reach: Option<u64>,
}

impl Share {
    pub(crate) fn new(meter: Arc<Meter>) -> Self {
        Self {
            meter,
            sent: 0,
            stored: 0,
            reach: None,
        }
    }

    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Bytes up to `offset` of this part will be on their way at once, or are.
    pub(crate) fn handing(&mut self, offset: u64) {
        self.reach = self.reach.max(Some(offset));
    }

    /// The end of all bytes of this part that were ever on their way; `None` if there were none.
    pub(crate) fn reach(&self) -> Option<u64> {
        self.reach
    }

    /// Bytes up to `offset` of this part are on their way.
    pub(crate) fn sending(&mut self, offset: u64) {
        self.meter.sent(offset.saturating_sub(self.sent));
        moved(&self.meter.sent, &mut self.sent, offset);
        self.meter.perhaps_tell();
    }

    /// The server holds so many bytes of this part, and nothing is on its way.
    pub(crate) fn stands(&mut self, offset: u64) {
        moved(&self.meter.sent, &mut self.sent, offset);
        moved(&self.meter.stored, &mut self.stored, offset);
        self.meter.tell();
    }
}

/// Adds to a sum the difference between a summand's old and new value.
fn moved(sum: &AtomicU64, summand: &mut u64, now: u64) {
    sum.fetch_add(now.wrapping_sub(*summand), Ordering::Relaxed);
    *summand = now;
}

/// A rate that follows the last seconds.
#[derive(Debug)]
struct Speed {
    per_second: f64,
    at: Instant,
    /// Sent since `at`.
    fresh: u64,
}

impl Speed {
    fn measure(&mut self, now: Instant) -> f64 {
        let elapsed = (now - self.at).as_secs_f64();
        if elapsed > 0.02 {
            let current = self.fresh as f64 / elapsed;
            let weight = match self.per_second {
                0.0 => 1.0,
                _ => 1.0 - (-elapsed / MEMORY).exp(),
            };
            self.per_second += (current - self.per_second) * weight;
            self.at = now;
            self.fresh = 0;
        }
        self.per_second
    }
}

/// Milliseconds.
const EVERY: u64 = 100;

/// Seconds after which what was measured counts for a third.
const MEMORY: f64 = 3.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn shares_add_up_also_when_they_fall_back() {
        let meter = Meter::new(None);
        meter.total(Some(200));
        let (mut a, mut b) = (Share::new(meter.clone()), Share::new(meter.clone()));
        let progress = meter.subscribe();
        a.stands(40);
        b.sending(30);
        tokio::time::advance(Duration::from_secs(1)).await;
        a.sending(90);
        let now = *progress.borrow();
        assert_eq!((now.sent, now.stored), (120, 40));
        assert!(now.rate > 49.0 && now.eta.is_some(), "{now:?}");
        b.stands(10);
        a.stands(40);
        assert_eq!(progress.borrow().sent, 50);
    }
}
