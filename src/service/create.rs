use std::time::SystemTime;

use super::{
    TusService,
    body::RequestBody,
    engine::refusal,
    handle::{Answer, refuse},
    linger::linger,
    observe,
    receive::Delivery,
    session::{Claim, Takeover},
};
use crate::protocol::{Create, Error, Extension, Kind, Mount, Outcome, Refusal, Upload, UploadId};

impl TusService {
    /// POST.
    pub(super) async fn create(&self, create: Create, body: RequestBody, mount: &Mount) -> Answer {
        let prepared = create.decide(&self.config.offer).and_then(|()| {
            let content = create.content.clone();
            Ok((self.draft(create)?, content, self.admit()?))
        });
        let (upload, content, admission) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return refuse(body, error),
        };
        let location = mount.location(&upload.id);
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
        let upload = self
            .detached_with(carries.as_ref(), async move {
                let _admission = admission;
                match upload.kind {
                    Kind::Final(_) => tus.create_final(upload).await,
                    _ => tus.create_detached(upload, delivery).await,
                }
            })
            .await?;
        Ok(Outcome::Created {
            offset: carries.map(|_| upload.offset),
            upload,
            location,
        })
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
        observe::drafted(&upload);
        upload.metadata = create.metadata;
        upload.kind = create.kind;
        let expires = self.config.offer.offers(Extension::Expiration);
        upload.lifetime = self.config.lifetime.filter(|_| expires);
        if upload.kind != Kind::Partial {
            upload.key = self
                .config
                .key
                .key(&upload)
                .map_err(|_| Error::InvalidKey)?;
        }
        Ok(upload)
    }

    async fn create_detached(
        self,
        mut upload: Upload,
        delivery: Option<Delivery>,
    ) -> Result<Upload, Refusal> {
        upload.version = match self.engine.storage.create(&upload).await {
            Ok(version) => version,
            Err(error) => {
                if let Some(delivery) = delivery {
                    linger(delivery.body);
                }
                return Err(refusal(error).into());
            }
        };
        observe::created(&upload);
        if let Err(error) = self.fill(&mut upload, delivery).await {
            // A client that is refused never learns the URL.
            if let Err(error) = self.engine.storage.delete(&upload.id).await {
                refusal(error);
            }
            return Err(error.error.into());
        }
        Ok(upload)
    }

    /// Takes the first bytes, and finishes what is complete with them.
    async fn fill(&self, upload: &mut Upload, delivery: Option<Delivery>) -> Result<(), Refusal> {
        let mut claim = self.claim(&upload.id, Takeover::Always).await?;
        if let Some(mut delivery) = delivery {
            let received = self.take_first(upload, &mut delivery, &mut claim).await;
            linger(delivery.body);
            match received {
                // The client goes on from what came.
                Err(Refusal {
                    error: Error::Interrupted | Error::Stalled | Error::ShuttingDown,
                    upload: now,
                }) => {
                    if let Some(now) = now {
                        *upload = *now;
                    }
                }
                received => received?,
            }
        }
        self.finish_if_complete(upload).await
    }

    async fn take_first(
        &self,
        upload: &mut Upload,
        delivery: &mut Delivery,
        claim: &mut Claim,
    ) -> Result<(), Refusal> {
        let content = &delivery.content;
        let room = content.room(0, upload.length, &self.config.offer)?;
        let opened = self.open(upload, room, content).await.map_err(refusal)?;
        self.receive(upload, opened, delivery, claim).await
    }
}
