use std::{collections::BTreeMap, time::SystemTime};

use bytes::{Bytes, BytesMut};
use object_store::{Attributes, Error, PutMode, PutOptions, Result, path::Path};

use super::{
    rules::Rules,
    store::{Store, content_tag, not_found, refused},
};
use crate::storage::object::{Completion, Part, Scope, Session};

/// Parts as S3 has them: in sessions, by number.
#[derive(Debug, Default)]
pub(super) struct Parts(BTreeMap<String, Open>);

/// A session.
#[derive(Debug)]
struct Open {
    path: Path,
    attributes: Attributes,
    started: SystemTime,
    /// Tag and bytes of what was last put under a number.
    parts: BTreeMap<u32, (String, Bytes)>,
}

impl Parts {
    pub(super) fn begin(
        &mut self,
        id: &str,
        path: &Path,
        attributes: Attributes,
        started: SystemTime,
    ) {
        let session = Open {
            path: path.clone(),
            attributes,
            started,
            parts: BTreeMap::new(),
        };
        self.0.insert(id.to_owned(), session);
    }

    pub(super) fn put(
        &mut self,
        session: (&Path, &str),
        number: u32,
        tag: &str,
        bytes: Bytes,
    ) -> Result<()> {
        let session = self.find_mut(session)?;
        session.parts.insert(number, (tag.to_owned(), bytes));
        Ok(())
    }

    pub(super) fn abort(&mut self, (path, session): (&Path, &str)) {
        if self.find_mut((path, session)).is_ok() {
            self.0.remove(session);
        }
    }

    pub(super) fn list(&self, (path, session): (&Path, &str)) -> Result<Vec<Part>> {
        let parts = self.find((path, session))?.parts.iter();
        Ok(parts
            .map(|(number, (tag, bytes))| Part::new(*number, tag, bytes.len() as u64))
            .collect())
    }

    pub(super) fn sessions(&self, scope: &Scope) -> Vec<Session> {
        self.0
            .iter()
            .filter(|(_, open)| scope.contains(&open.path))
            .map(|(id, open)| Session::new(open.path.clone(), id, open.started))
            .collect()
    }

    pub(super) fn bytes(&self) -> u64 {
        let parts = self.0.values().flat_map(|session| session.parts.values());
        parts.map(|(_, bytes)| bytes.len() as u64).sum()
    }

    fn find(&self, (path, session): (&Path, &str)) -> Result<&Open> {
        self.0
            .get(session)
            .filter(|open| open.path == *path)
            .ok_or_else(|| not_found(path, "NoSuchUpload"))
    }

    fn find_mut(&mut self, (path, session): (&Path, &str)) -> Result<&mut Open> {
        self.0
            .get_mut(session)
            .filter(|open| open.path == *path)
            .ok_or_else(|| not_found(path, "NoSuchUpload"))
    }
}

impl Store {
    /// Makes an object of the parts of a session. If it fails, the session stays.
    pub(super) fn complete(
        &mut self,
        rules: &Rules,
        session: (&Path, &str),
        parts: &[Part],
        options: PutOptions,
    ) -> Result<()> {
        let open = self.parts.find_mut(session)?;
        let chosen = choose(open, parts)?;
        check_sizes(rules, &chosen)?;
        let attributes = open.attributes.clone();
        if rules.profile.completion == Completion::Conditional {
            self.check(rules, session.0, &options.mode)?;
        } else if let PutMode::Update(_) = options.mode {
            return Err(refused("InvalidArgument: only puts can be updates"));
        }
        let mut joined = BytesMut::new();
        for bytes in &chosen {
            joined.extend_from_slice(bytes);
        }
        self.parts.0.remove(session.1);
        let tag = parts_tag(parts);
        self.insert(session.0, joined.freeze(), attributes, tag);
        Ok(())
    }
}

fn choose(open: &Open, parts: &[Part]) -> Result<Vec<Bytes>> {
    check_order(parts)?;
    parts
        .iter()
        .map(|part| match open.parts.get(&part.number) {
            Some((tag, bytes)) if *tag == part.tag => Ok(bytes.clone()),
            _ => Err(Error::Precondition {
                path: open.path.to_string(),
                source: format!(
                    "InvalidPart: there is no part {} with this tag",
                    part.number
                )
                .into(),
            }),
        })
        .collect()
}

/// Whether there are parts, in ascending order.
pub(super) fn check_order(parts: &[Part]) -> Result<()> {
    if parts.is_empty() {
        return Err(refused("MalformedXML: there are no parts"));
    }
    match parts.is_sorted_by(|one, next| one.number < next.number) {
        true => Ok(()),
        false => Err(refused("InvalidPartOrder: the parts are not in order")),
    }
}

fn check_sizes(rules: &Rules, parts: &[Bytes]) -> Result<()> {
    let Some((last, others)) = parts.split_last() else {
        return Ok(());
    };
    let small = |part: &Bytes| (part.len() as u64) < rules.profile.min_part;
    if others.iter().any(small) {
        return Err(refused("EntityTooSmall: a part is too small"));
    }
    let equal = match others.split_first() {
        Some((first, rest)) => {
            rest.iter().all(|part| part.len() == first.len()) && last.len() <= first.len()
        }
        None => true,
    };
    match equal || !rules.profile.equal_parts {
        true => Ok(()),
        false => Err(refused(
            "InvalidPart: all parts but the last must have one size",
        )),
    }
}

/// The ETag of an object made of parts: a hash of theirs.
fn parts_tag(parts: &[Part]) -> String {
    let tags: String = parts.iter().map(|part| part.tag.as_str()).collect();
    let hash = content_tag(tags.as_bytes());
    format!("\"{}-{}\"", hash.trim_matches('"'), parts.len())
}
