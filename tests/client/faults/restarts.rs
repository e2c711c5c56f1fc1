use std::{collections::VecDeque, time::Duration};

use proptest::{collection::vec, prelude::*};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use tower_tus::client::{AfterSuccess, FileUrlStore, Source, Uploaded, WhenClaimed};

use super::{
    origin::{Origin, Storage},
    proxy::{Fault, Proxy},
    schedules::{TRIES, client, fault},
    wire::Head,
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
    fn the_next_client_goes_on_where_a_killed_one_was(case in case()) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(case.run());
        // Nobody waits for connections that stand still.
        runtime.shutdown_background();
    }
}

/// An upload that is killed some times.
#[derive(Debug, Clone)]
struct Case {
    size: usize,
    parts: usize,
    /// How many bytes each of the first clients brings on their way, and when it is killed then.
    kills: Vec<(u64, Duration)>,
    faults: Vec<Fault>,
}

impl Case {
    async fn run(self) {
        let origin = Origin::start(Storage::Memory).await;
        let mut faults = VecDeque::from(self.faults.clone());
        let fates = move |head: &Head| match faults.pop_front() {
            Some(Fault::Refuse(413, ..)) if head.framing().has_ended() => Fault::None,
            fault => fault.unwrap_or(Fault::None),
        };
        let proxy = Proxy::start(origin.address, origin.tus.clone(), None, fates).await;
        let directory = TempDir::new().unwrap();
        let content = bytes(self.size);
        std::fs::write(directory.path().join("content"), &content).unwrap();

        let mut done = None;
        let mut kills = self.kills.iter();
        while done.is_none() {
            let kill = kills.next();
            done = timeout(FOREVER, self.client(&proxy, &directory, kill))
                .await
                .unwrap_or_else(|_| panic!("no end\n{}", proxy.record.lock()));
        }
        let stored = origin.stored().await;
        let done = done.unwrap();
        assert!(content_of(&origin.tus, done.url()).await == content);
        let record = proxy.record.lock();
        assert!(
            record.mistakes.is_empty(),
            "{:?}\n{record}",
            record.mistakes
        );
        // Nothing that was stored was sent again; too much content to go with the creation.
        assert_eq!(stored, self.size as u64, "{record}");
        let (_, requests) = record.again();
        // What a killed client sent comes in for a while: the next one tries a few times in vain.
        let ends = record.given_up + self.kills.len() * self.parts;
        let most = record.faults + ends * TRIES;
        assert!(requests <= most, "{requests} again\n{record}");
    }

    /// A client until its end, or until it is killed.
    async fn client(
        &self,
        proxy: &Proxy,
        directory: &TempDir,
        kill: Option<&(u64, Duration)>,
    ) -> Option<Uploaded> {
        let store = FileUrlStore::open(directory.path().join("uploads.json")).unwrap();
        let upload = client(proxy, 3 * self.faults.len() as u32 + 10)
            .upload(Source::path(directory.path().join("content")))
            .parallel(self.parts)
            .store(store)
            // A thread may be about to claim for one that is killed.
            .when_claimed(WhenClaimed::Wait)
            .after_success(AfterSuccess::Keep);
        let before = proxy.record.lock().taken();
        let mut task = tokio::spawn(upload.into_future());
        let killed = async {
            let Some((bytes, pause)) = kill else {
                return std::future::pending().await;
            };
            while proxy.record.lock().taken() < before + bytes {
                sleep(Duration::from_millis(1)).await;
            }
            sleep(*pause).await;
        };
        tokio::select! {
            done = &mut task => {
                let done = done.unwrap();
                return Some(done.unwrap_or_else(|error| panic!("{error:?}\n{}", proxy.record.lock())));
            }
            () = killed => {}
        }
        task.abort();
        match task.await {
            Ok(done) => Some(done.unwrap()),
            Err(_) => None,
        }
    }
}

fn case() -> impl Strategy<Value = Case> {
    let parts = prop_oneof![Just(1usize), 2..4usize];
    let pause = (0..4u64).prop_map(Duration::from_millis);
    let kills = vec((0..1_500_000u64, pause), 1..4);
    (1_100_000..2_500_000usize, parts, kills, vec(fault(), 0..8)).prop_map(
        |(size, parts, kills, faults)| Case {
            size,
            parts,
            kills,
            faults,
        },
    )
}

/// What takes longer does not end.
const FOREVER: Duration = Duration::from_secs(60);
