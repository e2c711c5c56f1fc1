//! The command `tus` and the examples, as programs: started, spoken to over sockets, stopped.

#![allow(clippy::unwrap_used)] // a failed expectation is a failed test, in helpers too

mod doctor;
mod download;
mod examples;
mod flags;
mod h2c;
mod log;
#[cfg(unix)]
mod resume;
mod serve;
#[cfg(unix)]
mod shutdown;
mod storage;
mod support;
#[cfg(unix)]
mod terminal;
#[cfg(unix)]
mod trouble;
mod upload;
mod uploads;
