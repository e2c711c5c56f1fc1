use super::{TusService, engine::refusal, handle::Answer, observe, session::Takeover};
use crate::protocol::{Outcome, UploadId};

impl TusService {
    /// DELETE. Ends the writer first.
    pub(super) async fn terminate(&self, id: UploadId) -> Answer {
        self.load(&id).await?;
        let tus = self.clone();
        self.detached(async move {
            let _claim = tus.claim(&id, Takeover::Always).await?;
            // Somebody else may have been faster.
            let upload = tus.load(&id).await?;
            tus.engine.storage.delete(&id).await.map_err(refusal)?;
            tus.engine.stop_waiting(&upload);
            observe::terminated(&id);
            Ok(Outcome::Terminated)
        })
        .await
    }
}
