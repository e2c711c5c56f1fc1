//! Memory is bounded, whatever is uploaded: measured on servers in processes of their own.

use std::fs;

use base64::{Engine, prelude::BASE64_STANDARD};
use futures::{StreamExt, stream};
use tempfile::TempDir;

use crate::support::{Connection, Process, Request, content, wait};

const MIB: u64 = 1 << 20;

#[tokio::test]
async fn two_thousand_slow_uploads_fit_into_160_mib() {
    const UPLOADS: usize = 2_000;
    // A connection here and there, a file, and some of everything else.
    if open_files() < 3 * UPLOADS as u64 {
        println!("SKIPPED: {} open files are too few", open_files());
        return;
    }
    let root = TempDir::new().unwrap();
    let server = Process::start(root.path());
    let client = server.client();
    let data = content(3_000, 1);
    let mut uploads: Vec<(String, Connection)> = stream::iter(0..UPLOADS)
        .map(async |_| {
            let mut connection = client.connect().await;
            let create = Request::create().header("Upload-Length", "3000");
            let created = connection.send(&create).await.expect(201);
            let url = created.header("Location").unwrap().to_owned();
            let patch = Request::patch(&url, 0).body(&data);
            connection.write(patch.head_bytes()).await;
            connection.write(&data[..1_000]).await;
            (url, connection)
        })
        .buffer_unordered(50)
        .collect()
        .await;
    for (_, connection) in &mut uploads {
        connection.write(&data[1_000..2_000]).await;
    }
    let mut asking = client.connect().await;
    for (url, _) in &uploads {
        let asking = &mut asking;
        wait::until_true("what was sent", async || {
            let head = asking.send(&Request::new("HEAD", url)).await;
            head.expect(200).offset() == Some(2_000)
        })
        .await;
    }
    // All of them are still at work.
    let peak = server.peak() / 1024;
    println!("{UPLOADS} uploads: {peak} MiB");
    assert!(peak < 160, "{peak} MiB");
    // And they can be ended; a few of them, for that syncs.
    for (_, connection) in uploads.iter_mut().take(10) {
        connection.write(&data[2_000..]).await;
        connection.response("PATCH").await.expect(204);
    }
}

/// What waits for its checksum does so on disk.
#[tokio::test]
async fn stalled_bodies_with_a_checksum_need_no_more_than_those_without() {
    let sum = format!("sha1 {}", BASE64_STANDARD.encode([0; 20]));
    let without = peak_of_stalled(None).await;
    let with = peak_of_stalled(Some(&sum)).await;
    println!("without {without} KiB, with {with} KiB");
    // 60 MiB of bodies would show.
    assert!(with < without + 24 * 1024, "{without} KiB, and {with} KiB");
}

/// The peak of a server with 300 bodies of which 200 KiB have come, in KiB.
async fn peak_of_stalled(checksum: Option<&str>) -> u64 {
    const SENT: usize = 200 << 10;
    let root = TempDir::new().unwrap();
    let server = Process::start(root.path());
    let client = server.client();
    let data = content(SENT + 1, 4);
    let mut stalled = Vec::new();
    for _ in 0..300 {
        let url = client.create(data.len() as u64).await;
        let mut patch = Request::patch(&url, 0).body(&data);
        if let Some(checksum) = checksum {
            patch = patch.header("Upload-Checksum", checksum);
        }
        let mut connection = client.connect().await;
        connection.write(patch.head_bytes()).await;
        connection.write(&data[..SENT]).await;
        let id = url.rsplit('/').next().unwrap();
        let file = root.path().join(".tus").join(format!("{id}.data"));
        wait::until_true("most of it on disk", async || {
            fs::metadata(&file).unwrap().len() > SENT as u64 * 9 / 10
        })
        .await;
        stalled.push(connection);
    }
    server.peak()
}

#[tokio::test]
async fn a_large_upload_needs_no_more_than_a_small_one() {
    let small = peak_of_one(20 * MIB).await;
    let large = peak_of_one(1024 * MIB).await;
    println!("20 MiB: {small} KiB, 1 GiB: {large} KiB");
    assert!(large < small + 16 * 1024, "{small} KiB, and {large} KiB");
}

/// The peak of a server that gets an upload of this size, in KiB.
async fn peak_of_one(size: u64) -> u64 {
    let root = TempDir::new().unwrap();
    let server = Process::start(root.path());
    // One byte stays out: what counts is the way in, and not how long the device takes to sync.
    let url = server.client().create(size + 1).await;
    let patch = Request::patch(&url, 0).header("Content-Length", size.to_string());
    let mut connection = server.client().connect().await;
    connection.write(patch.head_bytes()).await;
    let block = content(MIB as usize, 2);
    for _ in 0..size / MIB {
        connection.write(&block).await;
    }
    let answer = connection.response("PATCH").await.expect(204);
    assert_eq!(answer.offset(), Some(size));
    server.peak()
}

#[tokio::test]
async fn tus_node_188_interrupted_uploads_leave_no_memory_behind() {
    let root = TempDir::new().unwrap();
    let server = Process::start(root.path());
    interrupt(&server, 30).await;
    let before = server.peak();
    interrupt(&server, 300).await;
    let after = server.peak();
    println!("{before} KiB, and {after} KiB");
    // 300 bodies of 1 MiB would show.
    assert!(after < before + 16 * 1024, "{before} KiB, and {after} KiB");
}

async fn interrupt(server: &Process, times: usize) {
    let client = server.client();
    let data = content(2 << 20, 3);
    for _ in 0..times {
        let url = client.create(2 * MIB).await;
        let mut connection = client.connect().await;
        let patch = Request::patch(&url, 0).body(&data).to_bytes();
        connection.write(&patch[..1 << 20]).await;
        wait::until_true("some of it", async || client.offset(&url).await > 500_000).await;
        connection.reset();
        client.delete(&url).await.expect(204);
    }
}

/// How many files this process, and those it starts, may have open.
fn open_files() -> u64 {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3));
    soft.and_then(|soft| soft.parse().ok()).unwrap_or(u64::MAX)
}
