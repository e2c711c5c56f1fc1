use std::ops::Range;

use bytes::Bytes;
use futures::{
    StreamExt, TryStreamExt,
    stream::{BoxStream, empty, try_unfold},
};
use http::request;

use super::Reply;
use crate::{
    protocol::{Concat, Kind, Upload},
    storage::{Error, Result, Storage},
};

/// An upload of which all bytes are stored, and which is about to appear under its key.
#[derive(Debug)]
pub struct Finish<'a> {
    request: Option<&'a request::Parts>,
    upload: &'a Upload,
    storage: &'a dyn Storage,
    reply: &'a mut Reply,
}

impl<'a> Finish<'a> {
    pub(crate) fn new(
        request: Option<&'a request::Parts>,
        upload: &'a Upload,
        storage: &'a dyn Storage,
        reply: &'a mut Reply,
    ) -> Self {
        Self {
            request,
            upload,
            storage,
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

    /// Bytes of the upload; a range beyond its end is cut there. The time it takes counts for
    /// [`hook_timeout`](crate::TusService::hook_timeout).
    ///
    /// ```
    /// use futures::TryStreamExt;
    /// use tower_tus::{
    ///     hooks::{Finish, Hooks, Rejection},
    ///     storage,
    /// };
    ///
    /// #[derive(Debug)]
    /// struct NoScripts;
    ///
    /// #[async_trait::async_trait]
    /// impl Hooks for NoScripts {
    ///     async fn pre_finish(&self, finish: &mut Finish<'_>) -> Result<(), Rejection> {
    ///         let first = async {
    ///             let pieces: Vec<_> = finish.read(0..2).await?.try_collect().await?;
    ///             Ok::<_, storage::Error>(pieces.concat())
    ///         };
    ///         match first.await {
    ///             Ok(first) if first == b"#!" => Err(Rejection::unsupported_media_type()),
    ///             Ok(_) => Ok(()),
    ///             Err(_) => Err(Rejection::unavailable(5)),
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Unsupported`](crate::storage::Error::Unsupported) where bytes cannot be read before they are under
    /// their key: in buckets, but for uploads that are joined from parts, and in storages that do not implement
    /// [`read_unfinished`](Storage::read_unfinished). There an upload is looked at when it is finished.
    /// Otherwise what the storage says; the stream ends with an error rather than early.
    pub async fn read(&self, range: Range<u64>) -> Result<BoxStream<'_, Result<Bytes>>> {
        match &self.upload.kind {
            Kind::Final(concat) => Ok(self.read_parts(concat, range)),
            _ => self.storage.read_unfinished(self.upload, range).await,
        }
    }

    /// What is added to the answer to the last `PATCH`, or to a `POST` that brought everything.
    pub fn reply(&mut self) -> &mut Reply {
        self.reply
    }

    /// What the parts will be when they are joined.
    fn read_parts<'s>(
        &'s self,
        concat: &'s Concat,
        range: Range<u64>,
    ) -> BoxStream<'s, Result<Bytes>> {
        let storage = self.storage;
        let parts = try_unfold((concat.parts(), 0), move |(parts, start)| {
            let range = range.clone();
            async move {
                let Some((id, parts)) = parts.split_first().filter(|_| start < range.end) else {
                    return Ok::<_, Error>(None);
                };
                let part = storage.load(id).await?;
                let end = start + part.offset;
                let within = range.start.max(start)..range.end.min(end);
                let bytes = match within.is_empty() {
                    true => empty().boxed(),
                    false => {
                        let within = within.start - start..within.end - start;
                        storage.read(&part, within).await?
                    }
                };
                Ok(Some((bytes, (parts, end))))
            }
        });
        parts.try_flatten().boxed()
    }
}
