use super::{
    TusService,
    engine::refusal,
    observe,
    pump::Finishing,
    session::{Claim, Takeover},
};
use crate::{
    hooks::{EventKind, Finish, Hook},
    protocol::{Error, Kind, Refusal, Reply, Stage, Upload, UploadId},
};

impl TusService {
    /// Puts an upload in place if all of its bytes are stored, and gives what the application adds to the
    /// answer. The caller holds its claim.
    pub(super) async fn finish_if_complete(&self, upload: &mut Upload) -> Result<Reply, Refusal> {
        if upload.is_finished() || !upload.is_complete() || upload.is_pending_final() {
            return Ok(Reply::default());
        }
        upload.stage = Stage::Finishing;
        let reply = self.pre_finish(upload).await?;
        self.engine.storage.finish(upload).await.map_err(refusal)?;
        self.finished(upload);
        Ok(reply)
    }

    /// What the application says to the finish of an upload of which all bytes are stored.
    pub(super) async fn pre_finish(&self, upload: &Upload) -> Result<Reply, Error> {
        let mut reply = Reply::default();
        if !self.config.hooks.wants(Hook::PreFinish) {
            return Ok(reply);
        }
        let (request, storage) = (self.request.as_deref(), self.engine.storage.as_ref());
        let mut finish = Finish::new(request, upload, storage, &mut reply);
        match self.config.hooks.pre_finish(&mut finish).await {
            Ok(()) => {
                self.engine.vetoed().remove(&upload.id);
                Ok(reply)
            }
            Err(error) => {
                tracing::debug!(id = %upload.id, %error, "upload not finished");
                if error.status().is_client_error() {
                    self.engine.vetoed().insert(upload.id.clone());
                }
                Err(error)
            }
        }
    }

    /// Whether a storage may finish uploads together with their last bytes.
    pub(super) fn finishing(&self) -> Finishing {
        match self.config.hooks.wants(Hook::PreFinish) {
            true => Finishing::Apart,
            false => Finishing::WithCommit,
        }
    }

    /// The storage has put an upload in place.
    pub(super) fn finished(&self, upload: &mut Upload) {
        upload.stage = Stage::Finished;
        observe::finished(upload);
        self.note(upload);
        self.tell(EventKind::Finished, upload);
        if upload.kind == Kind::Partial {
            self.join_waiting_for(upload);
        }
    }

    /// Waits until an upload of which all bytes are stored is finished, and finishes it if nobody does:
    /// a crash leaves such uploads behind.
    pub(super) async fn settle(&self, upload: Upload) -> Result<Upload, Refusal> {
        if upload.stage != Stage::Finishing || upload.is_pending_final() {
            return Ok(upload);
        }
        let tus = self.clone();
        self.detached(async move {
            let claim = tus.claim(&upload.id, Takeover::Never).await?;
            tus.settle_claimed(claim, &upload.id).await
        })
        .await
    }

    /// As [`settle`](Self::settle), unless somebody is at it.
    pub(super) async fn settle_unclaimed(&self, upload: Upload) -> Result<Upload, Refusal> {
        let tus = self.clone();
        self.detached(async move {
            match tus.engine.sessions.try_claim(&upload.id) {
                Some(claim) => tus.settle_claimed(claim, &upload.id).await,
                None => Ok(upload),
            }
        })
        .await
    }

    async fn settle_claimed(&self, _claim: Claim, id: &UploadId) -> Result<Upload, Refusal> {
        let mut upload = self.load(id).await?;
        self.finish_if_complete(&mut upload).await?;
        match upload.stage {
            Stage::Finishing => Err(Error::Finishing.into()),
            Stage::Receiving | Stage::Finished => Ok(upload),
        }
    }
}
