use std::time::SystemTime;

use tokio_util::sync::CancellationToken;

use super::{
    TusService,
    body::RequestBody,
    engine::refusal,
    handle::{Answer, refuse},
    linger::linger,
    pump::mode,
    session::Takeover,
};
use crate::protocol::{
    Availability, Content, Create, Error, Extension, Kind, Mount, Outcome, Refusal, Upload,
    UploadId,
};

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
        let availability = match content {
            Some(_) => Availability::On,
            None => Availability::Off,
        };
        let expected = content.clone();
        let abandoned = CancellationToken::new();
        let _abandon = abandoned.clone().drop_guard();
        let tus = self.clone();
        let upload = self
            .detached_with(expected.as_ref(), async move {
                let _admission = admission;
                match upload.kind {
                    Kind::Final(_) => {
                        linger(body);
                        tus.create_final(upload).await
                    }
                    _ => tus.create_detached(upload, content, body, abandoned).await,
                }
            })
            .await?;
        Ok(Outcome::Created {
            upload,
            location,
            content: availability,
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
        content: Option<Content>,
        body: RequestBody,
        abandoned: CancellationToken,
    ) -> Result<Upload, Refusal> {
        upload.version = match self.engine.storage.create(&upload).await {
            Ok(version) => version,
            Err(error) => return refuse(body, refusal(error)),
        };
        tracing::debug!(id = %upload.id, length = ?upload.length, "upload created");
        if let Err(error) = self.fill(&mut upload, content, body, abandoned).await {
            // A client that is refused never learns the URL.
            if let Err(error) = self.engine.storage.delete(&upload.id).await {
                refusal(error);
            }
            return Err(error.error.into());
        }
        Ok(upload)
    }

    /// Takes the first bytes, and finishes what is complete with them.
    async fn fill(
        &self,
        upload: &mut Upload,
        content: Option<Content>,
        mut body: RequestBody,
        abandoned: CancellationToken,
    ) -> Result<(), Refusal> {
        let mut claim = self.claim(&upload.id, Takeover::Always).await?;
        if let Some(content) = content {
            let room = content.room(0, upload.length, &self.config.offer)?;
            let appender = match room.bytes {
                0 => None,
                _ => {
                    let opened = self.engine.storage.append(upload, mode(&content)).await;
                    Some(opened.map_err(refusal)?)
                }
            };
            let received = self
                .receive(
                    upload,
                    (appender, room, &mut body),
                    &content,
                    &mut claim,
                    abandoned,
                )
                .await;
            linger(body);
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
        } else {
            linger(body);
        }
        self.finish_if_complete(upload).await
    }
}
