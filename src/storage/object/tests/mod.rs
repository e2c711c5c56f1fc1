#![cfg(feature = "conformance")]

mod budget;
mod crash;
mod nodes;
mod pauses;

use bytes::Bytes;
use futures::TryStreamExt;

use super::*;
use crate::{
    protocol::{Kind, Length, Stage},
    storage::{Error, conformance},
};

/// Sizes of everything, a thousand times smaller than in life.
const PART: u64 = 8 << 10;

/// A bucket, and a process that uses it.
fn small(simulation: &Simulation) -> ObjectStorage {
    ObjectStorage::new(simulation.clone()).part_size(PART)
}

fn s3() -> Simulation {
    Simulation::new().min_part(PART)
}

/// All kinds of stores.
fn simulations() -> [(&'static str, Simulation); 5] {
    [
        ("s3", s3()),
        ("s3 with unique tags", s3().unique_tags()),
        ("r2", Simulation::r2().min_part(PART)),
        ("gcs", Simulation::gcs().min_part(PART)),
        ("azure", Simulation::azure()),
    ]
}

/// Bytes of which no two places look alike.
fn content(size: u64) -> Bytes {
    let at = |at: u64| (at.wrapping_mul(2_654_435_761) >> 13) as u8;
    (0..size).map(at).collect()
}

/// An id as the service makes them, that begins with `name`.
fn id(name: &str) -> UploadId {
    format!("{name:x<32}").parse().unwrap()
}

fn draft(name: &str, length: u64) -> Upload {
    Upload::new(id(name), Length::Known(length), SystemTime::now())
}

/// Sends bytes as one request would, and finishes the upload if they are the last.
async fn patch(
    storage: &ObjectStorage,
    upload: &Upload,
    bytes: Bytes,
    mode: AppendMode,
) -> Result<Upload> {
    let mut appender = storage.append(upload, mode).await?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let piece = rest.split_to(rest.len().min(3000));
        if let Err(error) = appender.write(piece).await {
            let _ = appender.commit().await;
            return Err(error);
        }
    }
    let mut now = upload.clone();
    (now.offset, now.stage) = appender.commit_and_finish(upload).await?;
    if now.stage == Stage::Finishing {
        storage.finish(&now).await?;
        now.stage = Stage::Finished;
    }
    Ok(now)
}

async fn read(storage: &ObjectStorage, upload: &Upload) -> Bytes {
    let pieces = storage.read(upload, 0..u64::MAX).await.unwrap();
    let pieces: Vec<Bytes> = pieces.try_collect().await.unwrap();
    pieces.concat().into()
}

fn storages() -> Vec<(&'static str, ObjectStorage)> {
    let named = |name, simulation| (name, ObjectStorage::new(simulation));
    vec![
        named("s3", Simulation::new()),
        named("s3 with unique tags", Simulation::new().unique_tags()),
        named("s3 without copies", Simulation::new().without_copy()),
        named("r2", Simulation::r2()),
        named("gcs", Simulation::gcs()),
        named("azure", Simulation::azure()),
    ]
}

#[tokio::test]
async fn conforms_with_parts_of_the_usual_size() {
    for (name, storage) in storages() {
        println!("{name}");
        conformance::all(&storage).await;
    }
}

#[tokio::test]
async fn conforms_with_small_parts() {
    for (name, simulation) in [
        ("s3", Simulation::new()),
        ("r2", Simulation::r2()),
        ("gcs", Simulation::gcs()),
        ("azure", Simulation::azure()),
    ] {
        println!("{name}");
        let storage = ObjectStorage::new(simulation.min_part(64 << 10)).part_size(64 << 10);
        conformance::all(&storage).await;
    }
}

#[tokio::test]
async fn conforms_as_the_only_node_of_a_store_without_conditions() {
    let storage = ObjectStorage::new(Simulation::new().without_conditions()).nodes(Nodes::One);
    conformance::all(&storage).await;
}
