//! The client with a line between it and the server on which everything goes wrong.
//!
//! - `schedules`: whatever happens, if it ends, the content arrives, and little is sent twice
//! - `endless`: what does not end is given up in time
//! - `restarts`: a client that is killed, and the next one that goes on
//! - `slow`: lines that are slow and do not stand still
//! - `memory`: how much of it large uploads take
//! - `proxy`: the line: sockets, and what happens on them
//! - `origin`: the server behind it
//! - `record`: what was seen on the line
//! - `wire`: as much of HTTP/1.1 as the line has to understand

mod endless;
// Where a process can be asked for its memory.
#[cfg(target_os = "linux")]
mod memory;
mod origin;
mod proxy;
mod record;
mod restarts;
mod schedules;
mod slow;
mod wire;
