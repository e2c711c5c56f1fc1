//! What this process knows of uploads.

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use object_store::UpdateVersion;
use tokio::sync::Mutex as Turn;

use super::state::State;
use crate::protocol::{Upload, UploadId};

/// The uploads that this process has written to lately.
#[derive(Debug, Default)]
pub(super) struct Desk(Mutex<Seats>);

#[derive(Debug, Default)]
struct Seats {
    seats: HashMap<UploadId, Arc<Seat>>,
    /// In the order in which they came.
    order: VecDeque<UploadId>,
}

/// One upload. Whoever in this process changes its state holds the turn meanwhile; so between the
/// writers of one process nothing is left to the store.
#[derive(Debug, Default)]
pub(super) struct Seat {
    pub(super) turn: Arc<Turn<Held>>,
    /// Counts appenders: only the latest may write.
    epoch: AtomicU64,
    shown: Mutex<Option<Upload>>,
}

/// What is known of one upload.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// The state that was last seen in the store, if it is sure that this process would know of a later
    /// one of its own. Another process may have replaced it.
    pub(super) known: Option<Known>,
    /// Part numbers that are reserved for this process, and not used yet.
    pub(super) numbers: Range<u32>,
}

impl Held {
    /// Takes notice of a state that was read without the turn. It may be newer than what is held, or
    /// older: then neither is sure.
    pub(super) fn compare(&mut self, read: Known) {
        match &self.known {
            None => self.known = Some(read),
            Some(known) if known.write == read.write => {}
            Some(_) => self.known = None,
        }
    }

    /// Forgets what is too large to be remembered.
    pub(super) fn trim(&mut self) {
        let large = |known: &mut Known| known.state.tail.size() > REMEMBERED;
        drop(self.known.take_if(large));
    }
}

/// A state as it is stored.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) state: State,
    /// The name of the write that stored it.
    pub(super) write: String,
    /// What the store calls it.
    pub(super) version: UpdateVersion,
}

/// How many uploads are remembered.
const CAPACITY: usize = 4096;

/// The longest tail that is remembered, in bytes.
const REMEMBERED: u64 = 256 << 10;

impl Desk {
    /// The seat of an upload, which is made if there is none.
    pub(super) fn seat(&self, id: &UploadId) -> Arc<Seat> {
        let mut seats = self.lock();
        if let Some(seat) = seats.seats.get(id) {
            return Arc::clone(seat);
        }
        seats.make_room();
        let seat = Arc::<Seat>::default();
        seats.seats.insert(id.clone(), Arc::clone(&seat));
        seats.order.push_back(id.clone());
        seat
    }

    /// What a seat shows, if there is one.
    pub(super) fn recall(&self, id: &UploadId) -> Option<Upload> {
        self.lock().seats.get(id)?.shown().clone()
    }

    /// What is held of an upload, if nobody has the turn and may be about to change it.
    pub(super) fn held(&self, id: &UploadId) -> Option<Upload> {
        let seat = Arc::clone(self.lock().seats.get(id)?);
        let held = seat.turn.try_lock().ok()?;
        held.known.as_ref().map(|known| known.state.snapshot())
    }

    /// Nothing more is to be remembered of an upload.
    pub(super) fn leave(&self, id: &UploadId) {
        // Its place in the order is given up when it comes to it.
        self.lock().seats.remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, Seats> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seats {
    /// Forgets the oldest seats that nobody sits in.
    fn make_room(&mut self) {
        for _ in 0..self.order.len() {
            if self.order.len() < CAPACITY {
                return;
            }
            let Some(id) = self.order.pop_front() else {
                return;
            };
            match self.seats.get(&id) {
                Some(seat) if Arc::strong_count(seat) > 1 => self.order.push_back(id),
                _ => drop(self.seats.remove(&id)),
            }
        }
    }
}

impl Seat {
    /// Ends all appenders there are, and gives the number of the next.
    pub(super) fn next_epoch(&self) -> u64 {
        self.epoch.fetch_add(1, SeqCst) + 1
    }

    /// Whether the appender of this number is the latest.
    pub(super) fn is_latest(&self, epoch: u64) -> bool {
        self.epoch.load(SeqCst) == epoch
    }

    /// Shows what is held to those who do not want to wait for the turn.
    pub(super) fn show(&self, held: &Held) {
        *self.shown() = held.known.as_ref().map(|known| known.state.snapshot());
    }

    fn shown(&self) -> MutexGuard<'_, Option<Upload>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
