//! The command `tus` and the examples, as programs: started, spoken to over sockets, stopped.

#![allow(clippy::unwrap_used)] // a failed expectation is a failed test, in helpers too

mod examples;
mod flags;
mod h2c;
mod log;
mod serve;
#[cfg(unix)]
mod shutdown;
mod storage;
mod support;
