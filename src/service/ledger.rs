//! What each owner has, as far as this process knows.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{OwnerLimits, turn::Turn};
use crate::protocol::{Error, Oversized, Owner, UploadId};

/// What all owners have.
///
/// The truth is what is stored, and this a copy: what this process does is noted once it is done, and what
/// others do is found by a [`Survey`]. A survey keeps nobody waiting: what is noted while it looks is newer
/// than what it may have seen, and stays.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    books: Mutex<Books>,
    /// Whose turn it is to count everything.
    pub(super) counts: Turn,
}

/// What one upload counts, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holding {
    Unfinished(u64),
    Finished(u64),
}

/// Some of the uploads of an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Unfinished,
    All,
}

/// Room for an upload that does not exist yet, or is about to grow. Dropping it gives the room back.
#[derive(Debug)]
#[must_use]
pub(super) struct Reservation<'l> {
    ledger: &'l Ledger,
    owner: Owner,
    ticket: u64,
}

/// A look at what is stored.
#[derive(Debug)]
#[must_use]
pub(super) struct Survey<'l> {
    ledger: &'l Ledger,
    since: u64,
}

#[derive(Debug, Default)]
struct Books {
    accounts: HashMap<Owner, Account>,
    counted: Counted,
    /// Goes on with everything that is noted.
    clock: u64,
    /// How many surveys look at what is stored.
    surveys: usize,
    /// What is known to be no more, and since when; kept while there are surveys.
    gone: HashMap<UploadId, u64>,
    /// How many reservations there were.
    tickets: u64,
}

/// Whether all uploads have been counted once.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Counted {
    #[default]
    No,
    Yes,
}

#[derive(Debug, Default)]
struct Account {
    lines: HashMap<UploadId, Line>,
    /// By ticket, and not by id: it may turn out to be taken.
    reserved: HashMap<u64, (UploadId, u64)>,
    unfinished: usize,
    // No sum of lengths is too large for these.
    unfinished_bytes: u128,
    finished_bytes: u128,
    checks: Arc<Turn>,
}

#[derive(Debug)]
struct Line {
    holding: Holding,
    /// When this was last known to be so, by the clock of the books.
    seen: u64,
}

impl Ledger {
    pub(super) fn is_counted(&self) -> bool {
        self.books().counted == Counted::Yes
    }

    /// Makes room for an upload that will count `charge` while it is unfinished, if its owner may have it. What
    /// an unfinished upload of this id counts already is part of that.
    pub(super) fn reserve(
        &self,
        (owner, id): (&Owner, &UploadId),
        charge: u64,
        own: &OwnerLimits,
    ) -> Result<Reservation<'_>, Error> {
        let mut books = self.books();
        books.tickets += 1;
        let ticket = books.tickets;
        let account = books.accounts.entry(owner.clone()).or_default();
        let allowed = account.allows(id, charge, own);
        if allowed.is_ok() {
            account.reserved.insert(ticket, (id.clone(), charge));
        }
        books.prune(owner);
        allowed.map(|()| Reservation {
            ledger: self,
            owner: owner.clone(),
            ticket,
        })
    }

    /// An upload counts this from now on; `None` if it does not count.
    pub(super) fn note(&self, owner: &Owner, id: &UploadId, holding: Option<Holding>) {
        self.books().note(owner, id, holding);
    }

    /// The uploads of an owner that are in the books.
    pub(super) fn uploads(&self, owner: &Owner, which: Which) -> Vec<UploadId> {
        let books = self.books();
        let lines = books.accounts.get(owner).map(|account| &account.lines);
        let lines = lines.into_iter().flatten();
        lines
            .filter(|(_, line)| {
                which == Which::All || matches!(line.holding, Holding::Unfinished(_))
            })
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// Whose turn it is to look at the uploads of an owner; `None` if there are none.
    pub(super) fn checks(&self, owner: &Owner) -> Option<Arc<Turn>> {
        let books = self.books();
        let account = books.accounts.get(owner)?;
        Some(Arc::clone(&account.checks))
    }

    /// Begins to look at what is stored.
    pub(super) fn survey(&self) -> Survey<'_> {
        let mut books = self.books();
        books.clock += 1;
        books.surveys += 1;
        Survey {
            ledger: self,
            since: books.clock,
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation<'_> {
    /// The upload is stored as it was to be.
    pub(super) fn keep(self) {
        let mut books = self.ledger.books();
        let account = books.accounts.get_mut(&self.owner);
        let reserved = account.and_then(|account| account.reserved.remove(&self.ticket));
        if let Some((id, charge)) = reserved {
            books.note(&self.owner, &id, Some(Holding::Unfinished(charge)));
        }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut books = self.ledger.books();
        if let Some(account) = books.accounts.get_mut(&self.owner) {
            account.reserved.remove(&self.ticket);
            books.prune(&self.owner);
        }
    }
}

impl Survey<'_> {
    /// An upload was seen, which counts this; `None` if it was not there, or does not count.
    pub(super) fn see(&self, owner: &Owner, id: &UploadId, holding: Option<Holding>) {
        let mut books = self.ledger.books();
        let line = books.accounts.get(owner).and_then(|a| a.lines.get(id));
        let known = line.map(|line| line.seen);
        let noted = known.max(books.gone.get(id).copied());
        if noted.is_none_or(|noted| noted < self.since) {
            books.set(owner, id, holding);
        }
    }

    /// All uploads were seen: there are no others.
    pub(super) fn complete(self) {
        let mut books = self.ledger.books();
        books.counted = Counted::Yes;
        books.accounts.retain(|_, account| {
            account.forget(self.since);
            !account.is_empty()
        });
    }
}

impl Drop for Survey<'_> {
    fn drop(&mut self) {
        let mut books = self.ledger.books();
        books.surveys -= 1;
        if books.surveys == 0 {
            books.gone = HashMap::new();
        }
    }
}

impl Books {
    fn note(&mut self, owner: &Owner, id: &UploadId, holding: Option<Holding>) {
        if self.counted == Counted::No && self.surveys == 0 {
            // It will be counted as it is then.
            return;
        }
        self.clock += 1;
        if holding.is_none() && self.surveys > 0 {
            self.gone.insert(id.clone(), self.clock);
        }
        self.set(owner, id, holding);
    }

    fn set(&mut self, owner: &Owner, id: &UploadId, holding: Option<Holding>) {
        let seen = self.clock;
        match holding {
            Some(holding) => {
                let account = self.accounts.entry(owner.clone()).or_default();
                account.write(id, Line { holding, seen });
            }
            None => {
                if let Some(account) = self.accounts.get_mut(owner) {
                    account.strike(id);
                    self.prune(owner);
                }
            }
        }
    }

    fn prune(&mut self, owner: &Owner) {
        if self.accounts.get(owner).is_some_and(Account::is_empty) {
            self.accounts.remove(owner);
        }
    }
}

impl Account {
    fn allows(&self, id: &UploadId, charge: u64, own: &OwnerLimits) -> Result<(), Error> {
        let (uploads, bytes) = self.unfinished();
        let known = self.charge_of(id);
        let more = charge.saturating_sub(known.unwrap_or(0));
        let unfinished = bytes + u128::from(more);
        let stored = self.finished_bytes + unfinished;
        let exceeds = |max: Option<u64>, bytes| max.is_some_and(|max| bytes > u128::from(max));
        if exceeds(own.max_stored_bytes, stored) {
            return Err(Error::QuotaExceeded);
        }
        if exceeds(own.max_unfinished_bytes, charge.into()) {
            return Err(Error::TooLarge(Oversized::Upload));
        }
        let crowded = known.is_none() && own.max_uploads.is_some_and(|max| uploads >= max);
        if crowded || exceeds(own.max_unfinished_bytes, unfinished) {
            return Err(Error::TooManyUploads);
        }
        Ok(())
    }

    /// How many uploads are unfinished, and what they count, with those that there is room reserved for. One
    /// that is stored by now may have been seen already.
    fn unfinished(&self) -> (usize, u128) {
        let unfinished = (self.unfinished, self.unfinished_bytes);
        let reserved = self.reserved.values();
        reserved.fold(unfinished, |(uploads, bytes), (id, charge)| {
            let known = self.charge_of(id);
            let more = charge.saturating_sub(known.unwrap_or(0));
            (
                uploads + usize::from(known.is_none()),
                bytes + u128::from(more),
            )
        })
    }

    /// What an unfinished upload counts.
    fn charge_of(&self, id: &UploadId) -> Option<u64> {
        match self.lines.get(id)?.holding {
            Holding::Unfinished(charge) => Some(charge),
            Holding::Finished(_) => None,
        }
    }

    fn write(&mut self, id: &UploadId, line: Line) {
        self.strike(id);
        match line.holding {
            Holding::Unfinished(bytes) => {
                self.unfinished += 1;
                self.unfinished_bytes += u128::from(bytes);
            }
            Holding::Finished(bytes) => self.finished_bytes += u128::from(bytes),
        }
        self.lines.insert(id.clone(), line);
    }

    fn strike(&mut self, id: &UploadId) {
        if let Some(line) = self.lines.remove(id) {
            self.subtract(line.holding);
        }
    }

    /// Strikes what was not seen since then.
    fn forget(&mut self, since: u64) {
        let stale = self.lines.extract_if(|_, line| line.seen < since);
        let stale: Vec<_> = stale.map(|(_, line)| line.holding).collect();
        for holding in stale {
            self.subtract(holding);
        }
    }

    fn subtract(&mut self, holding: Holding) {
        match holding {
            Holding::Unfinished(bytes) => {
                self.unfinished -= 1;
                self.unfinished_bytes -= u128::from(bytes);
            }
            Holding::Finished(bytes) => self.finished_bytes -= u128::from(bytes),
        }
    }

    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.reserved.is_empty()
    }
}
