//! Medians as Markdown, next to what was promised.

use std::fmt::{self, Display, Write};

use crate::{
    options::{IN_FLIGHT, MIB, Options, PART},
    throughput::Way,
};

/// One large upload.
pub(crate) struct Big {
    pub(crate) mib_per_second: f64,
    pub(crate) cpu_per_gib: Option<f64>,
    pub(crate) requests: f64,
    pub(crate) size: u64,
}

/// Many small PATCHes, and puts of the same size. Median and 99th percentile, in milliseconds.
pub(crate) struct Small {
    pub(crate) patch: (f64, f64),
    pub(crate) put: (f64, f64),
    /// For each PATCH.
    pub(crate) requests: f64,
    pub(crate) cpu_per_10_000: Option<f64>,
}

/// Uploads at once, in MiB.
pub(crate) struct Memory {
    pub(crate) uploads: usize,
    /// Of one PATCH.
    pub(crate) patch: u64,
    pub(crate) budget: u64,
    /// Above that of an idle process.
    pub(crate) peak: f64,
    /// What they may hold.
    pub(crate) bound: f64,
    /// Of each upload.
    pub(crate) requests: f64,
    pub(crate) parts: u64,
    pub(crate) mib_per_second: f64,
}

#[derive(Default)]
pub(crate) struct Results {
    big: Vec<(&'static str, Way, Big)>,
    small: Vec<(&'static str, usize, Small)>,
    memory: Vec<Memory>,
    failures: Vec<String>,
}

/// Of what `WriteMultipart` reaches.
const THROUGHPUT: f64 = 0.85;

/// Requests beside the parts.
const REQUESTS: f64 = 6.0;

/// What an upload may need beside the bytes that it holds, in MiB.
const OVERHEAD: f64 = 1.0;

pub(crate) fn heading(options: &Options) -> String {
    format!(
        "# object: {} round(s){}, parts of {} MiB, {IN_FLIGHT} in flight, {} CPUs\n\n\
         Medians of interleaved rounds over loopback; CPU time, memory and requests are those of the measured process alone.\n\
         Read ratios, not absolute figures: client and sink share the CPUs with what is measured.\n",
        options.rounds,
        if options.quick { ", small sizes" } else { "" },
        PART / MIB,
        std::thread::available_parallelism().map_or(0, usize::from),
    )
}

impl Results {
    pub(crate) fn add_big(&mut self, store: &'static str, way: Way, big: Big) {
        self.big.push((store, way, big));
    }

    pub(crate) fn add_small(&mut self, store: &'static str, connections: usize, small: Small) {
        self.small.push((store, connections, small));
    }

    pub(crate) fn add_memory(&mut self, memory: Memory) {
        self.memory.push(memory);
    }

    pub(crate) fn add_failure(&mut self, failure: String) {
        self.failures.push(failure);
    }

    pub(crate) fn markdown(&self) -> String {
        let mut out = String::new();
        for table in [
            Self::big,
            Self::goals,
            Self::small,
            Self::memory,
            Self::failures,
        ] {
            table(self, &mut out).expect("a String takes any text");
        }
        out
    }

    fn big(&self, out: &mut String) -> fmt::Result {
        if self.big.is_empty() {
            return Ok(());
        }
        writeln!(
            out,
            "\n### One upload, MiB/s (CPU-s per GiB) [requests to the store]\n"
        )?;
        write!(out, "| store |")?;
        for way in Way::ALL {
            write!(out, " {} |", way.title())?;
        }
        writeln!(out, "\n|---|{}", "---|".repeat(Way::ALL.len()))?;
        for store in self.stores() {
            let size = self.rounds(store, Way::Patch).next();
            let size = size.map_or(0, |big| big.size / MIB);
            write!(out, "| {store}, {size} MiB |")?;
            for way in Way::ALL {
                let of = |value: fn(&Big) -> f64| median(self.rounds(store, way).map(value));
                let cpu = median(self.rounds(store, way).filter_map(|big| big.cpu_per_gib));
                write!(
                    out,
                    " {:.0} ({cpu:.2}) [{:.0}] |",
                    of(|big| big.mib_per_second),
                    of(|big| big.requests)
                )?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    /// How the last two ways stand to the first.
    fn goals(&self, out: &mut String) -> fmt::Result {
        if self.big.is_empty() {
            return Ok(());
        }
        writeln!(
            out,
            "\n### Next to WriteMultipart by `write` in the same round: median (lowest to highest)\n"
        )?;
        writeln!(
            out,
            "| store | way | throughput, ≥ {THROUGHPUT} | CPU | requests beside parts, ≤ {REQUESTS:.0} |\n|---|---|---|---|---|"
        )?;
        for store in self.stores() {
            for way in [Way::Storage, Way::Patch] {
                let speed = self.ratios(store, way, |big| Some(big.mib_per_second));
                let cpu = self.ratios(store, way, |big| big.cpu_per_gib);
                let more = |big: &Big| big.requests - big.size.div_ceil(PART) as f64;
                let more = self.rounds(store, way).map(more).fold(0.0, f64::max);
                let reached = median(speed.iter().copied()) >= THROUGHPUT;
                writeln!(
                    out,
                    "| {store} | {} | {}{} | {} | {more:.0}{} |",
                    way.title(),
                    spread(&speed),
                    mark(reached),
                    spread(&cpu),
                    mark(more <= REQUESTS)
                )?;
            }
        }
        Ok(())
    }

    fn small(&self, out: &mut String) -> fmt::Result {
        let mut rows: Vec<_> = self.small.iter().map(|(s, c, _)| (*s, *c)).collect();
        if rows.is_empty() {
            return Ok(());
        }
        rows.sort_unstable();
        rows.dedup();
        writeln!(
            out,
            "\n### PATCHes of 4 KiB, and puts of as much by object_store: ms, median / 99 %\n"
        )?;
        writeln!(
            out,
            "| store | connections | PATCH | put | requests per PATCH | CPU-s per 10,000 |\n|---|---|---|---|---|---|"
        )?;
        for (store, connections) in rows {
            let rounds = || {
                let rounds = self.small.iter();
                rounds
                    .filter(move |(s, c, _)| (*s, *c) == (store, connections))
                    .map(|(_, _, small)| small)
            };
            let of = |value: fn(&Small) -> f64| median(rounds().map(value));
            writeln!(
                out,
                "| {store} | {connections} | {:.2} / {:.2} | {:.2} / {:.2} | {:.2} | {:.2} |",
                of(|small| small.patch.0),
                of(|small| small.patch.1),
                of(|small| small.put.0),
                of(|small| small.put.1),
                of(|small| small.requests),
                median(rounds().filter_map(|small| small.cpu_per_10_000))
            )?;
        }
        Ok(())
    }

    fn memory(&self, out: &mut String) -> fmt::Result {
        if self.memory.is_empty() {
            return Ok(());
        }
        writeln!(
            out,
            "\n### Memory of uploads at once to a slow store, in MiB above an idle process\n"
        )?;
        writeln!(
            out,
            "| uploads | PATCHes of | budget | peak | (in flight + 1) × part each | and {OVERHEAD} each | MiB/s | parts each | requests each |\n|---|---|---|---|---|---|---|---|---|"
        )?;
        for memory in &self.memory {
            let bound = memory.bound + OVERHEAD * memory.uploads as f64;
            writeln!(
                out,
                "| {} | {} | {} | {:.0} | {:.0} | {bound:.0}{} | {:.0} | {} | {:.1} |",
                memory.uploads,
                memory.patch,
                memory.budget,
                memory.peak,
                memory.bound,
                mark(memory.peak <= bound),
                memory.mib_per_second,
                memory.parts,
                memory.requests
            )?;
        }
        Ok(())
    }

    fn failures(&self, out: &mut String) -> fmt::Result {
        if !self.failures.is_empty() {
            writeln!(out, "\n### Failures\n")?;
        }
        self.failures
            .iter()
            .try_for_each(|failure| writeln!(out, "- {failure}"))
    }

    /// In the order in which they came.
    fn stores(&self) -> Vec<&'static str> {
        let mut stores = Vec::new();
        for (store, _, _) in &self.big {
            if !stores.contains(store) {
                stores.push(store);
            }
        }
        stores
    }

    fn rounds<'r>(&'r self, store: &'r str, way: Way) -> impl Iterator<Item = &'r Big> {
        let rounds = self.big.iter();
        rounds
            .filter(move |(s, w, _)| *s == store && *w == way)
            .map(|(_, _, big)| big)
    }

    fn ratios(&self, store: &str, way: Way, value: impl Fn(&Big) -> Option<f64>) -> Vec<f64> {
        let pairs = self.rounds(store, way).zip(self.rounds(store, Way::Write));
        pairs
            .filter_map(|(big, reference)| Some(value(big)? / value(reference)?))
            .collect()
    }
}

impl Display for Big {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpu = self.cpu_per_gib.unwrap_or(f64::NAN);
        let (speed, requests) = (self.mib_per_second, self.requests);
        write!(f, "{speed:5.0} ({cpu:.2}) [{requests:.0}]")
    }
}

impl Display for Small {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((patch, late_patch), (put, late_put)) = (self.patch, self.put);
        let cpu = self.cpu_per_10_000.unwrap_or(f64::NAN);
        write!(
            f,
            "{patch:.2} / {late_patch:.2} ({put:.2} / {late_put:.2}) [{:.2}] ({cpu:.2})",
            self.requests
        )
    }
}

impl Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} uploads, PATCHes of {}, budget {} MiB: {:.0} MiB of {:.0}, {:.0} MiB/s, {:.1} requests each",
            self.uploads,
            self.patch,
            self.budget,
            self.peak,
            self.bound,
            self.mib_per_second,
            self.requests
        )
    }
}

fn mark(reached: bool) -> &'static str {
    match reached {
        true => " ✓",
        false => " ✗",
    }
}

fn spread(values: &[f64]) -> String {
    let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!(
        "{:.2} ({lowest:.2} to {highest:.2})",
        median(values.iter().copied())
    )
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
