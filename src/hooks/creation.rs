use std::time::Duration;

use http::request;

use super::Reply;
use crate::protocol::{Key, Metadata, Owner, Upload, UploadId};

/// An upload that is about to be made.
///
/// What is set is what is stored. The protocol has said yes already; sizes are looked at again afterwards.
#[derive(Debug)]
pub struct Creation<'a> {
    request: &'a request::Parts,
    upload: &'a mut Upload,
    key: Option<Key>,
    reply: Reply,
}

impl<'a> Creation<'a> {
    pub(crate) fn new(request: &'a request::Parts, upload: &'a mut Upload) -> Self {
        Self {
            request,
            upload,
            key: None,
            reply: Reply::default(),
        }
    }

    /// The head of the request, with the extensions that layers before the service have put there.
    #[must_use]
    pub fn request(&self) -> &request::Parts {
        self.request
    }

    /// The upload so far. Its key follows from the service's template unless [`set_key`](Self::set_key) is
    /// called.
    #[must_use]
    pub fn upload(&self) -> &Upload {
        self.upload
    }

    /// Names the upload: its URL ends with this id. One that is taken is answered with 409. Whoever can
    /// guess an id can ask for the upload.
    pub fn set_id(&mut self, id: UploadId) {
        self.upload.id = id;
    }

    /// Where the upload will appear in the storage. One that is taken is answered with 409.
    pub fn set_key(&mut self, key: Key) {
        self.key = Some(key);
    }

    /// Replaces what the client attached.
    pub fn set_metadata(&mut self, metadata: Metadata) {
        self.upload.metadata = metadata;
    }

    /// The largest size of this upload, in bytes, if that is less than the service's
    /// [`max_size`](crate::TusService::max_size). More is answered with 413, now or when the length becomes
    /// known.
    pub fn set_max_size(&mut self, bytes: u64) {
        self.upload.max_size = Some(bytes);
    }

    /// How long the upload stays without progress, `None` for as long as it takes; instead of the
    /// service's [`expires_after`](crate::TusService::expires_after), which has to be set to something.
    pub fn set_lifetime(&mut self, lifetime: Option<Duration>) {
        self.upload.lifetime = lifetime;
    }

    /// Whose upload it is, instead of what [`owner`](crate::TusService::owner) said.
    pub fn set_owner(&mut self, owner: Option<Owner>) {
        self.upload.owner = owner;
    }

    /// What is added to the answer, if it is a 201.
    pub fn reply(&mut self) -> &mut Reply {
        &mut self.reply
    }

    /// The key that was chosen, and the reply.
    pub(crate) fn into_parts(self) -> (Option<Key>, Reply) {
        (self.key, self.reply)
    }
}
