use std::{
    collections::BTreeMap,
    ops::{Bound, Range},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use md5::{Digest, Md5};
use object_store::{
    Attribute, Attributes, CopyMode, Error, PutMode, PutOptions, Result, UpdateVersion, path::Path,
};

use super::{
    Requests, StoredObject,
    blocks::Blocks,
    parts::Parts,
    rules::{Conditions, PartCopies, Rules, Tags, Versions},
};
use crate::storage::object::{Listed, OWNER, Object, Stat};

/// What is in a bucket.
#[derive(Debug)]
pub(super) struct Store {
    objects: BTreeMap<Path, Stored>,
    /// Parts as S3 has them.
    pub(super) parts: Parts,
    /// Parts as Azure has them.
    pub(super) blocks: Blocks,
    pub(super) requests: Requests,
    /// How far the clock was set forward.
    pub(super) ahead: Duration,
    count: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) bytes: Bytes,
    pub(super) attributes: Attributes,
    pub(super) tag: String,
    /// The blocks it is made of, by name, if it is.
    pub(super) blocks: Vec<(String, Bytes)>,
    generation: u64,
    modified: SystemTime,
}

/// How many objects one request lists.
const PAGE: usize = 1000;

impl Store {
    pub(super) fn new() -> Self {
        Self {
            objects: BTreeMap::new(),
            parts: Parts::default(),
            blocks: Blocks::default(),
            requests: Requests::default(),
            ahead: Duration::ZERO,
            count: 0,
        }
    }

    pub(super) fn now(&self) -> SystemTime {
        SystemTime::now() + self.ahead
    }

    /// A name that was not given before.
    pub(super) fn next_id(&mut self, what: &str) -> String {
        self.count += 1;
        format!("{what}-{}", self.count)
    }

    pub(super) fn paths(&self) -> Vec<Path> {
        self.objects.keys().cloned().collect()
    }

    pub(super) fn object(&self, path: &Path) -> Option<StoredObject> {
        self.objects.get(path).map(|stored| StoredObject {
            bytes: stored.bytes.clone(),
            attributes: stored.attributes.clone(),
        })
    }

    pub(super) fn find(&self, path: &Path) -> Result<&Stored> {
        self.objects
            .get(path)
            .ok_or_else(|| not_found(path, "NoSuchKey"))
    }

    pub(super) fn get(&self, rules: &Rules, path: &Path, limit: Option<u64>) -> Result<Object> {
        let stored = self.find(path)?;
        let size = stored.bytes.len();
        let end = limit.map_or(size, |limit| size.min(limit as usize));
        let version = stored.version(rules);
        Ok(Object::new(stored.bytes.slice(..end), size as u64, version))
    }

    pub(super) fn stat(&self, rules: &Rules, path: &Path) -> Result<Stat> {
        let stored = self.find(path)?;
        let owner = stored.attributes.get(&Attribute::Metadata(OWNER.into()));
        Ok(Stat::new(
            stored.bytes.len() as u64,
            owner.map(|owner| owner.to_string()),
            stored.version(rules),
        ))
    }

    /// Bytes of an object, if the range is not empty and ends within it.
    pub(super) fn slice(&self, path: &Path, range: Range<u64>) -> Result<Bytes> {
        let bytes = &self.find(path)?.bytes;
        match range.start < range.end && range.end <= bytes.len() as u64 {
            true => Ok(bytes.slice(range.start as usize..range.end as usize)),
            false => Err(refused("InvalidRange: it is empty, or beyond the object")),
        }
    }

    /// Bytes of an object of which a part may be made.
    pub(super) fn copyable(
        &self,
        rules: &Rules,
        source: &Path,
        range: Range<u64>,
    ) -> Result<Bytes> {
        let size = || self.find(source).map(|stored| stored.bytes.len() as u64);
        match rules.part_copies {
            PartCopies::None => {
                return Err(not_supported("parts cannot be made of other objects"));
            }
            PartCopies::OfLargeObjects
                if size()? <= rules.profile.min_part && range != (0..size()?) =>
            {
                return Err(refused(
                    "InvalidRequest: ranges can be copied of larger objects only",
                ));
            }
            _ => {}
        }
        self.slice(source, range)
    }

    pub(super) fn put(
        &mut self,
        rules: &Rules,
        path: &Path,
        bytes: Bytes,
        options: PutOptions,
    ) -> Result<UpdateVersion> {
        self.check(rules, path, &options.mode)?;
        let tag = content_tag(&bytes);
        self.insert(path, bytes, options.attributes, tag);
        Ok(self.find(path)?.version(rules))
    }

    /// Whether a condition holds.
    pub(super) fn check(&self, rules: &Rules, path: &Path, mode: &PutMode) -> Result<()> {
        if rules.conditions == Conditions::Ignored {
            return Ok(());
        }
        let stored = self.objects.get(path);
        match mode {
            PutMode::Overwrite => Ok(()),
            PutMode::Create => match stored {
                None => Ok(()),
                Some(_) => Err(already_exists(path)),
            },
            PutMode::Update(version) => {
                let current = stored.map(|stored| stored.version(rules));
                let (wanted, current) = match rules.versions {
                    Versions::Tag => (&version.e_tag, current.map(|v| v.e_tag)),
                    Versions::Generation => (&version.version, current.map(|v| v.version)),
                };
                match wanted {
                    None => Err(refused("InvalidArgument: an update needs a version")),
                    Some(_) if current.as_ref() == Some(wanted) => Ok(()),
                    Some(_) => Err(precondition(path)),
                }
            }
        }
    }

    pub(super) fn insert(
        &mut self,
        path: &Path,
        bytes: Bytes,
        attributes: Attributes,
        tag: String,
    ) {
        self.count += 1;
        let stored = Stored {
            bytes,
            attributes,
            tag,
            blocks: Vec::new(),
            generation: self.count,
            modified: self.now(),
        };
        self.objects.insert(path.clone(), stored);
        self.blocks.forget(path);
    }

    pub(super) fn find_mut(&mut self, path: &Path) -> Option<&mut Stored> {
        self.objects.get_mut(path)
    }

    pub(super) fn delete(&mut self, path: &Path) {
        self.objects.remove(path);
    }

    pub(super) fn copy(
        &mut self,
        rules: &Rules,
        from: &Path,
        to: &Path,
        mode: CopyMode,
    ) -> Result<()> {
        let source = self.find(from)?.clone();
        let mode = match mode {
            CopyMode::Overwrite => PutMode::Overwrite,
            CopyMode::Create => PutMode::Create,
        };
        self.check(rules, to, &mode)?;
        let tag = content_tag(&source.bytes);
        self.insert(to, source.bytes, source.attributes, tag);
        Ok(())
    }

    /// Objects below a prefix, and the last of them if there may be more.
    pub(super) fn page(&self, prefix: &Path, after: Option<&Path>) -> (Vec<Listed>, Option<Path>) {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let page: Vec<_> = self
            .objects
            .range((start, Bound::Unbounded))
            .filter(|(path, _)| *path != prefix && path.prefix_matches(prefix))
            .take(PAGE)
            .map(|(path, stored)| {
                let size = stored.bytes.len() as u64;
                Listed::new(path.clone(), size, stored.modified).tag(&stored.tag)
            })
            .collect();
        let last = page.get(PAGE - 1).map(|last| last.path.clone());
        (page, last)
    }

    /// Adds a part in the way of the store, and gives its tag.
    pub(super) fn add_part(
        &mut self,
        rules: &Rules,
        (path, session): (&Path, &str),
        number: u32,
        bytes: Bytes,
    ) -> Result<String> {
        if !(1..=rules.profile.max_parts).contains(&number) {
            return Err(refused("InvalidArgument: no part can have this number"));
        }
        if bytes.len() as u64 > rules.profile.max_part {
            return Err(refused("EntityTooLarge: the part is too large"));
        }
        if rules.is_staged() {
            let name = self.next_id(&format!("{session}-{number}"));
            self.blocks.put(path, &name, bytes);
            return Ok(name);
        }
        let tag = match rules.tags {
            Tags::Content => content_tag(&bytes),
            Tags::Unique => self.next_id("tag"),
        };
        self.parts.put((path, session), number, &tag, bytes)?;
        Ok(tag)
    }

    /// Ends a session. Blocks know none, so there it takes all of its path, and what they were made into.
    pub(super) fn abort(&mut self, (path, session): (&Path, &str)) {
        self.parts.abort((path, session));
        self.blocks.forget(path);
        if self
            .find(path)
            .is_ok_and(|stored| !stored.blocks.is_empty())
        {
            self.delete(path);
        }
    }
}

impl Stored {
    fn version(&self, rules: &Rules) -> UpdateVersion {
        let generation = (rules.versions == Versions::Generation).then_some(self.generation);
        UpdateVersion {
            e_tag: Some(self.tag.clone()),
            version: generation.map(|generation| generation.to_string()),
        }
    }
}

/// The ETag of an object or part that was put in one piece.
pub(super) fn content_tag(bytes: &[u8]) -> String {
    use std::fmt::Write;

    let mut tag = String::with_capacity(34);
    for byte in Md5::digest(bytes) {
        write!(tag, "{byte:02x}").expect("a string takes everything");
    }
    format!("\"{tag}\"")
}

pub(super) fn not_found(path: &Path, code: &str) -> Error {
    Error::NotFound {
        path: path.to_string(),
        source: code.into(),
    }
}

fn already_exists(path: &Path) -> Error {
    Error::AlreadyExists {
        path: path.to_string(),
        source: "PreconditionFailed: there is an object".into(),
    }
}

pub(super) fn precondition(path: &Path) -> Error {
    Error::Precondition {
        path: path.to_string(),
        source: "PreconditionFailed: the object is another".into(),
    }
}

pub(super) fn not_supported(what: &str) -> Error {
    Error::NotSupported {
        source: what.into(),
    }
}

/// The store says no, for a reason that has no variant of its own.
pub(super) fn refused(why: impl Into<String>) -> Error {
    Error::Generic {
        store: "Simulation",
        source: why.into().into(),
    }
}
