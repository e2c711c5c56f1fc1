//! The command line.

use crate::{
    peers::Peers,
    scenarios::{BLOCK, Candidate, Job, SCENARIOS, Scenario},
};

pub(crate) const HELP: &str = "\
cargo bench --bench client --features client -- [options]

  --quick              a small body, one round: does it still run? (seconds)
  --rounds N           interleaved rounds, the median counts (default 5)
  --size N             MiB of the body (default 2048)
  --only A,B           these scenarios: bytes bytes-h2 file file-h2 bytes-sha1 bytes-sha1-h2 file-sha1 file-sha1-h2
  --clients A,B        these clients: raw tower-tus tus-js-client tuspy aiotus

raw is hyper's client with its defaults and TCP_NODELAY. The others have their defaults, but for tuspy, which would
read all of the file into memory: it gets chunks of 8 MiB. tus-js-client, tuspy and aiotus are installed below the
target directory if npm and pip can; otherwise they are left out, and that is said.

BENCH_DIR names the directory for the file (default /dev/shm, else the temporary directory).";

/// What this process was started for.
pub(crate) enum Invocation {
    /// As the server that counts bytes.
    Sink,
    /// As the process that is measured.
    Client(Job),
    Measure(Options),
    Help,
    /// By `cargo test --benches`, which wants to know that it starts.
    Nothing,
}

pub(crate) struct Options {
    pub(crate) quick: bool,
    pub(crate) rounds: usize,
    /// Bytes of the body.
    pub(crate) size: u64,
    only: Vec<String>,
    clients: Vec<String>,
}

impl Invocation {
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = arguments;
        let mut options = Options {
            quick: false,
            rounds: 5,
            size: 2 << 30,
            only: Vec::new(),
            clients: Vec::new(),
        };
        let mut asked = false;
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| format!("{argument} needs a value"))
            };
            match argument.as_str() {
                "--sink" => return Ok(Self::Sink),
                "--client" => return Ok(Self::Client(Job::parse(arguments)?)),
                "--help" | "-h" => return Ok(Self::Help),
                "--test" => return Ok(Self::Nothing),
                "--bench" => {}
                "--quick" => {
                    options.quick = true;
                    options.rounds = 1;
                    options.size = 128 << 20;
                }
                "--rounds" => options.rounds = number(&value()?)?,
                "--size" => {
                    let blocks = number::<u64>(&value()?)?.div_ceil(BLOCK as u64 >> 20);
                    options.size = blocks.max(1) * BLOCK as u64;
                }
                "--only" => options.only.extend(list(&value()?)),
                "--clients" => options.clients.extend(list(&value()?)),
                // Whatever cargo or another bench of the same `cargo bench` call understands.
                _ => continue,
            }
            asked = true;
        }
        Ok(match asked {
            true => Self::Measure(options),
            false => Self::Nothing,
        })
    }
}

impl Options {
    pub(crate) fn scenarios(&self) -> Vec<Scenario> {
        let wanted = |scenario: &&Scenario| is_in(&self.only, scenario.name);
        SCENARIOS.iter().filter(wanted).copied().collect()
    }

    /// In the order of the columns.
    pub(crate) fn candidates(&self, peers: &Peers) -> Vec<Candidate> {
        let mut candidates = Candidate::ALL.to_vec();
        candidates.retain(|one| is_in(&self.clients, one.name()) && peers.have(*one));
        candidates
    }

    pub(crate) fn wants_peers(&self) -> bool {
        let peers = Candidate::ALL.iter().filter(|one| one.is_peer());
        let wanted = peers.filter(|one| is_in(&self.clients, one.name()));
        let scenarios = self.scenarios();
        wanted
            .clone()
            .any(|one| scenarios.iter().any(|scenario| one.takes_part(scenario)))
    }
}

/// Nothing selected is everything.
fn is_in(selected: &[String], name: &str) -> bool {
    selected.is_empty() || selected.iter().any(|one| one == name)
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text} is not a number"))
}

fn list(text: &str) -> impl Iterator<Item = String> {
    text.split(',').map(str::to_owned)
}
