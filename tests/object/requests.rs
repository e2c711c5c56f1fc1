//! How many requests to its store an upload costs.

use crate::{
    node::Node,
    proxy::{Proxy, Seen},
    store::{Area, MINIO, MOTO, Store},
    support::{OCTETS, Request, content, wait},
};

const MIB: usize = 1 << 20;

#[tokio::test]
async fn one_large_patch_costs_its_parts_and_at_most_six() {
    for store in [MOTO, MINIO] {
        let Some(rig) = Rig::start(store).await else {
            continue;
        };
        let data = content(256 * MIB, 1);
        let parts = data.len() / PART;
        // What came is saved once more if the body stops for a second, as it may on a busy machine.
        let mut tries = 3;
        loop {
            let url = rig.node.client().upload(&data).await;
            let seen = rig.proxy.take();
            let sent = seen.iter().filter(|it| it.length == PART as u64);
            assert_eq!(sent.count(), parts, "{seen:#?}");
            rig.node.client().delete(&url).await.expect(204);
            rig.settle().await;
            if seen.len() <= parts + 6 {
                break;
            }
            tries -= 1;
            assert!(tries > 0, "{seen:#?}");
        }
    }
}

#[tokio::test]
async fn a_small_file_costs_at_most_three() {
    let Some(rig) = Rig::start(MOTO).await else {
        return;
    };
    let client = rig.node.client();
    for length in [1, 1_000, 1_000_000] {
        client.upload(&content(length, 2)).await;
        rig.expect_at_most(3, "POST and PATCH");
        let create = Request::create()
            .header("Upload-Length", length.to_string())
            .header("Content-Type", OCTETS)
            .body(content(length, 3));
        client.send(create).await.expect(201);
        rig.expect_at_most(3, "POST with the content");
    }
}

#[tokio::test]
async fn a_head_costs_at_most_one() {
    let Some(rig) = Rig::start(MOTO).await else {
        return;
    };
    let client = rig.node.client();
    let other = Node::start(&rig.area);
    let data = content(PART + 1_000, 4);
    let url = client.create(100_000_000).await;
    client.patch(&url, 0, &data).await.expect(204);
    let done = client.upload(b"done").await;
    let joined = client.join(&[client.part(b"a").await]).await;
    wait::until_true("the final upload", async || {
        client.head(&joined).await.expect(200).offset() == Some(1)
    })
    .await;
    rig.proxy.take();
    for url in [&url, &done, &joined] {
        client.head(url).await.expect(200);
        rig.expect_at_most(1, "HEAD");
    }
    // Nor if another node has written last.
    let at = data.len() as u64;
    other.client().patch(&url, at, &data).await.expect(204);
    assert_eq!(client.offset(&url).await, 2 * at);
    rig.expect_at_most(1, "HEAD after another node");
}

/// Of several nodes another may have gone on; the only one knows what there is.
#[tokio::test]
async fn a_head_where_a_patch_runs_costs_one_and_nothing_on_the_only_node() {
    for (flags, most) in [(&[][..], 1), (&["--single-node"][..], 0)] {
        let Some(rig) = Rig::with(MOTO, flags).await else {
            return;
        };
        let client = rig.node.client();
        let data = content(3 * PART, 5);
        let sent = PART + 1_000;
        let url = client.create(data.len() as u64).await;
        let patch = Request::patch(&url, 0).body(&data);
        let mut running = client.connect().await;
        running.write(patch.head_bytes()).await;
        running.write(&data[..sent]).await;
        wait::until_true("what was sent", async || {
            client.offset(&url).await == sent as u64
        })
        .await;
        rig.settle().await;
        client.head(&url).await.expect(200);
        rig.expect_at_most(most, "HEAD");
        running.write(&data[sent..]).await;
        running.response("PATCH").await.expect(204);
    }
}

#[tokio::test]
async fn a_patch_of_one_part_costs_two_on_the_node_that_writes() {
    let Some(rig) = Rig::start(MOTO).await else {
        return;
    };
    let client = rig.node.client();
    let data = content(20 * PART, 6);
    let url = client.create(data.len() as u64).await;
    client.patch(&url, 0, &data[..PART]).await.expect(204);
    let mut total = 0;
    for (index, part) in data.chunks(PART).enumerate().skip(1).take(18) {
        rig.proxy.take();
        let at = (index * PART) as u64;
        client.patch(&url, at, part).await.expect(204);
        let seen = rig.proxy.take();
        assert!(seen.len() <= 3, "{seen:#?}");
        total += seen.len();
    }
    // Numbers of parts are claimed a few at a time.
    assert!(total <= 18 * 2 + 2, "{total} requests for 18 parts");
}

/// What a server cuts bodies into by default.
const PART: usize = 8 * MIB;

/// A server whose requests are counted.
struct Rig {
    node: Node,
    proxy: Proxy,
    /// Not counted.
    area: Area,
}

impl Rig {
    async fn start(store: &'static str) -> Option<Self> {
        Self::with(store, &[]).await
    }

    async fn with(store: &'static str, flags: &[&str]) -> Option<Self> {
        let area = Store::find(store)?.area();
        let proxy = Proxy::start(&area.store.address());
        let node = Node::with(&area.at(&proxy.address), flags);
        let rig = Self { node, proxy, area };
        rig.settle().await;
        Some(rig)
    }

    /// Waits until the server has nothing to do by itself, as it has after its start.
    async fn settle(&self) {
        let mut quiet = 0;
        wait::until_true("the server to settle", async || {
            quiet = match self.proxy.take().is_empty() {
                true => quiet + 1,
                false => 0,
            };
            quiet == 50
        })
        .await;
    }

    #[track_caller]
    fn expect_at_most(&self, most: usize, what: &str) -> Vec<Seen> {
        let seen = self.proxy.take();
        assert!(seen.len() <= most, "{what}: {seen:#?}");
        seen
    }
}
