//! Medians as Markdown, then this library's ratios to hyper's.

use std::{collections::HashMap, fmt::Write, io, path::Path};

use crate::{
    options::Options,
    process::Reading,
    scenarios::{Candidate, Scenario},
};

#[derive(Default)]
pub(crate) struct Results {
    /// What each round took, by scenario and client.
    samples: HashMap<(&'static str, &'static str), Vec<Reading>>,
    failures: Vec<String>,
}

pub(crate) fn heading(options: &Options, file: &Path) -> String {
    format!(
        "# client: {} round(s) of {} MiB{}, the file in {}, {} CPUs\n\n\
         One client at a time, whose process alone is measured, against a sink on loopback; medians. Read ratios, not \
         absolute figures.\n",
        options.rounds,
        options.size >> 20,
        if options.quick { " (quick)" } else { "" },
        file.ancestors().nth(2).unwrap_or(file).display(),
        std::thread::available_parallelism().map_or(0, usize::from),
    )
}

pub(crate) fn progress(
    round: usize,
    scenario: &Scenario,
    candidate: Candidate,
    outcome: &io::Result<Reading>,
) {
    let text = match outcome {
        Ok(reading) => format!("{:.2} s", reading.seconds),
        Err(error) => error.to_string(),
    };
    eprintln!(
        "round {} {:14} {:14} {text}",
        round + 1,
        scenario.name,
        candidate.name()
    );
}

impl Results {
    pub(crate) fn add(
        &mut self,
        scenario: &Scenario,
        candidate: Candidate,
        outcome: io::Result<Reading>,
    ) {
        match outcome {
            Ok(reading) => {
                let key = (scenario.name, candidate.name());
                self.samples.entry(key).or_default().push(reading);
            }
            Err(error) => self.failures.push(format!(
                "{} by {}: {error}",
                scenario.name,
                candidate.name()
            )),
        }
    }

    pub(crate) fn markdown(
        &self,
        scenarios: &[Scenario],
        candidates: &[Candidate],
        size: u64,
    ) -> String {
        let mut out =
            String::from("### MiB/s (CPU-s of the client per GB) [its peak RSS, MiB]\n\n");
        let _ = write!(out, "| scenario |");
        for candidate in candidates {
            let _ = write!(out, " {} |", candidate.name());
        }
        let _ = write!(out, "\n|---|{}", "---|".repeat(candidates.len()));
        for scenario in scenarios {
            let _ = write!(out, "\n| {} |", scenario.name);
            for candidate in candidates {
                let _ = write!(out, " {} |", self.cell(scenario, *candidate, size));
            }
        }
        self.ratios(&mut out, scenarios);
        if !self.failures.is_empty() {
            let _ = writeln!(out, "\n### Failures\n");
            for failure in &self.failures {
                let _ = writeln!(out, "- {failure}");
            }
        }
        out
    }

    fn cell(&self, scenario: &Scenario, candidate: Candidate, size: u64) -> String {
        let Some(rounds) = self.samples.get(&(scenario.name, candidate.name())) else {
            return "–".to_owned();
        };
        let of = |value: fn(&Reading) -> Option<f64>| {
            let values: Option<Vec<f64>> = rounds.iter().map(value).collect();
            median(values.unwrap_or_default())
        };
        let speed = of(|reading| Some(reading.seconds))
            .map(|seconds| size as f64 / f64::from(1 << 20) / seconds);
        let cpu = of(|reading| reading.cpu_seconds).map(|seconds| seconds / size as f64 * 1e9);
        let peak = of(|reading| reading.peak_mib);
        format!(
            "{} ({}) [{}]",
            figure(speed, 0),
            figure(cpu, 2),
            figure(peak, 0)
        )
    }

    /// The median of the ratios of each round.
    fn ratios(&self, out: &mut String, scenarios: &[Scenario]) {
        let rounds: Vec<_> = scenarios
            .iter()
            .filter_map(|scenario| {
                let of =
                    |candidate: Candidate| self.samples.get(&(scenario.name, candidate.name()));
                Some((scenario, of(Candidate::Raw)?, of(Candidate::Ours)?))
            })
            .collect();
        if rounds.is_empty() {
            return;
        }
        let _ = write!(
            out,
            "\n\n### tower-tus to raw, in the same round\n\n\
             | scenario | throughput | at least | CPU |\n|---|---|---|---|"
        );
        for (scenario, raw, ours) in rounds {
            let pairs = || raw.iter().zip(ours);
            let speed = median(
                pairs()
                    .map(|(raw, ours)| raw.seconds / ours.seconds)
                    .collect(),
            );
            let cpu: Option<Vec<f64>> = pairs()
                .map(|(raw, ours)| Some(ours.cpu_seconds? / raw.cpu_seconds?))
                .collect();
            let mark = match speed {
                Some(speed) if speed >= GOAL => " ✓",
                _ => " ✗",
            };
            let _ = write!(
                out,
                "\n| {} | {}{mark} | {GOAL} | {} |",
                scenario.name,
                figure(speed, 2),
                figure(median(cpu.unwrap_or_default()), 2),
            );
        }
        out.push('\n');
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn figure(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{value:.decimals$}"))
}

/// Of the throughput of hyper's client.
const GOAL: f64 = 0.9;
