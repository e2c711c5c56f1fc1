use std::fmt;

/// An extension of tus 1.0.0, by the name that stands in `Tus-Extension`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Extension {
    /// `creation`: POST makes an upload.
    Creation,
    /// `creation-with-upload`: the POST may carry the first bytes.
    CreationWithUpload,
    /// `creation-defer-length`: the length may follow later.
    CreationDeferLength,
    /// `termination`: DELETE ends and removes an upload.
    Termination,
    /// `checksum`: a request's body is verified and taken whole or not at all.
    Checksum,
    /// `checksum-trailer`: the checksum may follow the body.
    ChecksumTrailer,
    /// `expiration`: unfinished uploads end after a while.
    Expiration,
    /// `concatenation`: several uploads become one.
    Concatenation,
    /// `concatenation-unfinished`: they may do so before they are done.
    ConcatenationUnfinished,
}

impl Extension {
    /// All extensions, in the order in which they are announced.
    pub const ALL: [Self; 9] = [
        Self::Creation,
        Self::CreationWithUpload,
        Self::CreationDeferLength,
        Self::Termination,
        Self::Checksum,
        Self::ChecksumTrailer,
        Self::Expiration,
        Self::Concatenation,
        Self::ConcatenationUnfinished,
    ];

    /// The name in `Tus-Extension`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Creation => "creation",
            Self::CreationWithUpload => "creation-with-upload",
            Self::CreationDeferLength => "creation-defer-length",
            Self::Termination => "termination",
            Self::Checksum => "checksum",
            Self::ChecksumTrailer => "checksum-trailer",
            Self::Expiration => "expiration",
            Self::Concatenation => "concatenation",
            Self::ConcatenationUnfinished => "concatenation-unfinished",
        }
    }

    /// The extension this one builds on, which is never announced without it.
    #[must_use]
    pub fn base(self) -> Option<Self> {
        match self {
            Self::CreationWithUpload | Self::CreationDeferLength | Self::Concatenation => {
                Some(Self::Creation)
            }
            Self::ChecksumTrailer => Some(Self::Checksum),
            Self::ConcatenationUnfinished => Some(Self::Concatenation),
            Self::Creation | Self::Termination | Self::Checksum | Self::Expiration => None,
        }
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl std::str::FromStr for Extension {
    type Err = UnknownExtension;

    fn from_str(name: &str) -> Result<Self, UnknownExtension> {
        Self::ALL
            .into_iter()
            .find(|extension| extension.name() == name)
            .ok_or(UnknownExtension)
    }
}

/// The name is no extension of tus 1.0.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no extension of tus 1.0.0 has this name")]
pub struct UnknownExtension;

/// A set of extensions in which none stands without the one it builds on.
///
/// ```
/// use tower_tus::protocol::{Extension, Extensions};
///
/// let some = Extensions::all().without(Extension::Checksum);
/// assert!(!some.contains(Extension::ChecksumTrailer));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Extensions(u16);

impl Extensions {
    /// Every extension. The default.
    #[must_use]
    pub fn all() -> Self {
        Self(
            Extension::ALL
                .into_iter()
                .fold(0, |bits, extension| bits | extension.bit()),
        )
    }

    /// No extension: uploads can only be made by the application.
    #[must_use]
    pub fn none() -> Self {
        Self(0)
    }

    /// The set with `extension` and what it builds on.
    #[must_use]
    pub fn with(self, extension: Extension) -> Self {
        let set = extension.base().map_or(self, |base| self.with(base));
        Self(set.0 | extension.bit())
    }

    /// The set without `extension` and what builds on it.
    #[must_use]
    pub fn without(self, extension: Extension) -> Self {
        Extension::ALL
            .into_iter()
            .filter(|other| other.base() == Some(extension))
            .fold(Self(self.0 & !extension.bit()), Self::without)
    }

    /// Whether `extension` is in the set.
    #[must_use]
    pub fn contains(self, extension: Extension) -> bool {
        self.0 & extension.bit() != 0
    }

    /// The extensions of the set, in the order in which they are announced.
    pub fn iter(self) -> impl Iterator<Item = Extension> {
        Extension::ALL
            .into_iter()
            .filter(move |extension| self.contains(*extension))
    }
}

impl Default for Extensions {
    fn default() -> Self {
        Self::all()
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_10_no_extension_without_its_base() {
        for removed in Extension::ALL {
            let set = Extensions::all().without(removed);
            assert!(
                set.iter()
                    .all(|e| e.base().is_none_or(|base| set.contains(base))),
                "{set:?}"
            );
            let only = Extensions::none().with(removed);
            assert!(
                only.iter()
                    .all(|e| e.base().is_none_or(|base| only.contains(base)))
            );
        }
    }

    #[test]
    fn names_are_those_of_the_specification() {
        for extension in Extension::ALL {
            assert_eq!(extension.name().parse(), Ok(extension));
        }
    }
}
