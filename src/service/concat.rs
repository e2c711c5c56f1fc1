use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use super::{
    ConcatParts, TusService,
    announce::is_same,
    engine::refusal,
    maintain::give_turns,
    observe,
    session::{Claim, Takeover},
};
use crate::{
    hooks::EventKind,
    protocol::{
        Concat, Error, Extension, Kind, Length, Oversized, PartError, Refusal, Reply, Upload,
        UploadId, check_size,
    },
};

/// How long the answer to a creation waits for the parts to be joined. What takes longer goes on
/// afterwards.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a reader does: long enough for parts that are joined in no time.
const GLANCE: Duration = Duration::from_millis(100);

impl TusService {
    /// Makes a final upload, and joins its parts if all of them are finished.
    pub(super) async fn create_final(
        &self,
        mut upload: Upload,
    ) -> Result<(Upload, Reply), Refusal> {
        let Kind::Final(concat) = upload.kind.clone() else {
            return Ok((upload, Reply::default()));
        };
        // While it is not stored yet, this is what shows that it is not gone either.
        let making = self.engine.sessions.try_claim(&upload.id);
        // Before the parts are looked at: one may be finished, or released, just now.
        self.engine.wait_for(&upload);
        let registered = self.register_final(&mut upload, &concat).await;
        drop(making);
        if let Err(error) = registered {
            self.forget_final(&upload, &error).await;
            let before = match error {
                Error::Part(PartError::NotFound) => self.joined_before(&upload, &concat).await,
                _ => None,
            };
            let joined = before.map(|upload| (upload, Reply::default()));
            return joined.ok_or_else(|| error.into());
        }
        match self.join(upload.clone(), PATIENCE).await {
            Ok(joined) => Ok(joined),
            Err(refusal) => {
                self.discard(&upload).await;
                Err(refusal)
            }
        }
    }

    /// Removes a final upload whose creation is refused: its client never learns the URL. It stays if somebody
    /// else has joined it meanwhile.
    async fn discard(&self, upload: &Upload) {
        let takeover = Takeover::Always(Error::Superseded);
        if let Ok(_claim) = self.claim(&upload.id, takeover).await
            && let Ok(now) = self.load(&upload.id).await
            && is_same(&now, upload)
            && !now.is_finished()
        {
            // What goes wrong is logged.
            let _ = self.remove(&now, EventKind::Terminated).await;
        }
    }

    /// A final upload was not made, and waits for nothing; one that has its id may do so.
    async fn forget_final(&self, upload: &Upload, error: &Error) {
        let other = match error {
            Error::IdTaken => self.engine.storage.load(&upload.id).await.ok(),
            _ => None,
        };
        self.engine.stop_waiting(upload);
        if let Some(other) = other.filter(Upload::is_pending_final) {
            self.engine.wait_for(&other);
        }
    }

    /// The final upload that was made of the same parts, which are no more: its answer was lost.
    async fn joined_before(&self, wanted: &Upload, concat: &Concat) -> Option<Upload> {
        let upload = self.load(&self.engine.joined.find(concat)?).await.ok()?;
        let same = upload.metadata == wanted.metadata && upload.owner == wanted.owner;
        same.then_some(upload)
    }

    async fn register_final(&self, upload: &mut Upload, concat: &Concat) -> Result<(), Error> {
        let parts = self.load_parts(concat).await?;
        if parts.iter().any(|part| part.is_expired(upload.created)) {
            return Err(Error::Part(PartError::NotFound));
        }
        let unfinished = parts.iter().any(|part| !part.is_finished());
        if unfinished && !self.config.offer.offers(Extension::ConcatenationUnfinished) {
            return Err(Error::Part(PartError::Unfinished));
        }
        upload.length = total(&parts)?;
        check_size(upload.length, &self.config.offer.limits.of(upload))?;
        self.register(upload).await?;
        Ok(())
    }

    /// The length of what the parts make together, as far as they are there and theirs are known.
    pub(super) async fn expected_length(&self, concat: &Concat) -> Result<Length, Error> {
        match self.load_parts(concat).await {
            Ok(parts) => total(&parts),
            // What is wrong with them is told when the upload is made.
            Err(_) => Ok(Length::Deferred),
        }
    }

    /// A final upload whose parts are not joined: joins them if they are finished, and tells the length
    /// as soon as those of all parts are known.
    pub(super) async fn inspect_final(&self, upload: Upload) -> Result<Upload, Refusal> {
        let (joined, _) = self.join(upload, GLANCE).await?;
        Ok(joined)
    }

    /// Joins what waits for a part that is finished now.
    pub(super) fn join_waiting_for(&self, part: &Upload) {
        for joined in self.engine.waiting_for(&part.id) {
            let tus = self.unasked();
            let span = observe::background("join", &joined, None);
            let joining = async move {
                if let Ok(upload) = tus.load(&joined).await {
                    // Why it is not joined is logged where it is tried.
                    let _ = tus.join(upload, PATIENCE).await;
                }
            };
            self.engine.tasks.spawn(joining.instrument(span));
        }
    }

    /// Joins the parts, if all of them are finished, in a task of its own. Gives the upload as it is
    /// when that is done, or has taken longer than `patience`; somebody else may be at it already.
    ///
    /// Only what the application says against it is an error, and that there is no room for it.
    async fn join(&self, upload: Upload, patience: Duration) -> Result<(Upload, Reply), Refusal> {
        let unchanged = |upload| Ok((upload, Reply::default()));
        let until = Instant::now() + patience;
        let claim = self.claim(&upload.id, Takeover::Never);
        let undecided = |upload| match self.refused(&upload) {
            Some(error) => Err(error.into()),
            None => unchanged(upload),
        };
        let Ok(Ok(claim)) = timeout_at(until, claim).await else {
            return undecided(upload);
        };
        let (tus, id) = (self.clone(), upload.id.clone());
        let stop = self.engine.stop.clone();
        let span = observe::background("join", &id, self.request.as_deref());
        let joining = async move {
            // What is cut here is taken up again at the next start.
            stop.run_until_cancelled(tus.join_unless_ended(claim, &id))
                .await
        };
        let joining = self.engine.tasks.spawn(joining.instrument(span));
        match timeout_at(until, joining).await {
            Ok(Ok(Some(Ok(joined)))) => Ok(joined),
            Ok(Ok(Some(Err(refusal)))) => {
                tracing::debug!(id = %upload.id, error = %refusal.error, "final upload not joined");
                match refusal.error {
                    Error::Rejected(_)
                    | Error::QuotaExceeded
                    | Error::TooManyUploads
                    | Error::TooLarge(_) => Err(refusal),
                    _ => unchanged(upload),
                }
            }
            _ => undecided(upload),
        }
    }

    /// Joins the parts until somebody wants the upload to end.
    async fn join_unless_ended(
        &self,
        mut claim: Claim,
        id: &UploadId,
    ) -> Result<(Upload, Reply), Refusal> {
        tokio::select! {
            joined = self.join_claimed(id) => joined,
            reason = claim.ended() => Err(reason.into()),
        }
    }

    async fn join_claimed(&self, id: &UploadId) -> Result<(Upload, Reply), Refusal> {
        let loaded = self.load(id).await.inspect_err(|error| {
            if *error == Error::NotFound {
                self.engine.forget_waiting(id);
            }
        });
        let mut upload = loaded?;
        let Kind::Final(concat) = upload.kind.clone() else {
            return Ok((upload, Reply::default()));
        };
        if upload.is_finished() {
            self.engine.forget_waiting(id);
            return Ok((upload, Reply::default()));
        }
        let parts = self.load_parts(&concat).await?;
        // An id may be somebody else's by now.
        if self.config.owner.is_some() && parts.iter().any(|part| part.owner != upload.owner) {
            return Err(Error::Part(PartError::NotFound).into());
        }
        let length = total(&parts)?;
        if parts.iter().any(|part| !part.is_finished()) {
            self.engine.wait_for(&upload);
            upload.length = length;
            return Ok((upload, Reply::default()));
        }
        check_size(length, &self.config.offer.limits.of(&upload))?;
        let storage = &self.engine.storage;
        if upload.length != length {
            // It may be another node that let it in.
            self.note(&upload);
            upload.length = length;
            let room = self.reserve_final(&upload).await?;
            upload.version = storage.update(&upload).await.map_err(refusal)?;
            if let Some(room) = room {
                room.keep();
            }
        }
        let mut whole = upload.clone();
        whole.offset = length.known().unwrap_or_default();
        let reply = self.pre_finish(&whole).await?;
        storage.concat(&upload, &parts).await.map_err(refusal)?;
        upload.offset = whole.offset;
        self.finished(&mut upload);
        self.engine.stop_waiting(&upload);
        if self.config.concat_parts == ConcatParts::Remove {
            self.engine.joined.note(&concat, &upload.id);
        }
        for part in concat.parts() {
            self.release_part(part).await;
        }
        Ok((upload, reply))
    }

    /// A part is not needed any more, by one final upload.
    async fn release_part(&self, part: &UploadId) {
        if self.config.concat_parts == ConcatParts::Keep {
            return;
        }
        // Right after a start others may wait for it that are not known yet.
        self.engine.known.cancelled().await;
        if let Ok(upload) = self.load(part).await {
            self.release(&upload).await;
        }
    }

    async fn load_parts(&self, concat: &Concat) -> Result<Vec<Upload>, Error> {
        let mut parts = Vec::with_capacity(concat.parts().len());
        let mut seen = 0;
        for id in concat.parts() {
            give_turns(&mut seen).await;
            let part = match self.load(id).await {
                Err(Error::NotFound) => Err(Error::Part(PartError::NotFound)),
                Ok(part) if part.kind != Kind::Partial => Err(Error::Part(PartError::NotPartial)),
                part => part,
            }?;
            parts.push(part);
        }
        Ok(parts)
    }
}

/// The length of what `parts` make together, once all of theirs are known.
fn total(parts: &[Upload]) -> Result<Length, Error> {
    let mut sum = 0u64;
    for part in parts {
        let Length::Known(length) = part.length else {
            return Ok(Length::Deferred);
        };
        let longer = sum.checked_add(length);
        sum = longer.ok_or(Error::TooLarge(Oversized::Upload))?;
    }
    Ok(Length::Known(sum))
}
