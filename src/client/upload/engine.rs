//! What an upload does next: decided from what happened, without doing anything.

use std::time::Duration;

use http::StatusCode;

use super::{
    limit::{Learned, Limit},
    steps::{Event, Plan, Step, Url},
};
use crate::client::{Error, RetryPolicy, Verdict};

/// The course of one upload.
///
/// [`start`](Self::start) gives the first step; each outcome of a step gives the next, until one is
/// [`Step::Done`] or [`Step::Fail`]. Failures are counted until the server holds more bytes than ever
/// before, and so are steps of any kind, so that no chain of them goes on without progress.
#[derive(Debug)]
pub(crate) struct Engine {
    policy: RetryPolicy,
    url: Url,
    /// Size of the whole, once known.
    length: Option<u64>,
    declared: Declared,
    /// Where to stop before the end.
    stop: Option<u64>,
    /// Bytes that may go with the creation.
    first: u64,
    limit: Limit,
    current: Current,
    /// The most that was ever stored.
    best: u64,
    /// The end of all that this upload ever sent, or found on the server at its beginning.
    reach: Option<u64>,
    /// Since the server had more than ever before.
    steps: u64,
    /// In a row, without progress.
    failures: u32,
    /// In a row, without a request of this upload's that stored something.
    conflicts: u32,
    /// How often the server was still joining parts.
    joins: u32,
    restarts: u32,
    taken: Taken,
}

/// Whether the server has said to have stored bytes of this upload's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    None,
    Some,
}

/// Whether the server knows the length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Declared {
    No,
    Yes,
}

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Current {
    Create { first: u64 },
    Inspect,
    Send { offset: u64 },
}

impl Engine {
    pub(crate) fn new(policy: RetryPolicy, url: Url, length: Option<u64>) -> Self {
        Self {
            policy,
            url,
            length,
            declared: match length {
                Some(_) => Declared::Yes,
                None => Declared::No,
            },
            stop: None,
            first: 0,
            limit: Limit::new(u64::MAX),
            current: Current::Inspect,
            best: 0,
            reach: None,
            steps: 0,
            failures: 0,
            conflicts: 0,
            joins: 0,
            restarts: 0,
            taken: Taken::None,
        }
    }

    /// Sends at most so many bytes with one request.
    pub(crate) fn limit(mut self, bytes: u64) -> Self {
        self.limit = Limit::new(bytes);
        self
    }

    /// Stops when so many bytes are stored.
    pub(crate) fn stop_at(mut self, bytes: Option<u64>) -> Self {
        self.stop = bytes;
        self
    }

    /// Sends so many bytes with the creation, if that succeeds at once.
    pub(crate) fn first(mut self, bytes: u64) -> Self {
        self.first = bytes;
        self
    }

    pub(crate) fn start(&mut self) -> Plan {
        match self.url {
            Url::None => self.create(),
            Url::Own | Url::Stored | Url::Given => self.inspect(),
        }
    }

    /// Whether that is everything, and the server knows it.
    pub(crate) fn is_whole(&self, offset: u64) -> bool {
        self.declared == Declared::Yes && self.length == Some(offset)
    }

    /// Size of the whole, once known.
    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    /// Bytes before `end` were handed to the network, whatever became of them.
    pub(crate) fn handed(&mut self, end: u64) {
        self.reach = self.reach.max(Some(end));
    }

    /// The next step. `dice` is a random number from 0 to 1.
    pub(crate) fn on(&mut self, event: Event, dice: f64) -> Plan {
        // A user may pause as often as it pleases.
        if !matches!(event, Event::Resumed) {
            self.steps += 1;
        }
        let plan = self.next(event, dice);
        let most = 4 * u64::from(self.policy.most_attempts()) + MORE_STEPS;
        match plan.step {
            Step::Done(_) | Step::Fail(_) => plan,
            _ if self.steps <= most => plan,
            _ if self.joins > 0 => Plan::fail(Error::protocol(format!(
                "was asked {most} times and has not joined the parts of the upload"
            ))),
            _ => Plan::fail(Error::protocol(format!(
                "answered {most} times and stored nothing new"
            ))),
        }
    }

    fn next(&mut self, event: Event, dice: f64) -> Plan {
        match event {
            Event::Created { offset } => {
                self.url = Url::Own;
                // Of another upload.
                self.best = 0;
                self.steps = 0;
                match (offset, self.current) {
                    // It may have taken them, or not.
                    (None, Current::Create { first: 1.. }) => self.inspect(),
                    (offset, _) => self.advance(offset.unwrap_or(0)),
                }
            }
            Event::Stands { offset, length } => self.stands(offset, length),
            Event::Joining => {
                self.joins = self.joins.saturating_add(1);
                Plan::after(self.policy.backoff(self.joins, dice), self.inspect())
            }
            Event::Stored {
                offset,
                sent,
                length,
            } => self.stored(offset, sent, length, dice),
            Event::Failed { error, sent } => self.failed(error, sent, dice),
            Event::Resumed => self.start(),
        }
    }

    fn stands(&mut self, offset: u64, length: Option<u64>) -> Plan {
        let reach = match self.url {
            // Nobody else knew of it.
            Url::None | Url::Own => self.reach.unwrap_or(0),
            // Bytes of the same content may still come in from an earlier process, until the server has
            // taken some of this upload's: that ends all who wrote before.
            Url::Given if self.taken == Taken::Some => self.reach.unwrap_or(0),
            Url::Stored | Url::Given => u64::MAX,
        };
        if offset > reach {
            return Plan::fail(Error::protocol(format!(
                "has {offset} bytes, of which only {reach} were sent: another client writes to \
                 the upload"
            )));
        }
        let differs = length.is_some() && self.length.is_some() && length != self.length;
        let beyond = self.length.is_some_and(|length| offset > length);
        if differs || beyond {
            if self.url == Url::Stored {
                return self.restart(Duration::ZERO);
            }
            let here = self.length.unwrap_or_default();
            let there = length.unwrap_or(offset);
            return Plan::fail(Error::other_content(here, there));
        }
        self.length = self.length.or(length);
        self.declared = match length {
            Some(_) => Declared::Yes,
            None => Declared::No,
        };
        self.advance(offset)
    }

    fn stored(&mut self, offset: Option<u64>, sent: u64, length: Option<u64>, dice: f64) -> Plan {
        let Current::Send { offset: from } = self.current else {
            return self.inspect();
        };
        if length.is_some() {
            self.length = length;
            self.declared = Declared::Yes;
        }
        self.limit.worked(sent);
        match offset {
            None => self.untold(sent, dice),
            Some(offset) if offset > from.saturating_add(sent) => {
                Plan::fail(Error::protocol(format!(
                    "was sent bytes {from} to {} and says that {offset} are stored",
                    from.saturating_add(sent)
                )))
            }
            Some(offset) if offset <= from && (sent > 0 || length.is_none()) => {
                let error = Error::protocol(format!("took {sent} bytes and stored none of them"));
                self.again(error, Verdict::Retry, dice)
            }
            Some(offset) => {
                self.conflicts = 0;
                self.taken = Taken::Some;
                self.handed(offset);
                self.advance(offset)
            }
        }
    }

    /// Against the protocol, but easily asked. A success only if that shows it.
    fn untold(&mut self, sent: u64, dice: f64) -> Plan {
        self.failures += 1;
        if self.failures > self.policy.most_attempts() {
            return Plan::fail(Error::protocol(format!(
                "took {sent} bytes, did not say how many are stored, and stored none of them"
            )));
        }
        let pause = match self.failures {
            1 => Duration::ZERO,
            failures => self.policy.backoff(failures - 1, dice),
        };
        Plan::after(pause, self.inspect())
    }

    /// From `offset` on.
    fn advance(&mut self, offset: u64) -> Plan {
        if offset > self.best {
            self.best = offset;
            self.failures = 0;
            self.steps = 0;
        }
        if self.is_whole(offset) || self.stop.is_some_and(|stop| offset >= stop) {
            return Plan::now(Step::Done(offset));
        }
        let room = self.stop.map_or(u64::MAX, |stop| stop - offset);
        self.current = Current::Send { offset };
        Plan::now(Step::Send {
            offset,
            limit: self.limit.bytes().min(room),
            declare: self.declared == Declared::No,
        })
    }

    fn failed(&mut self, error: Error, sent: u64, dice: f64) -> Plan {
        match (self.current, error.status()) {
            (Current::Send { .. }, Some(StatusCode::PAYLOAD_TOO_LARGE)) => {
                match self.limit.learn(sent) {
                    Learned::Smaller => self.inspect(),
                    // Not by its size, then.
                    Learned::Nothing => self.again(error, Verdict::Retry, dice),
                }
            }
            (Current::Create { first: 1.. }, Some(StatusCode::PAYLOAD_TOO_LARGE)) => {
                self.first = 0;
                self.create()
            }
            (Current::Send { .. } | Current::Inspect, Some(status)) if is_gone(status) => {
                self.gone(error, dice)
            }
            (
                Current::Send { .. } | Current::Inspect,
                Some(StatusCode::CONFLICT | StatusCode::LOCKED),
            ) if self.failures == 0 => {
                // Mostly an answer that was lost: what was sent is stored. Or bytes of a request that
                // was given up still come in: that is progress, and to run after it would be a race.
                self.failures = 1;
                let pause = match self.conflicts {
                    0 => Duration::ZERO,
                    conflicts => self.policy.backoff(conflicts, dice),
                };
                self.conflicts += 1;
                Plan::after(pause, self.inspect())
            }
            _ => self.again(error, Verdict::AsUsual, dice),
        }
    }

    /// The upload is no more.
    fn gone(&mut self, error: Error, dice: f64) -> Plan {
        match self.url {
            Url::Stored => self.restart(Duration::ZERO),
            Url::Own if self.restarts < RESTARTS => {
                self.restarts += 1;
                self.url = Url::None;
                self.again(error, Verdict::Retry, dice)
            }
            _ => Plan::fail(error),
        }
    }

    /// After a pause, or never.
    fn again(&mut self, error: Error, verdict: Verdict, dice: f64) -> Plan {
        self.failures += 1;
        // What became of the bytes that went with the creation is not known: not again.
        self.first = 0;
        let pause = self.policy.pause(&error, verdict, self.failures, dice);
        let Some(pause) = pause else {
            return Plan::fail(error);
        };
        tracing::info!(%error, failures = self.failures, ?pause, "the upload goes on");
        Plan::after(pause, self.start())
    }

    fn restart(&mut self, pause: Duration) -> Plan {
        self.url = Url::None;
        Plan::after(pause, self.create())
    }

    fn create(&mut self) -> Plan {
        let first = std::mem::take(&mut self.first);
        self.declared = match self.length {
            Some(_) => Declared::Yes,
            None => Declared::No,
        };
        self.current = Current::Create { first };
        Plan::now(Step::Create { first })
    }

    fn inspect(&mut self) -> Plan {
        self.current = Current::Inspect;
        Plan::now(Step::Inspect)
    }
}

fn is_gone(status: StatusCode) -> bool {
    status == StatusCode::NOT_FOUND || status == StatusCode::GONE
}

/// How often an upload that vanished is begun anew.
const RESTARTS: u32 = 3;

/// Steps without progress that are no failures: a limit of the server's is found in so many.
const MORE_STEPS: u64 = 64;

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
