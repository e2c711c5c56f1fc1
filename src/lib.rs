#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "actix")]
pub mod actix;
#[cfg(feature = "axum")]
pub mod axum;
#[cfg(feature = "client")]
pub mod client;
#[cfg(doc)]
pub mod guide;
pub mod hooks;
pub mod protocol;
pub mod service;
pub mod storage;
#[cfg(feature = "_transport")]
mod transport;

pub use service::{TusBody, TusService};
