use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::Instant,
};

use crate::storage;

/// Lets one look at what is stored at a time, and none for a while afterwards.
#[derive(Debug, Default)]
pub(super) struct Turn(Arc<Mutex<Option<Look>>>);

/// Whose turn it is. Dropping it lets the next one look.
#[derive(Debug)]
#[must_use]
pub(super) struct Taken(OwnedMutexGuard<Option<Look>>);

/// A look that is over.
#[derive(Debug)]
struct Look {
    ended: Instant,
    took: Duration,
}

/// What took long is done the less often: this many times as long passes before the next time.
const REST: u32 = 20;

impl Turn {
    /// Waits for whoever looks just now. `None` if somebody has lately. Cancel-safe.
    pub(super) async fn take(&self, every: Duration) -> Option<Taken> {
        Taken::if_due(Arc::clone(&self.0).lock_owned().await, every)
    }

    /// The turn, if nobody looks, nor has lately.
    pub(super) fn try_take(&self, every: Duration) -> Option<Taken> {
        Taken::if_due(Arc::clone(&self.0).try_lock_owned().ok()?, every)
    }
}

impl Taken {
    fn if_due(last: OwnedMutexGuard<Option<Look>>, every: Duration) -> Option<Self> {
        let due = last.as_ref().is_none_or(|last| last.is_old(every));
        due.then_some(Self(last))
    }

    pub(super) async fn look(mut self, look: impl Future<Output = storage::Result<()>>) {
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
        *self.0 = Some(Look { ended, took });
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
        let Some(turn) = turn.take(EVERY).await else {
            return false;
        };
        let look = async {
            sleep(took).await;
            outcome
        };
        turn.look(look).await;
        true
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_is_good_for_a_while_and_a_long_one_for_longer() {
        let turn = Turn::default();
        assert!(turn.try_take(EVERY).is_some());
        assert!(looks(&turn, Duration::ZERO, Ok(())).await);
        assert!(turn.try_take(EVERY).is_none());
        assert!(!looks(&turn, Duration::ZERO, Ok(())).await);
        advance(EVERY).await;
        assert!(turn.try_take(EVERY).is_some());
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
