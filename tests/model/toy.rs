//! A little storage that is right, or wrong on purpose: whether the model would notice.

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};
use object_store::{
    Attributes, Error as StoreError, PutMode, PutOptions, UpdateVersion, path::Path,
};
use tower_tus::{
    protocol::{Kind, Length, Stage, Upload, UploadId, Version},
    storage::{
        AppendMode, Appender, ByteStream, Error, Result, Storage,
        object::{Bucket, Faulty, Simulation},
    },
};

/// Keeps each upload as one object, replaced under a condition, with all of its bytes.
#[derive(Debug, Clone)]
pub(crate) struct Toy {
    bucket: Arc<Faulty<Simulation>>,
    flaw: Flaw,
}

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    /// States are replaced whatever is there.
    NoCondition,
    /// A failure to store is taken for success.
    Hopeful,
    /// Whoever opens an upload does not tell the others.
    NoFence,
    /// Unverified bytes are stored as they come.
    Unverified,
    /// Bytes are put under the key as they come.
    Early,
    /// An upload is finished before its object is there.
    Late,
    /// What is written first under another name stays there.
    Litter,
    /// A session is opened, and never ended.
    Session,
}

#[derive(Debug, Clone)]
struct State {
    write: String,
    owner: String,
    length: Option<u64>,
    finished: bool,
    kind: String,
    bytes: Bytes,
}

impl Toy {
    pub(crate) fn new(bucket: Faulty<Simulation>, flaw: Flaw) -> Self {
        Self {
            bucket: Arc::new(bucket),
            flaw,
        }
    }

    async fn fetch(&self, id: &UploadId) -> Result<(State, UpdateVersion)> {
        match once(self.bucket.get(&path(id), None)).await {
            Ok(object) => Ok((State::decode(&object.bytes), object.version)),
            Err(StoreError::NotFound { .. }) => Err(Error::NotFound(id.clone())),
            Err(error) => Err(Error::Backend(Box::new(error))),
        }
    }

    async fn store(&self, id: &UploadId, mut state: State, mode: PutMode) -> Result<State> {
        state.write = format!("w{:p}{}", &*self.bucket, self.bucket.calls());
        let mode = match self.flaw {
            Flaw::NoCondition => PutMode::Overwrite,
            _ => mode,
        };
        let path = path(id);
        let stored = self.bucket.put(&path, state.encode().into(), mode.into());
        let Err(error) = once(stored).await else {
            return Ok(state);
        };
        if self.flaw == Flaw::Hopeful {
            return Ok(state);
        }
        let (found, _) = self.fetch(id).await?;
        match found.write == state.write {
            true => Ok(state),
            false if matches!(error, StoreError::Generic { .. }) => {
                Err(Error::Backend(Box::new(error)))
            }
            false => Err(Error::Superseded(id.clone())),
        }
    }

    async fn change(
        &self,
        id: &UploadId,
        change: impl FnOnce(&mut State) -> Result<()>,
    ) -> Result<State> {
        let (mut state, version) = self.fetch(id).await?;
        change(&mut state)?;
        self.store(id, state, PutMode::Update(version)).await
    }

    async fn put_object(&self, id: &UploadId, bytes: Bytes) -> Result<()> {
        let path = Path::from(id.as_str());
        let put = self.bucket.put(&path, bytes.into(), PutOptions::default());
        once(put)
            .await
            .map(drop)
            .map_err(|error| Error::Backend(Box::new(error)))
    }
}

impl State {
    fn encode(&self) -> Vec<u8> {
        let length = self
            .length
            .map_or_else(|| "-".to_owned(), |length| length.to_string());
        let (write, owner, finished, kind) = (&self.write, &self.owner, self.finished, &self.kind);
        let mut encoded = format!("{write} {owner} {length} {finished} {kind}\n").into_bytes();
        encoded.extend_from_slice(&self.bytes);
        encoded
    }

    fn decode(encoded: &Bytes) -> Self {
        let end = encoded.iter().position(|byte| *byte == b'\n').unwrap();
        let line = std::str::from_utf8(&encoded[..end]).unwrap();
        let words: Vec<_> = line.split(' ').collect();
        Self {
            write: words[0].to_owned(),
            owner: words[1].to_owned(),
            length: words[2].parse().ok(),
            finished: words[3] == "true",
            kind: words[4].to_owned(),
            bytes: encoded.slice(end + 1..),
        }
    }

    fn is_complete(&self) -> bool {
        self.length == Some(self.bytes.len() as u64)
    }
}

#[async_trait]
impl Storage for Toy {
    async fn create(&self, upload: &Upload) -> Result<Version> {
        let state = State {
            write: String::new(),
            owner: "nobody".to_owned(),
            length: upload.length.known(),
            finished: false,
            kind: match upload.kind {
                Kind::Partial => "partial".to_owned(),
                _ => "regular".to_owned(),
            },
            bytes: Bytes::new(),
        };
        match self.store(&upload.id, state, PutMode::Create).await {
            Err(Error::Superseded(id)) => Err(Error::AlreadyExists(id.to_string())),
            stored => Ok(Version::new(stored?.write)),
        }
    }

    async fn load(&self, id: &UploadId) -> Result<Upload> {
        let (state, _) = self.fetch(id).await?;
        let length = state.length.map_or(Length::Deferred, Length::Known);
        let mut upload = Upload::new(id.clone(), length, SystemTime::UNIX_EPOCH);
        upload.offset = state.bytes.len() as u64;
        upload.stage = match state.finished {
            true => Stage::Finished,
            false if state.is_complete() => Stage::Finishing,
            false => Stage::Receiving,
        };
        if state.kind == "partial" {
            upload.kind = Kind::Partial;
        }
        upload.version = Version::new(state.write);
        Ok(upload)
    }

    async fn update(&self, upload: &Upload) -> Result<Version> {
        let changed = self.change(&upload.id, |state| {
            state.length = upload.length.known();
            match state.write == upload.version.as_str() {
                true => Ok(()),
                false => Err(Error::Conflict(upload.id.clone())),
            }
        });
        Ok(Version::new(changed.await?.write))
    }

    async fn append(&self, upload: &Upload, mode: AppendMode) -> Result<Box<dyn Appender>> {
        let (mut state, version) = self.fetch(&upload.id).await?;
        if state.write != upload.version.as_str() && self.flaw != Flaw::NoFence {
            return Err(Error::Conflict(upload.id.clone()));
        }
        if self.flaw == Flaw::Session {
            let path = path(&upload.id);
            let begun = self.bucket.begin(&path, Attributes::new());
            let _ = once(begun).await;
        }
        if self.flaw != Flaw::NoFence {
            state.owner = format!("o{:p}{}", &*self.bucket, self.bucket.calls());
            state = self
                .store(&upload.id, state, PutMode::Update(version))
                .await?;
        }
        Ok(Box::new(ToyAppender {
            toy: self.clone(),
            id: upload.id.clone(),
            visible: upload.offset,
            state,
            mode,
            fresh: Vec::new(),
        }))
    }

    async fn finish(&self, upload: &Upload) -> Result<()> {
        let (state, _) = self.fetch(&upload.id).await?;
        if state.finished {
            return Ok(());
        }
        if !state.is_complete() {
            return Err(Error::Conflict(upload.id.clone()));
        }
        let bytes = state.bytes.clone();
        let is_partial = state.kind == "partial";
        if self.flaw == Flaw::Litter {
            let path = Path::from("litter");
            let put = self.bucket.put(&path, "x".into(), PutOptions::default());
            let _ = once(put).await;
        }
        if self.flaw != Flaw::Late && !is_partial {
            self.put_object(&upload.id, bytes.clone()).await?;
        }
        self.change(&upload.id, |state| {
            state.finished = true;
            Ok(())
        })
        .await?;
        if self.flaw == Flaw::Late {
            self.put_object(&upload.id, bytes).await?;
        }
        Ok(())
    }

    async fn concat(&self, target: &Upload, parts: &[Upload]) -> Result<()> {
        let mut joined = Vec::new();
        for part in parts {
            joined.extend_from_slice(&self.fetch(&part.id).await?.0.bytes);
        }
        self.change(&target.id, |state| {
            state.bytes = joined.into();
            Ok(())
        })
        .await?;
        self.finish(target).await
    }

    async fn read(&self, upload: &Upload, range: Range<u64>) -> Result<ByteStream> {
        let (state, _) = self.fetch(&upload.id).await?;
        let bytes = state.bytes.slice(range.start as usize..range.end as usize);
        Ok(stream::iter([Ok(bytes)]).boxed())
    }

    async fn delete(&self, id: &UploadId) -> Result<()> {
        for path in [Path::from(id.as_str()), path(id)] {
            let deleted = once(self.bucket.delete(&path)).await;
            deleted.map_err(|error| Error::Backend(Box::new(error)))?;
        }
        Ok(())
    }

    fn list(&self) -> BoxStream<'_, Result<Upload>> {
        stream::empty().boxed()
    }

    async fn reclaim(&self, _before: SystemTime) -> Result<u64> {
        Ok(0)
    }
}

#[derive(Debug)]
struct ToyAppender {
    toy: Toy,
    id: UploadId,
    state: State,
    visible: u64,
    mode: AppendMode,
    fresh: Vec<u8>,
}

impl ToyAppender {
    async fn save(&mut self) -> Result<u64> {
        let fresh = std::mem::take(&mut self.fresh);
        if fresh.is_empty() {
            return Ok(self.state.bytes.len() as u64);
        }
        let (mut state, version) = self.toy.fetch(&self.id).await?;
        if state.write != self.state.write && self.toy.flaw != Flaw::NoFence {
            return Err(Error::Superseded(self.id.clone()));
        }
        state.bytes = [&*state.bytes, &fresh].concat().into();
        if self.toy.flaw == Flaw::Early {
            let early = state.bytes.clone();
            self.toy.put_object(&self.id, early).await?;
        }
        self.state = self
            .toy
            .store(&self.id, state, PutMode::Update(version))
            .await?;
        Ok(self.state.bytes.len() as u64)
    }
}

#[async_trait]
impl Appender for ToyAppender {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        self.fresh.extend_from_slice(&data);
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        if self.mode == AppendMode::Streaming || self.toy.flaw == Flaw::Unverified {
            self.visible = self.save().await?;
        }
        Ok(())
    }

    fn visible(&self) -> u64 {
        self.visible
    }

    async fn commit(mut self: Box<Self>) -> Result<u64> {
        self.save().await
    }

    async fn discard(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

fn path(id: &UploadId) -> Path {
    Path::from(format!(".tus/uploads/{id}"))
}

/// A call that is given up some time.
async fn once<T>(call: impl Future<Output = object_store::Result<T>>) -> object_store::Result<T> {
    let answer = tokio::time::timeout(Duration::from_secs(30), call).await;
    answer.unwrap_or_else(|elapsed| {
        Err(StoreError::Generic {
            store: "toy",
            source: elapsed.into(),
        })
    })
}
