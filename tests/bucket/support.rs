//! Stores of the environment, and what tests do with them.

use std::{
    collections::HashSet,
    env,
    io::Write,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use object_store::{Attribute, Attributes, PutMode, PutOptions, PutPayload, Result, path::Path};
use tower_tus::storage::object::{Bucket, OWNER, Part, open_bucket};

/// A bucket, and a prefix in it of this test alone.
pub(crate) struct Place {
    pub(crate) bucket: Arc<dyn Bucket>,
    pub(crate) root: Path,
    pub(crate) store: &'static str,
}

impl Place {
    /// `None` if the store is not in the environment, which is said once.
    pub(crate) fn open(store: &'static str) -> Option<Self> {
        let variable = format!("TUS_TEST_{}", store.to_ascii_uppercase());
        let Ok(url) = env::var(&variable) else {
            skip(&format!(
                "bucket tests of {store} because {variable} is not set"
            ));
            return None;
        };
        let prefix = format!("{variable}_");
        let options = env::vars().filter_map(|(name, value)| {
            let option = name.strip_prefix(&prefix)?.to_owned();
            Some((option, value))
        });
        let (bucket, path) = open_bucket(&url, options).unwrap();
        let random = getrandom::u64().unwrap();
        Some(Self {
            bucket,
            root: Path::parse(format!("{path}/bucket-{random:016x}")).unwrap(),
            store,
        })
    }

    pub(crate) fn path(&self, name: &str) -> Path {
        name.split('/').fold(self.root.clone(), Path::join)
    }

    /// Bytes of a part that is large enough, all alike.
    pub(crate) fn part(&self, fill: u8) -> Bytes {
        let size = usize::try_from(self.bucket.profile().min_part).unwrap();
        Bytes::from(vec![fill; size.max(64 << 10)])
    }

    pub(crate) async fn put(&self, path: &Path, bytes: &'static str, mode: PutMode) -> bool {
        let payload = PutPayload::from_static(bytes.as_bytes());
        self.bucket.put(path, payload, mode.into()).await.is_ok()
    }

    pub(crate) async fn put_part(
        &self,
        path: &Path,
        session: &str,
        number: u32,
        bytes: &Bytes,
    ) -> Part {
        let payload = PutPayload::from(bytes.clone());
        let tag = self.bucket.put_part(path, session, number, payload);
        Part::new(number, tag.await.unwrap(), bytes.len() as u64)
    }

    pub(crate) async fn complete(
        &self,
        path: &Path,
        session: &str,
        parts: &[Part],
        options: PutOptions,
    ) -> Result<()> {
        self.bucket.complete(path, session, parts, options).await
    }

    pub(crate) async fn bytes(&self, path: &Path) -> Bytes {
        self.bucket.get(path, None).await.unwrap().bytes
    }
}

/// Says what is not tested, also where the output of tests is captured.
pub(crate) fn skip(what: &str) {
    static SAID: Mutex<Option<HashSet<String>>> = Mutex::new(None);
    let mut said = SAID.lock().unwrap();
    if said.get_or_insert_default().insert(what.to_owned()) {
        // At once, and on a line of its own whatever else is being written.
        let line = format!("\nSKIPPED: {what}\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
}

/// Attributes of the upload `owner`.
pub(crate) fn attributes(owner: &str) -> Attributes {
    Attributes::from_iter(
        [
            (Attribute::ContentType, "image/png"),
            (
                Attribute::ContentDisposition,
                "attachment; filename=\"a b.png\"",
            ),
            (Attribute::Metadata(OWNER.into()), owner),
            (Attribute::Metadata("colour".into()), "light green"),
        ]
        .map(|(attribute, value)| (attribute, value.to_owned())),
    )
}

pub(crate) fn options(mode: PutMode, owner: &str) -> PutOptions {
    PutOptions {
        mode,
        attributes: attributes(owner),
        ..PutOptions::default()
    }
}
