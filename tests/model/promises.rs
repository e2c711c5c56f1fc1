use std::{
    ops::Range,
    sync::{Arc, Mutex, MutexGuard},
};

use tower_tus::protocol::{Stage, Upload};

/// What a storage has promised of one upload, and what was given to it.
///
/// Each writer sends bytes of its own: where they end up tells who wrote them.
#[derive(Debug, Clone)]
pub(crate) struct Promises(Arc<Mutex<Book>>);

#[derive(Debug)]
struct Book {
    salt: u64,
    /// What `load` may not fall behind.
    offset: u64,
    finished: bool,
    created: bool,
    deleting: bool,
    deleted: bool,
    writers: Vec<Writer>,
    /// Whose bytes are where, for sure.
    certain: Vec<(Range<u64>, usize)>,
    broken: Vec<String>,
}

#[derive(Debug)]
struct Writer {
    /// From its first byte on.
    sent: Range<u64>,
    end: End,
}

/// How a writer has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Some first bytes may be stored.
    Open,
    /// Nothing may be stored.
    Discarded,
}

/// What a reader may not be told less than.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Floor {
    offset: u64,
    finished: bool,
    deleted: bool,
}

impl Promises {
    pub(crate) fn new(salt: u64) -> Self {
        Self(Arc::new(Mutex::new(Book {
            salt,
            offset: 0,
            finished: false,
            created: false,
            deleting: false,
            deleted: false,
            writers: Vec::new(),
            certain: Vec::new(),
            broken: Vec::new(),
        })))
    }

    /// To be taken before the storage is asked.
    pub(crate) fn floor(&self) -> Floor {
        let book = self.book();
        Floor {
            offset: book.offset,
            finished: book.finished,
            deleted: book.deleted,
        }
    }

    /// A snapshot was given.
    pub(crate) fn loaded(&self, floor: Floor, upload: &Upload) {
        let mut book = self.book();
        if floor.deleted {
            book.break_with("deleted upload: it is loaded".to_owned());
        }
        if upload.offset < floor.offset {
            let (told, promised) = (upload.offset, floor.offset);
            book.break_with(format!("bytes lost: {told} told after {promised}"));
        }
        let sent = book.writers.iter().map(|writer| writer.sent.end).max();
        let may_be_joined = book.writers.is_empty();
        if !may_be_joined && upload.offset > sent.unwrap_or_default() {
            let told = upload.offset;
            book.break_with(format!("bytes made up: {told} told, {sent:?} sent"));
        }
        if floor.finished && upload.stage != Stage::Finished {
            book.break_with(format!("finished upload: {:?} now", upload.stage));
        }
        if upload.is_complete() && upload.stage == Stage::Receiving {
            book.break_with("complete upload: it is still receiving".to_owned());
        }
        book.created = true;
        book.offset = book.offset.max(upload.offset);
        book.finished |= upload.stage == Stage::Finished;
    }

    pub(crate) fn created(&self) {
        self.book().created = true;
    }

    /// There is no such upload, it was said.
    pub(crate) fn missed(&self) {
        let mut book = self.book();
        if book.created && !book.deleting {
            book.break_with("upload lost: it is not found".to_owned());
        }
    }

    /// Whether there were more writers than bytes can be marked with.
    pub(crate) fn is_full(&self) -> bool {
        self.book().writers.len() > usize::from(u8::MAX)
    }

    /// A writer goes on from there.
    pub(crate) fn open(&self, at: u64) -> usize {
        let mut book = self.book();
        book.writers.push(Writer {
            sent: at..at,
            end: End::Open,
        });
        book.writers.len() - 1
    }

    /// The next bytes of a writer.
    pub(crate) fn send(&self, writer: usize, size: u64) -> Vec<u8> {
        let mut book = self.book();
        let start = book.writers[writer].sent.end;
        book.writers[writer].sent.end += size;
        (start..start + size)
            .map(|at| plain(book.salt, at) ^ writer as u8)
            .collect()
    }

    /// The storage says that bytes of a writer up to there are stored.
    pub(crate) fn stored(&self, writer: usize, end: u64) {
        let mut book = self.book();
        let sent = book.writers[writer].sent.clone();
        if end < sent.start || end > sent.end {
            book.break_with(format!("writer told {end}: it has sent {sent:?}"));
        }
        book.offset = book.offset.max(end);
        book.certain.push((sent.start..end, writer));
    }

    /// Nothing of a writer may be stored.
    pub(crate) fn discard(&self, writer: usize) {
        self.book().writers[writer].end = End::Discarded;
    }

    pub(crate) fn finished(&self) {
        self.book().finished = true;
    }

    /// From now on it may be gone.
    pub(crate) fn deleting(&self) {
        self.book().deleting = true;
    }

    pub(crate) fn deleted(&self) {
        self.book().deleted = true;
    }

    pub(crate) fn is_deleting(&self) -> bool {
        self.book().deleting
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.book().deleted
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.book().finished
    }

    pub(crate) fn broken(&self, what: impl Into<String>) {
        self.book().break_with(what.into());
    }

    pub(crate) fn first_broken(&self) -> Option<String> {
        self.book().broken.first().cloned()
    }

    /// Whether these can be the bytes that were stored.
    pub(crate) fn check(&self, bytes: &[u8]) -> Result<(), String> {
        let book = self.book();
        let writer_of = |at: usize| usize::from(bytes[at] ^ plain(book.salt, at as u64));
        for at in 0..bytes.len() {
            let writer = writer_of(at);
            let known = book.writers.get(writer);
            let Some(known) = known.filter(|writer| writer.sent.contains(&(at as u64))) else {
                return Err(format!("corrupt: nobody has sent byte {at}"));
            };
            if known.end == End::Discarded {
                return Err(format!("corrupt: byte {at} was discarded"));
            }
            if known.sent.start < at as u64 && writer_of(at - 1) != writer {
                return Err(format!("corrupt: a gap before byte {at} of {writer}"));
            }
        }
        for (range, writer) in &book.certain {
            let mut at = range.start..range.end.min(bytes.len() as u64);
            if let Some(at) = at.find(|at| writer_of(*at as usize) != *writer) {
                return Err(format!("corrupt: byte {at} is not the one acknowledged"));
            }
        }
        match bytes.len() as u64 >= book.offset {
            true => Ok(()),
            false => Err(format!("bytes lost: {} of {}", bytes.len(), book.offset)),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap()
    }
}

impl Book {
    fn break_with(&mut self, what: String) {
        self.broken.push(what);
    }
}

/// The byte at an offset, before its writer has marked it.
fn plain(salt: u64, at: u64) -> u8 {
    (salt.wrapping_add(at).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8
}
