use super::ledger::Holding;
use crate::protocol::{Error, Kind, Length, Limits, Upload, header::UPLOAD_LENGTH};

/// What one owner may have.
///
/// An unfinished upload counts with its whole length from its creation on; one whose length is not known yet
/// with the largest size it may have. Where the number of bytes is limited and no largest size is, such an
/// upload is refused with 400. A final upload counts beside its parts: from its creation on, or, if the length
/// of a part is not known then, from when it is. If there is no room for it by then, it is not joined, and
/// `HEAD` of it says why, with 413 or 429, until there is.
///
/// # Several nodes
/// What is stored is the truth. A process counts it by listing the storage before the first creation by an
/// owner, and notes from then on what it does itself. Within one process the limits are exact, however many
/// requests race.
///
/// What others have done to the uploads that it knows of, it looks up before it refuses anybody, at most every
/// two seconds for each owner, or more seldom where looking takes long: so nobody is refused for long for what was
/// finished or terminated elsewhere. What has expired does not count from the next look on.
/// Of what others have created it learns when it counts again: every ten minutes while owners create uploads,
/// and more seldom where counting takes longer than half a minute; in a bucket it is one request for each upload.
/// Until then each node may let an owner have as much as the limits allow.
///
/// Counting keeps nobody waiting but the first creations by owners after a start. If it takes more than ten
/// seconds, or fails, they are answered 503 with `Retry-After` until it is done.
///
/// # Memory
/// About 130 bytes for each unfinished upload of an owner, and where the bytes of finished ones are limited, for
/// each of those: 13 MB for 100,000.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OwnerLimits {
    pub(super) max_uploads: Option<usize>,
    pub(super) max_unfinished_bytes: Option<u64>,
    pub(super) max_stored_bytes: Option<u64>,
}

impl OwnerLimits {
    /// Most uploads of an owner that are unfinished at the same time, parts included; beyond it 429 with
    /// `Retry-After`. Default: no limit.
    #[must_use]
    pub fn max_uploads(mut self, uploads: usize) -> Self {
        self.max_uploads = Some(uploads);
        self
    }

    /// Most bytes of an owner's unfinished uploads together; beyond it 429 with `Retry-After`, and 413 for an
    /// upload that alone is larger. Default: no limit.
    #[must_use]
    pub fn max_unfinished_bytes(mut self, bytes: u64) -> Self {
        self.max_unfinished_bytes = Some(bytes);
        self
    }

    /// Most bytes of an owner's uploads together, unfinished or finished; beyond it 413. A finished upload
    /// counts until it is terminated, even if the application has moved its file. Default: no limit.
    #[must_use]
    pub fn max_stored_bytes(mut self, bytes: u64) -> Self {
        self.max_stored_bytes = Some(bytes);
        self
    }

    fn limits_bytes(&self) -> bool {
        self.max_unfinished_bytes.is_some() || self.max_stored_bytes.is_some()
    }

    /// What an unfinished upload counts.
    pub(super) fn charge(&self, upload: &Upload, limits: &Limits) -> Result<u64, Error> {
        match (upload.length, &upload.kind) {
            (Length::Known(length), _) => Ok(length),
            (Length::Deferred, Kind::Final(_)) => Ok(0),
            (Length::Deferred, _) if !self.limits_bytes() => Ok(0),
            (Length::Deferred, _) => match limits.of(upload).max_size {
                Some(largest) => Ok(largest),
                None => Err(Error::MissingHeader(UPLOAD_LENGTH)),
            },
        }
    }

    /// What an upload that is stored counts, if it does.
    pub(super) fn holding(&self, upload: &Upload, limits: &Limits) -> Option<Holding> {
        if upload.is_finished() {
            let counts = self.max_stored_bytes.is_some();
            return counts.then_some(Holding::Finished(upload.offset));
        }
        // It was let in when there were other limits.
        let charge = self.charge(upload, limits).unwrap_or(upload.offset);
        Some(Holding::Unfinished(charge))
    }
}
