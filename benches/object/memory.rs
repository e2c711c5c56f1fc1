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
    for (uploads, memory) in [(1, budget), (uploads, budget), (uploads, enough)] {
        let store = Store::sink("sink-slow", Pace::SLOW, Sent::Signed)?;
        let mut process = Process::start(&store, Settings { memory })?;
        send(&process, 1, MIB)?;
        let before = process.peak_mib()?;
        let size = options.sizes.upload;
        let reading = process.meter(|process| send(process, uploads, size))?;
        let held = uploads as u64 * OF_ONE.min(size);
        let found = Memory {
            uploads,
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

/// Uploads at once, each in one PATCH.
fn send(process: &Process, uploads: usize, size: u64) -> io::Result<()> {
    let block = Block::new();
    let one = || {
        let mut connection = Connection::open(process.address)?;
        let path = connection.create(size)?;
        connection.append(&path, 0, size, "", &block)?.expect(204)?;
        Ok::<_, io::Error>(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..uploads).map(|_| scope.spawn(one)).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("a client thread does not panic"))
    })
}
