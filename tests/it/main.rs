//! The tests over the wire: one binary, a real socket, bytes that the test chooses.
//!
//! A test's name starts with the ids of the requirements it holds, so the names are the index
//! (`coverage` fails for an id that no test holds):
//!
//! - Protocol, by section of tus 1.0.0:
//!   - `core`: versions, discovery, method override (CORE)
//!   - `head`: what is told about an upload (HEAD)
//!   - `patch`: the rules by which a PATCH is taken or refused (PATCH)
//!   - `patch_body`: bodies of every size, framing and speed, and what interruptions leave (PATCH)
//!   - `creation`: POST, lengths, metadata, Location (CREA)
//!   - `creation_with_upload`: a POST with the first bytes (CWU)
//!   - `deferred_length`: uploads whose length follows later (DEF)
//!   - `expiration`: uploads that end by themselves (EXP)
//!   - `checksum`: bodies that are taken whole or not at all (CHK)
//!   - `checksum_trailer`: the same with the sum behind the body (CHK-T)
//!   - `termination`: DELETE (TERM)
//!   - `concatenation`: finals made of finished parts (CONC)
//!   - `concatenation_refused`: finals that are not made (CONC)
//!   - `concatenation_unfinished`: finals made before their parts are done (UNF)
//!   - `cors`: browsers (CORS)
//!   - `downloads`: GET (ROB-25, ROB-26, ROB-32)
//! - `interruption`: each way in which a PATCH can be cut, on each storage, in each framing
//! - `crash`: servers that are killed at any moment
//! - `concurrency`: several requests at one upload, and several servers (CCY)
//! - `robustness`: hostile and odd requests (ROB)
//! - `paths`: targets that name no upload, or name it oddly (ROB)
//! - `framing`: HTTP/1.1 itself (ROB)
//! - `faults`: storages that are full, stand still or fail
//! - `hooks`: what the application decides, and is told
//! - `hooked_joins`: the same of uploads that are joined from parts
//! - `reused`: ids that the application chooses, and that come again
//! - `stopped`: the application stops an upload while it comes
//! - `webhook`: a server over HTTP decides, and is told (feature `webhook`)
//! - `webhook_tls`: the same with a private authority
//! - `owners`: uploads that belong to somebody
//! - `owner_limits`: what each may have
//! - `events`: what happens is told, also after a crash
//! - `pitfalls`: what other servers do wrong
//! - `properties`: any way to send a file gives the file
//! - `mounting`: routers of others
//! - `middleware`: layers of others
//! - `finished`: a handler of axum that makes the last answer
//! - `actix`: what is special in actix-web
//! - `fronts`: the suites above once more, in axum and actix-web
//! - `memory`: how much of it a server needs
//! - `coverage`: every requirement has a test
//! - `support`: the server, the client, waiting

// Outside `#[test]` functions clippy does not see that this is all test code.
#![allow(clippy::unwrap_used)]

#[cfg(feature = "actix")]
mod actix;
mod checksum;
mod checksum_trailer;
mod concatenation;
mod concatenation_refused;
mod concatenation_unfinished;
mod concurrency;
mod core;
mod cors;
mod coverage;
mod crash;
mod creation;
mod creation_with_upload;
mod deferred_length;
mod downloads;
mod events;
mod expiration;
mod faults;
#[cfg(feature = "axum")]
mod finished;
mod framing;
mod fronts;
mod head;
mod hooked_joins;
mod hooks;
mod interruption;
mod layers;
#[cfg(target_os = "linux")]
mod memory;
mod middleware;
mod mounting;
mod owner_limits;
mod owners;
mod patch;
mod patch_body;
mod paths;
mod pitfalls;
mod properties;
mod reused;
mod robustness;
mod stopped;
mod support;
mod termination;
#[cfg(feature = "webhook")]
mod webhook;
#[cfg(feature = "webhook")]
mod webhook_tls;
