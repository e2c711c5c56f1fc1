//! Without the feature `metrics` nothing is counted.

use http::Method;

use crate::{hooks::Hook, protocol::Error, service::Swept};

pub(in crate::service) fn described() {}

pub(in crate::service) fn request(_: &Method) {}

pub(super) fn refused(_: &Error) {}

pub(super) fn created() {}

pub(super) fn finished() {}

pub(super) fn terminated() {}

pub(super) fn swept(_: Swept) {}

pub(in crate::service) fn hook(_: Hook) {}

pub(in crate::service) fn hook_failed(_: Hook) {}

pub(super) fn takeover() {}

#[derive(Debug)]
pub(in crate::service) struct Writer;

impl Writer {
    pub(in crate::service) fn new() -> Self {
        Self
    }
}

#[derive(Debug)]
pub(super) struct Timer;

impl Timer {
    pub(super) fn start(_: &'static str) -> Self {
        Self
    }
}

#[derive(Debug)]
pub(in crate::service) struct Received;

impl Received {
    pub(in crate::service) fn new() -> Self {
        Self
    }

    pub(in crate::service) fn add(&self, _: usize) {}
}
