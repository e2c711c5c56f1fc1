//! What a sink remembers.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

#[derive(Debug, Default)]
pub(super) struct Objects {
    objects: Mutex<HashMap<String, Object>>,
    sessions: Mutex<HashMap<String, Session>>,
    count: AtomicU64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Object {
    pub(super) size: u64,
    pub(super) tag: String,
    /// The attribute by which an upload knows its object again.
    pub(super) owner: Option<String>,
    /// Empty if they were forgotten.
    pub(super) bytes: Arc<[u8]>,
}

/// Parts of an object to be.
#[derive(Debug, Default)]
struct Session {
    owner: Option<String>,
    parts: HashMap<u32, u64>,
}

/// Under which a request is to be carried out.
pub(super) enum Condition {
    None,
    Absent,
    Is(String),
}

impl Objects {
    /// Puts an object, unless the condition does not hold. Gives its tag.
    pub(super) fn put(&self, path: &str, object: Object, condition: &Condition) -> Option<String> {
        let mut objects = lock(&self.objects);
        let found = objects.get(path).map(|object| &object.tag);
        let holds = match condition {
            Condition::None => true,
            Condition::Absent => found.is_none(),
            Condition::Is(tag) => found == Some(tag),
        };
        let tag = self.name();
        let put = Object {
            tag: tag.clone(),
            ..object
        };
        holds.then(|| objects.insert(path.to_owned(), put))?;
        Some(tag)
    }

    pub(super) fn get(&self, path: &str) -> Option<Object> {
        lock(&self.objects).get(path).cloned()
    }

    pub(super) fn delete(&self, path: &str) {
        lock(&self.objects).remove(path);
    }

    pub(super) fn begin(&self, owner: Option<String>) -> String {
        let name = self.name();
        let session = Session {
            owner,
            parts: HashMap::new(),
        };
        lock(&self.sessions).insert(name.clone(), session);
        name
    }

    /// Adds a part. Gives its tag.
    pub(super) fn put_part(&self, session: &str, number: u32, size: u64) -> Option<String> {
        let mut sessions = lock(&self.sessions);
        sessions.get_mut(session)?.parts.insert(number, size);
        Some(self.name())
    }

    /// What comes of the parts of these numbers.
    pub(super) fn assembled(&self, session: &str, numbers: &[u32]) -> Option<Object> {
        let sessions = lock(&self.sessions);
        let session = sessions.get(session)?;
        let sizes = numbers.iter().map(|number| session.parts.get(number));
        Some(Object {
            size: sizes.sum::<Option<u64>>()?,
            owner: session.owner.clone(),
            ..Object::default()
        })
    }

    pub(super) fn end(&self, session: &str) {
        lock(&self.sessions).remove(session);
    }

    fn name(&self) -> String {
        format!("{:032x}", self.count.fetch_add(1, Relaxed))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
