//! What a command of the client runs in: a log, a runtime, and signals that end it.

use anyhow::{Context, Result};
use tokio::runtime::Builder;

use crate::{
    exit::{Exit, Stopped},
    log,
    screen::{Output, Screen},
    signals::Signals,
};

/// Runs a command that listens for signals itself.
pub(crate) fn run<F>(output: &Output, work: impl FnOnce(Screen, Signals) -> F) -> Result<Exit>
where
    F: Future<Output = Result<Exit>>,
{
    let screen = Screen::new(output);
    log::beside_bars(output, &screen)?;
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let signals = Signals::new().context("cannot listen for signals")?;
        work(screen, signals).await
    });
    // Standard input may never end, and a thread waits for it.
    runtime.shutdown_background();
    result
}

/// Runs a command that may end at any time.
pub(crate) fn run_until_signal<F>(output: &Output, work: impl FnOnce(Screen) -> F) -> Result<Exit>
where
    F: Future<Output = Result<Exit>>,
{
    run(output, |screen, mut signals| {
        let work = work(screen);
        async move {
            tokio::select! {
                done = work => done,
                signal = signals.next() => Err(Stopped(signal).into()),
            }
        }
    })
}
