use std::time::SystemTime;

use super::{
    TusService,
    body::RequestBody,
    engine::{Admission, refusal},
    handle::{Answer, refuse},
    linger::linger,
    pump::mode,
    receive::{Delivery, Opened},
    session::{Claim, Origin, Takeover},
};
use crate::{
    protocol::{Append, Content, Error, Length, Outcome, Plan, Refusal, Upload},
    storage::{self, AppendMode},
};

/// How often an upload may change between being loaded and being opened.
const ATTEMPTS: usize = 3;

/// An upload, and what may be done with the body that comes for it.
#[derive(Debug)]
struct Found {
    upload: Upload,
    plan: Plan,
}

impl TusService {
    /// PATCH. Refuses what can be refused before anybody is disturbed; the rest is detached.
    pub(super) async fn append(&self, append: Append, body: RequestBody) -> Answer {
        let admitted = match self.find(&append).await {
            Ok(found) => match self.admit() {
                Ok(admission) => Ok((found, admission)),
                Err(error) => Err(locate(error, found.upload)),
            },
            Err(refusal) => Err(refusal),
        };
        let (found, admission) = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => return refuse(body, refusal),
        };
        let (delivery, _abandon) = Delivery::new(append.content.clone(), body);
        let content = append.content.clone();
        let tus = self.clone();
        self.detached_with(Some(&content), async move {
            tus.append_detached(append, found, delivery, admission)
                .await
        })
        .await
    }

    async fn append_detached(
        self,
        append: Append,
        mut found: Found,
        mut delivery: Delivery,
        admission: Admission,
    ) -> Answer {
        let mut claim = match self.claim(&append.id, Takeover::At(append.offset)).await {
            Ok(claim) => claim,
            Err(error) => {
                let refusal = self.refusal_at(error, found.upload).await;
                return refuse(delivery.body, refusal);
            }
        };
        if claim.origin == Origin::Succession {
            found = match self.find(&append).await {
                Ok(found) => found,
                Err(refusal) => return refuse(delivery.body, refusal),
            };
        }
        let pumped = self.pump(&append, found, &mut delivery, &mut claim).await;
        linger(delivery.body);
        // Whoever waits for the application keeps nobody else from writing.
        drop(admission);
        let mut upload = pumped?;
        let reply = self.finish_if_complete(&mut upload).await?;
        Ok(Outcome::Appended(upload).with(reply))
    }

    /// Opens the upload and moves the body into it. Gives where it stands afterwards.
    async fn pump(
        &self,
        append: &Append,
        mut found: Found,
        delivery: &mut Delivery,
        claim: &mut Claim,
    ) -> Result<Upload, Refusal> {
        let mut attempt = 1;
        let opened = loop {
            match self.open_declared(&mut found, &append.content).await {
                Ok(opened) => break opened,
                Err(storage::Error::Conflict(_)) if attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(self.refusal_at(refusal(error), found.upload).await),
            }
            found = self.look_up(append).await?;
        };
        let Found { mut upload, plan } = found;
        self.receive(&mut upload, opened, delivery, claim).await?;
        if let Some(length) = plan.declare
            && mode(&append.content) == AppendMode::Atomic
        {
            self.declare(&mut upload, length).await.map_err(refusal)?;
        }
        Ok(upload)
    }

    /// Opens the upload. A length is declared before its bytes come; under a checksum after they have
    /// been verified, for nothing of a request whose checksum does not hold may stay.
    async fn open_declared(&self, found: &mut Found, content: &Content) -> storage::Result<Opened> {
        let Found { upload, plan } = found;
        if let Some(length) = plan.declare
            && mode(content) == AppendMode::Streaming
        {
            self.declare(upload, length).await?;
        }
        self.open(upload, plan.room, content).await
    }

    async fn declare(&self, upload: &mut Upload, length: u64) -> storage::Result<()> {
        upload.length = Length::Known(length);
        upload.version = self.engine.storage.update(upload).await?;
        self.note(upload);
        Ok(())
    }

    /// The upload, if it may take the bytes: as the storage recalls it, or else as it is stored.
    async fn find(&self, append: &Append) -> Result<Found, Refusal> {
        match self.recollect(append) {
            Some(found) => Ok(found),
            None => self.look_up(append).await,
        }
    }

    /// The upload as the storage recalls it. What is recalled may be old: it refuses nothing, and is good
    /// only for a request that stores something, for that is what notices.
    fn recollect(&self, append: &Append) -> Option<Found> {
        let upload = self.recall(&append.id)?;
        let plan = self.decide(append, &upload).ok()?;
        let stores = plan.room.bytes > 0 && append.content.length != Some(0);
        stores.then_some(Found { upload, plan })
    }

    /// The upload as it is stored.
    async fn look_up(&self, append: &Append) -> Result<Found, Refusal> {
        let upload = self.load(&append.id).await?;
        match self.decide(append, &upload) {
            Ok(plan) => Ok(Found { upload, plan }),
            Err(error) => Err(locate(error, upload)),
        }
    }

    fn decide(&self, append: &Append, upload: &Upload) -> Result<Plan, Error> {
        append.decide(upload, &self.config.offer, SystemTime::now())
    }

    /// A refusal that tells where the upload stands now; `upload` is what was known of it before.
    pub(super) async fn refusal_at(&self, error: Error, upload: Upload) -> Refusal {
        match self.load(&upload.id).await {
            Ok(upload) => locate(error, upload),
            Err(Error::NotFound) => Error::NotFound.into(),
            Err(_) => locate(error, upload),
        }
    }
}

/// Nothing is told of an upload that is gone, or about to be finished.
fn locate(error: Error, upload: Upload) -> Refusal {
    let hidden = error == Error::Gone || (upload.is_complete() && !upload.is_finished());
    if hidden {
        error.into()
    } else {
        Refusal::at(error, upload)
    }
}
