//! How large parts are, and uploads may be.

use super::shared::Shared;
use crate::{
    protocol::Upload,
    storage::{Error, Result},
};

/// Of the numbers there are, so many in ten are planned for. The others are for parts that have to be
/// sent again.
const PLANNED_TENTHS: u64 = 9;

/// Sizes of parts are whole multiples of this, unless they are smaller.
const STEP: u64 = 1 << 20;

impl Shared {
    /// Size of the parts of an upload: what is set, or larger, so that there are enough numbers.
    pub(super) fn part_size(&self, upload: &Upload) -> Result<u64> {
        let profile = &self.profile;
        let least = self.settings.part_size.max(profile.min_part).max(1);
        let most = profile.max_part.min((self.settings.memory / 2).max(least));
        let length = upload.length.known().unwrap_or_default();
        let needed = length.div_ceil(self.planned_parts());
        let size = match needed <= least {
            true => least,
            false => needed.next_multiple_of(STEP.min(least)),
        };
        let longest = self.longest(upload, most);
        match size <= most && length <= longest {
            true => Ok(size),
            false => Err(Error::TooLong(longest)),
        }
    }

    /// How long the upload may be in parts of that size.
    pub(super) fn longest(&self, upload: &Upload, part_size: u64) -> u64 {
        let planned = part_size.saturating_mul(self.planned_parts());
        let object = match self.is_staged(upload) {
            true => self.profile.max_object.min(self.profile.max_copy),
            false => self.profile.max_object,
        };
        planned.min(object)
    }

    fn planned_parts(&self) -> u64 {
        (u64::from(self.profile.max_parts) * PLANNED_TENTHS / 10).max(1)
    }
}

#[cfg(all(test, feature = "conformance"))]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::{
        protocol::Length,
        storage::object::{ObjectStorage, Profile, Simulation},
    };

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;
    const TIB: u64 = 1 << 40;

    fn upload(length: Length) -> Upload {
        let id = "0123456789abcdef0123456789abcdef".parse().expect("an id");
        Upload::new(id, length, SystemTime::now())
    }

    fn sizes(bucket: Simulation, memory: u64) -> impl Fn(u64) -> Result<u64> {
        let storage = ObjectStorage::new(bucket).memory(memory);
        move |length| storage.shared.part_size(&upload(Length::Known(length)))
    }

    #[track_caller]
    fn limit(answer: Result<u64>) -> u64 {
        match answer {
            Err(Error::TooLong(limit)) => limit,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn parts_grow_with_the_upload_so_that_the_numbers_suffice() {
        let s3 = sizes(Simulation::new(), 512 * MIB);
        let planned = 9_000;
        assert_eq!(s3(0).unwrap(), 8 * MIB);
        assert_eq!(s3(planned * 8 * MIB).unwrap(), 8 * MIB);
        assert_eq!(s3(planned * 8 * MIB + 1).unwrap(), 9 * MIB);
        assert_eq!(s3(planned * 256 * MIB).unwrap(), 256 * MIB);
        let too_long = s3(planned * 256 * MIB + 1);
        assert_eq!(limit(too_long), planned * 256 * MIB);
        let azure = sizes(Simulation::azure(), 512 * MIB);
        assert_eq!(azure(45_000 * 8 * MIB).unwrap(), 8 * MIB);
        assert_eq!(azure(45_000 * 8 * MIB + 1).unwrap(), 9 * MIB);
    }

    #[test]
    fn an_object_has_a_largest_size_and_a_part_too() {
        let s3 = sizes(Simulation::new(), 64 * GIB);
        assert_eq!(s3(5 * TIB).unwrap(), 583 * MIB);
        assert_eq!(limit(s3(5 * TIB + 1)), 5 * TIB);
        let azure = sizes(Simulation::azure(), 64 * GIB);
        let most = 45_000 * 4_000 * MIB;
        assert_eq!(azure(most).unwrap(), 4_000 * MIB);
        assert_eq!(limit(azure(most + 1)), most);
        let small = Profile {
            min_part: 6 * MIB,
            max_part: 7 * MIB,
            max_parts: 10,
            ..Profile::s3()
        };
        let storage = ObjectStorage::new(Simulation::new().profile(small)).part_size(1);
        let size = |length| storage.shared.part_size(&upload(Length::Known(length)));
        assert_eq!(size(1).unwrap(), 6 * MIB);
        assert_eq!(limit(size(64 * MIB)), 63 * MIB);
    }

    #[test]
    fn what_has_to_be_copied_can_be() {
        let storage = ObjectStorage::new(Simulation::r2());
        let mut shared = upload(Length::Known(5 * GIB + 1));
        assert!(storage.shared.part_size(&shared).is_ok());
        shared.key = "a/name/that/others/may/have".parse().unwrap();
        assert_eq!(limit(storage.shared.part_size(&shared)), 5 * GIB);
    }

    #[test]
    fn the_length_may_come_later() {
        let storage = ObjectStorage::new(Simulation::new());
        let later = upload(Length::Deferred);
        assert_eq!(storage.shared.part_size(&later).unwrap(), 8 * MIB);
        assert_eq!(storage.shared.longest(&later, 8 * MIB), 9_000 * 8 * MIB);
    }
}
