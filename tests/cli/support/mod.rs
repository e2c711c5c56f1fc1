//! What the tests share: a running program, and HTTP/1.1 by hand.

mod client;
mod http;
mod process;
mod proxy;

pub(crate) use client::{Running, World};
pub(crate) use http::{Answer, Request, accept, connect};
pub(crate) use process::{Output, Program, tus};
pub(crate) use proxy::{Act, Proxy, Seen};

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

/// Asks until there is an answer.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Tells, past the test harness's capture, that a test did not test anything.
pub(crate) fn skipped(why: &str) {
    let _ = writeln!(io::stderr(), "\nSKIPPED: {why}\n");
}

/// Bytes that differ at every offset one could confuse.
pub(crate) fn sample(len: usize) -> Vec<u8> {
    let words = (0u32..).map(|n| n.wrapping_mul(2_654_435_761));
    let mut bytes = Vec::with_capacity(len + 4);
    for word in words.take(len.div_ceil(4)) {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
