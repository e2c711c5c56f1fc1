//! The client end to end over loopback: one client at a time sends a body to a sink that counts its bytes.
//!
//! `cargo bench --bench client --features client` measures this library's client next to hyper's own, which sends the
//! same bytes in the same requests and knows nothing of tus. That is the floor of the machine, so read the ratios and not
//! the absolute figures. Every client runs in a process of its own: its CPU time and its peak memory are its own, the
//! sink's are not counted. It wants a quiet machine: who shares the cores costs a client of several threads more than
//! hyper's one, and bodies in memory go at several GB/s, where that is seen first.
//! tus-js-client, tuspy and aiotus take part where they can, in the versions that `tests/interop` pins.
//! See `--help` for sizes and selection.

mod options;
mod ours;
mod peers;
mod process;
mod raw;
mod report;
mod scenarios;
mod sink;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use options::{Invocation, Options};
use peers::Peers;
use process::{Client, Reading, Sink};
use report::Results;
use scenarios::{BLOCK, Candidate, Job, Scenario};

fn main() -> ExitCode {
    let outcome = match Invocation::parse(std::env::args().skip(1)) {
        Ok(Invocation::Sink) => sink::serve(),
        Ok(Invocation::Client(job)) => client(&job),
        Ok(Invocation::Measure(options)) => measure(&options),
        Ok(Invocation::Help) => {
            println!("{}", options::HELP);
            Ok(())
        }
        Ok(Invocation::Nothing) => {
            println!("client: a benchmark, run it with `cargo bench --bench client`");
            Ok(())
        }
        Err(error) => Err(io::Error::other(error)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("client: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> io::Result<()> {
    let place = Scratch::new(options.size)?;
    let peers = match options.wants_peers() {
        true => Peers::find(),
        false => Peers::none(),
    };
    println!("{}", report::heading(options, &place.file));

    let candidates = options.candidates(&peers);
    let scenarios = options.scenarios();
    let mut results = Results::default();
    for scenario in &scenarios {
        for round in 0..options.rounds {
            // Each round starts with another client, so that none always follows the same neighbour.
            for turn in 0..candidates.len() {
                let candidate = candidates[(turn + round) % candidates.len()];
                if !candidate.takes_part(scenario) {
                    continue;
                }
                let outcome = run(scenario, candidate, options, &place, &peers);
                report::progress(round, scenario, candidate, &outcome);
                let _ = io::stderr().flush();
                results.add(scenario, candidate, outcome);
            }
        }
    }
    println!(
        "{}",
        results.markdown(&scenarios, &candidates, options.size)
    );
    Ok(())
}

/// One upload by a fresh client to a fresh sink.
fn run(
    scenario: &Scenario,
    candidate: Candidate,
    options: &Options,
    place: &Scratch,
    peers: &Peers,
) -> io::Result<Reading> {
    let sink = Sink::start()?;
    let job = Job {
        scenario: *scenario,
        candidate,
        endpoint: sink.endpoint(),
        file: place.file.clone(),
        size: options.size,
    };
    let command = match candidate {
        Candidate::Raw | Candidate::Ours => process::again(&job)?,
        _ => peers.command(&job),
    };
    Client::start(command)?.measure()
}

/// The process that is measured, if it is one of this program's.
fn client(job: &Job) -> io::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        match job.candidate {
            Candidate::Raw => raw::run(job).await,
            _ => ours::run(job).await,
        }
    })
}

/// The file to be uploaded, in a directory of this run that is removed when it ends.
struct Scratch {
    root: PathBuf,
    file: PathBuf,
}

impl Scratch {
    fn new(size: u64) -> io::Result<Self> {
        let base = match std::env::var_os("BENCH_DIR") {
            Some(dir) => PathBuf::from(dir),
            None if Path::new("/dev/shm").is_dir() => PathBuf::from("/dev/shm"),
            None => std::env::temp_dir(),
        };
        let root = base.join(format!("tower-tus-bench-{}", std::process::id()));
        fs::create_dir_all(&root)?;
        let place = Self {
            file: root.join("content"),
            root,
        };
        let block = vec![7; BLOCK];
        let mut file = fs::File::create(&place.file)?;
        for _ in 0..size / BLOCK as u64 {
            file.write_all(&block)?;
        }
        Ok(place)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}
