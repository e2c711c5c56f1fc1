//! What is stored of an upload: one object that says it all.

use std::{ops::Range, time::SystemTime};

use bytes::Bytes;
use object_store::PutPayload;
use serde::{Deserialize, Serialize};

use super::bucket::Part;
use crate::{
    protocol::{Length, Stage, Upload, UploadId, Version},
    storage::{
        Error, Result,
        record::{Record, damaged, since_epoch, time},
    },
};

/// The truth about an upload. Its object is only ever replaced as a whole, under the condition that it
/// is still the one that was read.
///
/// The bytes of the upload are those of its parts, then of its segments, then its tail.
///
/// On the wire it is a line of JSON that tells what everybody wants to know, a line of JSON with parts
/// and segments, and the bytes of the tail. So the first few kilobytes are enough for a snapshot.
#[derive(Debug, Clone)]
pub(super) struct State {
    /// Without what follows from the rest: offset, stage and version.
    description: Upload,
    pub(super) phase: Phase,
    /// The process that writes: no other may use the numbers it has reserved.
    pub(super) owner: String,
    revision: u64,
    pub(super) part_size: u64,
    /// The first part number that nobody has reserved.
    pub(super) number: u32,
    pub(super) session: Option<Session>,
    pub(super) parts: Vec<Part>,
    pub(super) segments: Vec<Segment>,
    pub(super) tail: Tail,
}

/// How far an upload is. That all bytes are there follows from the offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Phase {
    /// Bytes are missing, or not under the key yet.
    Receiving,
    /// All bytes are under the key.
    Finished,
    /// About to be removed, whatever else still exists.
    Deleted,
}

/// Where the parts are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) place: Place,
    /// What the store said when it was last told to keep the parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) secured: Option<String>,
}

/// Where parts are put together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Place {
    /// Where the upload will be found.
    Target,
    /// In the storage's own corner under a name of its own, to be copied.
    Stage(String),
}

/// Bytes too many to be written again and again with the state, and too few for a part: an object of
/// their own, that never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Segment {
    pub(super) name: String,
    pub(super) size: u64,
}

/// The last bytes, in pieces.
#[derive(Debug, Clone, Default)]
pub(super) struct Tail(Vec<Bytes>);

/// The first line. It has a new random `write` each time: two writes never look alike, and whoever gets
/// no answer finds out whether his took effect.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    v: u32,
    write: String,
    owner: String,
    revision: u64,
    phase: Phase,
    offset: u64,
    tail: u64,
    /// Milliseconds since the epoch.
    touched: u64,
    part_size: u64,
    number: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<Session>,
    #[serde(flatten)]
    record: Record,
}

/// The second line.
#[derive(Debug, Serialize, Deserialize)]
struct Pieces {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parts: Vec<(u32, String, u64)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    segments: Vec<Segment>,
}

/// What the beginning of the object tells.
#[derive(Debug)]
pub(super) struct Glance {
    pub(super) upload: Upload,
    pub(super) phase: Phase,
    pub(super) session: Option<Session>,
}

const FORMAT: u32 = 1;

impl State {
    pub(super) fn new(upload: &Upload, owner: &str, part_size: u64) -> Self {
        let mut description = upload.clone();
        description.created = whole(upload.created);
        description.touched = whole(upload.touched);
        Self {
            description,
            phase: Phase::Receiving,
            owner: owner.to_owned(),
            revision: 1,
            part_size,
            number: 1,
            session: None,
            parts: Vec::new(),
            segments: Vec::new(),
            tail: Tail::default(),
        }
    }

    pub(super) fn id(&self) -> &UploadId {
        &self.description.id
    }

    /// What does not change with the bytes.
    pub(super) fn description(&self) -> &Upload {
        &self.description
    }

    /// Bytes that are stored.
    pub(super) fn offset(&self) -> u64 {
        match (self.phase, self.description.length) {
            (Phase::Finished, Length::Known(length)) => length,
            _ => self.parts_size() + self.loose_size(),
        }
    }

    /// Bytes in parts.
    pub(super) fn parts_size(&self) -> u64 {
        self.parts.iter().map(|part| part.size).sum()
    }

    /// Bytes in no part yet.
    pub(super) fn loose_size(&self) -> u64 {
        self.segments
            .iter()
            .map(|segment| segment.size)
            .sum::<u64>()
            + self.tail.size()
    }

    /// Whether all bytes are stored.
    pub(super) fn is_complete(&self) -> bool {
        self.description.length == Length::Known(self.offset())
    }

    /// Whether bytes go to parts: small uploads are written as a whole.
    pub(super) fn wants_parts(&self) -> bool {
        self.session.is_some()
            || match self.description.length {
                Length::Known(length) => length > self.part_size,
                Length::Deferred => true,
            }
    }

    pub(super) fn version(&self) -> Version {
        Version::new(self.revision.to_string())
    }

    pub(super) fn snapshot(&self) -> Upload {
        snapshot(
            self.description.clone(),
            self.phase,
            self.offset(),
            self.revision,
        )
    }

    pub(super) fn glance(&self) -> Glance {
        Glance {
            upload: self.snapshot(),
            phase: self.phase,
            session: self.session.clone(),
        }
    }

    /// Takes over what may change of the description.
    pub(super) fn describe(&mut self, upload: &Upload) {
        self.description.length = upload.length;
        self.description.metadata = upload.metadata.clone();
        self.description.lifetime = upload.lifetime;
        self.description.key = upload.key.clone();
        self.description.announcement = upload.announcement;
        self.revision += 1;
    }

    pub(super) fn touch(&mut self, now: SystemTime) {
        self.description.touched = whole(now);
    }

    /// Gives the state another owner, who goes on with the session if there are parts in it. An empty one
    /// may be known to an earlier owner under the same name.
    pub(super) fn claim(&mut self, owner: &str) {
        owner.clone_into(&mut self.owner);
        if self.parts.is_empty() {
            self.session = None;
            self.number = 1;
        }
    }

    /// Reserves part numbers that are needed now, and some for later; none when there are none left.
    pub(super) fn reserve(&mut self, count: u32, max: u32) -> Range<u32> {
        self.take_numbers(count.min(self.dispensable(max).max(1)), max)
    }

    /// Reserves part numbers that may be of use to whoever goes on, if he is of this process: few or none
    /// when that would leave too few for all the others.
    pub(super) fn reserve_ahead(&mut self, count: u32, max: u32) -> Range<u32> {
        self.take_numbers(count.min(self.dispensable(max)), max)
    }

    fn take_numbers(&mut self, count: u32, max: u32) -> Range<u32> {
        let end = max.saturating_add(1);
        let first = self.number.min(end);
        self.number = first.saturating_add(count).min(end);
        first..self.number
    }

    /// How many numbers one writer may let go to waste, of those that the rest of the upload does not need.
    fn dispensable(&self, max: u32) -> u32 {
        let left = u64::from(max.saturating_add(1).saturating_sub(self.number));
        let needed = match self.description.length {
            Length::Known(length) => length
                .saturating_sub(self.parts_size())
                .div_ceil(self.part_size.max(1)),
            Length::Deferred => 0,
        };
        let spare = left.saturating_sub(needed) / 16;
        u32::try_from(spare).unwrap_or(u32::MAX)
    }

    /// Whether the parts are in the order of their numbers, which every store wants.
    pub(super) fn is_ordered(&self) -> bool {
        self.parts.is_sorted_by(|a, b| a.number < b.number)
    }

    /// All bytes are where they belong: nothing else is to be kept of them.
    pub(super) fn finish(&mut self) {
        self.phase = Phase::Finished;
        self.session = None;
        self.parts.clear();
        self.segments.clear();
        self.tail = Tail::default();
        self.revision += 1;
    }

    /// The object, as the write `write`.
    pub(super) fn encode(&self, write: &str) -> Result<PutPayload> {
        let head = Head {
            v: FORMAT,
            write: write.to_owned(),
            owner: self.owner.clone(),
            revision: self.revision,
            phase: self.phase,
            offset: self.offset(),
            tail: self.tail.size(),
            touched: since_epoch(self.description.touched),
            part_size: self.part_size,
            number: self.number,
            session: self.session.clone(),
            record: Record::new(&self.description),
        };
        let parts = self.parts.iter();
        let pieces = Pieces {
            parts: parts
                .map(|part| (part.number, part.tag.clone(), part.size))
                .collect(),
            segments: self.segments.clone(),
        };
        let mut lines = Vec::new();
        write_line(&mut lines, &head)?;
        write_line(&mut lines, &pieces)?;
        let lines = std::iter::once(Bytes::from(lines));
        Ok(lines.chain(self.tail.0.iter().cloned()).collect())
    }

    /// Reads the whole object, and gives the name of its write.
    pub(super) fn decode(id: &UploadId, bytes: &Bytes) -> Result<(Self, String)> {
        let (head, rest) = line::<Head>(id, bytes)?;
        let (pieces, rest) =
            line::<Pieces>(id, &bytes.slice(rest..)).map(|(pieces, next)| (pieces, rest + next))?;
        let tail = bytes.slice(rest..);
        if tail.len() as u64 != head.tail {
            return Err(damaged(id, "the tail is not as long as it should be"));
        }
        let parts = pieces.parts.into_iter();
        let state = Self {
            description: head.description(id)?,
            phase: head.phase,
            owner: head.owner,
            revision: head.revision,
            part_size: head.part_size,
            number: head.number,
            session: head.session,
            parts: parts
                .map(|(number, tag, size)| Part::new(number, tag, size))
                .collect(),
            segments: pieces.segments,
            tail: Tail::from(tail),
        };
        if state.offset() != head.offset {
            return Err(damaged(id, "parts and tail do not add up to the offset"));
        }
        Ok((state, head.write))
    }
}

impl Glance {
    /// Reads the beginning of the object; `None` if it is too short to tell.
    pub(super) fn decode(id: &UploadId, bytes: &Bytes) -> Result<Option<Self>> {
        if !bytes.contains(&b'\n') {
            return Ok(None);
        }
        let (head, _) = line::<Head>(id, bytes)?;
        let upload = head.description(id)?;
        Ok(Some(Self {
            upload: snapshot(upload, head.phase, head.offset, head.revision),
            phase: head.phase,
            session: head.session,
        }))
    }
}

impl Head {
    fn description(&self, id: &UploadId) -> Result<Upload> {
        if self.v != FORMAT {
            return Err(damaged(id, format!("format {} is not known", self.v)));
        }
        let mut upload = self.record.upload(id)?;
        upload.touched = time(self.touched)
            .ok_or_else(|| damaged(id, "the time of the last bytes is beyond the calendar"))?;
        Ok(upload)
    }
}

impl Tail {
    pub(super) fn size(&self) -> u64 {
        self.0.iter().map(|piece| piece.len() as u64).sum()
    }

    pub(super) fn push(&mut self, piece: Bytes) {
        self.0.push(piece);
    }

    pub(super) fn pieces(&self) -> &[Bytes] {
        &self.0
    }
}

impl From<Bytes> for Tail {
    fn from(bytes: Bytes) -> Self {
        Self(match bytes.is_empty() {
            true => Vec::new(),
            false => vec![bytes],
        })
    }
}

impl FromIterator<Bytes> for Tail {
    fn from_iter<I: IntoIterator<Item = Bytes>>(pieces: I) -> Self {
        Self(pieces.into_iter().collect())
    }
}

/// A time as it will be read.
fn whole(time: SystemTime) -> SystemTime {
    self::time(since_epoch(time)).unwrap_or(time)
}

fn snapshot(mut upload: Upload, phase: Phase, offset: u64, revision: u64) -> Upload {
    upload.offset = offset;
    upload.version = Version::new(revision.to_string());
    upload.stage = match phase {
        Phase::Finished => Stage::Finished,
        _ if upload.is_complete() => Stage::Finishing,
        _ => Stage::Receiving,
    };
    upload
}

fn write_line(lines: &mut Vec<u8>, value: &impl Serialize) -> Result<()> {
    serde_json::to_writer(&mut *lines, value).map_err(|error| Error::Backend(Box::new(error)))?;
    lines.push(b'\n');
    Ok(())
}

/// A line of JSON, and where the next one begins.
fn line<'b, T: Deserialize<'b>>(id: &UploadId, bytes: &'b [u8]) -> Result<(T, usize)> {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let end = end.ok_or_else(|| damaged(id, "a line has no end"))?;
    let value = serde_json::from_slice(&bytes[..end]).map_err(|error| damaged(id, error))?;
    Ok((value, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Kind;

    fn state() -> State {
        let now = time(1_234_567).unwrap();
        let mut upload = Upload::new("a".parse().unwrap(), Length::Known(100), now);
        upload.metadata = "k dg==".parse().unwrap();
        upload.kind = Kind::Partial;
        let mut state = State::new(&upload, "me", 8);
        state.parts = vec![Part::new(1, "\"x\"", 8), Part::new(5, "y", 8)];
        state.segments = vec![Segment {
            name: "s".to_owned(),
            size: 4,
        }];
        state.tail = [Bytes::from_static(b"ab"), Bytes::from_static(b"\nc")]
            .into_iter()
            .collect();
        state.number = 22;
        state.touch(time(1_234_999).unwrap());
        state
    }

    fn encode(state: &State) -> Bytes {
        let pieces: Vec<Bytes> = state.encode("w").unwrap().into_iter().collect();
        Bytes::from(pieces.concat())
    }

    #[test]
    fn a_state_comes_back_as_it_was() {
        let mut state = state();
        state.session = Some(Session {
            id: "s\"1".to_owned(),
            place: Place::Stage("n".to_owned()),
            secured: Some("e".to_owned()),
        });
        let bytes = encode(&state);
        let (decoded, write) = State::decode(state.id(), &bytes).unwrap();
        assert_eq!(write, "w");
        assert_eq!(decoded.snapshot(), state.snapshot());
        assert_eq!(decoded.offset(), 24);
        assert_eq!(decoded.parts, state.parts);
        assert_eq!(decoded.segments, state.segments);
        assert_eq!(decoded.session, state.session);
        assert_eq!(
            (decoded.owner.as_str(), decoded.number, decoded.part_size),
            ("me", 22, 8)
        );
        assert_eq!(decoded.tail.pieces().concat(), b"ab\nc");
    }

    #[test]
    fn the_first_line_is_enough_for_a_snapshot() {
        let state = state();
        let bytes = encode(&state);
        let line = bytes.iter().position(|byte| *byte == b'\n').unwrap();
        let glance = Glance::decode(state.id(), &bytes.slice(..=line));
        assert_eq!(glance.unwrap().unwrap().upload, state.snapshot());
        let cut = Glance::decode(state.id(), &bytes.slice(..line));
        assert!(cut.unwrap().is_none());
    }

    #[test]
    fn what_is_not_whole_is_damaged() {
        let state = state();
        let bytes = encode(&state);
        for cut in 0..bytes.len() {
            let decoded = State::decode(state.id(), &bytes.slice(..cut));
            assert!(matches!(decoded, Err(Error::Damaged { .. })), "{cut}");
        }
    }

    #[test]
    fn a_finished_state_keeps_nothing_but_its_description() {
        let mut state = state();
        state.finish();
        assert_eq!((state.offset(), state.loose_size()), (100, 0));
        assert_eq!(state.snapshot().stage, Stage::Finished);
    }
}
