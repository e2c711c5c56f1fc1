use std::time::{Duration, SystemTime};

use super::{Concat, Key, Metadata, Owner, UploadId};

/// The state of one upload, as a storage keeps it.
///
/// A value of this type is a snapshot: `offset` bytes were durably stored when it was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Upload {
    /// Its name.
    pub id: UploadId,
    /// Bytes that are stored, from the first on without a gap.
    pub offset: u64,
    /// Size of the whole, in bytes.
    pub length: Length,
    /// What the client attached.
    pub metadata: Metadata,
    /// Alone, a part of another upload, or made of parts.
    pub kind: Kind,
    /// How far it is.
    pub stage: Stage,
    /// When it was created.
    pub created: SystemTime,
    /// When the last bytes came.
    pub touched: SystemTime,
    /// How long it stays without progress; `None` for as long as it takes.
    pub lifetime: Option<Duration>,
    /// Where its bytes will be once it is finished. Parts of other uploads have no key.
    pub key: Key,
    /// Whose it is; `None` for nobody's.
    pub owner: Option<Owner>,
    /// The largest size it may have, in bytes, if that is less than the server's.
    pub max_size: Option<u64>,
    /// Whether somebody is still to be told that it is finished.
    pub announcement: Announcement,
    /// Which state of the storage this snapshot shows.
    pub version: Version,
}

impl Upload {
    /// An upload that nothing was sent to yet: regular, without metadata and owner, to be kept forever and
    /// to appear under its id.
    #[must_use]
    pub fn new(id: UploadId, length: Length, created: SystemTime) -> Self {
        Self {
            key: Key::from(&id),
            id,
            offset: 0,
            length,
            metadata: Metadata::default(),
            kind: Kind::Regular,
            stage: Stage::Receiving,
            created,
            touched: created,
            lifetime: None,
            owner: None,
            max_size: None,
            announcement: Announcement::None,
            version: Version::default(),
        }
    }

    /// Whether all bytes are stored, be the upload finished or about to be.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.length == Length::Known(self.offset)
    }

    /// Whether all bytes are stored under the upload's key.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.stage == Stage::Finished
    }

    /// Whether the upload is joined from parts and not all of them are in yet.
    #[must_use]
    pub fn is_pending_final(&self) -> bool {
        matches!(self.kind, Kind::Final(_)) && !self.is_finished()
    }

    /// When the upload will be gone. Finished uploads stay, parts of others do not.
    #[must_use]
    pub fn expires(&self) -> Option<SystemTime> {
        if self.is_finished() && self.kind != Kind::Partial {
            return None;
        }
        self.touched.checked_add(self.lifetime?)
    }

    /// Whether it should be gone at `now`.
    #[must_use]
    pub fn is_expired(&self, now: SystemTime) -> bool {
        self.expires().is_some_and(|expires| expires <= now)
    }
}

/// Size of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// Known, in bytes.
    Known(u64),
    /// Not known yet (`Upload-Defer-Length: 1`).
    Deferred,
}

impl Length {
    /// The size in bytes, where it is known.
    #[must_use]
    pub fn known(self) -> Option<u64> {
        match self {
            Self::Known(bytes) => Some(bytes),
            Self::Deferred => None,
        }
    }
}

/// What an upload is to other uploads.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Nothing: it stands alone.
    Regular,
    /// A part, to be joined with others. Never visible under a key.
    Partial,
    /// Joined from parts.
    Final(Concat),
}

/// How far an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// Bytes are missing.
    Receiving,
    /// All bytes are stored, but not under the upload's key yet. Whoever sees this stage may end it:
    /// a crash leaves it behind.
    Finishing,
    /// All bytes are stored under the upload's key.
    Finished,
}

/// Whether somebody is to be told that an upload is finished.
///
/// It is kept with the upload, so that a crash between the finish and the telling makes nobody miss it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Announcement {
    /// Nobody, or all have been told.
    #[default]
    None,
    /// It is told once it is finished.
    Due,
}

/// Names one state of an upload in its storage. Opaque to everybody else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Version(String);

impl Version {
    /// A version of the storage's own spelling, e.g. a counter or an ETag.
    #[must_use]
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// The storage's spelling.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload() -> Upload {
        let mut upload = Upload::new(
            "a".parse().unwrap(),
            Length::Known(3),
            SystemTime::UNIX_EPOCH,
        );
        upload.lifetime = Some(Duration::from_secs(10));
        upload
    }

    #[test]
    fn exp_09_finished_uploads_stay_and_parts_do_not() {
        let late = SystemTime::UNIX_EPOCH + Duration::from_secs(10);
        let mut upload = upload();
        assert!(upload.is_expired(late));
        assert!(!upload.is_expired(late - Duration::from_millis(1)));
        upload.stage = Stage::Finished;
        assert!(!upload.is_expired(late));
        upload.kind = Kind::Partial;
        assert!(upload.is_expired(late));
    }

    #[test]
    fn a_lifetime_beyond_the_calendar_is_forever() {
        let mut upload = upload();
        upload.lifetime = Some(Duration::MAX);
        assert_eq!(upload.expires(), None);
    }
}
