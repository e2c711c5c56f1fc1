use http::request;

use super::Reply;
use crate::protocol::Upload;

/// An upload of which all bytes are stored, and which is about to appear under its key.
#[derive(Debug)]
pub struct Finish<'a> {
    request: Option<&'a request::Parts>,
    upload: &'a Upload,
    reply: &'a mut Reply,
}

impl<'a> Finish<'a> {
    pub(crate) fn new(
        request: Option<&'a request::Parts>,
        upload: &'a Upload,
        reply: &'a mut Reply,
    ) -> Self {
        Self {
            request,
            upload,
            reply,
        }
    }

    /// The head of the request that is answered next; `None` if the upload is finished without one, as
    /// after a crash, or when the last part of a final upload came.
    #[must_use]
    pub fn request(&self) -> Option<&request::Parts> {
        self.request
    }

    /// The upload. Of a final one the parts are not joined yet.
    #[must_use]
    pub fn upload(&self) -> &Upload {
        self.upload
    }

    /// What is added to the answer to the last `PATCH`, or to a `POST` that brought everything.
    pub fn reply(&mut self) -> &mut Reply {
        self.reply
    }
}
