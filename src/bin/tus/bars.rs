//! Progress of a transfer: a bar on a terminal, else a line now and then.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{BinaryBytes, HumanDuration, ProgressBar, ProgressStyle};
use tower_tus::client::Progress;

use crate::{
    address::printable,
    screen::{Screen, Shown},
};

/// One transfer, watched. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Watch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    screen: Screen,
    name: String,
    bar: Option<ProgressBar>,
    whole: Option<Whole>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    last: Progress,
    told: Instant,
    /// The bar knows how long it is.
    length: Length,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Untold,
    Told,
}

/// All transfers together.
#[derive(Debug, Clone)]
pub(crate) struct Whole(ProgressBar);

impl Whole {
    /// A bar below the others, of so many files and bytes.
    pub(crate) fn new(screen: &Screen, files: usize, bytes: u64) -> Option<Self> {
        if files < 2 {
            return None;
        }
        let style =
            "{prefix:.bold} {wide_bar} {percent:>3}% {binary_bytes} of {binary_total_bytes}";
        let bar = screen.bar(None, self::style(style))?;
        bar.set_length(bytes.max(1));
        bar.set_prefix(pad(&format!("{files} files")));
        bar.tick();
        Some(Self(bar))
    }

    pub(crate) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

impl Watch {
    pub(crate) fn new(screen: &Screen, name: &str, whole: Option<&Whole>) -> Self {
        let name = printable(name);
        let bar = screen.bar(
            whole.map(|Whole(bar)| bar),
            style("{prefix} {spinner} {msg}"),
        );
        if let Some(bar) = &bar {
            bar.set_prefix(pad(&name));
            bar.tick();
        }
        Self(Arc::new(Inner {
            screen: screen.clone(),
            name,
            bar,
            whole: whole.cloned(),
            state: Mutex::new(State {
                last: Progress::default(),
                told: Instant::now(),
                length: Length::Untold,
            }),
        }))
    }

    pub(crate) fn update(&self, progress: &Progress) {
        let Self(inner) = self;
        let mut state = inner.state();
        if let Some(Whole(bar)) = &inner.whole {
            match progress.sent.checked_sub(state.last.sent) {
                Some(more) => bar.inc(more),
                // Some have to be sent again.
                None => bar.dec(state.last.sent - progress.sent),
            }
        }
        state.last = *progress;
        match &inner.bar {
            Some(bar) => {
                if let (Some(total), Length::Untold) = (progress.total, state.length) {
                    bar.set_length(total);
                    bar.set_style(style("{prefix} {wide_bar} {percent:>3}% {msg}"));
                    state.length = Length::Told;
                }
                bar.set_position(progress.sent);
                bar.set_message(figures(progress));
            }
            None if inner.screen.progress() == Shown::Lines && state.told.elapsed() >= EVERY => {
                state.told = Instant::now();
                let line = format!("{}: {}", inner.name, line(progress));
                inner.screen.note(&line);
            }
            None => {}
        }
    }

    /// What was told last.
    pub(crate) fn last(&self) -> Progress {
        self.0.state().last
    }

    /// The bar goes; a line may take its place.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.0.bar {
            bar.finish_and_clear();
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A size for people.
pub(crate) fn bytes(count: u64) -> String {
    match count {
        0..1024 => format!("{count} B"),
        _ => BinaryBytes(count).to_string(),
    }
}

/// Bytes, rate and the time that is left.
fn figures(progress: &Progress) -> String {
    let mut text = bytes(progress.sent);
    if let Some(total) = progress.total {
        text = format!("{text} of {}", bytes(total));
    }
    if progress.rate >= 1.0 {
        text += &format!(", {}/s", bytes(progress.rate as u64));
    }
    if let Some(eta) = progress.eta
        && eta >= Duration::from_secs(1)
    {
        text += &format!(", {:#} left", HumanDuration(eta));
    }
    text
}

fn line(progress: &Progress) -> String {
    match progress.total {
        Some(_) => format!("{:.0}%, {}", 100.0 * progress.fraction(), figures(progress)),
        None => figures(progress),
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the templates are ours, and a test reads them")
        .progress_chars("━╸─")
}

/// Names of one width, so that bars stand below each other.
fn pad(name: &str) -> String {
    let count = name.chars().count();
    if count <= NAME {
        return format!("{name:NAME$}");
    }
    // Names of a directory differ at their ends.
    let tail: String = name.chars().skip(count - (NAME - 1)).collect();
    format!("…{tail}")
}

const NAME: usize = 24;

/// Between two lines about one transfer.
const EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_tell_what_is_known() {
        assert_eq!(bytes(1000), "1000 B");
        assert_eq!(bytes(3 << 19), "1.50 MiB");
        assert_eq!(line(&Progress::default()), "0 B");
    }

    #[test]
    fn names_have_one_width() {
        for name in [
            "a",
            "exactly-24-characters-xx",
            "a/very/long/path/with-a-name.mp4",
            "ééé",
        ] {
            assert_eq!(pad(name).chars().count(), NAME, "{name}");
        }
        assert!(pad("a/very/long/path/with-a-name.mp4").ends_with("with-a-name.mp4"));
    }
}
