//! Where uploads are kept: the [`Storage`] contract and the storages of this crate.
//!
//! A storage knows uploads and bytes. It sees no HTTP, takes no decision of the protocol, and is the
//! only judge of what is durably stored: an offset that it tells is never taken back.
//!
//! To write one, implement [`Storage`] and [`Appender`], and run the functions of
#![cfg_attr(feature = "conformance", doc = "[`conformance`] on it.")]
#![cfg_attr(not(feature = "conformance"), doc = "`conformance` (a feature) on it.")]

#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
#[cfg(feature = "file")]
mod file;
mod memory;
#[cfg(feature = "object")]
pub mod object;
#[cfg(any(feature = "file", feature = "object"))]
mod record;
#[cfg(any(feature = "file", feature = "object"))]
mod url;

use std::{
    fmt::Debug,
    ops::Range,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};

#[cfg(feature = "file")]
pub use self::file::{Durability, FileStorage};
#[cfg(feature = "object")]
pub use self::object::ObjectStorage;
#[cfg(any(feature = "file", feature = "object"))]
pub use self::url::open;
pub use self::{
    error::{Error, Result},
    memory::MemoryStorage,
};
use crate::protocol::{Announcement, Kind, Stage, Upload, UploadId, Version};

/// Keeps uploads.
///
/// # Contract
/// Each sentence is held by a function of the conformance module.
///
/// - An upload exists from the return of [`create`](Self::create) on; if that never returns, it exists
///   whole or not at all.
/// - [`load`](Self::load) gives a snapshot whose `offset` is what is durably stored. It never waits for
///   a writer, and never shows a byte that may still be discarded.
/// - Offsets do not go back.
/// - A snapshot is *current* until something but the number of stored bytes changes, and `offset` too
///   for [`append`](Self::append). A call with a snapshot that is not current changes nothing and gives
///   [`Error::Conflict`].
/// - At most one [`Appender`] of an upload is in force: the one opened last, in this process or another.
///   Earlier ones store nothing any more ([`Error::Superseded`]). Where a storage cannot take an upload
///   from another process, it refuses with [`Error::Locked`] instead.
/// - All bytes stored is [`Stage::Finishing`]; only
///   [`finish`](Self::finish) makes it `Finished`. Nothing is visible under the key before that.
/// - Every call may be cancelled or cut by a crash at any point, and be repeated.
#[async_trait]
pub trait Storage: Debug + Send + Sync + 'static {
    /// Makes a new upload at offset 0, with everything that `upload` says but its version, which it gives.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] if the id or the key is taken.
    async fn create(&self, upload: &Upload) -> Result<Version>;

    /// A snapshot.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    async fn load(&self, id: &UploadId) -> Result<Upload>;

    /// Replaces length, metadata, lifetime, key and announcement of an upload, and gives its new version. Of
    /// a finished one only the announcement may change.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the snapshot is not current, or more than may change has; [`Error::NotFound`].
    async fn update(&self, upload: &Upload) -> Result<Version>;

    /// A snapshot that needs no look at what is stored, and may be old: good for calls that notice.
    /// `None` if there is none; the default.
    fn recall(&self, id: &UploadId) -> Option<Upload> {
        let _ = id;
        None
    }

    /// Opens an upload for writing at `upload.offset`, and ends every earlier appender.
    ///
    /// With a snapshot that was [recalled](Self::recall), a storage may find out only when bytes are to be
    /// stored that it was old: the appender is superseded then.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the snapshot is not current or its offset is not the stored one,
    /// [`Error::Locked`], [`Error::NotFound`].
    async fn append(&self, upload: &Upload, mode: AppendMode) -> Result<Box<dyn Appender>>;

    /// Puts an upload of which all bytes are stored under the key that `upload` names, and makes it
    /// `Finished`. Does nothing if it is. Whoever may update the upload meanwhile is kept out by the
    /// caller.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] if there is something else under the key and the storage may not
    /// replace it, [`Error::Conflict`] if bytes are missing, [`Error::NotFound`].
    async fn finish(&self, upload: &Upload) -> Result<()>;

    /// Makes the bytes of `target` those of `parts`, in their order, and then finishes it. The parts
    /// are finished uploads; the same may stand several times. `target` is of known length. Goes on
    /// where an earlier call was cut.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the lengths do not add up, [`Error::NotFound`] of target or part, those
    /// of [`finish`](Self::finish).
    async fn concat(&self, target: &Upload, parts: &[Upload]) -> Result<()>;

    /// Bytes of a finished upload. A range beyond its end is cut there.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the upload is gone or unfinished. The stream ends with an error rather
    /// than early.
    async fn read(&self, upload: &Upload, range: Range<u64>) -> Result<ByteStream>;

    /// As [`read`](Self::read), of an upload of which all bytes are stored and which is not finished yet: for
    /// whoever looks at it before. Not every storage has them at hand, and by default none has.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the storage cannot; [`Error::NotFound`] if the upload is gone.
    async fn read_unfinished(&self, upload: &Upload, range: Range<u64>) -> Result<ByteStream> {
        let _ = (upload, range);
        Err(Error::Unsupported(
            "read an upload before it is finished".into(),
        ))
    }

    /// A URL under which anybody may read a finished upload for the next `lifetime`, without this
    /// service. `None` if the storage has none to give; the default.
    ///
    /// # Errors
    /// The storage's.
    async fn signed_url(&self, upload: &Upload, lifetime: Duration) -> Result<Option<String>> {
        let _ = (upload, lifetime);
        Ok(None)
    }

    /// Removes an upload and all of its bytes, finished or not, and ends its appenders.
    ///
    /// # Errors
    /// [`Error::Locked`] if another process writes to it. None if there is no such upload: it is gone,
    /// as it should be.
    async fn delete(&self, id: &UploadId) -> Result<()>;

    /// All uploads, in any order; what comes or goes meanwhile may be missing. One that cannot be read
    /// is an error of the stream, which goes on.
    fn list(&self) -> BoxStream<'_, Result<Upload>>;

    /// The uploads of [`list`](Self::list) that are unfinished, or parts of others, or still to be announced: those
    /// that may expire, or have to be looked after when a crash has interrupted something. A storage that knows them
    /// without reading all others may say so.
    fn pending(&self) -> BoxStream<'_, Result<Upload>> {
        let is_pending = |upload: &Result<Upload>| match upload {
            Ok(upload) => {
                !upload.is_finished()
                    || upload.kind == Kind::Partial
                    || upload.announcement == Announcement::Due
            }
            Err(_) => true,
        };
        self.list()
            .filter(move |upload| std::future::ready(is_pending(upload)))
            .boxed()
    }

    /// Removes what a crash left behind and no upload refers to, if it was last touched before
    /// `before`. Gives the number of bytes.
    ///
    /// # Errors
    /// The storage's.
    async fn reclaim(&self, before: SystemTime) -> Result<u64>;
}

/// Writes to one upload: any number of [`write`](Self::write) and [`flush`](Self::flush), then one of
/// [`commit`](Self::commit) and [`discard`](Self::discard).
///
/// An appender that is dropped without either has stored, in [`AppendMode::Streaming`], some first
/// bytes of what was written; in [`AppendMode::Atomic`] nothing.
#[async_trait]
pub trait Appender: Debug + Send {
    /// Takes bytes that follow the last ones. Back-pressure is here: it returns when it may take more.
    ///
    /// # Errors
    /// [`Error::Superseded`], [`Error::NoSpace`], and others of the device. After an error only
    /// `commit` and `discard` make sense; `commit` then keeps what was stored before.
    async fn write(&mut self, data: Bytes) -> Result<()>;

    /// Called when no more bytes are to be had for the moment: makes what was written visible to
    /// [`Storage::load`], as far as that is cheap.
    ///
    /// # Errors
    /// Those of [`write`](Self::write).
    async fn flush(&mut self) -> Result<()>;

    /// Up to where [`Storage::load`] shows the upload now, at least.
    fn visible(&self) -> u64;

    /// Makes what was written durable, and gives the new offset.
    ///
    /// # Errors
    /// [`Error::Superseded`], [`Error::NotFound`] if the upload was deleted, and others of the device.
    async fn commit(self: Box<Self>) -> Result<u64>;

    /// [`commit`](Self::commit), and [`finish`](Storage::finish) if all bytes are stored, for storages
    /// to which both together are less work. Gives the new offset, and how far the upload is: a stage of
    /// `Finishing` leaves the rest to the caller, as the default does.
    ///
    /// # Errors
    /// Those of [`commit`](Self::commit). What only hinders the finish is none.
    async fn commit_and_finish(self: Box<Self>, upload: &Upload) -> Result<(u64, Stage)> {
        let offset = self.commit().await?;
        let complete = upload.length.known() == Some(offset);
        Ok((
            offset,
            if complete {
                Stage::Finishing
            } else {
                Stage::Receiving
            },
        ))
    }

    /// In [`AppendMode::Atomic`], makes it as if nothing had been written. In
    /// [`AppendMode::Streaming`] it only ends.
    ///
    /// # Errors
    /// Those of the device; also then nothing of what was written will ever be visible.
    async fn discard(self: Box<Self>) -> Result<()>;
}

/// When written bytes count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendMode {
    /// Each as soon as it is stored.
    Streaming,
    /// None before [`Appender::commit`], not even after a crash: then all are verified. A crash or a
    /// full device within `commit` may leave only some first ones stored.
    Atomic,
}

/// What happens to an upload whose key is something else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Collision {
    /// Its creation is refused; and if the other comes into being later, its finish.
    Refuse,
    /// It replaces the other when it is finished.
    Replace,
}

/// Bytes of an upload, in pieces.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// Whether `upload` says nothing else than what is stored of a finished upload, but for its announcement.
fn only_announces(upload: &Upload, stored: &Upload) -> bool {
    upload.length == stored.length
        && upload.metadata == stored.metadata
        && upload.lifetime == stored.lifetime
        && upload.key == stored.key
}

/// So that a storage can be chosen at run time.
#[async_trait]
impl<S: Storage + ?Sized> Storage for Arc<S> {
    async fn create(&self, upload: &Upload) -> Result<Version> {
        (**self).create(upload).await
    }

    async fn load(&self, id: &UploadId) -> Result<Upload> {
        (**self).load(id).await
    }

    fn recall(&self, id: &UploadId) -> Option<Upload> {
        (**self).recall(id)
    }

    async fn update(&self, upload: &Upload) -> Result<Version> {
        (**self).update(upload).await
    }

    async fn append(&self, upload: &Upload, mode: AppendMode) -> Result<Box<dyn Appender>> {
        (**self).append(upload, mode).await
    }

    async fn finish(&self, upload: &Upload) -> Result<()> {
        (**self).finish(upload).await
    }

    async fn concat(&self, target: &Upload, parts: &[Upload]) -> Result<()> {
        (**self).concat(target, parts).await
    }

    async fn read(&self, upload: &Upload, range: Range<u64>) -> Result<ByteStream> {
        (**self).read(upload, range).await
    }

    async fn read_unfinished(&self, upload: &Upload, range: Range<u64>) -> Result<ByteStream> {
        (**self).read_unfinished(upload, range).await
    }

    async fn signed_url(&self, upload: &Upload, lifetime: Duration) -> Result<Option<String>> {
        (**self).signed_url(upload, lifetime).await
    }

    async fn delete(&self, id: &UploadId) -> Result<()> {
        (**self).delete(id).await
    }

    fn list(&self) -> BoxStream<'_, Result<Upload>> {
        (**self).list()
    }

    fn pending(&self) -> BoxStream<'_, Result<Upload>> {
        (**self).pending()
    }

    async fn reclaim(&self, before: SystemTime) -> Result<u64> {
        (**self).reclaim(before).await
    }
}
