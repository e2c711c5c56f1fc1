use crate::storage::object::{Completion, Profile};

/// What a store allows, and how.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) profile: Profile,
    pub(super) versions: Versions,
    pub(super) tags: Tags,
    pub(super) conditions: Conditions,
    pub(super) part_copies: PartCopies,
}

/// What `PutMode::Update` goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Versions {
    /// The ETag.
    Tag,
    /// A number that no two states of an object share.
    Generation,
}

/// What the tag of a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tags {
    /// The MD5 of the content.
    Content,
    /// Another one each time.
    Unique,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conditions {
    Kept,
    Ignored,
}

/// Of what parts can be made without their bytes being sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PartCopies {
    /// Of whole objects, and of ranges of those that are larger than the smallest part, as S3 says.
    OfLargeObjects,
    OfAll,
    None,
}

impl Rules {
    pub(super) fn s3() -> Self {
        Self {
            profile: Profile::s3(),
            versions: Versions::Tag,
            tags: Tags::Content,
            conditions: Conditions::Kept,
            part_copies: PartCopies::OfLargeObjects,
        }
    }

    pub(super) fn gcs() -> Self {
        let mut gcs = Self::s3();
        gcs.profile.completion = Completion::Unconditional;
        gcs.profile.max_sources = 32;
        gcs.versions = Versions::Generation;
        gcs.part_copies = PartCopies::None;
        gcs
    }

    pub(super) fn azure() -> Self {
        let mut azure = Self::s3();
        azure.profile = Profile {
            min_part: 1,
            max_part: 4000 << 20,
            max_parts: 50_000,
            equal_parts: false,
            completion: Completion::Staged,
            lasting_parts: false,
            max_object: 50_000 * (4000 << 20),
            max_sources: 0,
        };
        azure.part_copies = PartCopies::OfAll;
        azure
    }

    pub(super) fn r2() -> Self {
        let mut r2 = Self::s3();
        r2.profile.equal_parts = true;
        r2
    }

    /// Whether parts are put together elsewhere.
    pub(super) fn is_staged(&self) -> bool {
        self.profile.completion == Completion::Staged
    }
}
