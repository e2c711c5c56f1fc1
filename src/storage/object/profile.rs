//! What kinds of stores there are.

/// What kind of store a [`Bucket`](super::Bucket) is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Profile {
    /// Size of the smallest part that is not the last, in bytes.
    pub min_part: u64,
    /// Size of the largest part, in bytes.
    pub max_part: u64,
    /// How many parts an object may have; also the largest number.
    pub max_parts: u32,
    /// Size of the largest object, in bytes.
    pub max_object: u64,
    /// Size of the largest object that can be copied, in bytes.
    pub max_copy: u64,
    /// Whether all parts but the last have to be of one size.
    pub equal_parts: bool,
    /// Where parts are put together.
    pub completion: Completion,
    /// Whether parts stay as long as their session. Where they do not, [`Bucket::secure`](super::Bucket::secure) makes them.
    pub lasting_parts: bool,
    /// Of how many objects [`Bucket::compose`](super::Bucket::compose) makes one; 0 if the store cannot.
    pub max_sources: usize,
}

/// Where parts are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Completion {
    /// Under their key; the store sees to it that there is nothing yet.
    Conditional,
    /// Under their key, replacing whatever is there: only for keys that nobody else can have.
    Unconditional,
    /// Elsewhere, to be copied to their key.
    Staged,
}

impl Profile {
    /// Amazon S3: parts of 5 MiB to 5 GiB, 10,000 of them, completed under a condition. Objects of up to 5
    /// TiB, which is what all stores take that speak like it.
    #[must_use]
    pub fn s3() -> Self {
        Self {
            min_part: 5 << 20,
            max_part: 5 << 30,
            max_parts: 10_000,
            max_object: 5 << 40,
            max_copy: 5 << 30,
            equal_parts: false,
            completion: Completion::Conditional,
            lasting_parts: true,
            max_sources: 0,
        }
    }

    /// Cloudflare R2: as S3, but all parts except the last are of one size, and they are completed without
    /// a condition.
    #[must_use]
    pub fn r2() -> Self {
        Self {
            max_object: (5 << 40) - (5 << 30),
            equal_parts: true,
            completion: Completion::Unconditional,
            ..Self::s3()
        }
    }

    /// Google Cloud Storage: as S3, but completed without a condition. It makes one object of up to 32.
    #[must_use]
    pub fn gcs() -> Self {
        Self {
            max_copy: 5 << 40,
            completion: Completion::Unconditional,
            max_sources: 32,
            ..Self::s3()
        }
    }

    /// Azure: blocks of any size up to 4000 MiB, 50,000 of them, put together elsewhere and copied. They have
    /// to be made to last.
    #[must_use]
    pub fn azure() -> Self {
        let max_object = 50_000 * (4_000 << 20);
        Self {
            min_part: 1,
            max_part: 4_000 << 20,
            max_parts: 50_000,
            max_object,
            max_copy: max_object,
            equal_parts: false,
            completion: Completion::Staged,
            lasting_parts: false,
            max_sources: 0,
        }
    }
}
