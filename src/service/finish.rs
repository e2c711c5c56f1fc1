use super::{TusService, engine::refusal, observe, session::Takeover};
use crate::protocol::{Error, Kind, Refusal, Stage, Upload};

impl TusService {
    /// Puts an upload in place if all of its bytes are stored. The caller holds its claim.
    pub(super) async fn finish_if_complete(&self, upload: &mut Upload) -> Result<(), Refusal> {
        if upload.is_finished() || !upload.is_complete() || upload.is_pending_final() {
            return Ok(());
        }
        self.engine.storage.finish(upload).await.map_err(refusal)?;
        self.finished(upload);
        Ok(())
    }

    /// The storage has put an upload in place.
    pub(super) fn finished(&self, upload: &mut Upload) {
        upload.stage = Stage::Finished;
        observe::finished(upload);
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
            let _claim = tus.claim(&upload.id, Takeover::Never).await?;
            let mut upload = tus.load(&upload.id).await?;
            tus.finish_if_complete(&mut upload).await?;
            match upload.stage {
                Stage::Finishing => Err(Error::Finishing.into()),
                Stage::Receiving | Stage::Finished => Ok(upload),
            }
        })
        .await
    }
}
