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
        Self {
            profile: Profile::gcs(),
            versions: Versions::Generation,
            part_copies: PartCopies::None,
            ..Self::s3()
        }
    }

    pub(super) fn azure() -> Self {
        Self {
            profile: Profile::azure(),
            part_copies: PartCopies::OfAll,
            ..Self::s3()
        }
    }

    pub(super) fn r2() -> Self {
        Self {
            profile: Profile::r2(),
            ..Self::s3()
        }
    }

    /// Whether parts are put together elsewhere.
    pub(super) fn is_staged(&self) -> bool {
        self.profile.completion == Completion::Staged
    }
}
