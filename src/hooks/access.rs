use http::request;

use super::Reply;
use crate::protocol::{Operation, Upload};

/// A request that wants to do something.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Access<'a> {
    /// What it wants to do.
    pub operation: &'a Operation,
    /// Its head, with the extensions that layers before the service have put there. The URI is the one the
    /// client sent, also below axum's `nest`.
    pub request: &'a request::Parts,
    /// The upload it is about. `None` for creations, and if there is no such upload: the answer will be
    /// 404.
    pub upload: Option<&'a Upload>,
}

impl<'a> Access<'a> {
    pub(crate) fn new(
        operation: &'a Operation,
        request: &'a request::Parts,
        upload: Option<&'a Upload>,
    ) -> Self {
        Self {
            operation,
            request,
            upload,
        }
    }
}

/// A request that is about to remove an upload.
#[derive(Debug)]
pub struct Termination<'a> {
    request: &'a request::Parts,
    upload: &'a Upload,
    reply: &'a mut Reply,
}

impl<'a> Termination<'a> {
    pub(crate) fn new(
        request: &'a request::Parts,
        upload: &'a Upload,
        reply: &'a mut Reply,
    ) -> Self {
        Self {
            request,
            upload,
            reply,
        }
    }

    /// The head of the request.
    #[must_use]
    pub fn request(&self) -> &request::Parts {
        self.request
    }

    /// The upload. Somebody may be writing to it.
    #[must_use]
    pub fn upload(&self) -> &Upload {
        self.upload
    }

    /// What is added to the answer, if the upload is removed.
    pub fn reply(&mut self) -> &mut Reply {
        self.reply
    }
}
