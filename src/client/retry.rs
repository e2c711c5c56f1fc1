use std::{fmt, sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{Client, Error};

/// How often and after which pauses what failed is tried again.
///
/// Attempts are counted while nothing new is stored: each byte the server holds beyond all it held
/// before starts the count anew. A line that breaks every minute does not end an upload; a server that
/// refuses does.
///
/// Pauses grow exponentially and are random ("full jitter"): of the n-th failure at most `first · 2ⁿ`
/// and never more than the cap. A `Retry-After` of the server is waited out, up to five minutes.
///
/// ```
/// use std::time::Duration;
/// use tower_tus::client::{RetryPolicy, Verdict};
///
/// let policy = RetryPolicy::default()
///     .attempts(5)
///     .first_pause(Duration::from_millis(200))
///     .max_pause(Duration::from_secs(10))
///     .judge(|error, _attempt| match error.status() {
///         Some(status) if status == 403 => Verdict::Retry,
///         _ => Verdict::AsUsual,
///     });
/// ```
#[derive(Clone)]
#[must_use = "a policy does nothing until it is set"]
pub struct RetryPolicy {
    attempts: u32,
    first: Duration,
    cap: Duration,
    judge: Option<Arc<Judge>>,
}

type Judge = dyn Fn(&Error, u32) -> Verdict + Send + Sync;

/// What is to be done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// What [`Error::is_retryable`] says. What does not say so is tried again all the same where that is
    /// known to help: an upload of this run's that vanished, a request of which nothing was stored.
    AsUsual,
    /// Try again, as long as attempts are left.
    Retry,
    /// End the upload with this error.
    GiveUp,
}

impl RetryPolicy {
    /// No second attempt.
    pub fn never() -> Self {
        Self::default().attempts(1)
    }

    /// How many times in a row something is tried without progress, the first time included.
    /// Default: 10. At least 1.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// Longest pause after the first failure. Default: 500 ms.
    pub fn first_pause(mut self, pause: Duration) -> Self {
        self.first = pause;
        self
    }

    /// Longest pause, whatever the number of failures. Default: 60 s.
    pub fn max_pause(mut self, pause: Duration) -> Self {
        self.cap = pause;
        self
    }

    /// Asked about each failure with the number of attempts made so far. Default: none.
    pub fn judge(mut self, judge: impl Fn(&Error, u32) -> Verdict + Send + Sync + 'static) -> Self {
        self.judge = Some(Arc::new(judge));
        self
    }

    /// See [`attempts`](Self::attempts).
    pub(crate) fn most_attempts(&self) -> u32 {
        self.attempts
    }

    /// The pause after `failures` failures in a row, of which `error` is the last; `None` to give up.
    /// `usual` is what to do unless the judge says otherwise. `dice` is a random number from 0 to 1.
    pub(crate) fn pause(
        &self,
        error: &Error,
        usual: Verdict,
        failures: u32,
        dice: f64,
    ) -> Option<Duration> {
        let judged = match &self.judge {
            Some(judge) => judge(error, failures),
            None => Verdict::AsUsual,
        };
        let verdict = match judged {
            Verdict::AsUsual => usual,
            judged => judged,
        };
        let retry = match verdict {
            Verdict::AsUsual => error.is_retryable(),
            Verdict::Retry => true,
            Verdict::GiveUp => false,
        };
        if !retry || failures >= self.attempts {
            return None;
        }
        let asked = error.retry_after().unwrap_or_default().min(LONGEST_ASKED);
        Some(asked.max(self.backoff(failures, dice)))
    }

    /// The pause after so many failures of whatever kind.
    pub(crate) fn backoff(&self, failures: u32, dice: f64) -> Duration {
        let doubled = 2u32.saturating_pow(failures.saturating_sub(1));
        let longest = self.first.saturating_mul(doubled).min(self.cap);
        longest.mul_f64(dice.clamp(0.0, 1.0))
    }
}

/// Counts the failures of something that may be done twice.
pub(crate) struct Retries<'c> {
    policy: &'c RetryPolicy,
    failures: u32,
}

impl Client {
    pub(crate) fn retries(&self) -> Retries<'_> {
        Retries {
            policy: &self.config().retry,
            failures: 0,
        }
    }
}

impl Retries<'_> {
    /// How often it failed so far.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// Waits until it may be tried again; the error if it may not.
    pub(crate) async fn after(&mut self, error: Error) -> Result<(), Error> {
        self.failures += 1;
        let Some(pause) = self
            .policy
            .pause(&error, Verdict::AsUsual, self.failures, dice())
        else {
            return Err(error);
        };
        tracing::info!(%error, failures = self.failures, ?pause, "trying again");
        sleep(pause).await;
        Ok(())
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 10,
            first: Duration::from_millis(500),
            cap: Duration::from_secs(60),
            judge: None,
        }
    }
}

impl fmt::Debug for RetryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryPolicy")
            .field("attempts", &self.attempts)
            .field("first", &self.first)
            .field("cap", &self.cap)
            .field("judge", &self.judge.is_some())
            .finish()
    }
}

/// A random number from 0 to 1.
pub(crate) fn dice() -> f64 {
    // Without randomness all clients wait the longest pause, which is no harm.
    getrandom::u32().map_or(1.0, |number| f64::from(number) / f64::from(u32::MAX))
}

/// A server that asks for more is tried sooner: the time may be a mistake.
const LONGEST_ASKED: Duration = Duration::from_secs(5 * 60);

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::client::error::{Kind, Refusal};

    fn refused(status: StatusCode, seconds: Option<u64>) -> Error {
        Error::new(Kind::Status(Refusal {
            status,
            retry_after: seconds.map(Duration::from_secs),
            text: String::new(),
        }))
    }

    #[test]
    fn pauses_double_up_to_the_cap() {
        let policy = RetryPolicy::default();
        let error = Error::new(Kind::Interrupted);
        let pauses: Vec<_> = (1..10)
            .map(|n| {
                policy
                    .pause(&error, Verdict::AsUsual, n, 1.0)
                    .unwrap()
                    .as_millis()
            })
            .collect();
        assert_eq!(
            pauses,
            [500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000]
        );
        assert_eq!(policy.pause(&error, Verdict::AsUsual, 10, 1.0), None);
        assert_eq!(
            policy.pause(&error, Verdict::AsUsual, 3, 0.0),
            Some(Duration::ZERO)
        );
    }

    #[test]
    fn retry_after_is_waited_out_within_reason() {
        let policy = RetryPolicy::default();
        for (asked, waited) in [(7, 7), (1_000_000, 300)] {
            let error = refused(StatusCode::SERVICE_UNAVAILABLE, Some(asked));
            let pause = policy.pause(&error, Verdict::AsUsual, 1, 1.0);
            assert_eq!(pause, Some(Duration::from_secs(waited)));
        }
    }

    #[test]
    fn the_judge_is_above_the_table() {
        let forbidden = refused(StatusCode::FORBIDDEN, None);
        let policy = RetryPolicy::default();
        assert_eq!(policy.pause(&forbidden, Verdict::AsUsual, 1, 0.0), None);
        let stubborn = policy.clone().judge(|_, _| Verdict::Retry);
        assert!(
            stubborn
                .pause(&forbidden, Verdict::AsUsual, 1, 0.0)
                .is_some()
        );
        assert!(
            stubborn
                .pause(&forbidden, Verdict::AsUsual, 10, 0.0)
                .is_none()
        );
        let meek = policy.judge(|_, _| Verdict::GiveUp);
        assert!(
            meek.pause(&Error::new(Kind::Interrupted), Verdict::Retry, 1, 0.0)
                .is_none()
        );
    }
}
