//! The client against this crate's own server, over real sockets and in process.
//!
//! - `uploads`: each kind of source and setting
//! - `resuming`: what was interrupted goes on
//! - `retries`: servers that fail, refuse and fall silent
//! - `schedules`: any course of faults that ends
//! - `endpoints`: what belongs to an endpoint, and what to its users
//! - `faults`: the same over a line that cuts, stalls, delays, loses and doubles
//! - `parallel`: parts that become one
//! - `early`: answers before the body is read
//! - `handles`: pause, resume, cancel, progress
//! - `by_hand`: single operations
//! - `routes`: TLS and proxies
//! - `secrets`: where credentials go, and where not
//! - `downloads`: and their resumption
//! - `foreign`: servers that know little
//! - `types`: what is known without running anything
//! - `support`: the server, and requests that are seen

// Outside `#[test]` functions clippy does not see that this is all test code.
#![allow(clippy::unwrap_used)]

mod by_hand;
mod downloads;
mod early;
mod endpoints;
mod faults;
mod foreign;
mod handles;
mod parallel;
mod resuming;
mod retries;
mod routes;
mod schedules;
mod secrets;
mod support;
mod types;
mod uploads;
