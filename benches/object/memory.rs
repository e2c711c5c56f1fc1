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

/// Uploads at once.
struct Crowd {
    uploads: usize,
    /// Of each, and of one PATCH of it; in bytes.
    size: u64,
    patch: u64,
    /// Of the storage.
    memory: u64,
}

/// What one upload may hold.
const OF_ONE: u64 = (IN_FLIGHT as u64 + 1) * PART;

/// Less than a part: its bytes have to be kept until the next PATCH.
const SMALL_PATCH: u64 = 6 * MIB;

pub(crate) fn measure(options: &Options, results: &mut Results) -> io::Result<()> {
    let all = Crowd {
        uploads: options.sizes.uploads,
        size: options.sizes.upload,
        patch: options.sizes.upload,
        memory: Settings::DEFAULT.memory,
    };
    let one = Crowd { uploads: 1, ..all };
    for crowd in [
        Crowd { ..one },
        // Parts in flight are all that it may hold.
        Crowd {
            size: 2 * OF_ONE,
            patch: 2 * OF_ONE,
            memory: OF_ONE - PART,
            ..one
        },
        Crowd { ..all },
        Crowd {
            memory: all.uploads as u64 * OF_ONE,
            ..all
        },
        Crowd {
            patch: SMALL_PATCH,
            ..all
        },
    ] {
        match crowd.measure() {
            Ok(found) => {
                progress(&format!("memory {found}"));
                results.add_memory(found);
            }
            Err(error) => {
                let failure = format!(
                    "{} uploads of {} MiB with {} MiB of memory: {error}",
                    crowd.uploads,
                    crowd.size / MIB,
                    crowd.memory / MIB
                );
                progress(&failure);
                results.add_failure(failure);
            }
        }
    }
    Ok(())
}

impl Crowd {
    fn measure(&self) -> io::Result<Memory> {
        let store = Store::sink("sink-slow", Pace::SLOW, Sent::Signed)?;
        let settings = Settings {
            memory: self.memory,
        };
        let mut process = Process::start(&store, settings)?;
        send(&process, MIB, MIB)?;
        let before = process.peak_mib()?;
        let reading = process.meter(|process| self.send(process))?;
        let uploads = self.uploads as u64;
        let held = uploads * OF_ONE.min(self.size);
        Ok(Memory {
            uploads: self.uploads,
            patch: self.patch / MIB,
            budget: self.memory / MIB,
            peak: process.peak_mib()? - before,
            bound: (held.min(uploads * self.memory) / MIB) as f64,
            requests: reading.requests / uploads as f64,
            parts: self.size.div_ceil(PART),
            mib_per_second: (uploads * self.size / MIB) as f64 / reading.seconds,
        })
    }

    fn send(&self, process: &Process) -> io::Result<()> {
        let one = || send(process, self.size, self.patch);
        thread::scope(|scope| {
            let threads: Vec<_> = (0..self.uploads).map(|_| scope.spawn(one)).collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().expect("a client thread does not panic"))
        })
    }
}

/// One upload, in PATCHes of `patch` bytes.
fn send(process: &Process, size: u64, patch: u64) -> io::Result<()> {
    let block = Block::new();
    let mut connection = Connection::open(process.address)?;
    let path = connection.create(size)?;
    let mut offset = 0;
    while offset < size {
        let count = patch.min(size - offset);
        let answer = connection.append(&path, offset, count, "", &block)?;
        answer.expect(204)?;
        offset += count;
    }
    Ok(())
}
