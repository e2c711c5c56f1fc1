//! Medians as Markdown: the tables of all servers, then how the library stands to its goals.

use std::{collections::HashMap, fmt::Write, path::Path};

use crate::{
    options::Options,
    process::Candidate,
    scenarios::{Bound, Goal, Outcome, SCENARIOS, Scenario, Table},
};

#[derive(Default)]
pub(crate) struct Results {
    /// The values of each round, by scenario and server.
    samples: HashMap<(&'static str, String), Vec<Vec<Option<f64>>>>,
    failures: Vec<String>,
}

pub(crate) fn heading(options: &Options, dir: &Path) -> String {
    format!(
        "# upload: {} round(s){}, files in {}, {} CPUs\n\n\
         One client on loopback against one server at a time, whose process alone is measured; medians. Read ratios, not absolute figures.\n",
        options.rounds,
        if options.quick { ", small sizes" } else { "" },
        dir.parent().unwrap_or(dir).display(),
        std::thread::available_parallelism().map_or(0, usize::from),
    )
}

/// The values of one server in one scenario, in the form of its table.
pub(crate) fn cell(scenario: &Scenario, values: &[Option<f64>]) -> String {
    match (scenario.table, values) {
        (Table::Throughput, [speed, cpu, peak]) => {
            format!(
                "{} ({}) [{}]",
                figure(*speed, 0),
                figure(*cpu, 2),
                figure(*peak, 0)
            )
        }
        (Table::Rate, [speed, cpu, peak]) => {
            format!(
                "{} ({}) [{}]",
                figure(*speed, 0),
                figure(*cpu, 3),
                figure(*peak, 0)
            )
        }
        _ => values
            .iter()
            .map(|value| figure(*value, 2))
            .collect::<Vec<_>>()
            .join(" / "),
    }
}

impl Results {
    pub(crate) fn add(&mut self, scenario: &Scenario, server: &str, outcome: Outcome) {
        match outcome {
            Ok(values) => self
                .samples
                .entry((scenario.name, server.to_owned()))
                .or_default()
                .push(values),
            Err(error) => self
                .failures
                .push(format!("{} of {server}: {error}", scenario.name)),
        }
    }

    pub(crate) fn markdown(&self, candidates: &[Candidate]) -> String {
        let mut out = String::new();
        self.table(
            &mut out,
            candidates,
            "Throughput, MiB/s (server CPU-s per GiB) [peak RSS MiB]",
            |table| table == Table::Throughput,
        );
        self.table(
            &mut out,
            candidates,
            "Rate, requests or uploads per second (server CPU-s per 10,000) [peak RSS MiB]",
            |table| table == Table::Rate,
        );
        self.table(&mut out, candidates, "Others", |table| {
            matches!(table, Table::Other(_))
        });
        self.goals(&mut out, candidates);
        if !self.failures.is_empty() {
            let _ = writeln!(out, "\n### Failures\n");
            for failure in &self.failures {
                let _ = writeln!(out, "- {failure}");
            }
        }
        out
    }

    fn table(
        &self,
        out: &mut String,
        candidates: &[Candidate],
        title: &str,
        belongs: impl Fn(Table) -> bool,
    ) {
        let scenarios: Vec<_> = SCENARIOS
            .iter()
            .filter(|scenario| belongs(scenario.table) && self.has(scenario))
            .collect();
        if scenarios.is_empty() {
            return;
        }
        let _ = write!(out, "\n### {title}\n\n| scenario |");
        for candidate in candidates {
            let _ = write!(out, " {} |", candidate.name);
        }
        let _ = write!(out, "\n|---|{}", "---|".repeat(candidates.len()));
        for scenario in scenarios {
            let _ = match scenario.table {
                Table::Other(columns) => write!(out, "\n| {}: {columns} |", scenario.name),
                _ => write!(out, "\n| {} |", scenario.name),
            };
            for candidate in candidates {
                let values = self.medians(scenario, &candidate.name);
                let _ = match values {
                    Some(values) => write!(out, " {} |", cell(scenario, &values)),
                    None => write!(out, " – |"),
                };
            }
        }
        out.push('\n');
    }

    fn goals(&self, out: &mut String, candidates: &[Candidate]) {
        // What is compared with the goals is everything but the references.
        let compared: Vec<_> = candidates
            .iter()
            .filter(|candidate| !candidate.name.starts_with("sink-"))
            .collect();
        if compared.is_empty() {
            return;
        }
        let _ = write!(
            out,
            "\n### Goals: ratios to the reference of the same round\n\n| scenario | value | reference |"
        );
        for candidate in &compared {
            let _ = write!(out, " {} |", candidate.name);
        }
        let _ = writeln!(
            out,
            " first step | then |\n|---|---|---|{}---|---|",
            "---|".repeat(compared.len())
        );
        for scenario in SCENARIOS.iter().filter(|scenario| self.has(scenario)) {
            for goal in scenario.goals {
                let (reference, first, then) = goal.bound.text();
                let _ = write!(out, "| {} | {} | {reference} |", scenario.name, goal.what);
                for candidate in &compared {
                    let text = match self.against(scenario, goal, &candidate.name) {
                        Some(value) => format!("{value:.2}{}", goal.bound.mark(value)),
                        None => "–".into(),
                    };
                    let _ = write!(out, " {text} |");
                }
                let _ = writeln!(out, " {first} | {then} |");
            }
        }
        let _ = writeln!(
            out,
            "\n✗ misses the first step, ✓ meets it, ✓✓ meets the second."
        );
    }

    /// A goal's value: absolute, or the median of the ratios of each round.
    fn against(&self, scenario: &Scenario, goal: &Goal, server: &str) -> Option<f64> {
        let ours = self.rounds(scenario, server, goal.value)?;
        let Some(reference) = goal.bound.reference() else {
            return median(ours);
        };
        let reference = self.rounds(scenario, reference, goal.value)?;
        median(
            ours.into_iter()
                .zip(reference)
                .map(|(ours, reference)| ours / reference)
                .collect(),
        )
    }

    fn medians(&self, scenario: &Scenario, server: &str) -> Option<Vec<Option<f64>>> {
        let columns = self
            .samples
            .get(&(scenario.name, server.to_owned()))?
            .first()?
            .len();
        Some(
            (0..columns)
                .map(|column| median(self.rounds(scenario, server, column)?))
                .collect(),
        )
    }

    /// One value in each round.
    fn rounds(&self, scenario: &Scenario, server: &str, column: usize) -> Option<Vec<f64>> {
        self.samples
            .get(&(scenario.name, server.to_owned()))?
            .iter()
            .map(|values| values[column])
            .collect()
    }

    fn has(&self, scenario: &Scenario) -> bool {
        self.samples.keys().any(|(name, _)| *name == scenario.name)
    }
}

impl Bound {
    fn reference(&self) -> Option<&'static str> {
        match self {
            Self::AtLeast(reference, ..)
            | Self::AtMost(reference, ..)
            | Self::Compared(reference) => Some(reference),
            Self::Below(..) | Self::Zero => None,
        }
    }

    fn text(&self) -> (&'static str, String, String) {
        let reference = self.reference().unwrap_or("–");
        let (first, then) = match self {
            Self::AtLeast(_, first, then) => (format!("≥ {first}"), format!("≥ {then}")),
            Self::AtMost(_, first, then) => (format!("≤ {first}"), format!("≤ {then}")),
            Self::Below(first, then) => (format!("< {first}"), format!("< {then}")),
            Self::Zero => ("0".into(), "0".into()),
            Self::Compared(_) => ("–".into(), "–".into()),
        };
        (reference, first, then)
    }

    fn mark(&self, value: f64) -> &'static str {
        let (first, then) = match *self {
            Self::AtLeast(_, first, then) => (value >= first, value >= then),
            Self::AtMost(_, first, then) => (value <= first, value <= then),
            Self::Below(first, then) => (value < first, value < then),
            Self::Zero => (value == 0.0, value == 0.0),
            Self::Compared(_) => return "",
        };
        match (first, then) {
            (_, true) => " ✓✓",
            (true, false) => " ✓",
            (false, false) => " ✗",
        }
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn figure(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{value:.decimals$}"))
}
