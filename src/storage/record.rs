//! What storages write down of an upload, as JSON.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{Error, Result};
use crate::protocol::{Announcement, Concat, Kind, Length, Owner, Upload, UploadId};

/// What was said at the creation of an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    length: Option<u64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    metadata: String,
    role: Role,
    /// Milliseconds since the epoch.
    created: u64,
    /// Milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lifetime: Option<u64>,
    key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    belongs_to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_size: Option<u64>,
    /// The finish is still to be announced.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    announce: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    Regular,
    Partial,
    Final { concat: String, parts: Vec<String> },
}

/// From this length on an id may be one that nobody could have written by chance: 128 bits.
const RANDOM: usize = 22;

impl Record {
    pub(super) fn new(upload: &Upload) -> Self {
        Self {
            length: upload.length.known(),
            metadata: upload.metadata.as_str().to_owned(),
            role: match &upload.kind {
                Kind::Regular => Role::Regular,
                Kind::Partial => Role::Partial,
                Kind::Final(concat) => Role::Final {
                    concat: concat.as_str().to_owned(),
                    parts: concat.parts().iter().map(ToString::to_string).collect(),
                },
            },
            created: since_epoch(upload.created),
            lifetime: upload.lifetime.map(milliseconds),
            key: upload.key.to_string(),
            belongs_to: upload.owner.as_ref().map(ToString::to_string),
            max_size: upload.max_size,
            announce: upload.announcement == Announcement::Due,
        }
    }

    /// Of a finished upload nothing else changes.
    #[cfg(feature = "file")]
    pub(super) fn announce(&mut self, announcement: Announcement) {
        self.announce = announcement == Announcement::Due;
    }

    /// The upload, as it was at its creation: at offset 0 and receiving.
    pub(super) fn upload(&self, id: &UploadId) -> Result<Upload> {
        let length = self.length.map_or(Length::Deferred, Length::Known);
        let created = time(self.created)
            .ok_or_else(|| damaged(id, "the time of creation is beyond the calendar"))?;
        let mut upload = Upload::new(id.clone(), length, created);
        upload.metadata = self.metadata.parse().map_err(|error| damaged(id, error))?;
        upload.kind = match &self.role {
            Role::Regular => Kind::Regular,
            Role::Partial => Kind::Partial,
            Role::Final { concat, parts } => {
                let parts = parts
                    .iter()
                    .map(|part| part.parse())
                    .collect::<Result<_, _>>();
                Kind::Final(Concat::new(
                    concat,
                    parts.map_err(|error| damaged(id, error))?,
                ))
            }
        };
        upload.lifetime = self.lifetime.map(Duration::from_millis);
        upload.key = self.key.parse().map_err(|error| damaged(id, error))?;
        upload.owner = self.belongs_to.clone().map(Owner::from);
        upload.max_size = self.max_size;
        upload.announcement = match self.announce {
            true => Announcement::Due,
            false => Announcement::None,
        };
        Ok(upload)
    }
}

/// Whether nobody else's file or object can be where the upload's is.
pub(super) fn has_name_of_its_own(upload: &Upload) -> bool {
    upload.kind == Kind::Partial || is_in(&upload.id, upload.key.as_str())
}

/// Whether a name has an id in it that nobody else could have put there.
pub(super) fn is_in(id: &UploadId, name: impl AsRef<str>) -> bool {
    id.as_str().len() >= RANDOM && name.as_ref().contains(id.as_str())
}

pub(super) fn damaged(
    id: &UploadId,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::Damaged {
        id: id.clone(),
        source: source.into(),
    }
}

/// Whole milliseconds since the epoch.
pub(super) fn since_epoch(time: SystemTime) -> u64 {
    milliseconds(
        time.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default(),
    )
}

/// The time that many milliseconds after the epoch, if the calendar has it.
pub(super) fn time(milliseconds: u64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds))
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
