//! A process that is killed at any moment loses no acknowledged byte and makes none up.
//!
//! `tests/object` does the same on object stores.

use std::{fs, path::Path, time::Duration};

use tempfile::TempDir;

use crate::support::{
    Process,
    crash::{Home, LastRequests, Load, Pace, Sums, survive},
    key_of, process,
};

#[test]
#[ignore = "the server that other tests run as a process of its own"]
fn child() {
    process::serve();
}

#[tokio::test]
async fn large_uploads_survive_kills() {
    on_disk(Load {
        length: 500_000..=4_000_000,
        parts: 1..=1,
        sums: Sums::Never,
    })
    .await;
}

#[tokio::test]
async fn checksummed_chunks_are_kept_whole_or_not_at_all_over_kills() {
    on_disk(Load {
        length: 500_000..=3_000_000,
        parts: 1..=1,
        sums: Sums::Often,
    })
    .await;
}

#[tokio::test]
async fn creations_and_finishes_survive_kills() {
    on_disk(Load {
        length: 0..=3_000,
        parts: 1..=1,
        sums: Sums::Often,
    })
    .await;
}

#[tokio::test]
async fn final_uploads_survive_kills() {
    on_disk(Load {
        length: 0..=700_000,
        parts: 2..=4,
        sums: Sums::Often,
    })
    .await;
}

const PACE: Pace = Pace {
    kills: 52,
    life: Duration::from_millis(90),
};

async fn on_disk(load: Load) {
    let root = TempDir::new().unwrap();
    survive(&Disk(root), load, PACE).await;
}

#[derive(Debug)]
struct Disk(TempDir);

impl Home for Disk {
    type Server = Process;

    const LAST_REQUESTS: LastRequests = LastRequests::Settled;

    fn start(&self) -> Process {
        Process::start(self.0.path())
    }

    /// In its place, or on the way there.
    async fn stored(&self, url: &str) -> Option<Vec<u8>> {
        let id = key_of(url);
        let root: &Path = self.0.path();
        let own = root.join(".tus");
        [
            root.join(id),
            own.join(format!("{id}.part")),
            own.join(format!("{id}.data")),
        ]
        .into_iter()
        .find_map(|path| fs::read(path).ok())
        .or_else(|| panic!("{url} is not on disk"))
    }
}
