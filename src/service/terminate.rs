use super::{
    TusService, announce::is_same, engine::refusal, handle::Answer, observe, session::Takeover,
};
use crate::{
    hooks::{EventKind, Hook, Rejection, Termination},
    protocol::{Error, Outcome, Reply, Upload, UploadId},
};

impl TusService {
    /// DELETE. Ends the writer first.
    pub(super) async fn terminate(&self, id: UploadId) -> Answer {
        let found = self.load(&id).await?;
        let tus = self.clone();
        self.detached(async move {
            // Before anybody is disturbed.
            let reply = tus.pre_terminate(&found).await?;
            let _claim = tus.claim(&id, Takeover::Always(Error::Superseded)).await?;
            // Somebody else may have been faster.
            let upload = tus.load(&id).await?;
            tus.remove(&upload, EventKind::Terminated).await?;
            observe::terminated(&id);
            Ok(Outcome::Terminated.with(reply))
        })
        .await
    }

    /// What the application adds to the answer, if it lets an upload be removed.
    async fn pre_terminate(&self, upload: &Upload) -> Result<Reply, Error> {
        let mut reply = Reply::default();
        if let Some(request) = self.request.as_deref()
            && self.config.hooks.wants(Hook::PreTerminate)
        {
            let mut termination = Termination::new(request, upload, &mut reply);
            self.config.hooks.pre_terminate(&mut termination).await?;
        }
        Ok(reply)
    }

    /// Ends an upload of which the application wants no more, with what it says to whoever writes.
    pub(super) async fn stop(&self, unwanted: &Upload, rejection: Rejection) {
        let id = &unwanted.id;
        let stopped = async {
            // An id may be another upload's by now: before anybody is disturbed, and afterwards.
            if !is_same(&self.load(id).await?, unwanted) {
                return Ok(());
            }
            let takeover = Takeover::Always(rejection.into());
            let _claim = self.claim(id, takeover).await?;
            let upload = self.load(id).await?;
            if upload.is_complete() || !is_same(&upload, unwanted) {
                return Ok(());
            }
            self.remove(&upload, EventKind::Terminated).await?;
            observe::terminated(id);
            Ok(())
        };
        match stopped.await {
            Ok(()) | Err(Error::NotFound) => {}
            // Whoever has it may be finishing it. If bytes go on coming, the hook is told of them.
            Err(error) => tracing::warn!(%id, %error, "an upload could not be stopped"),
        }
    }

    /// Removes an upload, whose end is of this kind.
    pub(super) async fn remove(&self, upload: &Upload, kind: EventKind) -> Result<(), Error> {
        self.engine
            .storage
            .delete(&upload.id)
            .await
            .map_err(refusal)?;
        self.note_gone(upload);
        self.engine.stop_waiting(upload);
        self.engine.vetoed().remove(&upload.id);
        self.tell(kind, upload);
        Ok(())
    }
}
