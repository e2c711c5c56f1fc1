//! Sessions, and which of them are meant.

use std::time::SystemTime;

use object_store::path::Path;

/// An open session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Session {
    /// Where its object would be.
    pub path: Path,
    /// Its name.
    pub id: String,
    /// When it was opened, by the store's clock.
    pub started: SystemTime,
}

impl Session {
    /// Path, name, time.
    #[must_use]
    pub fn new(path: Path, id: impl Into<String>, started: SystemTime) -> Self {
        Self {
            path,
            id: id.into(),
            started,
        }
    }
}

/// Which sessions are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scope {
    /// Those whose object would be exactly there.
    At(Path),
    /// Those whose object would be below, by a whole number of names.
    Below(Path),
}

impl Scope {
    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::At(path) | Self::Below(path) => path,
        }
    }

    /// Whether a session under `path` is meant.
    #[must_use]
    pub fn contains(&self, path: &Path) -> bool {
        match self {
            Self::At(at) => path == at,
            Self::Below(prefix) => path != prefix && path.prefix_matches(prefix),
        }
    }
}
