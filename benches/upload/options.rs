//! The command line, and how much work each scenario does.

use std::path::PathBuf;

use crate::process::{Candidate, OURS};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

pub(crate) const HELP: &str = "\
cargo bench --bench upload -- [options]

  --quick              small sizes, one round: does it still run? (under a minute)
  --rounds N           interleaved rounds, the median counts (default 3)
  --only A,B           these scenarios: big big-chunked parallel checksum concat small small-post-patch
                       patch-storm head slow resume takeover memory, and actix actix-parallel with that feature
  --servers A,B        these servers: sink-tcp sink-hyper-inline tower-tus tower-tus-finish, or a peer;
                       tower-tus-axum tower-tus-actix in the scenarios that compare them
  --big N              GB of the large upload of `memory` (default 4)
  --peer 'NAME=CMD'    measure another tus server as well: CMD is run by `sh` with {port} and {dir} filled in
                       and must serve tus 1.0.0 at http://127.0.0.1:{port}/files/

BENCH_DIR names the directory for the uploads (default /dev/shm, else the temporary directory).";

/// What this process was started for.
pub(crate) enum Invocation {
    /// As the child process that is measured.
    Serve {
        role: String,
        dir: PathBuf,
    },
    Measure(Options),
    Help,
    /// By `cargo test --benches`, which wants to know that it starts.
    Nothing,
}

pub(crate) struct Options {
    pub(crate) quick: bool,
    pub(crate) rounds: usize,
    pub(crate) sizes: Sizes,
    only: Vec<String>,
    servers: Vec<String>,
    peers: Vec<(String, String)>,
}

/// How much each scenario does; sizes in bytes.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    pub(crate) big: u64,
    pub(crate) chunk: u64,
    pub(crate) parallel_connections: usize,
    pub(crate) parallel_upload: u64,
    pub(crate) concat_parts: usize,
    pub(crate) concat_part: u64,
    pub(crate) small_uploads: usize,
    pub(crate) small_upload: u64,
    pub(crate) storm_uploads: usize,
    pub(crate) storm_patches: u64,
    pub(crate) storm_patch: u64,
    pub(crate) heads: usize,
    /// Keep-alive connections of the scenarios with many small requests.
    pub(crate) connections: usize,
    pub(crate) slow_connections: usize,
    /// How many KiB each slow connection sends, one every 250 ms.
    pub(crate) slow_pieces: u64,
    pub(crate) cuts: u64,
    pub(crate) takeovers: usize,
    pub(crate) memory_small: u64,
    pub(crate) memory_big: u64,
}

impl Invocation {
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = arguments;
        let mut options = Options::new();
        let mut asked = false;
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| format!("{argument} needs a value"))
            };
            match argument.as_str() {
                "--serve" => {
                    return Ok(Self::Serve {
                        role: value()?,
                        dir: value()?.into(),
                    });
                }
                "--help" | "-h" => return Ok(Self::Help),
                "--test" => return Ok(Self::Nothing),
                "--bench" => {}
                "--quick" => options.quicken(),
                "--rounds" => options.rounds = number(&value()?)?,
                "--only" => options.only.extend(list(&value()?)),
                "--servers" => options.servers.extend(list(&value()?)),
                "--big" => options.sizes.memory_big = number::<u64>(&value()?)? * 1_000_000_000,
                "--peer" => options.peers.push(peer(&value()?)?),
                // Whatever cargo or another bench of the same `cargo bench` call understands.
                _ => continue,
            }
            asked = true;
        }
        Ok(if asked {
            Self::Measure(options)
        } else {
            Self::Nothing
        })
    }
}

impl Options {
    fn new() -> Self {
        Self {
            quick: false,
            rounds: 3,
            sizes: Sizes::full(),
            only: Vec::new(),
            servers: Vec::new(),
            peers: Vec::new(),
        }
    }

    fn quicken(&mut self) {
        self.quick = true;
        self.rounds = 1;
        self.sizes = Sizes::quick();
    }

    pub(crate) fn wants(&self, scenario: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == scenario)
    }

    /// The servers to measure, in the order of the columns.
    pub(crate) fn candidates(&self) -> Vec<Candidate> {
        let ours = OURS.iter().map(|role| Candidate::own(role));
        let peers = self
            .peers
            .iter()
            .map(|(name, command)| Candidate::peer(name, command));
        ours.chain(peers)
            .filter(|candidate| self.servers.is_empty() || self.servers.contains(&candidate.name))
            .collect()
    }
}

impl Sizes {
    fn full() -> Self {
        Self {
            big: GIB,
            chunk: 8 * MIB,
            parallel_connections: 64,
            parallel_upload: 16 * MIB,
            concat_parts: 8,
            concat_part: 128 * MIB,
            small_uploads: 20_000,
            small_upload: 4 * KIB,
            storm_uploads: 1_000,
            storm_patches: 64,
            storm_patch: KIB,
            heads: 200_000,
            connections: 32,
            slow_connections: 2_000,
            slow_pieces: 16,
            cuts: 200,
            takeovers: 20,
            memory_small: 20_000_000,
            memory_big: 4_000_000_000,
        }
    }

    fn quick() -> Self {
        Self {
            big: 128 * MIB,
            parallel_connections: 16,
            parallel_upload: 4 * MIB,
            concat_parts: 4,
            concat_part: 16 * MIB,
            small_uploads: 2_000,
            storm_uploads: 100,
            storm_patches: 16,
            heads: 10_000,
            slow_connections: 200,
            slow_pieces: 4,
            cuts: 15,
            takeovers: 3,
            memory_big: 200_000_000,
            ..Self::full()
        }
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text} is not a number"))
}

fn list(text: &str) -> impl Iterator<Item = String> {
    text.split(',').map(str::to_owned)
}

fn peer(text: &str) -> Result<(String, String), String> {
    let (name, command) = text
        .split_once('=')
        .ok_or_else(|| format!("{text}: a peer is NAME=COMMAND"))?;
    Ok((name.to_owned(), command.to_owned()))
}
