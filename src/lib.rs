#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "client")]
pub mod client;
#[cfg(doc)]
pub mod guide;
pub mod protocol;
pub mod service;
pub mod storage;

pub use service::{TusBody, TusService};
