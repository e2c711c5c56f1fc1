//! Many bytes: `big`, `big-chunked`, `parallel`, `checksum`, `concat`, `memory`.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use sha1::{Digest, Sha1};

use crate::{
    client::{Block, Connection, post, post_final},
    scenarios::{Bench, Outcome, throughput},
};

/// One PATCH.
pub(crate) fn big(bench: &Bench<'_>) -> Outcome {
    in_patches(bench, bench.sizes.big, "")
}

/// The same bytes in PATCHes of 8 MiB.
pub(crate) fn big_chunked(bench: &Bench<'_>) -> Outcome {
    in_patches(bench, bench.sizes.chunk, "")
}

/// As `big-chunked`, each PATCH with its sha1.
pub(crate) fn checksum(bench: &Bench<'_>) -> Outcome {
    let chunk = bench.sizes.chunk;
    let digest = BASE64_STANDARD.encode(sha1(&bench.block, chunk));
    in_patches(bench, chunk, &format!("Upload-Checksum: sha1 {digest}\r\n"))
}

fn in_patches(bench: &Bench<'_>, chunk: u64, more: &str) -> Outcome {
    let total = bench.sizes.big;
    let mut connection = bench.connect()?;
    let path = connection.create(total)?;
    let meter = bench.server.meter();
    append_all(&mut connection, &path, total, chunk, more, &bench.block)?;
    Ok(throughput(&meter.stop(), total))
}

/// One PATCH on each of many connections at the same time.
pub(crate) fn parallel(bench: &Bench<'_>) -> Outcome {
    let (count, length) = (
        bench.sizes.parallel_connections,
        bench.sizes.parallel_upload,
    );
    let uploads = bench
        .connections(count)?
        .into_iter()
        .map(|mut connection| {
            let path = connection.create(length)?;
            Ok((connection, path))
        })
        .collect::<io::Result<Vec<_>>>()?;
    let block = &bench.block;
    let meter = bench.server.meter();
    thread::scope(|scope| {
        let threads: Vec<_> = uploads
            .into_iter()
            .map(|(mut connection, path)| {
                scope.spawn(move || append_all(&mut connection, &path, length, length, "", block))
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("a client thread does not panic"))
    })?;
    Ok(throughput(&meter.stop(), length * count as u64))
}

/// From the POST of a final upload until HEAD says that it is complete. Its parts are not measured.
pub(crate) fn concat(bench: &Bench<'_>) -> Outcome {
    let (count, length) = (bench.sizes.concat_parts, bench.sizes.concat_part);
    let total = length * count as u64;
    let mut connection = bench.connect()?;
    let mut parts = Vec::new();
    for _ in 0..count {
        let path = connection
            .exchange(&post(length, "Upload-Concat: partial\r\n", &[]))?
            .expect(201)?
            .location()?;
        append_all(&mut connection, &path, length, length, "", &bench.block)?;
        parts.push(path);
    }
    let meter = bench.server.meter();
    let path = connection
        .exchange(&post_final(&parts))?
        .expect(201)?
        .location()?;
    let deadline = Instant::now() + Duration::from_secs(60);
    while connection.offset(&path)? != Some(total) {
        if Instant::now() > deadline {
            return Err(io::Error::other("the final upload was never complete"));
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(throughput(&meter.stop(), total))
}

/// Peak memory before any large upload, then after larger and larger ones on the same server.
pub(crate) fn memory(bench: &Bench<'_>) -> Outcome {
    let sizes = bench.sizes;
    let mut connection = bench.connect()?;
    let mut upload = |total: u64, chunk: u64| {
        let path = connection.create(total)?;
        append_all(&mut connection, &path, total, chunk, "", &bench.block)?;
        Ok::<_, io::Error>(bench.server.peak_mib())
    };
    // The code and the threads have to be there before an upload can be told from them.
    let mut idle = None;
    for _ in 0..100 {
        idle = upload(1024, 1024)?;
    }
    let small = upload(sizes.memory_small, sizes.memory_small)?;
    let chunked = upload(sizes.memory_small, 16 << 10)?;
    let big = upload(sizes.memory_big, sizes.memory_big)?;
    let one = idle.zip(big).map(|(idle, big)| big - idle);
    Ok(vec![idle, small, chunked, big, one])
}

fn append_all(
    connection: &mut Connection,
    path: &str,
    total: u64,
    chunk: u64,
    more: &str,
    block: &Block,
) -> io::Result<()> {
    let mut offset = 0;
    while offset < total {
        let count = chunk.min(total - offset);
        connection
            .append(path, offset, count, more, block)?
            .expect(204)?;
        offset += count;
    }
    Ok(())
}

fn sha1(block: &Block, mut count: u64) -> Vec<u8> {
    let mut digest = Sha1::new();
    while count > 0 {
        let piece = block.start(count);
        digest.update(piece);
        count -= piece.len() as u64;
    }
    digest.finalize().to_vec()
}
