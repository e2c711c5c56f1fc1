//! A bucket that fails where a test wants it to.

mod fault;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future::BoxFuture, stream, stream::BoxStream};
use object_store::{
    Attributes, CopyMode, PutOptions, PutPayload, Result, UpdateVersion, path::Path,
};

pub use self::fault::{Fault, Gate, dies_after, dies_before};
use super::{Bucket, Listed, Object, Part, Profile, Scope, Session, Stat};

/// A bucket whose calls take the course that a plan says. Clones share the plan and the count of calls.
///
/// ```
/// use tower_tus::storage::{ObjectStorage, object::{Fault, Faulty, Operation, Simulation}};
///
/// // Each part is put twice, and each tenth call is lost.
/// let storage = ObjectStorage::new(Faulty::new(Simulation::new(), |call| match call.operation {
///     _ if call.index % 10 == 0 => Fault::fail_before(),
///     Operation::PutPart => Fault::repeat(),
///     _ => Fault::pass(),
/// }));
/// ```
pub struct Faulty<B> {
    bucket: Arc<B>,
    plan: Arc<dyn Fn(&Call) -> Fault + Send + Sync>,
    calls: Arc<AtomicU64>,
}

/// A call that is about to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// What it does.
    pub operation: Operation,
    /// To what; of a copy, the path that is written.
    pub path: Path,
    /// Which it is, counted from 1 on.
    pub index: u64,
}

/// What a call does: the functions of [`Bucket`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "they are the functions of `Bucket`")]
pub enum Operation {
    Get,
    Put,
    Stat,
    Read,
    Delete,
    List,
    Copy,
    Compose,
    Begin,
    PutPart,
    CopyPart,
    Parts,
    Secure,
    Complete,
    Abort,
    Sessions,
    SignedUrl,
}

impl<B: Bucket> Faulty<B> {
    /// Asks `plan` before each call of `bucket`.
    pub fn new(bucket: B, plan: impl Fn(&Call) -> Fault + Send + Sync + 'static) -> Self {
        Self {
            bucket: Arc::new(bucket),
            plan: Arc::new(plan),
            calls: Arc::default(),
        }
    }

    /// How many calls there were.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Relaxed)
    }

    /// The bucket without faults.
    #[must_use]
    pub fn inner(&self) -> &B {
        &self.bucket
    }

    /// Makes a call, which asks the bucket as often as the plan says.
    async fn call<T: Send + 'static>(
        &self,
        operation: Operation,
        path: &Path,
        effect: impl Fn(Arc<B>) -> BoxFuture<'static, Result<T>> + Send + Sync + 'static,
    ) -> Result<T> {
        let call = Call {
            operation,
            path: path.clone(),
            index: self.calls.fetch_add(1, Relaxed) + 1,
        };
        let fault = (self.plan)(&call);
        let bucket = Arc::clone(&self.bucket);
        fault.run(move || effect(Arc::clone(&bucket))).await
    }

    /// As a listing is one call to the plan, it is made as a whole.
    fn call_list<T: Send + 'static>(
        &self,
        operation: Operation,
        prefix: &Path,
        effect: impl Fn(Arc<B>, &Path) -> BoxStream<'static, Result<T>> + Send + Sync + 'static,
    ) -> BoxStream<'static, Result<T>> {
        let (this, prefix) = (self.clone(), prefix.clone());
        let listed = async move {
            let below = prefix.clone();
            let effect = move |bucket| -> BoxFuture<'static, Result<Vec<T>>> {
                Box::pin(effect(bucket, &below).try_collect())
            };
            let listed = this.call(operation, &prefix, effect).await;
            listed.map(|listed| stream::iter(listed.into_iter().map(Ok)))
        };
        stream::once(listed).try_flatten().boxed()
    }
}

impl<B> Clone for Faulty<B> {
    fn clone(&self) -> Self {
        Self {
            bucket: Arc::clone(&self.bucket),
            plan: Arc::clone(&self.plan),
            calls: Arc::clone(&self.calls),
        }
    }
}

impl<B: fmt::Debug> fmt::Debug for Faulty<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty")
            .field("bucket", &self.bucket)
            .field("calls", &self.calls)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl<B: Bucket> Bucket for Faulty<B> {
    fn profile(&self) -> Profile {
        self.bucket.profile()
    }

    async fn get(&self, path: &Path, limit: Option<u64>) -> Result<Object> {
        let at = path.clone();
        self.call(Operation::Get, path, move |bucket| {
            let at = at.clone();
            Box::pin(async move { bucket.get(&at, limit).await })
        })
        .await
    }

    async fn put(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<UpdateVersion> {
        let sent = (path.clone(), payload, options);
        self.call(Operation::Put, path, move |bucket| {
            let (at, payload, options) = sent.clone();
            Box::pin(async move { bucket.put(&at, payload, options).await })
        })
        .await
    }

    async fn stat(&self, path: &Path) -> Result<Stat> {
        let at = path.clone();
        self.call(Operation::Stat, path, move |bucket| {
            let at = at.clone();
            Box::pin(async move { bucket.stat(&at).await })
        })
        .await
    }

    async fn read(
        &self,
        path: &Path,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        let sent = (path.clone(), range);
        self.call(Operation::Read, path, move |bucket| {
            let (at, range) = sent.clone();
            Box::pin(async move { bucket.read(&at, range).await })
        })
        .await
    }

    async fn delete(&self, path: &Path) -> Result<()> {
        let at = path.clone();
        self.call(Operation::Delete, path, move |bucket| {
            let at = at.clone();
            Box::pin(async move { bucket.delete(&at).await })
        })
        .await
    }

    fn list(&self, prefix: &Path) -> BoxStream<'static, Result<Listed>> {
        self.call_list(Operation::List, prefix, |bucket, prefix| {
            bucket.list(prefix)
        })
    }

    async fn copy(&self, from: &Path, to: &Path, mode: CopyMode) -> Result<()> {
        let sent = (from.clone(), to.clone());
        self.call(Operation::Copy, to, move |bucket| {
            let (from, to) = sent.clone();
            Box::pin(async move { bucket.copy(&from, &to, mode).await })
        })
        .await
    }

    async fn compose(&self, sources: &[Path], to: &Path, options: PutOptions) -> Result<()> {
        let sent = (sources.to_vec(), to.clone(), options);
        self.call(Operation::Compose, to, move |bucket| {
            let (sources, to, options) = sent.clone();
            Box::pin(async move { bucket.compose(&sources, &to, options).await })
        })
        .await
    }

    async fn begin(&self, path: &Path, attributes: Attributes) -> Result<String> {
        let sent = (path.clone(), attributes);
        self.call(Operation::Begin, path, move |bucket| {
            let (at, attributes) = sent.clone();
            Box::pin(async move { bucket.begin(&at, attributes).await })
        })
        .await
    }

    async fn put_part(
        &self,
        path: &Path,
        session: &str,
        number: u32,
        payload: PutPayload,
    ) -> Result<String> {
        let sent = (path.clone(), session.to_owned(), payload);
        self.call(Operation::PutPart, path, move |bucket| {
            let (at, session, payload) = sent.clone();
            Box::pin(async move { bucket.put_part(&at, &session, number, payload).await })
        })
        .await
    }

    async fn copy_part(
        &self,
        path: &Path,
        session: &str,
        number: u32,
        source: &Path,
        range: Range<u64>,
    ) -> Result<String> {
        let sent = (path.clone(), session.to_owned(), source.clone(), range);
        self.call(Operation::CopyPart, path, move |bucket| {
            let (at, session, source, range) = sent.clone();
            Box::pin(async move {
                bucket
                    .copy_part(&at, &session, number, &source, range)
                    .await
            })
        })
        .await
    }

    async fn parts(&self, path: &Path, session: &str) -> Result<Vec<Part>> {
        let sent = (path.clone(), session.to_owned());
        self.call(Operation::Parts, path, move |bucket| {
            let (at, session) = sent.clone();
            Box::pin(async move { bucket.parts(&at, &session).await })
        })
        .await
    }

    async fn secure(
        &self,
        path: &Path,
        session: &str,
        parts: &[Part],
        expected: Option<&str>,
    ) -> Result<String> {
        let expected = expected.map(str::to_owned);
        let sent = (path.clone(), session.to_owned(), parts.to_vec(), expected);
        self.call(Operation::Secure, path, move |bucket| {
            let (at, session, parts, expected) = sent.clone();
            Box::pin(async move {
                bucket
                    .secure(&at, &session, &parts, expected.as_deref())
                    .await
            })
        })
        .await
    }

    async fn complete(
        &self,
        path: &Path,
        session: &str,
        parts: &[Part],
        options: PutOptions,
    ) -> Result<()> {
        let sent = (path.clone(), session.to_owned(), parts.to_vec(), options);
        self.call(Operation::Complete, path, move |bucket| {
            let (at, session, parts, options) = sent.clone();
            Box::pin(async move { bucket.complete(&at, &session, &parts, options).await })
        })
        .await
    }

    async fn abort(&self, path: &Path, session: &str) -> Result<()> {
        let sent = (path.clone(), session.to_owned());
        self.call(Operation::Abort, path, move |bucket| {
            let (at, session) = sent.clone();
            Box::pin(async move { bucket.abort(&at, &session).await })
        })
        .await
    }

    fn sessions(&self, scope: &Scope) -> BoxStream<'static, Result<Session>> {
        let of = scope.clone();
        self.call_list(Operation::Sessions, scope.path(), move |bucket, _| {
            bucket.sessions(&of)
        })
    }

    async fn signed_url(&self, path: &Path, lifetime: Duration) -> Result<Option<String>> {
        let at = path.clone();
        self.call(Operation::SignedUrl, path, move |bucket| {
            let at = at.clone();
            Box::pin(async move { bucket.signed_url(&at, lifetime).await })
        })
        .await
    }
}
