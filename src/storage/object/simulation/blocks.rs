use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use object_store::{Attributes, PutMode, PutOptions, Result, path::Path};

use super::{
    parts::check_order,
    rules::Rules,
    store::{Store, not_supported, precondition, refused},
};
use crate::storage::object::Part;

/// Parts as Azure has them: blocks under a path, by name, that no list of blocks contains yet.
#[derive(Debug, Default)]
pub(super) struct Blocks(BTreeMap<Path, BTreeMap<String, Bytes>>);

impl Blocks {
    pub(super) fn put(&mut self, path: &Path, name: &str, bytes: Bytes) {
        let blocks = self.0.entry(path.clone()).or_default();
        blocks.insert(name.to_owned(), bytes);
    }

    pub(super) fn forget(&mut self, path: &Path) {
        self.0.remove(path);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn bytes(&self) -> u64 {
        let blocks = self.0.values().flat_map(BTreeMap::values);
        blocks.map(|bytes| bytes.len() as u64).sum()
    }

    fn find(&self, path: &Path, name: &str) -> Option<&Bytes> {
        self.0.get(path)?.get(name)
    }
}

impl Store {
    /// Makes blocks last, and gives the new tag of the object that they are.
    pub(super) fn secure(
        &mut self,
        rules: &Rules,
        path: &Path,
        parts: &[Part],
        expected: Option<&str>,
    ) -> Result<String> {
        if rules.profile.lasting_parts {
            return Err(not_supported("parts last anyway"));
        }
        if self.find(path).ok().map(|stored| stored.tag.as_str()) != expected {
            return Err(precondition(path));
        }
        self.commit(path, parts, Attributes::new())
    }

    /// Makes an object of blocks.
    pub(super) fn commit_blocks(
        &mut self,
        rules: &Rules,
        path: &Path,
        parts: &[Part],
        options: PutOptions,
    ) -> Result<()> {
        if let PutMode::Update(_) = options.mode {
            return Err(refused("InvalidArgument: only puts can be updates"));
        }
        self.check(rules, path, &options.mode)?;
        self.commit(path, parts, options.attributes)?;
        Ok(())
    }

    /// Writes a list of blocks. All others are gone then, listed before or not.
    fn commit(&mut self, path: &Path, parts: &[Part], attributes: Attributes) -> Result<String> {
        check_order(parts)?;
        let listed = self.find(path).map_or(&[][..], |stored| &stored.blocks);
        let find = |part: &Part| {
            let old = listed.iter().find(|(name, _)| *name == part.tag);
            let bytes = self.blocks.find(path, &part.tag);
            let bytes = bytes.or_else(|| old.map(|(_, bytes)| bytes));
            match bytes {
                Some(bytes) => Ok((part.tag.clone(), bytes.clone())),
                None => Err(refused("InvalidBlockList: there is no such block")),
            }
        };
        let blocks: Vec<_> = parts.iter().map(find).collect::<Result<_>>()?;
        let mut joined = BytesMut::new();
        for (_, bytes) in &blocks {
            joined.extend_from_slice(bytes);
        }
        let tag = format!("\"{}\"", self.next_id("0x8D"));
        self.insert(path, joined.freeze(), attributes, tag.clone());
        if let Some(stored) = self.find_mut(path) {
            stored.blocks = blocks;
        }
        Ok(tag)
    }
}
