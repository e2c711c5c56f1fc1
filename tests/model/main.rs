//! Random schedules of nodes, clients and a network before one simulated bucket, and what must hold in
//! all of them.
//!
//! `TUS_SCHEDULES` says how many there are, and `TUS_SEED` repeats a single one and shows what happens
//! in it.

#![allow(clippy::unwrap_used)] // a failed expectation is a failed test, in helpers too

mod cases;
mod checks;
mod client;
mod handler;
mod network;
mod promises;
mod random;
mod schedule;
mod toy;
mod world;

use std::{
    collections::BTreeMap,
    env,
    fmt::Write,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use tower_tus::storage::Storage;

use self::{
    cases::{case, toy_case},
    schedule::{Case, Failure, Watch, run},
    toy::{Flaw, Toy},
    world::Build,
};

const SCHEDULES: &str = "TUS_SCHEDULES";
const SEED: &str = "TUS_SEED";

/// How many schedules there are unless something else is said.
const USUALLY: u64 = 2000;

/// How many failures are enough to know.
const ENOUGH: usize = 40;

/// How many lines of a trace are shown.
const TRACED: usize = 60;

fn given(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// Runs many schedules on all processors, and gives those that failed.
fn failures(seeds: u64, case: impl Fn(u64) -> Case + Sync) -> Vec<Failure> {
    let (next, failed) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= seeds || failed.lock().unwrap().len() >= ENOUGH {
                return;
            }
            if let Err(failure) = run(seed, &case(seed), Watch::Untraced) {
                failed.lock().unwrap().push(failure);
            }
        }
    };
    thread::scope(|scope| {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    failed.into_inner().unwrap()
}

/// The failures by their kind, with the end of the first of each.
fn summary(failures: &[Failure], case: impl Fn(u64) -> Case) -> String {
    let mut kinds: BTreeMap<_, Vec<&Failure>> = BTreeMap::new();
    for failure in failures {
        let kind = failure.what.split(':').next().unwrap_or_default();
        kinds.entry(kind).or_default().push(failure);
    }
    let mut summary = String::new();
    for failures in kinds.values_mut() {
        failures.sort_by_key(|failure| failure.seed);
        let first = failures[0];
        let seeds: Vec<_> = failures.iter().map(|failure| failure.seed).collect();
        writeln!(
            summary,
            "{SEED}={} {}: {} ({} times, {:?})",
            first.seed,
            first.case,
            first.what,
            seeds.len(),
            &seeds[..seeds.len().min(8)]
        )
        .unwrap();
        match run(first.seed, &case(first.seed), Watch::Traced) {
            Err(again) => summary.push_str(&end(&again.trace)),
            Ok(()) => summary.push_str("  it did not happen again\n"),
        }
    }
    summary
}

/// The last lines.
fn end(trace: &str) -> String {
    let lines: Vec<_> = trace.lines().collect();
    let end = &lines[lines.len().saturating_sub(TRACED)..];
    end.join("\n") + "\n"
}

#[test]
fn object_storage_keeps_its_promises() {
    if let Some(seed) = given(SEED) {
        if let Err(failure) = run(seed, &case(seed), Watch::Traced) {
            panic!(
                "{}\n{SEED}={seed} {}: {}",
                failure.trace, failure.case, failure.what
            );
        }
        return;
    }
    let schedules = given(SCHEDULES).unwrap_or(USUALLY);
    let failed = failures(schedules, case);
    assert!(failed.is_empty(), "\n{}", summary(&failed, case));
}

macro_rules! toys {
    ($($flaw:ident),*) => {
        [$((
            Flaw::$flaw,
            |bucket| -> Arc<dyn Storage> {
                Arc::new(Toy::new(bucket, Flaw::$flaw))
            },
        )),*]
    };
}

#[test]
fn a_right_toy_passes() {
    let [(_, build)]: [(Flaw, Build); 1] = toys!(None);
    let failed = failures(300, |seed| toy_case(seed, build));
    assert!(
        failed.is_empty(),
        "{}",
        summary(&failed, |seed| toy_case(seed, build))
    );
}

#[test]
fn each_wrong_toy_is_found_out() {
    let toys: [(Flaw, Build); 8] = toys!(
        NoCondition,
        Hopeful,
        NoFence,
        Unverified,
        Early,
        Late,
        Litter,
        Session
    );
    for (flaw, build) in toys {
        let failed = failures(300, |seed| toy_case(seed, build));

        assert!(!failed.is_empty(), "{flaw:?}");
    }
}
