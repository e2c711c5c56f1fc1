use std::path::{Path, PathBuf};

use crate::protocol::{Key, Kind, Upload, UploadId};

/// Which file is where.
///
/// ```text
/// <root>/<key>            a finished upload
/// <root>/.tus/<id>.info   the record of an upload
/// <root>/.tus/<id>.data   its bytes while it is unfinished; their number is the offset
/// <root>/.tus/<id>.part   its bytes once it is finished, if it is a part of others
/// <root>/.tus/<id>.tmp    the record that is about to replace the other
/// ```
///
/// A record whose data file is gone is one of a finished upload: renaming the data file is what
/// finishes it.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    root: PathBuf,
    own: PathBuf,
}

impl Layout {
    pub(super) fn new(root: PathBuf) -> Self {
        Self {
            own: root.join(".tus"),
            root,
        }
    }

    /// The directory of everything that is not finished.
    pub(super) fn own(&self) -> &Path {
        &self.own
    }

    pub(super) fn info(&self, id: &UploadId) -> PathBuf {
        self.own_file(id, "info")
    }

    pub(super) fn data(&self, id: &UploadId) -> PathBuf {
        self.own_file(id, "data")
    }

    pub(super) fn temporary(&self, id: &UploadId) -> PathBuf {
        self.own_file(id, "tmp")
    }

    /// Where the bytes are once the upload is finished.
    pub(super) fn finished(&self, upload: &Upload) -> PathBuf {
        match upload.kind {
            Kind::Partial => self.own_file(&upload.id, "part"),
            Kind::Regular | Kind::Final(_) => self.keyed(&upload.key),
        }
    }

    pub(super) fn keyed(&self, key: &Key) -> PathBuf {
        let mut path = self.root.clone();
        path.extend(key.names());
        path
    }

    /// The upload a file of the own directory belongs to, and what it is to it.
    pub(super) fn owner(name: &str) -> Option<(UploadId, &str)> {
        let (id, role) = name.rsplit_once('.')?;
        Some((id.parse().ok()?, role))
    }

    fn own_file(&self, id: &UploadId, role: &str) -> PathBuf {
        let mut name = String::with_capacity(id.as_str().len() + role.len() + 1);
        name.push_str(id.as_str());
        name.push('.');
        name.push_str(role);
        self.own.join(name)
    }
}
