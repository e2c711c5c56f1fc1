//! The blocks of a blob: their names, and lists of them.

use std::error::Error;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Deserialize;

use super::super::super::bucket::Part;

/// A new name of a session, always of one length.
pub(super) fn session() -> Result<String, getrandom::Error> {
    Ok(format!("{:016x}", getrandom::u64()?))
}

/// The name of a block. Those of one blob have to be equally long.
pub(super) fn id(session: &str, number: u32) -> String {
    BASE64_STANDARD.encode(format!("{session}-{number:07}"))
}

/// The request that makes a blob of blocks, listed before or not.
pub(super) fn list(session: &str, parts: &[Part]) -> String {
    let mut body = "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>".to_owned();
    for part in parts {
        body.push_str(&format!("<Latest>{}</Latest>", id(session, part.number)));
    }
    body.push_str("</BlockList>");
    body
}

/// What there is of a blob.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Found {
    #[serde(default)]
    committed_blocks: Blocks,
    #[serde(default)]
    uncommitted_blocks: Blocks,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Blocks {
    #[serde(default)]
    block: Vec<Block>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Block {
    name: String,
}

impl Found {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Box<dyn Error + Send + Sync>> {
        // Azure begins with a byte order mark.
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        Ok(quick_xml::de::from_reader(body)?)
    }

    /// Whether there are blocks, and all of this session.
    pub(super) fn belongs_to(&self, session: &str) -> bool {
        let mut blocks = self
            .committed_blocks
            .block
            .iter()
            .chain(&self.uncommitted_blocks.block)
            .peekable();
        blocks.peek().is_some() && blocks.all(|block| block.is_of(session))
    }

    /// Whether the blob can be seen.
    pub(super) fn is_listed(&self) -> bool {
        !self.committed_blocks.block.is_empty()
    }
}

impl Block {
    fn is_of(&self, session: &str) -> bool {
        let name = BASE64_STANDARD.decode(&self.name).unwrap_or_default();
        let rest = name.strip_prefix(session.as_bytes());
        rest.is_some_and(|rest| rest.starts_with(b"-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_equally_long_and_bear_session_and_number() {
        let session = session().unwrap();
        let first = id(&session, 1);
        assert_eq!(first.len(), id(&session, 50_000).len());
        assert!(first.len() <= 64 && !first.contains('='));
        assert!(Block { name: first }.is_of(&session));
    }

    #[test]
    fn a_list_names_blocks_in_order() {
        let parts = [Part::new(1, "", 5), Part::new(7, "", 5)];
        let (one, seven) = (id("s", 1), id("s", 7));
        assert_eq!(
            list("s", &parts),
            format!(
                "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>\
                 <Latest>{one}</Latest><Latest>{seven}</Latest></BlockList>"
            )
        );
    }

    #[test]
    fn a_blob_belongs_to_a_session_if_all_blocks_do() {
        let found = |committed: &[&str], uncommitted: &[&str]| {
            let blocks = |sessions: &[&str]| -> String {
                let block = |session: &&str| {
                    let name = id(session, 1);
                    format!("<Block><Name>{name}</Name><Size>5</Size></Block>")
                };
                sessions.iter().map(block).collect()
            };
            let body = format!(
                "\u{feff}<?xml version=\"1.0\"?><BlockList><CommittedBlocks>{}</CommittedBlocks>\
                 <UncommittedBlocks>{}</UncommittedBlocks></BlockList>",
                blocks(committed),
                blocks(uncommitted)
            );
            Found::parse(body.as_bytes()).unwrap()
        };
        assert!(found(&["a", "a"], &["a"]).belongs_to("a"));
        assert!(found(&[], &["a"]).belongs_to("a"));
        assert!(!found(&["a"], &["b"]).belongs_to("a"));
        assert!(!found(&["b"], &[]).belongs_to("a"));
        assert!(!found(&[], &[]).belongs_to("a"));
        assert!(found(&["a"], &[]).is_listed() && !found(&[], &["a"]).is_listed());
        assert!(Found::parse(b"<BlockList><CommittedBlocks /></BlockList>").is_ok());
    }
}
