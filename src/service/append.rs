use std::time::SystemTime;

use tokio_util::sync::CancellationToken;

use super::{
    TusService,
    body::RequestBody,
    engine::refusal,
    handle::{Answer, refuse},
    linger::linger,
    pump::{Pump, Signals, mode},
    session::{Claim, Origin, Takeover},
};
use crate::{
    protocol::{Append, Content, Error, Length, Outcome, Plan, Refusal, Room, Upload},
    storage::{self, AppendMode},
};

/// How often an upload may change between being loaded and being opened.
const ATTEMPTS: usize = 3;

impl TusService {
    /// PATCH. Refuses what can be refused before anybody is disturbed; the rest is detached.
    pub(super) async fn append(&self, append: Append, body: RequestBody) -> Answer {
        let decided = async {
            let upload = self.load(&append.id).await?;
            let admitted = self.decide(&append, &upload).and_then(|_| self.admit());
            match admitted {
                Ok(admission) => Ok((upload, admission)),
                Err(error) => Err(locate(error, upload)),
            }
        };
        let (upload, admission) = match decided.await {
            Ok(decided) => decided,
            Err(refusal) => return refuse(body, refusal),
        };
        let abandoned = CancellationToken::new();
        let _abandon = abandoned.clone().drop_guard();
        let tus = self.clone();
        let content = append.content.clone();
        self.detached_with(Some(&content), async move {
            let _admission = admission;
            tus.append_detached(append, upload, body, abandoned).await
        })
        .await
    }

    async fn append_detached(
        self,
        append: Append,
        mut upload: Upload,
        mut body: RequestBody,
        abandoned: CancellationToken,
    ) -> Answer {
        let mut claim = match self.claim(&append.id, Takeover::At(append.offset)).await {
            Ok(claim) => claim,
            Err(error) => return refuse(body, self.refusal_at(error, upload).await),
        };
        if claim.origin == Origin::Succession {
            upload = match self.load(&append.id).await {
                Ok(upload) => upload,
                Err(error) => return refuse(body, error),
            };
        }
        let pumped = self
            .pump(&append, &mut upload, &mut claim, &mut body, abandoned)
            .await;
        linger(body);
        pumped?;
        self.finish_if_complete(&mut upload).await?;
        Ok(Outcome::Appended(upload))
    }

    /// Opens the upload and moves the body into it. `upload` is where it stands afterwards.
    async fn pump(
        &self,
        append: &Append,
        upload: &mut Upload,
        claim: &mut Claim,
        body: &mut RequestBody,
        abandoned: CancellationToken,
    ) -> Result<(), Refusal> {
        let mut attempt = 1;
        let (plan, appender) = loop {
            let plan = self
                .decide(append, upload)
                .map_err(|error| locate(error, upload.clone()))?;
            match self.open(upload, plan, &append.content).await {
                Ok(appender) => break (plan, appender),
                Err(storage::Error::Conflict(_)) if attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(self.refusal_at(refusal(error), upload.clone()).await),
            }
            *upload = self.load(&upload.id).await?;
        };
        let declare = plan
            .declare
            .filter(|_| mode(&append.content) == AppendMode::Atomic);
        let body = (appender, plan.room, body);
        self.receive(upload, body, &append.content, claim, abandoned)
            .await?;
        if let Some(length) = declare {
            self.declare(upload, length).await.map_err(refusal)?;
        }
        Ok(())
    }

    /// Opens the upload, if it takes bytes. A length is declared before they come; under a checksum
    /// after they have been verified, for nothing of a request whose checksum does not hold may stay.
    async fn open(
        &self,
        upload: &mut Upload,
        plan: Plan,
        content: &Content,
    ) -> storage::Result<Option<Box<dyn storage::Appender>>> {
        if let Some(length) = plan.declare
            && mode(content) == AppendMode::Streaming
        {
            self.declare(upload, length).await?;
        }
        let storage = &self.engine.storage;
        match plan.room.bytes {
            0 => Ok(None),
            _ => storage.append(upload, mode(content)).await.map(Some),
        }
    }

    async fn declare(&self, upload: &mut Upload, length: u64) -> storage::Result<()> {
        upload.length = Length::Known(length);
        upload.version = self.engine.storage.update(upload).await?;
        Ok(())
    }

    /// Moves a body into an open upload. `upload` is where it stands afterwards.
    pub(super) async fn receive(
        &self,
        upload: &mut Upload,
        (appender, room, body): (Option<Box<dyn storage::Appender>>, Room, &mut RequestBody),
        content: &Content,
        claim: &mut Claim,
        abandoned: CancellationToken,
    ) -> Result<(), Refusal> {
        let signals = Signals {
            stop: self.engine.stop.clone(),
            abandoned,
        };
        let limits = &self.config.offer.limits;
        let pump = Pump::new(
            appender,
            claim,
            content,
            (upload.offset, room),
            limits,
            signals,
        );
        match pump.run(body).await {
            Ok(offset) => {
                if offset > upload.offset {
                    upload.offset = offset;
                    upload.touched = SystemTime::now();
                }
                Ok(())
            }
            Err(error) => Err(self.refusal_at(error, upload.clone()).await),
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
