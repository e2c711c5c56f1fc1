//! Object storage over servers that speak the protocols of the clouds, and with the real `tus` where
//! processes matter.
//!
//! `bash tests/object/run` starts the stores and then this. A test whose store is not there is
//! skipped.
//!
//! - `conformance`: the storage's contract, on each store
//! - `attributes`: what a finished object looks like; downloads from the bucket
//! - `two_nodes`: any number of servers on one bucket
//! - `steps`: a server that is killed at each single request to its store
//! - `crash`: servers that are killed at any moment
//! - `conditions`: a store that ignores conditions
//! - `requests`: how many of them an upload costs
//! - `store`, `node`, `cluster`, `trip`, `proxy`: what they stand on, beside the support of `tests/it`

// Outside `#[test]` functions clippy does not see that this is all test code.
#![allow(clippy::unwrap_used)]

mod attributes;
mod cluster;
mod conditions;
mod conformance;
mod crash;
mod node;
mod proxy;
mod requests;
mod steps;
mod store;
#[allow(dead_code, unused_imports, reason = "tests/it needs all of it")]
#[path = "../it/support/mod.rs"]
mod support;
mod trip;
mod two_nodes;
