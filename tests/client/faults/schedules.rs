use std::{collections::VecDeque, io::Cursor, ops::Range, path::Path, time::Duration};

use proptest::{collection::vec, prelude::*};
use tokio::time::{Instant, timeout};
use tower_tus::{
    client::{Client, Proxy as NoProxy, RetryPolicy, Source, Upload},
    protocol::Algorithm,
};

use super::{
    origin::{Origin, Storage},
    proxy::{Content, Far, Fault, Proxy},
    wire::{End, Head},
};
use crate::support::{bytes, content_of};

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        max_shrink_iters: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn one_request_survives_what_ends(case in case(&[Shape::Whole, Shape::Reader, Shape::File])) {
        run(case);
    }

    #[test]
    fn chunks_survive_what_ends(case in case(&[Shape::Chunks, Shape::Checked])) {
        run(case);
    }

    #[test]
    fn streams_survive_what_ends(case in case(&[Shape::Stream, Shape::CheckedStream])) {
        run(case);
    }

    #[test]
    fn parallel_parts_survive_what_ends(case in case(&[Shape::Parallel, Shape::ParallelFile])) {
        run(case);
    }
}

fn run(case: Case) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(case.run());
    // Nobody waits for connections that stand still.
    runtime.shutdown_background();
}

/// An upload, and what happens to it.
#[derive(Debug, Clone)]
struct Case {
    size: usize,
    shape: Shape,
    storage: Storage,
    /// Of the first requests, one each.
    faults: Vec<Fault>,
    /// What the line refuses as too large.
    limit: Option<u64>,
}

/// What is uploaded, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Whole,
    Reader,
    File,
    Chunks,
    Checked,
    Stream,
    CheckedStream,
    Parallel,
    ParallelFile,
}

impl Case {
    async fn run(self) {
        let origin = Origin::start(self.storage).await;
        let mut faults = VecDeque::from(self.faults.clone());
        let fates = move |head: &Head| match faults.pop_front() {
            // Without content nothing is too large.
            Some(Fault::Refuse(413, ..)) if head.framing().has_ended() => Fault::None,
            fault => fault.unwrap_or(Fault::None),
        };
        let proxy = Proxy::start(origin.address, origin.tus.clone(), self.limit, fates).await;
        let content = bytes(self.size);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &content).unwrap();

        let started = Instant::now();
        let client = client(&proxy, 3 * self.faults.len() as u32 + 10);
        let upload = self.upload(&client, &content, file.path());
        let uploaded = timeout(FOREVER, upload.into_future()).await;
        let done = match uploaded {
            Ok(Ok(done)) => done,
            Ok(Err(error)) => panic!("{error:?}\n{}", proxy.record.lock()),
            Err(_) => panic!("no end\n{}", proxy.record.lock()),
        };
        let took = started.elapsed();
        let stored = origin.stored().await;
        let arrived = content_of(&origin.tus, done.url()).await;
        assert!(arrived == content, "{}", proxy.record.lock());
        self.check(&proxy, stored, took);
    }

    fn upload(&self, client: &Client, content: &[u8], file: &Path) -> Upload {
        let bytes = || Source::bytes(content.to_vec());
        let stream = || Source::read_once(Cursor::new(content.to_vec())).replay(REPLAY);
        let chunk = self.part() as u64;
        match self.shape {
            Shape::Whole => client.upload(bytes()),
            Shape::Reader => client.upload(Source::reader(Cursor::new(content.to_vec()))),
            Shape::File => client.upload(Source::path(file)),
            Shape::Chunks => client.upload(bytes()).chunk_size(chunk),
            Shape::Checked => client
                .upload(bytes())
                .checksum(Algorithm::Sha1)
                .chunk_size(chunk),
            Shape::Stream => client.upload(stream()),
            Shape::CheckedStream => client.upload(stream()).checksum(Algorithm::Crc32c),
            Shape::Parallel => client.upload(bytes()).parallel(LANES),
            Shape::ParallelFile => client.upload(Source::path(file)).parallel(LANES),
        }
    }

    /// The most that one request carries.
    fn part(&self) -> usize {
        match self.shape {
            Shape::Chunks => 70_000,
            Shape::Checked => 90_000,
            Shape::Stream | Shape::CheckedStream => REPLAY,
            Shape::Parallel | Shape::ParallelFile => self.size.div_ceil(LANES),
            Shape::Whole | Shape::Reader | Shape::File => self.size,
        }
        .max(1)
    }

    fn lanes(&self) -> usize {
        match self.shape {
            Shape::Parallel | Shape::ParallelFile => LANES,
            _ => 1,
        }
    }

    fn check(&self, proxy: &Proxy, stored: u64, took: Duration) {
        let record = proxy.record.lock();
        assert!(
            record.mistakes.is_empty(),
            "{:?}\n{record}",
            record.mistakes
        );

        // A request that was given up although nothing was wrong stood still for a while.
        let most = self.lanes() * (took.as_millis() / LIMIT.as_millis()) as usize;
        assert!(record.given_up <= most, "{took:?}\n{record}");
        let refused = record.count(|seen| seen.status == Some(413));
        let sent = record.count(|seen| seen.method == "PATCH" && seen.has_succeeded());
        // What was given up comes in for a while: the client tries a few times in vain.
        let spoiled = record.faults + record.given_up * TRIES;

        // With content that goes with the creation a lost answer loses that content, once.
        let twice = if spoiled == 0 {
            0
        } else {
            self.size.min(1 << 20)
        };
        let most = (self.size + twice) as u64;
        assert!(stored <= most, "{stored} bytes are stored\n{record}");

        // What the server has is sent again only if the client could not know: once per fault.
        let (bytes, requests) = record.again();
        let most = (spoiled * self.part()) as u64;
        assert!(
            requests <= spoiled && bytes <= most,
            "{bytes} again\n{record}"
        );

        // One request per part, and a few more for what went wrong.
        let part = match (self.limit, refused) {
            (None, 0) => self.part(),
            _ => self.part().min(SMALLEST),
        };
        let parts = self.size.div_ceil(part) + self.lanes();
        assert!(sent <= parts + spoiled, "more than {parts} parts\n{record}");
        let most = 3 + self.lanes() + 2 * parts + 4 * spoiled;
        assert!(record.requests.len() <= most, "more than {most}\n{record}");

        // Which sizes are too large is soon known.
        let by_schedule = self
            .faults
            .iter()
            .filter(|fault| matches!(fault, Fault::Refuse(413, ..)));
        let most = self.lanes() * 8 + parts / 8 + by_schedule.count();
        assert!(refused <= most, "{refused} were too large\n{record}");
    }
}

/// A client that soon tries again, and soon tells that something stands still.
pub(super) fn client(proxy: &Proxy, attempts: u32) -> Client {
    let policy = RetryPolicy::default()
        .attempts(attempts)
        .first_pause(Duration::from_millis(2))
        .max_pause(Duration::from_millis(100));
    Client::new(proxy.endpoint())
        .proxy(NoProxy::none())
        .retry(policy)
        .stall_timeout(LIMIT)
        .answer_timeout(LIMIT)
}

fn case(shapes: &'static [Shape]) -> impl Strategy<Value = Case> {
    let storage = prop_oneof![3 => Just(Storage::Memory), 1 => Just(Storage::Files)];
    let size = prop_oneof![1 => 0..2usize, 2 => 2..100_000usize, 4 => 100_000..900_000usize];
    let limit = prop_oneof![4 => Just(None), 1 => (SMALLEST as u64..200_000).prop_map(Some)];
    (
        size,
        prop::sample::select(shapes),
        storage,
        vec(fault(), 0..14),
        limit,
    )
        .prop_map(|(size, shape, storage, faults, limit)| Case {
            size,
            shape,
            storage,
            faults,
            limit,
        })
}

pub(super) fn fault() -> impl Strategy<Value = Fault> {
    let end = || prop_oneof![Just(End::Fin), Just(End::Rst)];
    let far = prop_oneof![Just(Far::Stays), Just(Far::Ends)];
    let content = prop_oneof![Just(Content::Read), Just(Content::Unread)];
    let after = prop_oneof![Just(None), Just(Some("0")), Just(Some(PAST))];
    let millis = |range: Range<u64>| range.prop_map(Duration::from_millis);
    prop_oneof![
        12 => Just(Fault::None),
        1 => millis(0..5).prop_map(Fault::Delay),
        1 => (20_000..100_000usize).prop_map(Fault::Slow),
        1 => end().prop_map(Fault::Drop),
        5 => (CONTENT, end()).prop_map(|(bytes, end)| Fault::Cut(bytes, end)),
        4 => (ANSWER, end()).prop_map(|(bytes, end)| Fault::CutAnswer(bytes, end)),
        1 => (CONTENT, far).prop_map(|(bytes, far)| Fault::Stall(bytes, far)),
        1 => ANSWER.prop_map(Fault::StallAnswer),
        2 => (CONTENT, millis(0..60)).prop_map(|(bytes, pause)| Fault::Late(bytes, pause)),
        2 => Just(Fault::Twice),
        6 => (prop::sample::select(&STATUS), after, content)
            .prop_map(|(status, after, content)| Fault::Refuse(status, after, content)),
    ]
}

const CONTENT: Range<u64> = 0..500_000;
const ANSWER: Range<usize> = 0..400;
const STATUS: [u16; 12] = [408, 409, 413, 423, 425, 429, 460, 500, 502, 503, 504, 507];
const PAST: &str = "Sun, 06 Nov 1994 08:49:47 GMT";

/// As often as pauses double until they are longer than that takes.
pub(super) const TRIES: usize = 6;

const LANES: usize = 3;
const REPLAY: usize = 150_000;

/// The client does not try with less.
const SMALLEST: usize = 64 << 10;

/// How long something stands still until the client says so.
const LIMIT: Duration = Duration::from_millis(250);

/// What takes longer does not end.
const FOREVER: Duration = Duration::from_secs(60);
