use std::time::SystemTime;

use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    TusService,
    body::RequestBody,
    pump::{Pump, Signals, mode},
    session::Claim,
};
use crate::{
    protocol::{Content, Refusal, Room, Stage, Upload},
    storage::{self, Appender},
};

/// A body that brings bytes of an upload.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) content: Content,
    pub(super) body: RequestBody,
    /// Nobody waits for the answer any more.
    abandoned: CancellationToken,
}

/// An upload that may be written to.
#[derive(Debug)]
pub(super) struct Opened {
    /// `None` if it takes no bytes.
    pub(super) appender: Option<Box<dyn Appender>>,
    pub(super) room: Room,
}

impl Delivery {
    /// Dropping the guard tells the writer that nobody waits for the answer any more.
    pub(super) fn new(content: Content, body: RequestBody) -> (Self, DropGuard) {
        let abandoned = CancellationToken::new();
        let guard = abandoned.clone().drop_guard();
        let delivery = Self {
            content,
            body,
            abandoned,
        };
        (delivery, guard)
    }
}

impl TusService {
    /// Opens an upload that has `room` for a body.
    pub(super) async fn open(
        &self,
        upload: &Upload,
        room: Room,
        content: &Content,
    ) -> storage::Result<Opened> {
        let appender = match room.bytes {
            0 => None,
            _ => {
                let storage = &self.engine.storage;
                Some(storage.append(upload, mode(content)).await?)
            }
        };
        Ok(Opened { appender, room })
    }

    /// Moves a body into an open upload. `upload` is where it stands afterwards.
    pub(super) async fn receive(
        &self,
        upload: &mut Upload,
        opened: Opened,
        delivery: &mut Delivery,
        claim: &mut Claim,
    ) -> Result<(), Refusal> {
        let signals = Signals {
            stop: self.engine.stop.clone(),
            abandoned: delivery.abandoned.clone(),
        };
        let limits = &self.config.offer.limits;
        let pump = Pump::new(upload, opened, &delivery.content, claim, signals, limits)
            .finish(self.finishing())
            .tell(self.progress());
        let stored = match pump.run(&mut delivery.body).await {
            Ok(stored) => stored,
            Err(error) => return Err(self.refusal_at(error, upload.clone()).await),
        };
        if stored.offset > upload.offset {
            upload.offset = stored.offset;
            upload.touched = SystemTime::now();
        }
        if stored.stage == Stage::Finished && !upload.is_finished() {
            self.finished(upload);
        }
        Ok(())
    }
}
