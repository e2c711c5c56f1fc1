//! Many small PATCHes, next to small puts.

use std::{io, thread, time::Duration, time::Instant};

use crate::{
    client::{Block, Connection, patch},
    options::{Options, Settings, Sizes},
    process::Process,
    progress,
    report::{Results, Small},
    store::Store,
};

/// How long each of many requests took.
#[derive(Default)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(crate) fn add(&mut self, latency: Duration) {
        self.0.push(latency);
    }

    pub(crate) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Median and 99th percentile, in milliseconds.
    pub(crate) fn figures(mut self) -> Vec<f64> {
        self.0.sort();
        let at = |percent: usize| {
            let latency = self.0.get(self.0.len() * percent / 100);
            latency.map_or(f64::NAN, |latency| latency.as_secs_f64() * 1000.0)
        };
        vec![at(50), at(99)]
    }
}

/// Alone, and with others.
fn connections(sizes: &Sizes) -> [usize; 2] {
    [1, sizes.connections]
}

pub(crate) fn measure(
    store: &Store,
    options: &Options,
    round: usize,
    results: &mut Results,
) -> io::Result<()> {
    let sizes = &options.sizes;
    for connections in connections(sizes) {
        let mut process = Process::start(store, Settings::DEFAULT)?;
        patches(&process, connections, 20, sizes.patch)?;
        let (count, size) = (sizes.patches, sizes.patch);
        let puts = process.ask(&format!("puts {count} {connections} {size}"))?;
        let mut latencies = Vec::new();
        let reading = process.meter(|process| {
            latencies = patches(process, connections, count, size)?.figures();
            Ok(())
        })?;
        if store.keeps {
            process.ask("clean")?;
        }
        let total = (connections as u64 * count) as f64;
        let small = Small {
            patch: (latencies[0], latencies[1]),
            put: (puts[0], puts[1]),
            requests: reading.requests / total,
            cpu_per_10_000: reading.cpu_seconds.map(|cpu| cpu / total * 10_000.0),
        };
        progress(&format!(
            "round {} small {:12} {connections:2} connections {small}",
            round + 1,
            store.name
        ));
        results.add_small(store.name, connections, small);
    }
    Ok(())
}

/// PATCHes one after the other, to an upload of its own on each connection. Creating it counts in the requests only.
fn patches(process: &Process, connections: usize, count: u64, size: u64) -> io::Result<Latencies> {
    let block = Block::new();
    let one = || {
        let mut connection = Connection::open(process.address)?;
        // One more is to come, always.
        let path = connection.create((count + 1) * size)?;
        let mut latencies = Latencies::default();
        let mut request = Vec::new();
        for number in 0..count {
            request.clear();
            patch(&mut request, &path, number * size, size, "");
            request.extend_from_slice(block.start(size));
            let began = Instant::now();
            connection.exchange(&request)?.expect(204)?;
            latencies.add(began.elapsed());
        }
        Ok::<_, io::Error>(latencies)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(one)).collect();
        let mut all = Latencies::default();
        for thread in threads {
            all.extend(thread.join().expect("a client thread does not panic")?);
        }
        Ok(all)
    })
}
