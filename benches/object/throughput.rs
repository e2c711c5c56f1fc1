//! One large upload.

use std::io;

use crate::{
    client::{Block, Connection},
    options::{GIB, MIB, Options, Settings},
    process::Process,
    progress,
    report::{Big, Results},
    store::Store,
};

/// A way into the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    /// `WriteMultipart`, fed by reference: what the goals are measured against.
    Write,
    /// `WriteMultipart`, fed by value.
    Put,
    /// `ObjectStorage`, without HTTP.
    Storage,
    /// One PATCH to `TusService`.
    Patch,
}

impl Way {
    pub(crate) const ALL: [Self; 4] = [Self::Write, Self::Put, Self::Storage, Self::Patch];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Write => "WriteMultipart, `write`",
            Self::Put => "WriteMultipart, `put`",
            Self::Storage => "ObjectStorage",
            Self::Patch => "TusService, one PATCH",
        }
    }

    /// Sends `size` bytes into the store.
    fn send(self, process: &mut Process, size: u64) -> io::Result<()> {
        let command = match self {
            Self::Write => "write",
            Self::Put => "put",
            Self::Storage => "storage",
            Self::Patch => return patch(process, size),
        };
        process.ask(&format!("{command} {size}")).map(drop)
    }
}

fn patch(process: &Process, size: u64) -> io::Result<()> {
    let mut connection = Connection::open(process.address)?;
    let path = connection.create(size)?;
    let block = Block::new();
    let answer = connection.append(&path, 0, size, "", &block)?;
    answer.expect(204)?;
    Ok(())
}

/// Before anything is measured, so that connections and memory are there.
const WARM_UP: u64 = 32 * MIB;

pub(crate) fn measure(
    store: &Store,
    options: &Options,
    round: usize,
    results: &mut Results,
) -> io::Result<()> {
    let size = match store.keeps {
        true => options.sizes.big_kept,
        false => options.sizes.big,
    };
    // Each round starts with another, so that none always runs after the same neighbour.
    for turn in 0..Way::ALL.len() {
        let way = Way::ALL[(turn + round) % Way::ALL.len()];
        let mut process = Process::start(store, Settings::DEFAULT)?;
        way.send(&mut process, WARM_UP)?;
        let reading = process.meter(|process| way.send(process, size))?;
        if store.keeps {
            process.ask("clean")?;
        }
        let gib = size as f64 / GIB as f64;
        let big = Big {
            mib_per_second: gib * 1024.0 / reading.seconds,
            cpu_per_gib: reading.cpu_seconds.map(|cpu| cpu / gib),
            requests: reading.requests,
            size,
        };
        progress(&format!(
            "round {} big {:12} {:23} {big}",
            round + 1,
            store.name,
            way.title()
        ));
        results.add_big(store.name, way, big);
    }
    Ok(())
}
