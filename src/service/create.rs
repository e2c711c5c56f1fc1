use std::time::SystemTime;

use super::{
    TusService,
    body::RequestBody,
    engine::{Admission, refusal},
    handle::{Answer, refuse},
    linger::linger,
    observe,
    receive::Delivery,
    session::{Claim, Takeover},
};
use crate::{
    hooks::{Creation, EventKind, Hook},
    protocol::{
        Create, Error, Extension, Key, Kind, Mount, Outcome, Refusal, Reply, Upload, UploadId,
        check_size,
    },
    storage,
};

impl TusService {
    /// POST.
    pub(super) async fn create(&self, create: Create, body: RequestBody, mount: &Mount) -> Answer {
        let content = create.content.clone();
        let prepared = match self.prepare(create).await {
            Ok(prepared) => self.admit().map(|admission| (prepared, admission)),
            Err(error) => Err(error),
        };
        let ((upload, reply), admission) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return refuse(body, error),
        };
        let carries = content.clone();
        let (delivery, _abandon) = match content {
            Some(content) => {
                let (delivery, guard) = Delivery::new(content, body);
                (Some(delivery), Some(guard))
            }
            None => {
                linger(body);
                (None, None)
            }
        };
        let tus = self.clone();
        let (upload, finish_reply) = self
            .detached_with(carries.as_ref(), async move {
                match upload.kind {
                    Kind::Final(_) => {
                        drop(admission);
                        tus.create_final(upload).await
                    }
                    _ => tus.create_detached(upload, delivery, admission).await,
                }
            })
            .await?;
        let created = Outcome::Created {
            offset: carries.map(|_| upload.offset),
            location: mount.location(&upload.id),
            upload,
        };
        Ok(created.with(reply.and(finish_reply)))
    }

    /// The upload to be made, if it may be, and what the application adds to the answer.
    async fn prepare(&self, create: Create) -> Result<(Upload, Reply), Error> {
        create.decide(&self.config.offer)?;
        if !self.config.hooks.wants(Hook::PreCreate) {
            let upload = self.draft(create)?;
            return Ok((self.with_key(upload, None)?, Reply::default()));
        }
        let tus = self.clone();
        let asked = self.detached(async move { Ok(tus.pre_create(create).await?) });
        asked.await.map_err(|refusal| refusal.error)
    }

    async fn pre_create(&self, create: Create) -> Result<(Upload, Reply), Error> {
        let mut upload = self.draft(create)?;
        if let Kind::Final(concat) = &upload.kind {
            upload.length = self.expected_length(concat).await?;
        }
        let (key, reply) = match self.request.as_deref() {
            Some(request) => {
                let mut creation = Creation::new(request, &mut upload);
                self.config.hooks.pre_create(&mut creation).await?;
                creation.into_parts()
            }
            None => (None, Reply::default()),
        };
        check_size(upload.length, &self.config.offer.limits.of(&upload))?;
        Ok((self.with_key(upload, key)?, reply))
    }

    /// The upload to be made.
    fn draft(&self, create: Create) -> Result<Upload, Error> {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits).map_err(|error| {
            tracing::error!(%error, "no random numbers are to be had");
            Error::Internal
        })?;
        let id = UploadId::from_random(u128::from_ne_bytes(bits));
        let mut upload = Upload::new(id, create.length, SystemTime::now());
        upload.metadata = create.metadata;
        upload.kind = create.kind;
        let expires = self.config.offer.offers(Extension::Expiration);
        upload.lifetime = self.config.lifetime.filter(|_| expires);
        upload.announcement = self.announcement();
        if let Some(request) = self.request.as_deref() {
            upload.owner = self.requester(request)?;
        }
        Ok(upload)
    }

    /// The upload with the key that was chosen, or else follows from the rest.
    fn with_key(&self, mut upload: Upload, chosen: Option<Key>) -> Result<Upload, Error> {
        upload.key = match (&upload.kind, chosen) {
            (Kind::Partial, _) => Key::from(&upload.id),
            (_, Some(key)) => key,
            (_, None) => {
                let key = self.config.key.key(&upload);
                key.map_err(|_| Error::InvalidKey)?
            }
        };
        observe::drafted(&upload);
        Ok(upload)
    }

    /// Makes an upload in the storage, if there is room for it.
    pub(super) async fn register(&self, upload: &mut Upload) -> Result<(), Error> {
        let room = self.reserve(upload).await?;
        let created = self.engine.storage.create(upload).await;
        upload.version = created.map_err(|error| match error {
            storage::Error::AlreadyExists(name) if name == upload.id.as_str() => Error::IdTaken,
            error => refusal(error),
        })?;
        if let Some(room) = room {
            room.keep();
        }
        observe::created(upload);
        self.tell(EventKind::Created, upload);
        Ok(())
    }

    async fn create_detached(
        self,
        mut upload: Upload,
        delivery: Option<Delivery>,
        admission: Admission,
    ) -> Result<(Upload, Reply), Refusal> {
        if let Err(error) = self.register(&mut upload).await {
            if let Some(delivery) = delivery {
                linger(delivery.body);
            }
            return Err(error.into());
        }
        // Held to the end: nobody else removes it meanwhile.
        let takeover = Takeover::Always(Error::Superseded);
        let mut claim = self.claim(&upload.id, takeover).await;
        let filled = match &mut claim {
            Ok(claim) => self.fill(&mut upload, claim, delivery, admission).await,
            Err(error) => Err(error.clone().into()),
        };
        match filled {
            Ok(reply) => Ok((upload, reply)),
            Err(refusal) => {
                // A client that is refused never learns the URL. What goes wrong is logged.
                if claim.is_ok() {
                    let _ = self.remove(&upload, EventKind::Terminated).await;
                }
                Err(refusal.error.into())
            }
        }
    }

    /// Takes the first bytes, and finishes what is complete with them.
    async fn fill(
        &self,
        upload: &mut Upload,
        claim: &mut Claim,
        delivery: Option<Delivery>,
        admission: Admission,
    ) -> Result<Reply, Refusal> {
        if let Some(mut delivery) = delivery {
            let received = self.take_first(upload, &mut delivery, claim).await;
            linger(delivery.body);
            match received {
                // The client goes on from what came; or does so already.
                Err(Refusal {
                    error:
                        Error::Interrupted | Error::Stalled | Error::ShuttingDown | Error::Superseded,
                    upload: now,
                }) => {
                    if let Some(now) = now {
                        *upload = *now;
                    }
                }
                received => received?,
            }
        }
        // Whoever waits for the application keeps nobody else from writing.
        drop(admission);
        self.finish_if_complete(upload).await
    }

    async fn take_first(
        &self,
        upload: &mut Upload,
        delivery: &mut Delivery,
        claim: &mut Claim,
    ) -> Result<(), Refusal> {
        let content = &delivery.content;
        let room = content.room(0, upload.length, &self.config.offer.limits.of(upload))?;
        let opened = self.open(upload, room, content).await.map_err(refusal)?;
        self.receive(upload, opened, delivery, claim).await
    }
}
