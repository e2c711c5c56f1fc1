//! Memory of uploads that come faster than the store takes them.

use std::{io, thread};

use crate::{
    client::{Block, Connection},
    options::{IN_FLIGHT, MIB, Options, PART, Settings},
    process::Process,
    progress,
    report::{Memory, Results},
    sink::Pace,
    store::{Sent, Store},
};

/// What one upload may hold.
const OF_ONE: u64 = (IN_FLIGHT as u64 + 1) * PART;

pub(crate) fn measure(options: &Options, results: &mut Results) -> io::Result<()> {
    let uploads = options.sizes.uploads;
    let budget = Settings::DEFAULT.memory;
    let enough = uploads as u64 * OF_ONE;
    let size = options.sizes.upload;
    for (uploads, memory, chunk) in [
        (1, budget, size),
        (uploads, budget, size),
        (uploads, enough, size),
        (uploads, budget, CHUNK),
    ] {
        let store = Store::sink("sink-slow", Pace::SLOW, Sent::Signed)?;
        let mut process = Process::start(&store, Settings { memory })?;
        send(&process, 1, MIB, MIB)?;
        let before = process.peak_mib()?;
        let reading = process.meter(|process| send(process, uploads, size, chunk))?;
        let held = uploads as u64 * OF_ONE.min(size);
        let found = Memory {
            uploads,
            chunk: chunk / MIB,
            budget: memory / MIB,
            peak: process.peak_mib()? - before,
            bound: (held.min(memory) / MIB) as f64,
            requests: reading.requests / uploads as f64,
            parts: size.div_ceil(PART),
            mib_per_second: (uploads as u64 * size / MIB) as f64 / reading.seconds,
        };
        progress(&format!("memory {found}"));
        results.add_memory(found);
    }
    Ok(())
}

/// Less than a part: its bytes have to be kept until the next PATCH.
const CHUNK: u64 = 6 * MIB;

/// Uploads at once, in PATCHes of `chunk` bytes.
fn send(process: &Process, uploads: usize, size: u64, chunk: u64) -> io::Result<()> {
    let block = Block::new();
    let one = || {
        let mut connection = Connection::open(process.address)?;
        let path = connection.create(size)?;
        let mut offset = 0;
        while offset < size {
            let count = chunk.min(size - offset);
            let answer = connection.append(&path, offset, count, "", &block)?;
            answer.expect(204)?;
            offset += count;
        }
        Ok::<_, io::Error>(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..uploads).map(|_| scope.spawn(one)).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("a client thread does not panic"))
    })
}
