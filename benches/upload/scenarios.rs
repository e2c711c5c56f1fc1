//! The scenarios: what each one measures, whom it is compared with, and what the ratio should be.

use std::{io, net::SocketAddr};

use crate::{
    client::{Block, Connection},
    cuts,
    options::Sizes,
    process::{IN_AXUM, Reading, Server},
    rates, transfers,
};

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) table: Table,
    pub(crate) run: fn(&Bench<'_>) -> Outcome,
    /// Servers that cannot do this.
    pub(crate) without: &'static [&'static str],
    /// Whether frameworks are compared, instead of everybody else.
    pub(crate) in_frameworks: bool,
    pub(crate) goals: &'static [Goal],
    /// About how many bytes the server will have written.
    pub(crate) footprint: fn(&Sizes) -> u64,
    pub(crate) many_files: bool,
}

/// One value per column of the scenario's table; `None` where the system does not tell.
pub(crate) type Outcome = io::Result<Vec<Option<f64>>>;

/// The tables of the report, by the shape of a cell.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Table {
    /// MiB per second, CPU seconds per GiB, peak MiB.
    Throughput,
    /// Requests or uploads per second, CPU seconds per 10,000, peak MiB.
    Rate,
    /// Columns of the scenario's own.
    Other(&'static str),
}

/// A bound on one value: the first step, and then.
pub(crate) struct Goal {
    pub(crate) what: &'static str,
    pub(crate) value: usize,
    pub(crate) bound: Bound,
}

pub(crate) enum Bound {
    /// At least this share of what the reference does.
    AtLeast(&'static str, f64, f64),
    /// At most this multiple of the reference.
    AtMost(&'static str, f64, f64),
    Below(f64, f64),
    Zero,
    /// Nothing promised, only compared.
    Compared(&'static str),
}

/// What a scenario works with.
pub(crate) struct Bench<'a> {
    pub(crate) server: &'a Server,
    pub(crate) sizes: &'a Sizes,
    pub(crate) block: Block,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(server: &'a Server, sizes: &'a Sizes) -> Self {
        Self {
            server,
            sizes,
            block: Block::new(),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address
    }

    pub(crate) fn connect(&self) -> io::Result<Connection> {
        Connection::open(self.address())
    }

    pub(crate) fn connections(&self, count: usize) -> io::Result<Vec<Connection>> {
        (0..count).map(|_| self.connect()).collect()
    }
}

/// The values of [`Table::Throughput`].
pub(crate) fn throughput(reading: &Reading, bytes: u64) -> Vec<Option<f64>> {
    let mib = bytes as f64 / f64::from(1 << 20);
    vec![
        Some(mib / reading.seconds),
        reading.cpu_seconds.map(|cpu| cpu / (mib / 1024.0)),
        reading.peak_mib,
    ]
}

/// The values of [`Table::Rate`].
pub(crate) fn rate(reading: &Reading, count: usize) -> Vec<Option<f64>> {
    let count = count as f64;
    vec![
        Some(count / reading.seconds),
        reading.cpu_seconds.map(|cpu| cpu / count * 10_000.0),
        reading.peak_mib,
    ]
}

const FLOOR: &str = "sink-tcp";
const HTTP_FLOOR: &str = "sink-hyper-inline";

const BULK: &[Goal] = &[
    Goal {
        what: "throughput",
        value: 0,
        bound: Bound::AtLeast(FLOOR, 0.75, 0.90),
    },
    Goal {
        what: "CPU",
        value: 1,
        bound: Bound::AtMost(FLOOR, 1.6, 1.2),
    },
];
const MANY: &[Goal] = &[
    Goal {
        what: "rate",
        value: 0,
        bound: Bound::AtLeast(HTTP_FLOOR, 0.35, 0.6),
    },
    Goal {
        what: "CPU",
        value: 1,
        bound: Bound::Compared(HTTP_FLOOR),
    },
];

const FRAMEWORK: &[Goal] = &[
    Goal {
        what: "throughput",
        value: 0,
        bound: Bound::Compared(IN_AXUM),
    },
    Goal {
        what: "CPU",
        value: 1,
        bound: Bound::AtMost(IN_AXUM, 1.25, 1.1),
    },
];

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "big",
        table: Table::Throughput,
        run: transfers::big,
        without: &[],
        in_frameworks: false,
        goals: BULK,
        footprint: |sizes| sizes.big,
        many_files: false,
    },
    Scenario {
        name: "big-chunked",
        table: Table::Throughput,
        run: transfers::big_chunked,
        without: &[],
        in_frameworks: false,
        goals: BULK,
        footprint: |sizes| sizes.big,
        many_files: false,
    },
    Scenario {
        name: "parallel",
        table: Table::Throughput,
        run: transfers::parallel,
        without: &[],
        in_frameworks: false,
        goals: &[
            Goal {
                what: "throughput",
                value: 0,
                bound: Bound::AtLeast(FLOOR, 0.60, 0.85),
            },
            Goal {
                what: "CPU",
                value: 1,
                bound: Bound::AtMost(FLOOR, 1.9, 1.4),
            },
        ],
        footprint: |sizes| sizes.parallel_upload * sizes.parallel_connections as u64,
        many_files: false,
    },
    Scenario {
        name: "checksum",
        table: Table::Throughput,
        run: transfers::checksum,
        without: &[HTTP_FLOOR],
        in_frameworks: false,
        goals: &[
            Goal {
                what: "throughput",
                value: 0,
                bound: Bound::AtLeast(FLOOR, 0.8, 0.95),
            },
            Goal {
                what: "CPU",
                value: 1,
                bound: Bound::Compared(FLOOR),
            },
        ],
        footprint: |sizes| sizes.big,
        many_files: false,
    },
    Scenario {
        name: "concat",
        table: Table::Throughput,
        run: transfers::concat,
        without: &[HTTP_FLOOR],
        in_frameworks: false,
        goals: &[Goal {
            what: "throughput",
            value: 0,
            bound: Bound::Compared(FLOOR),
        }],
        footprint: |sizes| 2 * sizes.concat_part * sizes.concat_parts as u64,
        many_files: false,
    },
    Scenario {
        name: "small",
        table: Table::Rate,
        run: rates::small,
        without: &[],
        in_frameworks: false,
        goals: MANY,
        footprint: |sizes| sizes.small_uploads as u64 * 16_384,
        many_files: true,
    },
    Scenario {
        name: "small-post-patch",
        table: Table::Rate,
        run: rates::small_post_patch,
        without: &[],
        in_frameworks: false,
        goals: MANY,
        footprint: |sizes| sizes.small_uploads as u64 * 16_384,
        many_files: true,
    },
    Scenario {
        name: "patch-storm",
        table: Table::Rate,
        run: rates::patch_storm,
        without: &[],
        in_frameworks: false,
        goals: MANY,
        footprint: |sizes| sizes.storm_uploads as u64 * sizes.storm_patches * sizes.storm_patch,
        many_files: true,
    },
    Scenario {
        name: "head",
        table: Table::Rate,
        run: rates::head,
        without: &[],
        in_frameworks: false,
        goals: MANY,
        footprint: |_| 0,
        many_files: true,
    },
    Scenario {
        name: "slow",
        table: Table::Other("peak RSS MiB / CPU s / errors"),
        run: cuts::slow,
        without: &[],
        in_frameworks: false,
        goals: &[
            Goal {
                what: "peak RSS, MiB",
                value: 0,
                bound: Bound::Below(160.0, 100.0),
            },
            Goal {
                what: "errors",
                value: 2,
                bound: Bound::Zero,
            },
        ],
        footprint: |_| 0,
        many_files: true,
    },
    Scenario {
        name: "resume",
        table: Table::Other(
            "s for all / MiB sent again after FIN / after RST / after RST with all read",
        ),
        run: cuts::resume,
        without: &[],
        in_frameworks: false,
        goals: &[
            Goal {
                what: "sent again after FIN, MiB",
                value: 1,
                bound: Bound::Zero,
            },
            Goal {
                what: "sent again though read, MiB",
                value: 3,
                bound: Bound::Zero,
            },
        ],
        footprint: |sizes| sizes.cuts * (8 << 20),
        many_files: false,
    },
    Scenario {
        name: "takeover",
        table: Table::Other("ms, median / worst / MiB sent again / errors"),
        run: cuts::takeover,
        without: &[FLOOR, HTTP_FLOOR],
        in_frameworks: false,
        goals: &[
            Goal {
                what: "median, ms",
                value: 0,
                bound: Bound::Below(100.0, 10.0),
            },
            Goal {
                what: "worst, ms",
                value: 1,
                bound: Bound::Below(100.0, 10.0),
            },
            Goal {
                what: "errors",
                value: 3,
                bound: Bound::Zero,
            },
        ],
        footprint: |_| 0,
        many_files: false,
    },
    Scenario {
        name: "memory",
        table: Table::Other("peak RSS MiB: idle / small / chunked / big upload / of one upload"),
        run: transfers::memory,
        without: &[],
        in_frameworks: false,
        goals: &[Goal {
            what: "one upload, MiB",
            value: 4,
            bound: Bound::Below(2.0, 1.0),
        }],
        footprint: |_| 0,
        many_files: false,
    },
    Scenario {
        name: "actix",
        table: Table::Throughput,
        run: transfers::big,
        without: &[],
        in_frameworks: true,
        goals: FRAMEWORK,
        footprint: |sizes| sizes.big,
        many_files: false,
    },
    Scenario {
        name: "actix-parallel",
        table: Table::Throughput,
        run: transfers::parallel,
        without: &[],
        in_frameworks: true,
        goals: FRAMEWORK,
        footprint: |sizes| sizes.parallel_upload * sizes.parallel_connections as u64,
        many_files: false,
    },
];
