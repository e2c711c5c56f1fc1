//! Guides: what takes more than a sentence beside a function.
//!
//! | | |
//! |---|---|
//! | [`proxies`] | what nginx, Caddy, HAProxy, Cloudflare and load balancers do to uploads, and what to tell them |
//! | [`production`] | what to look at before others depend on it |
//! | [`security`] | what is promised, and what is left to the application |
//! | [`storage`] | uploads in a place of your own |
//! | [`from_tusd`] | flag by flag |
//! | [`from_rustus`] | flag by flag |
//!
//! What is in a bucket, the command and its flags, tusd's hooks and the way from other clients are in the
//! repository's `docs/`.

#[doc = include_str!("docs/from_rustus.md")]
pub mod from_rustus {}

#[doc = include_str!("docs/from_tusd.md")]
pub mod from_tusd {}

#[doc = include_str!("docs/production.md")]
pub mod production {}

#[doc = include_str!("docs/proxies.md")]
pub mod proxies {}

#[doc = include_str!("docs/security.md")]
pub mod security {}

#[doc = include_str!("docs/storage.md")]
pub mod storage {}
