use std::{
    collections::HashMap,
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{
        Mutex as Turn, OwnedMutexGuard,
        mpsc::{self, UnboundedReceiver, UnboundedSender},
        oneshot,
    },
    time::timeout,
};

use crate::protocol::{Error, UploadId};

/// Who writes to which upload, in this process.
///
/// An upload has one writer at a time, who holds its [`Claim`]. A newcomer asks the writer to hand
/// over: it does so at once if it stands where the newcomer wants to go on, and refuses otherwise;
/// so of two requests at one offset one always wins, and a request at a wrong offset disturbs nobody.
/// (A writer whose storage shows less than it has taken, and whose body is silent, also goes for an
/// offset in between.)
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<HashMap<UploadId, Session>>);

#[derive(Debug, Clone)]
struct Session {
    asks: UnboundedSender<Ask>,
    /// Whoever holds this writes, and hears what the others ask.
    turn: Arc<Turn<UnboundedReceiver<Ask>>>,
}

/// A newcomer's wish to write.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) takeover: Takeover,
    refused: oneshot::Sender<()>,
}

/// What a newcomer does about the writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Takeover {
    /// Ends it, if it stands at this offset.
    At(u64),
    /// Ends it, for this reason.
    Always(Error),
    /// Waits until it is done.
    Never,
}

/// The right to write to an upload. Dropping it lets the next one in.
#[derive(Debug)]
#[must_use]
pub(super) struct Claim {
    sessions: Arc<Sessions>,
    id: UploadId,
    asks: Option<OwnedMutexGuard<UnboundedReceiver<Ask>>>,
    pub(super) origin: Origin,
}

/// How a claim was come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// There was no other writer.
    Free,
    /// Another one wrote before: what was known of the upload is old.
    Succession,
}

/// Why there is no claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// The writer stands at another offset.
    Refused,
    /// The writer is still at work.
    Busy,
}

/// How long a newcomer waits for a writer that commits, or finishes the upload.
const PATIENCE: Duration = Duration::from_secs(10);

impl Sessions {
    /// Waits for the right to write. Cancel-safe.
    pub(super) async fn claim(
        self: &Arc<Self>,
        id: &UploadId,
        takeover: Takeover,
    ) -> Result<Claim, Denied> {
        let session = self.session(id);
        // Made before waiting, so that a newcomer that goes away leaves no session behind.
        let mut claim = Claim {
            sessions: Arc::clone(self),
            id: id.clone(),
            asks: None,
            origin: Origin::Free,
        };
        if let Ok(turn) = Arc::clone(&session.turn).try_lock_owned() {
            claim.asks = Some(turn);
            return Ok(claim);
        }
        claim.origin = Origin::Succession;
        let (refused, mut refusal) = oneshot::channel();
        if takeover != Takeover::Never {
            // The receiver lives as long as the session.
            let _ = session.asks.send(Ask { takeover, refused });
        }
        let turn = async {
            tokio::select! {
                biased;
                turn = session.turn.lock_owned() => Ok(turn),
                Ok(()) = &mut refusal => Err(Denied::Refused),
            }
        };
        let turn = timeout(PATIENCE, turn).await.unwrap_or(Err(Denied::Busy))?;
        claim.asks = Some(turn);
        Ok(claim)
    }

    /// The right to write, if nobody else has it.
    pub(super) fn try_claim(self: &Arc<Self>, id: &UploadId) -> Option<Claim> {
        let turn = self.session(id).turn.try_lock_owned().ok();
        let (sessions, id) = (Arc::clone(self), id.clone());
        let claim = Claim {
            sessions,
            id,
            asks: turn,
            origin: Origin::Free,
        };
        claim.asks.is_some().then_some(claim)
    }

    fn session(&self, id: &UploadId) -> Session {
        let make = || {
            let (asks, heard) = mpsc::unbounded_channel();
            Session {
                asks,
                turn: Arc::new(Turn::new(heard)),
            }
        };
        self.map().entry(id.clone()).or_insert_with(make).clone()
    }

    fn map(&self) -> MutexGuard<'_, HashMap<UploadId, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.map().len()
    }
}

impl Claim {
    /// What somebody asks of the writer. Cancel-safe.
    pub(super) async fn asked(&mut self) -> Ask {
        let asks = self
            .asks
            .as_mut()
            .expect("a claim that was given out has the turn");
        loop {
            match asks.recv().await {
                Some(ask) if ask.is_open() => return ask,
                Some(_) => {}
                // The session's own sender lives in the map.
                None => std::future::pending().await,
            }
        }
    }

    /// Waits until somebody asks the writer to end whatever it does, and gives the reason.
    pub(super) async fn ended(&mut self) -> Error {
        loop {
            let ask = self.asked().await;
            if let Takeover::Always(reason) = ask.takeover {
                return reason;
            }
            ask.refuse();
        }
    }

    /// What somebody has asked of the writer.
    pub(super) fn try_asked(&mut self) -> Option<Ask> {
        let asks = self
            .asks
            .as_mut()
            .expect("a claim that was given out has the turn");
        std::iter::from_fn(|| asks.try_recv().ok()).find(Ask::is_open)
    }
}

impl Ask {
    /// Whether a writer that stands at one of these offsets has to go.
    pub(super) fn takes_over(&self, offsets: RangeInclusive<u64>) -> bool {
        self.is_open()
            && match &self.takeover {
                Takeover::At(at) => offsets.contains(at),
                Takeover::Always(_) => true,
                Takeover::Never => false,
            }
    }

    /// Why the writer ends, if it does.
    pub(super) fn reason(self) -> Error {
        match self.takeover {
            Takeover::Always(reason) => reason,
            Takeover::At(_) | Takeover::Never => Error::Superseded,
        }
    }

    /// Who has gone, or got the turn meanwhile, does not ask any more.
    fn is_open(&self) -> bool {
        !self.refused.is_closed()
    }

    pub(super) fn refuse(self) {
        let _ = self.refused.send(());
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut map = self.sessions.map();
        self.asks = None;
        // The map's own is the last one: nobody writes, and nobody waits.
        if map
            .get(&self.id)
            .is_some_and(|session| Arc::strong_count(&session.turn) == 1)
        {
            map.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> UploadId {
        "a".parse().unwrap()
    }

    #[tokio::test]
    async fn a_writer_hands_over_at_its_offset_only() {
        let sessions = Arc::new(Sessions::default());
        let mut writer = sessions.claim(&id(), Takeover::At(0)).await.unwrap();
        assert_eq!(writer.origin, Origin::Free);
        assert!(sessions.try_claim(&id()).is_none());

        let newcomer = |at| {
            let sessions = Arc::clone(&sessions);
            tokio::spawn(async move { sessions.claim(&id(), Takeover::At(at)).await })
        };
        let wrong = newcomer(7);
        let ask = writer.asked().await;
        assert!(!ask.takes_over(5..=5));
        ask.refuse();
        assert_eq!(wrong.await.unwrap().unwrap_err(), Denied::Refused);

        let right = newcomer(5);
        assert!(writer.asked().await.takes_over(5..=5));
        drop(writer);
        assert_eq!(right.await.unwrap().unwrap().origin, Origin::Succession);
        assert_eq!(sessions.len(), 0);
    }

    #[tokio::test]
    async fn who_got_the_turn_or_went_away_does_not_ask_any_more() {
        let (sessions, id) = (Arc::new(Sessions::default()), id());
        let writer = sessions
            .claim(&id, Takeover::Always(Error::Superseded))
            .await
            .unwrap();
        {
            let mut gone = Box::pin(sessions.claim(&id, Takeover::Always(Error::Superseded)));
            assert!(futures::poll!(&mut gone).is_pending());
        }
        let mut next = Box::pin(sessions.claim(&id, Takeover::Always(Error::Superseded)));
        assert!(futures::poll!(&mut next).is_pending());
        drop(writer);
        let mut next = next.await.unwrap();
        assert!(futures::poll!(Box::pin(next.asked())).is_pending());
        drop(next);
        assert_eq!(sessions.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends() {
        let sessions = Arc::new(Sessions::default());
        let writer = sessions.claim(&id(), Takeover::Never).await.unwrap();
        let denied = sessions.claim(&id(), Takeover::Never).await.unwrap_err();
        assert_eq!(denied, Denied::Busy);
        drop(writer);
        assert_eq!(sessions.len(), 0);
    }
}
