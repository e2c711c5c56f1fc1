//! What an upload does next: decided from what happened, without doing anything.

use std::time::Duration;

use http::StatusCode;

use super::limit::{Learned, Limit};
use crate::client::{
    Error, RetryPolicy,
    error::{Kind, Refusal},
};

/// The course of one upload.
///
/// [`start`](Self::start) gives the first step; each outcome of a step gives the next, until one is
/// [`Step::Done`] or [`Step::Fail`]. Failures are counted until the server holds more bytes than ever
/// before, so that no chain of steps goes on without progress.
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
    /// In a row, without progress.
    failures: u32,
    /// In a row, without a request of this upload's that stored something.
    conflicts: u32,
    restarts: u32,
}

/// How the upload's URL is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Url {
    /// There is none yet.
    None,
    /// It was created by this upload.
    Own,
    /// A store had it: it may be stale.
    Stored,
    /// The user named it: it has to be right.
    Given,
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

/// What to do, and how long to wait before.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) pause: Duration,
    pub(crate) step: Step,
}

/// What to do.
#[derive(Debug)]
pub(crate) enum Step {
    /// Create the upload and send its `first` bytes along.
    Create { first: u64 },
    /// Ask where it stands.
    Inspect,
    /// Send bytes from `offset` on, at most `limit`, and tell the length if it is known and not told.
    Send {
        offset: u64,
        limit: u64,
        declare: bool,
    },
    /// So many bytes are stored, and that is all.
    Done(u64),
    /// It cannot go on.
    Fail(Error),
}

/// What came of a step.
#[derive(Debug)]
pub(crate) enum Event {
    /// Created, with so many bytes stored.
    Created { offset: Option<u64> },
    /// The server told where the upload stands, and its length if it knows it.
    Stands { offset: u64, length: Option<u64> },
    /// `sent` bytes were sent, and so many are stored in all; `length` if it was told.
    Stored {
        offset: Option<u64>,
        sent: u64,
        length: Option<u64>,
    },
    /// The step failed; `sent` bytes were to be sent.
    Failed { error: Error, sent: u64 },
    /// A pause is over.
    Resumed,
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
            failures: 0,
            conflicts: 0,
            restarts: 0,
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

    /// The next step. `dice` is a random number from 0 to 1.
    pub(crate) fn on(&mut self, event: Event, dice: f64) -> Plan {
        match event {
            Event::Created { offset } => {
                self.url = Url::Own;
                match (offset, self.current) {
                    // It may have taken them, or not.
                    (None, Current::Create { first: 1.. }) => self.inspect(),
                    (offset, _) => self.advance(offset.unwrap_or(0)),
                }
            }
            Event::Stands { offset, length } => self.stands(offset, length),
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
        let differs = length.is_some() && self.length.is_some() && length != self.length;
        let beyond = self.length.is_some_and(|length| offset > length);
        if differs || beyond {
            if self.url == Url::Stored {
                return self.restart(Duration::ZERO);
            }
            let here = self.length.unwrap_or_default();
            let there = length.unwrap_or(offset);
            return fail(Error::new(Kind::Source(format!(
                "has {here} bytes, and the upload on the server {there}: it is another one"
            ))));
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
            // Against the protocol, but easily asked.
            None => self.inspect(),
            Some(offset) if offset > from.saturating_add(sent) => fail(Error::protocol(format!(
                "was sent bytes {from} to {} and says that {offset} are stored",
                from.saturating_add(sent)
            ))),
            Some(offset) if offset <= from && (sent > 0 || length.is_none()) => {
                let error = Error::protocol(format!("took {sent} bytes and stored none of them"));
                self.again(error, Verdict::Retry, dice)
            }
            Some(offset) => {
                self.conflicts = 0;
                self.advance(offset)
            }
        }
    }

    /// From `offset` on.
    fn advance(&mut self, offset: u64) -> Plan {
        if offset > self.best {
            self.best = offset;
            self.failures = 0;
        }
        if self.is_whole(offset) || self.stop.is_some_and(|stop| offset >= stop) {
            return now(Step::Done(offset));
        }
        let room = self.stop.map_or(u64::MAX, |stop| stop - offset);
        self.current = Current::Send { offset };
        now(Step::Send {
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
                let plan = self.inspect();
                Plan { pause, ..plan }
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
            _ => fail(error),
        }
    }

    /// After a pause, or never.
    fn again(&mut self, error: Error, verdict: Verdict, dice: f64) -> Plan {
        self.failures += 1;
        // What became of the bytes that went with the creation is not known: not again.
        self.first = 0;
        let pause = match verdict {
            Verdict::AsUsual => self.policy.pause(&error, self.failures, dice),
            // The policy's count and pause, for what is no error by the table.
            Verdict::Retry => {
                let busy = Error::new(Kind::Status(Refusal {
                    status: StatusCode::SERVICE_UNAVAILABLE,
                    retry_after: None,
                    text: String::new(),
                }));
                self.policy.pause(&busy, self.failures, dice)
            }
        };
        let Some(pause) = pause else {
            return fail(error);
        };
        tracing::info!(%error, failures = self.failures, ?pause, "the upload goes on");
        let plan = self.start();
        Plan { pause, ..plan }
    }

    fn restart(&mut self, pause: Duration) -> Plan {
        self.url = Url::None;
        let plan = self.create();
        Plan { pause, ..plan }
    }

    fn create(&mut self) -> Plan {
        let first = std::mem::take(&mut self.first);
        self.declared = match self.length {
            Some(_) => Declared::Yes,
            None => Declared::No,
        };
        self.current = Current::Create { first };
        now(Step::Create { first })
    }

    fn inspect(&mut self) -> Plan {
        self.current = Current::Inspect;
        now(Step::Inspect)
    }
}

/// Whether the policy's table is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    AsUsual,
    Retry,
}

fn is_gone(status: StatusCode) -> bool {
    status == StatusCode::NOT_FOUND || status == StatusCode::GONE
}

fn now(step: Step) -> Plan {
    Plan {
        pause: Duration::ZERO,
        step,
    }
}

fn fail(error: Error) -> Plan {
    now(Step::Fail(error))
}

/// How often an upload that vanished is begun anew.
const RESTARTS: u32 = 3;

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
