//! Several servers on one bucket, which know nothing of each other: they are frozen, revived and killed
//! while clients are thrown from one to the other.
//!
//! No offset that any of them has told is ever taken back by another, no byte of a writer that was
//! overtaken is stored, every file becomes what its client sent, and nothing is left over.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use futures::future::join_all;
use tokio::time::timeout;

use crate::{
    cluster::Cluster,
    node::Node,
    store::{AZURE, GCS, MINIO, MOTO, Store},
    support::{Random, Request, content, wait},
    trip::Trips,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_survive_nodes_that_freeze_and_die_on_moto() {
    survive(MOTO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_survive_nodes_that_freeze_and_die_on_minio() {
    survive(MINIO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_survive_nodes_that_freeze_and_die_on_azurite() {
    survive(AZURE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_survive_nodes_that_freeze_and_die_on_the_double_of_gcs() {
    survive(GCS).await;
}

/// How often a node is frozen or killed.
const BLOWS: usize = 40;

const CLIENTS: usize = 4;

/// How long an upload may take; far more than it needs.
const PATIENCE: Duration = Duration::from_secs(180);

async fn survive(store: &'static str) {
    let Some(store) = Store::find(store) else {
        return;
    };
    let mut random = Random::new();
    let area = store.area();
    let cluster = Arc::new(Cluster::start(&area, 2));
    let is_over = Arc::new(AtomicBool::new(false));
    let blows = {
        let (cluster, is_over, random) = (cluster.clone(), is_over.clone(), random.fork());
        thread::spawn(move || {
            cluster.strike(BLOWS, random);
            is_over.store(true, Relaxed);
        })
    };
    let clients = (0..CLIENTS).map(|_| {
        let mut trips = Trips::new(Arc::clone(&cluster), random.fork());
        let is_over = Arc::clone(&is_over);
        tokio::spawn(async move {
            while !is_over.load(Relaxed) {
                let trip = timeout(PATIENCE, trips.next());
                trip.await.expect("an upload comes to its end");
            }
            trips
        })
    });
    let clients: Vec<_> = join_all(clients).await;
    blows.join().expect("the blows end");

    let client = cluster.any(&mut random);
    let mut left = Vec::new();
    let mut total = 0;
    for trips in clients {
        let trips = trips.expect("a client fails the test");
        total += trips.finished.len();
        for (url, data) in &trips.finished {
            assert!(
                area.stored(url).await.as_ref() == Some(data),
                "{url} differs"
            );
            left.push(url.clone());
        }
        for url in &trips.deleted {
            for client in cluster.all() {
                client.head(url).await.expect_any(&[404, 410]);
            }
        }
    }
    println!("{total} uploads on {}", store.name);
    assert!(total > CLIENTS, "only {total} uploads were finished");
    area.expect_clean(client, &left).await;
}

/// The frozen writer has bytes to store that its client never sent to the others.
#[tokio::test]
async fn a_frozen_writer_that_was_overtaken_stores_nothing() {
    for store in [MOTO, MINIO, AZURE, GCS] {
        let Some(store) = Store::find(store) else {
            continue;
        };
        let area = store.area();
        let flags = &["--part-size", "5MiB"];
        let (frozen, other) = (Node::with(&area, flags), Node::with(&area, flags));
        let data = content(21_000_000, 8);
        let length = data.len() as u64;
        let url = frozen.client().create(length).await;
        let mut overtaken = frozen.client().connect().await;
        let patch = Request::patch(&url, 0).body(&data);
        overtaken.write(patch.head_bytes()).await;
        overtaken.write(&data[..11_000_000]).await;
        wait::until_true("something to be stored", async || {
            frozen.client().offset(&url).await > 0
        })
        .await;
        frozen.freeze();

        let at = other.client().offset(&url).await;
        let end = at + 6_000_000;
        let chunk = &data[at as usize..end as usize];
        other.client().patch(&url, at, chunk).await.expect(204);
        frozen.thaw();
        // The server may have closed the connection.
        let _ = overtaken.try_write(content(10_000_000, 9)).await;
        if let Ok(answer) = overtaken.try_response("PATCH").await {
            answer.expect(409);
        }
        for node in [&frozen, &other] {
            assert_eq!(node.client().offset(&url).await, end, "{}", store.name);
        }
        let rest = &data[end as usize..];
        frozen.client().patch(&url, end, rest).await.expect(204);
        assert!(area.stored(&url).await == Some(data), "{}", store.name);
        area.expect_clean(other.client(), &[url]).await;
    }
}

/// Of two nodes that are asked at the same time one wins, and the other says where it stands.
#[tokio::test]
async fn of_patches_at_two_nodes_one_wins() {
    for store in [MOTO, MINIO, AZURE, GCS] {
        let Some(store) = Store::find(store) else {
            continue;
        };
        let area = store.area();
        let nodes = [Node::start(&area), Node::start(&area)];
        let url = nodes[0].client().create(200).await;
        let mut expected = Vec::new();
        for round in 0..20 {
            let at = expected.len() as u64;
            let bodies = [[2 * round; 10], [2 * round + 1; 10]];
            let answers = tokio::join!(
                nodes[0].client().patch(&url, at, &bodies[0]),
                nodes[1].client().patch(&url, at, &bodies[1]),
            );
            let answers = [answers.0, answers.1];
            let won: Vec<_> = (0..2).filter(|it| answers[*it].status == 204).collect();
            assert_eq!(won.len(), 1, "on {}: {answers:#?}", store.name);
            answers[1 - won[0]].clone().expect(409);
            expected.extend_from_slice(&bodies[won[0]]);
            for node in &nodes {
                assert_eq!(node.client().offset(&url).await, at + 10);
            }
        }
        assert_eq!(area.stored(&url).await, Some(expected), "{}", store.name);
    }
}

#[tokio::test]
async fn an_upload_deleted_at_one_node_is_gone_at_the_other_while_it_writes() {
    for store in [MOTO, MINIO, AZURE, GCS] {
        let Some(store) = Store::find(store) else {
            continue;
        };
        let area = store.area();
        let flags = &["--part-size", "5MiB"];
        let (writing, other) = (Node::with(&area, flags), Node::with(&area, flags));
        let data = content(16_000_000, 10);
        let url = writing.client().create(data.len() as u64).await;
        let mut running = writing.client().connect().await;
        running
            .write(Request::patch(&url, 0).body(&data).head_bytes())
            .await;
        running.write(&data[..11_000_000]).await;
        wait::until_true("something to be stored", async || {
            other.client().offset(&url).await > 0
        })
        .await;
        other.client().delete(&url).await.expect(204);
        let _ = running.try_write(&data[11_000_000..]).await;
        if let Ok(answer) = running.try_response("PATCH").await {
            answer.expect_any(&[404, 409, 410]);
        }
        for node in [&writing, &other] {
            node.client().head(&url).await.expect_any(&[404, 410]);
        }
        drop(writing);
        area.expect_clean(other.client(), &[]).await;
    }
}
