//! Attempts, and how long they may take.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use object_store::{Error, Result};
use tokio::time::{sleep, timeout};

/// How often something is tried that may be repeated.
const ATTEMPTS: u32 = 5;

/// The longest pause before the second attempt; it doubles with each, up to `CAP`.
const BASE: Duration = Duration::from_millis(100);
const CAP: Duration = Duration::from_secs(3);

/// How long a store may take for an answer, whatever it is asked.
pub(super) const ANSWER: Duration = Duration::from_secs(30);

/// How long it may take to put many parts together, or to copy an object.
pub(super) const ASSEMBLY: Duration = Duration::from_secs(300);

/// The slowest way to a store that is of any use, in bytes per second.
const SLOWEST: u64 = 256 << 10;

/// How long it may take to move that many bytes.
pub(super) fn transfer(bytes: u64) -> Duration {
    ANSWER + Duration::from_secs(bytes / SLOWEST)
}

/// Tries until there is an answer: success, or an error that would be the same next time. Pauses are
/// random up to a limit that doubles, so that many writers do not come back at the same moment.
///
/// Only for what may take effect more than once.
pub(super) async fn retry<T, F>(limit: Duration, mut attempt: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut tried = 1;
    loop {
        match once(limit, attempt()).await {
            Err(error) if is_unclear(&error) && tried < ATTEMPTS => {
                tracing::debug!(%error, tried, "the store is asked again");
            }
            answer => return answer,
        }
        sleep(pause(tried)).await;
        tried += 1;
    }
}

/// Gives up when the answer takes too long. Then the effect may have happened, or may happen yet.
pub(super) async fn once<T>(
    limit: Duration,
    attempt: impl Future<Output = Result<T>>,
) -> Result<T> {
    match timeout(limit, attempt).await {
        Ok(answer) => answer,
        Err(elapsed) => Err(Error::Generic {
            store: "bucket",
            source: Box::new(elapsed),
        }),
    }
}

/// A listing that ends with an error when its next piece takes too long.
pub(super) fn bounded<T: Send + 'static>(
    listing: BoxStream<'static, Result<T>>,
) -> BoxStream<'static, Result<T>> {
    let pieces = stream::unfold(Some(listing), |listing| async {
        let mut listing = listing?;
        match once(ANSWER, listing.try_next()).await {
            Ok(Some(piece)) => Some((Ok(piece), Some(listing))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    });
    pieces.boxed()
}

/// Whether the error leaves open what happened.
pub(super) fn is_unclear(error: &Error) -> bool {
    !matches!(
        error,
        Error::NotFound { .. }
            | Error::AlreadyExists { .. }
            | Error::Precondition { .. }
            | Error::NotModified { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. }
            | Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::InvalidPath { .. }
            | Error::UnknownConfigurationKey { .. }
    )
}

/// Before attempt `tried + 1`: anything up to a limit that doubles.
pub(super) fn pause(tried: u32) -> Duration {
    let limit = BASE
        .saturating_mul(1 << tried.saturating_sub(1).min(16))
        .min(CAP);
    // Without random numbers the pause is the longest.
    let part = random_bits().map_or(u32::MAX, |bits| (bits >> 96) as u32);
    limit.mul_f64(f64::from(part) / f64::from(u32::MAX))
}

/// Random bits; in a simulation, those that follow from its seed.
pub(super) fn random_bits() -> Result<u128, getrandom::Error> {
    #[cfg(feature = "conformance")]
    if let Some(bits) = super::simulation::seeded_bits() {
        return Ok(bits);
    }
    let mut bits = [0; 16];
    getrandom::fill(&mut bits)?;
    Ok(u128::from_ne_bytes(bits))
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        future::{pending, ready},
    };

    use super::*;

    fn unclear() -> Error {
        Error::Generic {
            store: "test",
            source: "503".into(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_unclear_answer_is_asked_for_again() {
        let asked = Cell::new(0);
        let answer = retry(ANSWER, || {
            asked.set(asked.get() + 1);
            ready(match asked.get() {
                1 | 2 => Err(unclear()),
                _ => Ok(7),
            })
        });
        assert_eq!(answer.await.unwrap(), 7);
        assert_eq!(asked.get(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clear_answer_is_taken() {
        let asked = Cell::new(0);
        let answer: Result<()> = retry(ANSWER, || {
            asked.set(asked.get() + 1);
            ready(Err(Error::NotImplemented {
                operation: "x".to_owned(),
                implementer: "y".to_owned(),
            }))
        })
        .await;
        assert!(answer.is_err());
        assert_eq!(asked.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_never_answers_is_given_up() {
        let answer: Result<()> = retry(ANSWER, pending).await;
        assert!(is_unclear(&answer.unwrap_err()));
    }

    #[test]
    fn pauses_grow_up_to_a_cap() {
        for tried in 1..40 {
            assert!(pause(tried) <= CAP);
        }
        assert!(pause(1) <= BASE);
    }
}
