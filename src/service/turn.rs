use std::time::Duration;

use tokio::{sync::Mutex, time::Instant};

use crate::storage;

/// Lets one look at what is stored at a time, and none for a while afterwards.
#[derive(Debug, Default)]
pub(super) struct Turn(Mutex<Option<Look>>);

/// A look that is over.
#[derive(Debug)]
struct Look {
    ended: Instant,
    took: Duration,
}

/// What took long is done the less often: this many times as long passes before the next time.
const REST: u32 = 20;

impl Turn {
    /// Looks, unless somebody has lately. Waits for whoever does just now.
    pub(super) async fn take(
        &self,
        every: Duration,
        look: impl Future<Output = storage::Result<()>>,
    ) {
        let mut last = self.0.lock().await;
        if last.as_ref().is_some_and(|last| !last.is_old(every)) {
            return;
        }
        let began = Instant::now();
        let looked = look.await;
        let ended = Instant::now();
        let took = match looked {
            Ok(()) => ended - began,
            Err(error) => {
                tracing::error!(%error, "the uploads of owners cannot be counted");
                Duration::ZERO
            }
        };
        *last = Some(Look { ended, took });
    }

    /// Whether nobody looks, nor has lately.
    pub(super) fn is_due(&self, every: Duration) -> bool {
        let last = self.0.try_lock();
        last.is_ok_and(|last| last.as_ref().is_none_or(|last| last.is_old(every)))
    }
}

impl Look {
    fn is_old(&self, every: Duration) -> bool {
        self.ended.elapsed() >= every.max(self.took * REST)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep};

    use super::*;

    const EVERY: Duration = Duration::from_secs(10);

    /// Whether there was a look.
    async fn looks(turn: &Turn, took: Duration, outcome: storage::Result<()>) -> bool {
        let mut looked = false;
        let look = async {
            looked = true;
            sleep(took).await;
            outcome
        };
        turn.take(EVERY, look).await;
        looked
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_is_good_for_a_while_and_a_long_one_for_longer() {
        let turn = Turn::default();
        assert!(turn.is_due(EVERY));
        assert!(looks(&turn, Duration::ZERO, Ok(())).await);
        assert!(!turn.is_due(EVERY));
        assert!(!looks(&turn, Duration::ZERO, Ok(())).await);
        advance(EVERY).await;
        assert!(turn.is_due(EVERY));
        assert!(looks(&turn, Duration::from_secs(1), Ok(())).await);
        advance(EVERY).await;
        assert!(!looks(&turn, Duration::ZERO, Ok(())).await);
        advance(EVERY).await;
        assert!(looks(&turn, Duration::ZERO, Ok(())).await);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_failed_is_tried_again_soon() {
        let turn = Turn::default();
        let failure = storage::Error::TooLong(0);
        assert!(looks(&turn, Duration::from_secs(60), Err(failure)).await);
        assert!(!looks(&turn, Duration::ZERO, Ok(())).await);
        advance(EVERY).await;
        assert!(looks(&turn, Duration::ZERO, Ok(())).await);
    }
}
