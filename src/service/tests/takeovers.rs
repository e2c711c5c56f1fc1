//! Writers that end for a newer request on another node are counted, wherever they notice.

use std::sync::atomic::AtomicU64;

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    set_default_local_recorder,
};

use super::*;
use crate::protocol::{Error, header::UPLOAD_CHECKSUM};

/// Knows one number.
#[derive(Default)]
struct Takeovers(Arc<AtomicU64>);

impl Recorder for Takeovers {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match key.name() {
            "tus_takeovers_total" => Counter::from_arc(Arc::clone(&self.0)),
            _ => Counter::noop(),
        }
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// One node receives "abc" and more, and another the same meanwhile; the first does not get far. What
/// it answers.
async fn overtaken(request: impl FnOnce(Request<Pieces>) -> Request<Pieces>) -> StatusCode {
    let memory = MemoryStorage::new();
    let [node, other] = [(); 2].map(|()| TusService::new(memory.clone()));
    let url = created(&node, 9).await;
    let (sender, receiver) = mpsc::unbounded_channel::<Result<Bytes, BoxError>>();
    let pieces = stream::unfold(receiver, async |mut receiver| {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    let mut response = Box::pin(node.clone().call(request(patch(&url, 0, pieces))));
    sender.send(Ok(Bytes::from_static(b"ab"))).unwrap();
    assert!(futures::poll!(&mut response).is_pending());
    let at = offset(&other, &url).await;
    let newer = patch(
        &url,
        at.parse().unwrap(),
        stream::iter([Ok(Bytes::from_static(b"xyz"))]),
    );
    assert_eq!(call(&other, newer).await.status(), StatusCode::NO_CONTENT);
    sender.send(Ok(Bytes::from_static(b"c"))).unwrap();
    drop(sender);
    let Ok(response) = response.await;
    response.status()
}

#[tokio::test]
async fn a_writer_that_another_node_overtakes_while_it_writes_counts() {
    let takeovers = Takeovers::default();
    let _recorder = set_default_local_recorder(&takeovers);
    let status = overtaken(|request| request).await;
    assert_eq!(status, Error::Superseded.status());
    assert_eq!(takeovers.0.load(Relaxed), 1);
}

#[tokio::test]
async fn a_writer_that_another_node_overtakes_before_it_commits_counts() {
    let takeovers = Takeovers::default();
    let _recorder = set_default_local_recorder(&takeovers);
    // Nothing of it counts before its checksum holds.
    let status = overtaken(|mut request| {
        let checksum = "sha1 qZk+NkcGgWq6PiVxeFDCbJzQ2J0=".try_into().unwrap();
        request.headers_mut().insert(UPLOAD_CHECKSUM, checksum);
        request
    })
    .await;
    assert_eq!(status, Error::Superseded.status());
    assert_eq!(takeovers.0.load(Relaxed), 1);
}
