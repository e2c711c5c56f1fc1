//! Random schedules of nodes, clients and a network before one simulated bucket, and what must hold in
//! all of them.
//!
//! `TUS_SCHEDULES` says how many there are, and `TUS_SEED` repeats a single one and shows what happens
//! in it.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

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

use tower_tus::storage::{
    ObjectStorage, Storage,
    object::{Faulty, Simulation},
};

use self::{
    network::Echoes,
    random::Random,
    schedule::{Case, Failure, Leftovers, Shape, Watch, run},
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

/// The size of the smallest part, and of all others.
const PART: u64 = 1 << 10;

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

fn bucket(number: u64) -> (&'static str, Simulation, Leftovers) {
    match number {
        0 => ("s3", Simulation::new().min_part(PART), Leftovers::None),
        1 => (
            "s3 with unique tags",
            Simulation::new().min_part(PART).unique_tags(),
            Leftovers::None,
        ),
        2 => (
            "s3 without copies",
            Simulation::new().min_part(PART).without_copy(),
            Leftovers::None,
        ),
        3 => ("gcs", Simulation::gcs().min_part(PART), Leftovers::None),
        4 => ("r2", Simulation::r2().min_part(PART), Leftovers::None),
        _ => ("azure", Simulation::azure(), Leftovers::Parts),
    }
}

fn case(seed: u64, build: Build) -> Case {
    let mut random = Random::new(!seed);
    let (name, bucket, leftovers) = bucket(random.within(0..=5));
    let shape = match random.below(10) {
        0..5 => Shape::Single,
        5..7 => Shape::Deferred,
        7 => Shape::Joined,
        8 => Shape::Rivals,
        _ => Shape::Deleted,
    };
    Case {
        name,
        bucket,
        build,
        part: PART,
        shape,
        echoes: match name {
            "s3 with unique tags" => Echoes::NotOfParts,
            _ => Echoes::OfAll,
        },
        leftovers,
    }
}

fn toy(build: Build) -> impl Fn(u64) -> Case {
    move |seed| Case {
        shape: if seed % 3 == 0 {
            Shape::Deferred
        } else {
            Shape::Single
        },
        ..case(seed, build)
    }
}

fn engine(bucket: Faulty<Simulation>) -> Arc<dyn Storage> {
    Arc::new(
        ObjectStorage::new(bucket)
            .part_size(PART)
            .parts_in_flight(2),
    )
}

#[test]
fn object_storage_keeps_its_promises() {
    let case = |seed| case(seed, engine);
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
    let failed = failures(300, toy(build));
    assert!(failed.is_empty(), "{}", summary(&failed, toy(build)));
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
        let failed = failures(300, toy(build));

        assert!(!failed.is_empty(), "{flaw:?}");
    }
}
