use std::{
    fmt,
    pin::Pin,
    sync::OnceLock,
    task::{Context, Poll, ready},
};

use futures::Stream;
use tokio::sync::{
    broadcast::{self, Receiver, Sender, error::RecvError},
    oneshot,
};
use tokio_util::sync::ReusableBoxFuture;

use super::{Event, EventKind};
use crate::protocol::Upload;

/// What happens to the uploads of a service, from the subscription on.
///
/// No request and no hook waits for whoever reads it. Who falls behind by more than 1,024 events misses the oldest,
/// and is told how many. It ends with the service.
pub struct Events(ReusableBoxFuture<'static, Next>);

type Next = (Result<Event, RecvError>, Receiver<Event>);

/// How many events were missed by a subscriber that was too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} events were missed")]
pub struct Lagged(pub u64);

/// Where events go out.
#[derive(Debug, Default)]
pub(crate) struct Bus(OnceLock<Sender<Event>>);

/// How many events a subscriber may be behind.
const CAPACITY: usize = 1_024;

impl Bus {
    pub(crate) fn subscribe(&self) -> Events {
        let sender = self.0.get_or_init(|| broadcast::channel(CAPACITY).0);
        Events(ReusableBoxFuture::new(next(sender.subscribe())))
    }

    /// Whether anybody listens now.
    pub(crate) fn has_subscribers(&self) -> bool {
        self.0
            .get()
            .is_some_and(|sender| sender.receiver_count() > 0)
    }

    pub(crate) fn send(&self, kind: EventKind, upload: &Upload) {
        if self.has_subscribers()
            && let Some(sender) = self.0.get()
        {
            // It fails if the last subscriber has just gone.
            let _ = sender.send(Event::new(kind, upload));
        }
    }

    /// As [`send`](Self::send). What comes back tells when all subscribers have dealt with the event, or breaks
    /// off if one never will; `None` if nobody listens.
    pub(crate) fn send_for_receipt(
        &self,
        kind: EventKind,
        upload: &Upload,
    ) -> Option<oneshot::Receiver<()>> {
        let sender = self.0.get().filter(|_| self.has_subscribers())?;
        let (event, receipt) = Event::with_receipt(kind, upload, sender.receiver_count());
        sender.send(event).ok().map(|_| receipt)
    }
}

impl Stream for Events {
    type Item = Result<Event, Lagged>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let (received, receiver) = ready!(self.0.poll(context));
        self.0.set(next(receiver));
        Poll::Ready(match received {
            Ok(event) => Some(Ok(event.received())),
            Err(RecvError::Lagged(missed)) => Some(Err(Lagged(missed))),
            Err(RecvError::Closed) => None,
        })
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}

async fn next(mut receiver: Receiver<Event>) -> Next {
    (receiver.recv().await, receiver)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use futures::StreamExt;

    use super::*;
    use crate::protocol::Length;

    fn upload() -> Upload {
        Upload::new("a".parse().unwrap(), Length::Known(7), UNIX_EPOCH)
    }

    #[tokio::test]
    async fn who_falls_behind_is_told_what_was_missed() {
        let bus = Bus::default();
        bus.send(EventKind::Created, &upload());
        let mut events = bus.subscribe();
        for _ in 0..CAPACITY + 3 {
            bus.send(EventKind::Progress, &upload());
        }
        assert_eq!(events.next().await.unwrap().unwrap_err(), Lagged(3));
        for _ in 0..CAPACITY {
            assert_eq!(
                events.next().await.unwrap().unwrap().kind,
                EventKind::Progress
            );
        }
        drop(bus);
        assert!(events.next().await.is_none());
    }

    #[tokio::test]
    async fn a_receipt_comes_when_the_last_clone_is_dropped() {
        let bus = Bus::default();
        assert!(
            bus.send_for_receipt(EventKind::Finished, &upload())
                .is_none()
        );
        let mut events = bus.subscribe();
        let mut receipt = bus
            .send_for_receipt(EventKind::Finished, &upload())
            .unwrap();
        let event = events.next().await.unwrap().unwrap();
        let clone = event.clone();
        drop(event);
        assert!(receipt.try_recv().is_err());
        drop(clone);
        assert_eq!(receipt.await, Ok(()));
    }

    #[tokio::test]
    async fn a_receipt_needs_all_subscribers() {
        let bus = Bus::default();
        let (mut first, mut second) = (bus.subscribe(), bus.subscribe());
        let send = || {
            bus.send_for_receipt(EventKind::Finished, &upload())
                .unwrap()
        };
        let mut receipt = send();
        drop(first.next().await);
        assert!(receipt.try_recv().is_err());
        drop(second.next().await);
        assert_eq!(receipt.await, Ok(()));

        let receipt = send();
        drop(first.next().await);
        drop(second);
        assert!(receipt.await.is_err());
    }

    #[tokio::test]
    async fn who_panics_over_an_event_has_not_dealt_with_it() {
        let bus = Bus::default();
        let mut events = bus.subscribe();
        let receipt = bus
            .send_for_receipt(EventKind::Finished, &upload())
            .unwrap();
        let task = tokio::spawn(async move {
            let _event = events.next().await;
            panic!("this subscriber panics");
        });
        assert!(task.await.unwrap_err().is_panic());
        assert!(receipt.await.is_err());
    }

    #[tokio::test]
    async fn an_event_that_nobody_has_read_has_no_receipt() {
        let bus = Bus::default();
        let events = bus.subscribe();
        let receipt = bus
            .send_for_receipt(EventKind::Finished, &upload())
            .unwrap();
        drop(events);
        assert!(receipt.await.is_err());
    }
}
