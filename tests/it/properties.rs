//! However a file is cut into requests, and wherever these break off: offsets only grow, every byte
//! that the service has taken counts, and the file that comes out is the file that went in.
//!
//! These tests call the service as a tower service, with bodies that fail and futures that are
//! dropped: what an HTTP server does to it, without one.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use proptest::{collection::vec, prelude::*};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tower::ServiceExt;
use tower_tus::{
    TusBody, TusService,
    storage::{FileStorage, MemoryStorage},
};

use crate::support::{OCTETS, content, sha1, wait};

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_way_to_send_a_file_gives_the_file(
        length in prop_oneof![0..100usize, 0..300_000usize],
        seed in any::<u64>(),
        steps in vec(step(), 0..10),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let data = content(length, seed);
        runtime.block_on(async {
            let directory = TempDir::new().unwrap();
            let files = FileStorage::open(directory.path()).unwrap();
            send_in_steps(TusService::new(files), &data, &steps).await;
            send_in_steps(TusService::new(MemoryStorage::new()), &data, &steps).await;
        });
    }
}

/// One PATCH.
#[derive(Clone, Debug)]
struct Step {
    /// Bytes that come before the end, if as many are left.
    size: usize,
    /// Bytes of one frame of the body.
    frame: usize,
    end: End,
    sum: Sum,
    /// Whether the head tells how long the body is, or will have been.
    sized: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Regular,
    /// The body fails, as it does when a connection breaks.
    Error,
    /// Nothing more comes, and the future is dropped, as layers and HTTP/2 do it.
    Dropped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sum {
    None,
    Right,
    Wrong,
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![1..50usize, 1..100_000usize];
    let frame = prop_oneof![1..20usize, 1_000..50_000usize];
    let end = prop_oneof![Just(End::Regular), Just(End::Error), Just(End::Dropped)];
    let sum = prop_oneof![3 => Just(Sum::None), 1 => Just(Sum::Right), 1 => Just(Sum::Wrong)];
    (size, frame, end, sum, any::<bool>()).prop_map(|(size, frame, end, sum, sized)| Step {
        size,
        frame: frame.max(size / 200),
        end,
        sum,
        sized,
    })
}

async fn send_in_steps(tus: TusService, data: &[u8], steps: &[Step]) {
    let tus = tus.base_path("/files");
    let create = request("POST", "/files").header("Upload-Length", data.len());
    let created = call(&tus, create.body(Script::default()).unwrap()).await;
    assert_eq!(created.status(), 201);
    let url = created.headers()["Location"].to_str().unwrap().to_owned();

    let mut stored = 0;
    for step in steps {
        stored = perform(&tus, &url, &data[stored..], stored, step).await;
    }
    let whole = Step {
        size: data.len(),
        frame: 64 << 10,
        end: End::Regular,
        sum: Sum::None,
        sized: true,
    };
    let stored = perform(&tus, &url, &data[stored..], stored, &whole).await;
    assert_eq!(stored, data.len());
    let get = request("GET", &url).body(Script::default()).unwrap();
    let download = call(&tus, get).await;
    assert_eq!(download.status(), 200);
    let bytes = download.into_body().collect().await.unwrap().to_bytes();
    assert!(bytes == data, "the download differs");
    tus.shutdown().await;
}

/// Sends one PATCH, and gives the offset behind it, which is told by HEAD.
async fn perform(tus: &TusService, url: &str, rest: &[u8], start: usize, step: &Step) -> usize {
    let sent = &rest[..step.size.min(rest.len())];
    let expected = match (step.sum, step.end) {
        (Sum::None, _) | (Sum::Right, End::Regular) => start + sent.len(),
        (Sum::Right | Sum::Wrong, _) => start,
    };
    let mut patch = request("PATCH", url)
        .header("Content-Type", OCTETS)
        .header("Upload-Offset", start);
    patch = match step.sum {
        Sum::None => patch,
        Sum::Right => patch.header("Upload-Checksum", sha1(sent)),
        Sum::Wrong => patch.header("Upload-Checksum", sha1(b"something else")),
    };
    if step.sized {
        let length = match step.end {
            End::Regular => sent.len(),
            End::Error | End::Dropped => rest.len(),
        };
        patch = patch.header("Content-Length", length);
    }
    let (script, taken) = Script::new(sent, step);
    let answer = call(tus, patch.body(script).unwrap());
    // Who takes over from a request that was dropped gets its place, at its offset.
    match step.end {
        End::Regular | End::Error => {
            let answer = answer.await;
            let status = answer.status().as_u16();
            match (step.end, step.sum) {
                (End::Error, _) => assert_eq!(status, 400, "{step:?}"),
                (_, Sum::Wrong) => assert_eq!(status, 460, "{step:?}"),
                _ => assert_eq!(status, 204, "{step:?}"),
            }
            if status == 204 {
                assert_eq!(answer.headers()["Upload-Offset"], expected.to_string());
            }
            assert_eq!(offset(tus, url).await, expected, "{step:?}");
        }
        End::Dropped => {
            let dropped = tokio::select! {
                answer = answer => panic!("{answer:?} to a body without end: {step:?}"),
                taken = taken => taken,
            };
            dropped.expect("the body says so");
            let mut seen = start;
            wait::until_true("what was taken", async || {
                let now = offset(tus, url).await;
                assert!(seen <= now && now <= expected, "{seen}, {now}: {step:?}");
                seen = now;
                now == expected
            })
            .await;
        }
    }
    expected
}

async fn offset(tus: &TusService, url: &str) -> usize {
    let head = request("HEAD", url).body(Script::default()).unwrap();
    let answer = call(tus, head).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    let offset = answer.headers()["Upload-Offset"].to_str().unwrap();
    offset.parse().unwrap()
}

fn request(method: &str, url: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(url)
        .header("Tus-Resumable", "1.0.0")
}

async fn call(tus: &TusService, request: Request<Script>) -> Response<TusBody> {
    match tus.clone().oneshot(request).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    }
}

/// A body that does what a [`Step`] says.
#[derive(Debug, Default)]
struct Script {
    /// The frames, last one first.
    frames: Vec<Bytes>,
    end: Option<End>,
    /// Told when all frames were taken and nothing more will come.
    taken: Option<oneshot::Sender<()>>,
}

impl Script {
    fn new(data: &[u8], step: &Step) -> (Self, oneshot::Receiver<()>) {
        let (sender, taken) = oneshot::channel();
        let frames = data.chunks(step.frame).map(Bytes::copy_from_slice);
        let script = Self {
            frames: frames.rev().collect(),
            end: Some(step.end),
            taken: Some(sender),
        };
        (script, taken)
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(frame) = self.frames.pop() {
            return Poll::Ready(Some(Ok(Frame::data(frame))));
        }
        match self.end {
            None | Some(End::Regular) => Poll::Ready(None),
            Some(End::Error) => {
                self.end = None;
                Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())))
            }
            Some(End::Dropped) => {
                if let Some(taken) = self.taken.take() {
                    // Nobody listens any more if the test has failed.
                    let _ = taken.send(());
                }
                // Nothing wakes it: there is nothing to come.
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && matches!(self.end, None | Some(End::Regular))
    }
}
