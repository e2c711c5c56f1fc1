//! End to end over loopback: one raw HTTP/1.1 client against one server at a time.
//!
//! `cargo bench --bench upload` measures this library next to *sinks*, servers that store the bytes and do next to nothing else.
//! What a sink reaches is the floor of the machine, so read the ratios and not the absolute figures.
//! Every server runs in its own process: its CPU time and its peak memory are its own, the client's are not counted.
//! See `--help` for sizes, selection and how to measure another tus server in the same run.

mod client;
mod cuts;
mod files;
mod options;
mod process;
mod rates;
mod report;
mod scenarios;
mod serve;
mod sink_hyper;
mod sink_tcp;
mod transfers;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use options::{Invocation, Options};
use process::{Candidate, Server};
use report::Results;
use scenarios::{Bench, Outcome, SCENARIOS, Scenario};

fn main() -> ExitCode {
    let outcome = match Invocation::parse(std::env::args().skip(1)) {
        Ok(Invocation::Serve { role, dir }) => serve::serve(&role, &dir),
        Ok(Invocation::Measure(options)) => measure(&options),
        Ok(Invocation::Help) => {
            println!("{}", options::HELP);
            Ok(())
        }
        Ok(Invocation::Nothing) => {
            println!("upload: a benchmark, run it with `cargo bench --bench upload`");
            Ok(())
        }
        Err(error) => Err(io::Error::other(error)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("upload: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> io::Result<()> {
    process::raise_open_files();
    let place = Scratch::new()?;
    let candidates = options.candidates();
    let scenarios: Vec<&Scenario> = SCENARIOS
        .iter()
        .filter(|scenario| options.wants(scenario.name))
        .collect();
    println!("{}", report::heading(options, &place.root));

    let mut results = Results::default();
    for scenario in scenarios {
        for round in 0..options.rounds {
            // Each round starts with another server, so that none always runs on the memory the same neighbour left.
            for turn in 0..candidates.len() {
                let candidate = &candidates[(turn + round) % candidates.len()];
                if !candidate.takes_part(scenario) {
                    continue;
                }
                let outcome = run(scenario, candidate, options, &place)?;
                report_progress(scenario, candidate, round, &outcome);
                results.add(scenario, &candidate.name, outcome);
            }
        }
    }
    println!("{}", results.markdown(&candidates));
    Ok(())
}

/// One scenario against one freshly started server in a fresh directory. A server that does not start ends the run,
/// one that fails at the scenario only has no value there.
fn run(
    scenario: &Scenario,
    candidate: &Candidate,
    options: &Options,
    place: &Scratch,
) -> io::Result<Outcome> {
    let dir = place.fresh()?;
    process::touch_memory(&place.root, (scenario.footprint)(&options.sizes))?;
    let server = Server::start(candidate, &dir)?;
    let outcome = (scenario.run)(&Bench::new(&server, &options.sizes));
    drop(server);
    // Many small files stay until the end: creating soon after a mass delete is slow on ext4.
    if !scenario.many_files {
        fs::remove_dir_all(&dir)?;
    }
    Ok(outcome)
}

fn report_progress(scenario: &Scenario, candidate: &Candidate, round: usize, outcome: &Outcome) {
    let text = match outcome {
        Ok(values) => report::cell(scenario, values),
        Err(error) => error.to_string(),
    };
    eprintln!(
        "round {} {:17} {:20} {text}",
        round + 1,
        scenario.name,
        candidate.name
    );
    let _ = io::stderr().flush();
}

/// The directory of this run, removed when it ends.
struct Scratch {
    root: PathBuf,
    count: std::cell::Cell<u32>,
}

impl Scratch {
    fn new() -> io::Result<Self> {
        let base = match std::env::var_os("BENCH_DIR") {
            Some(dir) => PathBuf::from(dir),
            None if Path::new("/dev/shm").is_dir() => PathBuf::from("/dev/shm"),
            None => std::env::temp_dir(),
        };
        let root = base.join(format!("tower-tus-bench-{}", std::process::id()));
        fs::create_dir_all(&root)?;
        Ok(Self {
            root,
            count: std::cell::Cell::new(0),
        })
    }

    fn fresh(&self) -> io::Result<PathBuf> {
        self.count.set(self.count.get() + 1);
        let dir = self.root.join(self.count.get().to_string());
        fs::create_dir(&dir)?;
        Ok(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}
