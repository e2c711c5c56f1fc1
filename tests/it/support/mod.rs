//! What every test stands on: a server on a real socket, a client that chooses its own bytes, and
//! waiting without sleeping.
//!
//! A data-moving test runs on each storage:
//!
//! ```ignore
//! #[tokio::test]
//! async fn patch_02_offsets_add_up() {
//!     on_each_storage(async |server, client| {
//!         let url = client.create(10).await;
//!         client.patch(&url, 0, b"01234").await.expect(204);
//!         client.patch(&url, 5, b"56789").await.expect(204);
//!         server.assert_stored(&url, b"0123456789").await;
//!     })
//!     .await;
//! }
//! ```

mod client;
mod connection;
mod content;
pub(crate) mod crash;
mod faulty;
mod front;
#[cfg(feature = "webhook")]
mod hook_server;
mod hooks;
pub(crate) mod listen;
mod place;
pub(crate) mod process;
mod random;
mod request;
mod response;
mod server;
mod site;
pub(crate) mod wait;

pub(crate) use client::Client;
pub(crate) use connection::Connection;
pub(crate) use content::{base64, content, sha1};
pub(crate) use faulty::{Faults, Faulty};
pub(crate) use front::{FRONT, Front};
#[cfg(feature = "webhook")]
pub(crate) use hook_server::{Asked, HookServer, Saying};
pub(crate) use hooks::{Judge, Recorder, Verdict};
pub(crate) use place::{Kind, Place, key_of};
pub(crate) use process::{Manner, Process};
pub(crate) use random::Random;
pub(crate) use request::{OCTETS, Request};
pub(crate) use response::Response;
pub(crate) use server::{Server, on_each_storage, on_each_storage_with};
pub(crate) use site::Site;
