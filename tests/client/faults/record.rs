use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard},
};

use super::{
    proxy::Fault,
    wire::{Head, Reply},
};

/// Everything that was seen on a line.
#[derive(Default)]
pub(super) struct Record(Mutex<Inner>);

#[derive(Default)]
pub(super) struct Inner {
    pub(super) requests: Vec<Seen>,
    /// How often something went wrong.
    pub(super) faults: usize,
    /// How often the client went away although nothing was wrong.
    pub(super) given_up: usize,
    /// What the client should not have done.
    pub(super) mistakes: Vec<String>,
    /// Where each upload stands, as the client was told; more than one if an answer may be lost.
    told: HashMap<String, Vec<u64>>,
}

/// A request.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) method: String,
    path: String,
    offset: Option<u64>,
    /// Where the upload stood when the request came.
    stored: Option<u64>,
    /// Bytes of content that came.
    pub(super) taken: u64,
    course: Course,
    fate: String,
    pub(super) status: Option<u16>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    Open,
    Answered,
    /// The client went away.
    GivenUp,
    /// Something went wrong with it.
    Spoiled,
}

impl Seen {
    pub(super) fn has_succeeded(&self) -> bool {
        self.status
            .is_some_and(|status| (200..300).contains(&status))
    }
}

/// Whether the client has got an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivered {
    Surely,
    Perhaps,
}

impl Record {
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// A request came, and `fate` will happen to it; its number.
    pub(super) fn request(&self, head: &Head, fate: &Fault, stored: Option<u64>) -> usize {
        let mut this = self.lock();
        let path = head.path().to_owned();
        // The client asks of an upload once at a time: it does not wait for the answer any more, even if
        // the line has not seen its end yet.
        let left = this.requests.iter().position(|seen| {
            seen.path == path && seen.course == Course::Open && seen.method != "POST"
        });
        if let Some(left) = left {
            this.given_up(left);
        }
        let course = match fate.is_harm() {
            true => {
                this.faults += 1;
                Course::Spoiled
            }
            false => Course::Open,
        };
        let offset = head.number("upload-offset");
        if let (Some(offset), Some(told)) = (offset, this.told.get(&path))
            && !told.contains(&offset)
        {
            let mistake = format!("{path} was sent from {offset} although it stands at {told:?}");
            this.mistakes.push(mistake);
        }
        this.requests.push(Seen {
            method: head.method().to_owned(),
            path,
            offset,
            stored,
            taken: 0,
            course,
            fate: format!("{fate:?}"),
            status: None,
        });
        this.requests.len() - 1
    }

    pub(super) fn taken(&self, number: usize, content: u64) {
        self.lock().requests[number].taken += content;
    }

    /// The line itself says no.
    pub(super) fn refused(&self, number: usize, status: u16) {
        self.lock().requests[number].status = Some(status);
    }

    pub(super) fn answered(&self, number: usize, reply: &Reply, delivered: Delivered) {
        let mut this = self.lock();
        let seen = &mut this.requests[number];
        seen.status = Some(reply.head.status());
        if seen.course == Course::Open {
            seen.course = Course::Answered;
        }
        // Who has gone, or been killed, tells nobody of it.
        let delivered = match seen.course {
            Course::GivenUp => Delivered::Perhaps,
            _ => delivered,
        };
        if !(200..300).contains(&reply.head.status()) {
            return;
        }
        let offset = reply.head.number("upload-offset");
        let (path, offset) = match reply.head.field("location") {
            Some(location) => {
                let uri: http::Uri = location.parse().unwrap();
                (uri.path().to_owned(), offset.or(Some(0)))
            }
            None => (seen.path.clone(), offset),
        };
        let Some(offset) = offset else { return };
        let told = this.told.entry(path).or_default();
        if delivered == Delivered::Surely {
            told.clear();
        }
        told.push(offset);
    }
}

impl Inner {
    /// The client went away without an answer.
    pub(super) fn given_up(&mut self, number: usize) {
        let course = &mut self.requests[number].course;
        if *course != Course::GivenUp {
            *course = Course::GivenUp;
            self.given_up += 1;
        }
    }

    /// How many requests are such.
    pub(super) fn count(&self, such: impl Fn(&Seen) -> bool) -> usize {
        self.requests.iter().filter(|seen| such(seen)).count()
    }

    /// Bytes of content that came from the client.
    pub(super) fn taken(&self) -> u64 {
        self.requests.iter().map(|seen| seen.taken).sum()
    }

    /// Bytes that came although the server had them, and with how many requests.
    pub(super) fn again(&self) -> (u64, usize) {
        let again = self.requests.iter().filter_map(|seen| {
            let known = seen.stored?.checked_sub(seen.offset?)?;
            Some(known.min(seen.taken)).filter(|bytes| *bytes > 0)
        });
        again.fold((0, 0), |(sum, count), bytes| (sum + bytes, count + 1))
    }
}

impl fmt::Display for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} faults, {} given up", self.faults, self.given_up)?;
        for seen in &self.requests {
            let Seen {
                method,
                path,
                offset,
                stored,
                taken,
                fate,
                status,
                ..
            } = seen;
            writeln!(
                f,
                "{method:7} {path:40} from {offset:?} of {stored:?}: {taken} bytes, {fate}, {status:?}"
            )?;
        }
        Ok(())
    }
}
