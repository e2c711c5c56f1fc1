//! The client against foreign tus servers.
//!
//! `bash tests/client_interop/run` starts the servers and then this. A test whose server is not there is
//! skipped.
//!
//! - `uploads`: each way to upload, as far as the server offers it
//! - `interruption`: cut connections, and processes that are killed
//! - `server`, `proxy`: what they stand on

// Outside `#[test]` functions clippy does not see that this is all test code.
#![allow(clippy::unwrap_used)]

mod interruption;
mod proxy;
mod server;
mod uploads;
