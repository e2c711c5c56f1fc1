use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::protocol::{Concat, UploadId};

/// The latest final uploads whose parts were removed. Whoever repeats such a creation, because its answer
/// was lost, is told of the same upload again: another one cannot be made any more.
#[derive(Debug, Default)]
pub(super) struct Joined(Mutex<VecDeque<(Concat, UploadId)>>);

impl Joined {
    pub(super) fn note(&self, concat: &Concat, id: &UploadId) {
        let mut latest = self.latest();
        if latest.len() == MOST {
            latest.pop_front();
        }
        latest.push_back((concat.clone(), id.clone()));
    }

    /// What was made of exactly these parts.
    pub(super) fn find(&self, concat: &Concat) -> Option<UploadId> {
        let latest = self.latest();
        let (_, id) = latest
            .iter()
            .rfind(|(made, _)| made.parts() == concat.parts())?;
        Some(id.clone())
    }

    fn latest(&self) -> MutexGuard<'_, VecDeque<(Concat, UploadId)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// More are made only by who does not wait for answers.
const MOST: usize = 1024;
