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
    /// Final uploads for whose length there was no room.
    refused: HashMap<UploadId, Error>,
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

    /// There was no room for the length of a final upload.
    pub(super) fn refuse(&self, owner: &Owner, id: &UploadId, error: Error) {
        let mut books = self.books();
        if let Some(account) = books.accounts.get_mut(owner)
            && account.lines.contains_key(id)
        {
            account.refused.insert(id.clone(), error);
        }
    }

    /// Why there was no room for the length of a final upload, when it was last tried.
    pub(super) fn refusal(&self, owner: &Owner, id: &UploadId) -> Option<Error> {
        let books = self.books();
        books.accounts.get(owner)?.refused.get(id).cloned()
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
        let Some(account) = books.accounts.get_mut(&self.owner) else {
            return;
        };
        if let Some((id, charge)) = account.reserved.remove(&self.ticket) {
            account.refused.remove(&id);
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
        self.erase(id);
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
        self.erase(id);
        self.refused.remove(id);
    }

    fn erase(&mut self, id: &UploadId) {
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
        self.refused.retain(|id, _| self.lines.contains_key(id));
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

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: OwnerLimits = OwnerLimits {
        max_uploads: Some(2),
        max_unfinished_bytes: None,
        max_stored_bytes: Some(10),
    };

    fn id(name: &str) -> UploadId {
        name.parse().unwrap()
    }

    fn me() -> Owner {
        Owner::from("me")
    }

    fn counted() -> Ledger {
        let ledger = Ledger::default();
        ledger.survey().complete();
        ledger
    }

    impl Ledger {
        fn notes(&self, name: &str, holding: impl Into<Option<Holding>>) {
            self.note(&me(), &id(name), holding.into());
        }

        fn asks(&self, name: &str, charge: u64) -> Result<Reservation<'_>, Error> {
            self.reserve((&me(), &id(name)), charge, &OWN)
        }

        /// What may still be stored.
        fn room(&self) -> u64 {
            let fits = |bytes: &u64| self.asks("room", *bytes).is_ok();
            (0..=10).rev().find(fits).unwrap_or(0)
        }
    }

    #[test]
    fn what_is_there_counts_and_what_goes_makes_room() {
        let ledger = counted();
        ledger.notes("a", Holding::Finished(6));
        assert_eq!(ledger.asks("b", 5).unwrap_err(), Error::QuotaExceeded);
        ledger.asks("b", 4).unwrap().keep();
        assert_eq!(ledger.room(), 0);
        ledger.notes("c", Holding::Unfinished(0));
        assert_eq!(ledger.asks("d", 0).unwrap_err(), Error::TooManyUploads);
        ledger.notes("b", Holding::Finished(4));
        ledger.notes("b", Holding::Finished(4));
        ledger.notes("a", None);
        ledger.notes("a", None);
        ledger.notes("unknown", None);
        assert_eq!(ledger.room(), 6);
    }

    #[test]
    fn one_owner_takes_nothing_from_another() {
        let ledger = counted();
        ledger.notes("a", Holding::Unfinished(10));
        let other = Owner::from("you");
        ledger.reserve((&other, &id("b")), 10, &OWN).unwrap().keep();
        ledger.note(&other, &id("a"), None);
        assert_eq!(ledger.room(), 0);
    }

    #[test]
    fn who_has_nothing_is_not_remembered() {
        let ledger = counted();
        drop(ledger.asks("a", 1).unwrap());
        ledger.asks("a", 11).unwrap_err();
        ledger.asks("a", 1).unwrap().keep();
        ledger.notes("a", None);
        assert!(ledger.books().accounts.is_empty());
    }

    #[test]
    fn room_that_is_not_used_is_given_back() {
        let ledger = counted();
        ledger.asks("taken", 4).unwrap().keep();
        let again = ledger.asks("taken", 6).unwrap();
        assert_eq!(ledger.room(), 4);
        drop(again);
        assert_eq!(ledger.room(), 6);
        let panics = std::panic::AssertUnwindSafe(|| {
            let _room = ledger.asks("b", 6).unwrap();
            panic!("the storage did");
        });
        std::panic::catch_unwind(panics).unwrap_err();
        assert_eq!(ledger.room(), 6);
    }

    #[test]
    fn one_that_grows_is_asked_for_what_it_has_more() {
        let ledger = counted();
        ledger.notes("final", Holding::Unfinished(0));
        ledger.notes("b", Holding::Unfinished(6));
        assert_eq!(ledger.asks("final", 5).unwrap_err(), Error::QuotaExceeded);
        ledger.asks("final", 4).unwrap().keep();
        assert_eq!(ledger.room(), 0);
    }

    #[test]
    fn one_that_is_seen_before_it_is_noted_counts_once() {
        let ledger = counted();
        let room = ledger.asks("a", 4).unwrap();
        let survey = ledger.survey();
        survey.see(&me(), &id("a"), Some(Holding::Unfinished(4)));
        survey.complete();
        assert_eq!(ledger.room(), 6);
        room.keep();
        assert_eq!(ledger.room(), 6);
    }

    #[test]
    fn a_survey_finds_what_others_did() {
        let ledger = counted();
        ledger.notes("finished", Holding::Unfinished(1));
        ledger.notes("removed", Holding::Finished(5));
        let survey = ledger.survey();
        survey.see(&me(), &id("finished"), Some(Holding::Finished(1)));
        survey.see(&me(), &id("made"), Some(Holding::Unfinished(2)));
        survey.complete();
        assert_eq!(ledger.room(), 7);
        assert_eq!(ledger.uploads(&me(), Which::Unfinished), [id("made")]);
        assert_eq!(ledger.uploads(&me(), Which::All).len(), 2);
    }

    #[test]
    fn what_is_noted_while_somebody_looks_stays() {
        for ledger in [Ledger::default(), counted()] {
            ledger.notes("finished", Holding::Unfinished(1));
            ledger.notes("gone", Holding::Unfinished(8));
            let survey = ledger.survey();
            ledger.notes("finished", Holding::Finished(1));
            ledger.notes("gone", None);
            ledger.notes("made", Holding::Unfinished(2));
            survey.see(&me(), &id("finished"), Some(Holding::Unfinished(1)));
            survey.see(&me(), &id("gone"), Some(Holding::Unfinished(8)));
            survey.complete();
            assert_eq!(ledger.room(), 7);
            assert_eq!(ledger.uploads(&me(), Which::Unfinished), [id("made")]);
            assert!(ledger.books().gone.is_empty());
            // Made anew elsewhere.
            let survey = ledger.survey();
            survey.see(&me(), &id("gone"), Some(Holding::Finished(6)));
            assert_eq!(ledger.room(), 1);
        }
    }

    #[test]
    fn a_survey_that_is_given_up_strikes_nothing() {
        let ledger = counted();
        ledger.notes("a", Holding::Finished(4));
        drop(ledger.survey());
        assert_eq!(ledger.room(), 6);
        let never = Ledger::default();
        drop(never.survey());
        assert!(!never.is_counted());
    }

    #[test]
    fn no_sum_is_too_large() {
        let ledger = counted();
        for name in ["a", "b", "c"] {
            ledger.notes(name, Holding::Unfinished(u64::MAX));
        }
        assert_eq!(ledger.asks("d", 0).unwrap_err(), Error::QuotaExceeded);
        for name in ["a", "b", "c"] {
            ledger.notes(name, None);
        }
        assert_eq!(ledger.room(), 10);
    }
}
