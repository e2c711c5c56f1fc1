//! The command `tus` and the examples, as programs: started, spoken to over sockets, stopped.

#![allow(clippy::unwrap_used)] // a failed expectation is a failed test, in helpers too

mod config;
#[cfg(unix)]
mod connections;
mod doctor;
mod download;
#[cfg(unix)]
mod drain;
mod examples;
mod flags;
mod h2c;
mod log;
mod metrics;
#[cfg(unix)]
mod resume;
mod serve;
#[cfg(unix)]
mod shutdown;
#[cfg(unix)]
mod sockets;
mod storage;
mod support;
#[cfg(unix)]
mod systemd;
#[cfg(unix)]
mod terminal;
mod tls;
#[cfg(unix)]
mod tokens;
#[cfg(unix)]
mod trouble;
mod upload;
mod uploads;
