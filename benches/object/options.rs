//! The command line, and how much work is done.

use std::str::FromStr;

pub(crate) const KIB: u64 = 1 << 10;
pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const GIB: u64 = 1 << 30;

pub(crate) const HELP: &str = "\
cargo bench --bench object --features aws,conformance -- [options]

  --quick        small sizes, one round: does it still run? (under a minute)
  --rounds N     interleaved rounds, the median counts (default 5)
  --only A,B     these scenarios: big small memory
  --stores A,B   these stores: sink sink-tls sink-distant s3 minio

  big            one upload: WriteMultipart by `write` (copies) and by `put` (does not), the storage without HTTP,
                 and one PATCH to TusService
  small          latency of PATCHes of 4 KiB next to that of a small object put
  memory         peak memory of one and of 64 uploads at once, to a slow store

A store of the environment is in TUS_TEST_S3 or TUS_TEST_MINIO, as `s3://bucket`; TUS_TEST_S3_<OPTION> is an option of
object_store beside it, as TUS_TEST_S3_AWS_ENDPOINT.";

/// What this process was started for.
pub(crate) enum Invocation {
    /// As the child process that is measured.
    Serve(Settings),
    Measure(Options),
    Help,
    /// By `cargo test --benches`, which wants to know that it starts.
    Nothing,
}

/// What the child works with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Bytes that the storage may hold of all uploads.
    pub(crate) memory: u64,
}

impl Settings {
    /// How the storage is unless it is told otherwise.
    pub(crate) const DEFAULT: Self = Self { memory: 512 * MIB };
}

pub(crate) const PART: u64 = 8 * MIB;
pub(crate) const IN_FLIGHT: usize = 4;

pub(crate) struct Options {
    pub(crate) quick: bool,
    pub(crate) rounds: usize,
    pub(crate) sizes: Sizes,
    only: Vec<String>,
    stores: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    Big,
    Small,
    Memory,
}

/// How much each scenario does; sizes in bytes.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    pub(crate) big: u64,
    /// The same to a store of the environment, which keeps it.
    pub(crate) big_kept: u64,
    /// PATCHes of each connection.
    pub(crate) patches: u64,
    pub(crate) patch: u64,
    pub(crate) connections: usize,
    /// Uploads at once.
    pub(crate) uploads: usize,
    /// Of each of them.
    pub(crate) upload: u64,
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
                    return Ok(Self::Serve(Settings {
                        memory: number(&value()?)?,
                    }));
                }
                "--help" | "-h" => return Ok(Self::Help),
                "--test" => return Ok(Self::Nothing),
                "--bench" => {}
                "--quick" => options.quicken(),
                "--rounds" => options.rounds = number(&value()?)?,
                "--only" => options.only.extend(list(&value()?)),
                "--stores" => options.stores.extend(list(&value()?)),
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
            rounds: 5,
            sizes: Sizes::full(),
            only: Vec::new(),
            stores: Vec::new(),
        }
    }

    fn quicken(&mut self) {
        self.quick = true;
        self.rounds = 1;
        self.sizes = Sizes::quick();
    }

    pub(crate) fn wants(&self, scenario: Scenario) -> bool {
        let name = match scenario {
            Scenario::Big => "big",
            Scenario::Small => "small",
            Scenario::Memory => "memory",
        };
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

    pub(crate) fn wants_store(&self, name: &str) -> bool {
        self.stores.is_empty() || self.stores.iter().any(|store| store == name)
    }
}

impl Sizes {
    fn full() -> Self {
        Self {
            big: GIB,
            big_kept: 256 * MIB,
            patches: 250,
            patch: 4 * KIB,
            connections: 16,
            uploads: 64,
            upload: 64 * MIB,
        }
    }

    fn quick() -> Self {
        Self {
            big: 128 * MIB,
            big_kept: 64 * MIB,
            patches: 50,
            upload: 24 * MIB,
            ..Self::full()
        }
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text} is not a number"))
}

fn list(text: &str) -> impl Iterator<Item = String> {
    text.split(',').map(str::to_owned)
}
