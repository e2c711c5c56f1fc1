//! Several uploads, some at a time, until they are done or a signal comes.

use std::{collections::VecDeque, sync::Arc};

use anyhow::Result;
use tokio::task::JoinSet;

use super::{
    items::Item,
    transfer::{Ended, Plan, Stop},
};
use crate::{
    bars::{Watch, Whole},
    exit::{Exit, Stopped},
    screen::{Format, Screen},
    signals::Signals,
};

pub(super) struct Queue {
    pub(super) plan: Plan,
    /// At the same time.
    pub(super) jobs: usize,
    pub(super) screen: Screen,
    pub(super) signals: Signals,
}

impl Queue {
    /// Uploads everything. One that fails does not end the others.
    pub(super) async fn run(self, items: Vec<Item>) -> Result<Exit> {
        let Self {
            plan,
            jobs,
            screen,
            mut signals,
        } = self;
        let plan = Arc::new(plan);
        let bytes = items.iter().filter_map(|item| item.size).sum();
        let whole = Whole::new(&screen, items.len(), bytes);
        let stop = Arc::new(Stop::default());
        let mut waiting: VecDeque<_> = items.into_iter().enumerate().collect();
        let mut running = JoinSet::new();
        let mut results = Results::new(&screen);
        let mut stopped = None;
        loop {
            while running.len() < jobs
                && stopped.is_none()
                && let Some((at, item)) = waiting.pop_front()
            {
                let (plan, screen, stop) = (plan.clone(), screen.clone(), stop.clone());
                let watch = Watch::new(&screen, &item.shown, whole.as_ref());
                running.spawn(async move {
                    let ended = plan.transfer(item, watch, &screen, &stop).await;
                    (at, ended)
                });
            }
            tokio::select! {
                biased;
                signal = signals.next() => {
                    if stopped.is_some() {
                        return Err(Stopped(signal).into());
                    }
                    screen.note(&format!("{signal}: stopping; once more ends at once"));
                    stopped = Some(Stopped(signal));
                    stop.by(Stopped(signal));
                }
                ended = running.join_next() => match ended {
                    Some(Ok((at, ended))) => results.add(at, ended)?,
                    Some(Err(lost)) => std::panic::resume_unwind(lost.into_panic()),
                    None => break,
                },
            }
        }
        if let Some(whole) = whole {
            whole.clear();
        }
        screen.clear();
        results.flush()?;
        if !waiting.is_empty() {
            screen.note(&format!("{} files were not begun", waiting.len()));
        }
        Ok(exit(results.exit, stopped, waiting.len()))
    }
}

/// Whoever was stopped has said so; a signal after the last byte stops nothing.
fn exit(ended: Exit, stopped: Option<Stopped>, waiting: usize) -> Exit {
    match stopped {
        Some(stopped) if waiting > 0 => ended.and(stopped.exit()),
        _ => ended,
    }
}

/// Results in the order of the files, whichever is done first.
struct Results<'s> {
    screen: &'s Screen,
    next: usize,
    early: Vec<(usize, Ended)>,
    exit: Exit,
}

impl<'s> Results<'s> {
    fn new(screen: &'s Screen) -> Self {
        Self {
            screen,
            next: 0,
            early: Vec::new(),
            exit: Exit::Success,
        }
    }

    fn add(&mut self, at: usize, ended: Ended) -> Result<()> {
        ended.tell(self.screen);
        self.exit = self.exit.and(ended.exit());
        self.early.push((at, ended));
        while let Some(found) = self.early.iter().position(|(at, _)| *at == self.next) {
            let (_, ended) = self.early.swap_remove(found);
            self.print(&ended)?;
            self.next += 1;
        }
        Ok(())
    }

    /// What is left when those before it were never begun.
    fn flush(&mut self) -> Result<()> {
        self.early.sort_by_key(|(at, _)| *at);
        for (_, ended) in std::mem::take(&mut self.early) {
            self.print(&ended)?;
        }
        Ok(())
    }

    fn print(&self, ended: &Ended) -> Result<()> {
        match (self.screen.format(), ended.text()) {
            (Format::Json, _) => self.screen.print(&ended.json().to_string())?,
            (Format::Text, Some(url)) => self.screen.print(&url)?,
            (Format::Text, None) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_stops_nothing_is_no_interruption() {
        let signal = Some(Stopped("SIGINT"));
        assert_eq!(exit(Exit::Success, signal, 0), Exit::Success);
        assert_eq!(exit(Exit::Refused, signal, 0), Exit::Refused);
        assert_eq!(exit(Exit::Interrupted, signal, 0), Exit::Interrupted);
        assert_eq!(exit(Exit::Success, signal, 2), Exit::Interrupted);
        assert_eq!(exit(Exit::Refused, signal, 2), Exit::Interrupted);
        assert_eq!(exit(Exit::NotFound, None, 0), Exit::NotFound);
    }
}
