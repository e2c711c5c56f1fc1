//! The words between an [`Engine`](super::engine::Engine) and what does its steps.

use std::time::Duration;

use crate::client::Error;

/// What to do, and how long to wait before.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) pause: Duration,
    pub(crate) step: Step,
}

impl Plan {
    pub(super) fn now(step: Step) -> Self {
        Self {
            pause: Duration::ZERO,
            step,
        }
    }

    pub(super) fn fail(error: Error) -> Self {
        Self::now(Step::Fail(error))
    }

    pub(super) fn after(pause: Duration, plan: Self) -> Self {
        Self { pause, ..plan }
    }
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
    /// It is made of parts that the server has not joined yet.
    Joining,
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
