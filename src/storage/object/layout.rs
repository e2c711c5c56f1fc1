//! Where things are in a bucket.
//!
//! ```text
//! <prefix>/<key>                         a finished upload, and nothing else
//! <prefix>/.tus/uploads/<id>             the state of each upload
//! <prefix>/.tus/data/<id>                a finished part of another upload
//! <prefix>/.tus/data/<id>.<name>         one that is put together here, to be copied to its place
//! <prefix>/.tus/segments/<id>/<name>     bytes that are too few for a part
//! <prefix>/.tus/probe/<name>             what the probe leaves behind when it is cut
//! ```

use object_store::path::{Path, PathPart};

use super::state::Segment;
use crate::protocol::{Kind, Upload, UploadId};

#[derive(Debug, Clone)]
pub(super) struct Layout {
    prefix: Path,
}

impl Layout {
    pub(super) fn new(prefix: Path) -> Self {
        Self { prefix }
    }

    /// Below this is everything.
    pub(super) fn root(&self) -> &Path {
        &self.prefix
    }

    /// Where a finished upload is.
    pub(super) fn target(&self, upload: &Upload) -> Path {
        match upload.kind {
            Kind::Partial => self.data(&upload.id),
            _ => upload
                .key
                .names()
                .fold(self.prefix.clone(), |path, name| join(&path, name)),
        }
    }

    pub(super) fn uploads(&self) -> Path {
        self.own("uploads")
    }

    pub(super) fn state(&self, id: &UploadId) -> Path {
        join(&self.uploads(), id.as_str())
    }

    pub(super) fn all_data(&self) -> Path {
        self.own("data")
    }

    pub(super) fn data(&self, id: &UploadId) -> Path {
        join(&self.all_data(), id.as_str())
    }

    pub(super) fn stage(&self, id: &UploadId, name: &str) -> Path {
        join(&self.all_data(), &format!("{id}.{name}"))
    }

    pub(super) fn all_segments(&self) -> Path {
        self.own("segments")
    }

    pub(super) fn segments(&self, id: &UploadId) -> Path {
        join(&self.all_segments(), id.as_str())
    }

    pub(super) fn segment(&self, id: &UploadId, segment: &Segment) -> Path {
        join(&self.segments(id), &segment.name)
    }

    pub(super) fn probes(&self) -> Path {
        self.own("probe")
    }

    pub(super) fn probe(&self, name: &str) -> Path {
        join(&self.probes(), name)
    }

    /// The upload that a path below [`uploads`](Self::uploads), [`all_data`](Self::all_data) or
    /// [`all_segments`](Self::all_segments) belongs to.
    pub(super) fn owner(&self, path: &Path) -> Option<UploadId> {
        let mut names = path.prefix_match(&self.prefix)?;
        let (_own, _what) = (names.next()?, names.next()?);
        let name = names.next()?;
        name.as_ref().split('.').next()?.parse().ok()
    }

    /// Whether a path is in our own corner.
    pub(super) fn is_own(&self, path: &Path) -> bool {
        path.prefix_matches(&join(&self.prefix, OWN))
    }

    fn own(&self, what: &str) -> Path {
        join(&join(&self.prefix, OWN), what)
    }
}

/// No key begins with this.
const OWN: &str = ".tus";

/// Names are taken as they are, and not percent-encoded: keys and ids have nothing a path could not.
fn join(path: &Path, name: &str) -> Path {
    match PathPart::parse(name) {
        Ok(part) => path.clone().join(part),
        Err(_) => path.clone().join(name),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::protocol::Length;

    #[test]
    fn keys_are_names_of_objects() {
        let layout = Layout::new(Path::from("a/b"));
        let id: UploadId = "id".parse().unwrap();
        let mut upload = Upload::new(id.clone(), Length::Known(0), SystemTime::now());
        for key in ["x", "x/y z", "ü#%41?*.txt", "~"] {
            upload.key = key.parse().unwrap();
            assert_eq!(layout.target(&upload).as_ref(), format!("a/b/{key}"));
        }
        upload.kind = Kind::Partial;
        assert_eq!(layout.target(&upload).as_ref(), "a/b/.tus/data/id");
        let segment = Segment {
            name: "s".to_owned(),
            size: 1,
        };
        let path = layout.segment(&id, &segment);
        assert_eq!(path.as_ref(), "a/b/.tus/segments/id/s");
        assert_eq!(layout.owner(&path), Some(id.clone()));
        assert_eq!(layout.owner(&layout.stage(&id, "x")), Some(id.clone()));
        assert_eq!(layout.owner(&layout.state(&id)), Some(id));
        assert_eq!(layout.owner(&Path::from("a/c")), None);
    }
}
