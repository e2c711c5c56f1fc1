//! What `tests/it/crash.rs` does on disk: servers that are killed at any moment.

use std::time::Duration;

use crate::{
    node::Node,
    store::{AZURE, Area, GCS, MINIO, MOTO, Store},
    support::crash::{Home, LastRequests, Load, Pace, Sums, survive},
};

#[tokio::test]
async fn large_uploads_survive_kills_on_moto() {
    survive_on(MOTO, LARGE).await;
}

#[tokio::test]
async fn large_uploads_survive_kills_on_minio() {
    survive_on(MINIO, LARGE).await;
}

#[tokio::test]
async fn large_uploads_survive_kills_on_azurite() {
    survive_on(AZURE, LARGE).await;
}

#[tokio::test]
async fn large_uploads_survive_kills_on_the_double_of_gcs() {
    survive_on(GCS, LARGE).await;
}

#[tokio::test]
async fn small_uploads_survive_kills_on_minio() {
    survive_on(MINIO, SMALL).await;
}

#[tokio::test]
async fn final_uploads_survive_kills_on_minio() {
    survive_on(MINIO, JOINED).await;
}

#[tokio::test]
async fn final_uploads_survive_kills_on_moto() {
    survive_on(MOTO, JOINED).await;
}

/// Several parts each.
const LARGE: Load = Load {
    length: 1_000_000..=20_000_000,
    parts: 1..=1,
    sums: Sums::Often,
};

const SMALL: Load = Load {
    length: 0..=3_000,
    parts: 1..=1,
    sums: Sums::Often,
};

const JOINED: Load = Load {
    length: 0..=7_000_000,
    parts: 2..=4,
    sums: Sums::Often,
};

const PACE: Pace = Pace {
    kills: 15,
    life: Duration::from_millis(900),
};

async fn survive_on(store: &'static str, load: Load) {
    if let Some(store) = Store::find(store) {
        survive(&store.area(), load, PACE).await;
    }
}

impl Home for Area {
    type Server = Node;

    const LAST_REQUESTS: LastRequests = LastRequests::Late;

    fn start(&self) -> Node {
        Node::with(self, &["--part-size", "5MiB"])
    }

    /// Only what is finished is under its key.
    async fn stored(&self, url: &str) -> Option<Vec<u8>> {
        Self::stored(self, url).await
    }
}
