//! What a node does for a client, as the service does it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::sleep;
use tower_tus::{
    protocol::{Length, Stage, Upload, UploadId},
    storage::{AppendMode, Appender, Error, Storage},
};

use crate::{
    network::Network,
    promises::{Floor, Promises},
    random::Random,
};

/// What a node works with.
#[derive(Debug, Clone)]
pub(crate) struct Handler {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) promises: Promises,
    pub(crate) network: Network,
    pub(crate) rivalry: Rivalry,
}

/// Whether the key of an upload may be another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rivalry {
    None,
    Some,
}

/// What the client hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Where the upload stands.
    At(u64),
    Finished,
    Gone,
    /// The key is another's.
    Taken,
    /// An error: it has to ask.
    Unknown,
}

/// The body of a PATCH, and what is done with it.
#[derive(Debug, Clone)]
pub(crate) struct Patch {
    pub(crate) offset: u64,
    pub(crate) chunks: Vec<u64>,
    pub(crate) mode: AppendMode,
    pub(crate) end: PatchEnd,
    /// The length, if this is the request to declare it.
    pub(crate) declare: Option<u64>,
    pub(crate) random: Random,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PatchEnd {
    Commit,
    CommitAndFinish,
    /// The checksum does not hold.
    Discard,
    /// Nobody ends it.
    Drop,
}

impl Handler {
    /// POST.
    pub(crate) async fn create(self, upload: Upload) -> Outcome {
        match self.storage.create(&upload).await {
            Err(Error::AlreadyExists(what))
                if self.rivalry == Rivalry::Some && what == upload.key.to_string() =>
            {
                Outcome::Taken
            }
            // It may have been made by an earlier request.
            Ok(_) | Err(Error::AlreadyExists(_)) => {
                self.promises.created();
                Outcome::At(0)
            }
            Err(Error::NotFound(_)) => Outcome::Unknown,
            Err(error) => self.unknown(error),
        }
    }

    /// HEAD.
    pub(crate) async fn head(self, id: UploadId) -> Outcome {
        let mut upload = match self.load(&id).await {
            Ok(upload) => upload,
            Err(outcome) => return outcome,
        };
        if upload.stage == Stage::Finishing {
            if let Err(error) = self.storage.finish(&upload).await {
                return self.unknown(error);
            }
            self.promises.finished();
            upload = match self.load(&id).await {
                Ok(upload) => upload,
                Err(outcome) => return outcome,
            };
        }
        match upload.stage {
            Stage::Finished => Outcome::Finished,
            _ => Outcome::At(upload.offset),
        }
    }

    /// HEAD of an upload that is joined from others.
    pub(crate) async fn join(self, id: UploadId, parts: Vec<Upload>) -> Outcome {
        let upload = match self.load(&id).await {
            Ok(upload) => upload,
            Err(outcome) => return outcome,
        };
        if upload.stage != Stage::Finished
            && let Err(error) = self.storage.concat(&upload, &parts).await
        {
            return self.unknown(error);
        }
        self.promises.finished();
        Outcome::Finished
    }

    /// PATCH.
    pub(crate) async fn patch(self, id: UploadId, mut patch: Patch) -> Outcome {
        let recalled = self.storage.recall(&id);
        let recalled = recalled.filter(|upload| {
            upload.offset == patch.offset
                && upload.stage == Stage::Receiving
                && patch.random.percent(70)
        });
        let mut upload = match recalled {
            Some(upload) => upload,
            None => match self.load(&id).await {
                Ok(upload) => upload,
                Err(outcome) => return outcome,
            },
        };
        if upload.offset != patch.offset || upload.stage != Stage::Receiving {
            return Outcome::Unknown;
        }
        if let Some(length) = patch.declare.filter(|_| upload.length == Length::Deferred) {
            upload.length = Length::Known(length);
            match self.storage.update(&upload).await {
                Ok(version) => upload.version = version,
                Err(error) => return self.unknown(error),
            }
            if upload.is_complete() {
                return self.finish(upload).await;
            }
        }
        let appender = match self.storage.append(&upload, patch.mode).await {
            Ok(appender) => appender,
            Err(error) => return self.unknown(error),
        };
        self.pump(upload, appender, patch).await
    }

    async fn pump(
        &self,
        mut upload: Upload,
        mut appender: Box<dyn Appender>,
        mut patch: Patch,
    ) -> Outcome {
        let writer = self.promises.open(upload.offset);
        if matches!(patch.end, PatchEnd::Discard | PatchEnd::Drop)
            && patch.mode == AppendMode::Atomic
        {
            self.promises.discard(writer);
        }
        let mut failed = false;
        for size in &patch.chunks {
            pause(&mut patch.random).await;
            let bytes = Bytes::from(self.promises.send(writer, *size));
            if let Err(error) = appender.write(bytes).await {
                self.network.note(|| format!("! write: {error:?}"));
                failed = true;
                break;
            }
            if patch.random.percent(30) && appender.flush().await.is_err() {
                failed = true;
                break;
            }
            self.look(&upload, writer, &*appender, patch.mode);
        }
        pause(&mut patch.random).await;
        self.look(&upload, writer, &*appender, patch.mode);
        let committed = match patch.end {
            PatchEnd::Drop => return Outcome::Unknown,
            PatchEnd::Discard => {
                let discarded = appender.discard().await;
                return discarded.map_or_else(|error| self.unknown(error), |()| Outcome::Unknown);
            }
            PatchEnd::Commit => appender.commit().await.map(|end| (end, Stage::Receiving)),
            PatchEnd::CommitAndFinish => appender.commit_and_finish(&upload).await,
        };
        let (end, stage) = match committed {
            Ok(committed) => committed,
            Err(error) => return self.unknown(error),
        };
        self.promises.stored(writer, end);
        upload.offset = end;
        match stage {
            Stage::Finished => {
                self.promises.finished();
                Outcome::Finished
            }
            _ if upload.is_complete() => self.finish(upload).await,
            _ if failed => Outcome::Unknown,
            _ => Outcome::At(end),
        }
    }

    /// DELETE.
    pub(crate) async fn delete(self, id: UploadId) -> Outcome {
        self.promises.deleting();
        match self.storage.delete(&id).await {
            Ok(()) => {
                self.promises.deleted();
                Outcome::Gone
            }
            Err(error) => self.unknown(error),
        }
    }

    async fn finish(&self, upload: Upload) -> Outcome {
        match self.storage.finish(&upload).await {
            Ok(()) => {
                self.promises.finished();
                Outcome::Finished
            }
            Err(error) => self.unknown(error),
        }
    }

    async fn load(&self, id: &UploadId) -> Result<Upload, Outcome> {
        let floor: Floor = self.promises.floor();
        match self.storage.load(id).await {
            Ok(upload) => {
                self.promises.loaded(floor, &upload);
                Ok(upload)
            }
            Err(error) => Err(self.unknown(error)),
        }
    }

    fn look(&self, upload: &Upload, writer: usize, appender: &dyn Appender, mode: AppendMode) {
        let visible = appender.visible();
        match mode {
            AppendMode::Streaming => self.promises.stored(writer, visible),
            AppendMode::Atomic if visible > upload.offset => {
                self.promises.broken("unverified bytes: they are visible");
            }
            AppendMode::Atomic => {}
        }
    }

    fn unknown(&self, error: Error) -> Outcome {
        self.network.note(|| format!("! {error:?}"));
        match error {
            Error::AlreadyExists(_) if self.rivalry == Rivalry::Some => Outcome::Taken,
            Error::NotFound(_) => {
                self.promises.missed();
                Outcome::Gone
            }
            Error::Conflict(_) | Error::Superseded(_) | Error::Locked(_) | Error::Backend(_) => {
                Outcome::Unknown
            }
            error => {
                self.promises.broken(format!("error: {error:?}"));
                Outcome::Unknown
            }
        }
    }
}

async fn pause(random: &mut Random) {
    let millis = random.one_of(&[0, 0, 3, 30, 300, 1500]);
    if millis > 0 {
        sleep(Duration::from_millis(millis)).await;
    }
}
