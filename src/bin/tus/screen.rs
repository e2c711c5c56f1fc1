//! Where a command writes: results to standard output, everything else to standard error.

use std::io::{self, IsTerminal, Write};

use clap::Args;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use crate::terminal::Canvas;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct Output {
    /// Results as JSON, one object a line
    #[arg(long)]
    pub(crate) json: bool,

    /// Nothing on stderr but errors
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Every request on stderr
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// Cheap to clone; lines never break a bar.
#[derive(Debug, Clone)]
pub(crate) struct Screen {
    bars: MultiProgress,
    progress: Shown,
    format: Format,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    Nothing,
    /// A line now and then, for logs.
    Lines,
    /// On a terminal.
    Bars,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
}

impl Screen {
    pub(crate) fn new(output: &Output) -> Self {
        let progress = match output {
            Output { quiet: true, .. } => Shown::Nothing,
            Output { verbose: true, .. } => Shown::Lines,
            _ if io::stderr().is_terminal() => Shown::Bars,
            _ => Shown::Lines,
        };
        let target = match progress {
            Shown::Bars => ProgressDrawTarget::term_like_with_hz(Box::new(Canvas::stderr()), DRAWN),
            Shown::Nothing | Shown::Lines => ProgressDrawTarget::hidden(),
        };
        let bars = MultiProgress::with_draw_target(target);
        Self {
            bars,
            progress,
            format: if output.json {
                Format::Json
            } else {
                Format::Text
            },
        }
    }

    /// Adds a bar, above this one or below all; nothing where none are drawn.
    pub(crate) fn bar(
        &self,
        above: Option<&ProgressBar>,
        style: ProgressStyle,
    ) -> Option<ProgressBar> {
        if self.progress != Shown::Bars {
            return None;
        }
        let bar = ProgressBar::no_length();
        let bar = match above {
            Some(below) => self.bars.insert_before(below, bar),
            None => self.bars.add(bar),
        };
        bar.set_style(style);
        Some(bar)
    }

    /// Takes away what is left of the bars.
    pub(crate) fn clear(&self) {
        // A terminal that is gone shows nothing anyway.
        let _ = self.bars.clear();
    }

    pub(crate) fn progress(&self) -> Shown {
        self.progress
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// A result: text, or its JSON.
    pub(crate) fn result(
        &self,
        text: impl FnOnce() -> String,
        json: impl FnOnce() -> Value,
    ) -> io::Result<()> {
        match self.format {
            Format::Text => self.print(&text()),
            Format::Json => self.print(&json().to_string()),
        }
    }

    /// A line on standard output. Nobody reading it any more is no failure.
    pub(crate) fn print(&self, line: &str) -> io::Result<()> {
        let written = self.bars.suspend(|| {
            let mut out = io::stdout().lock();
            writeln!(out, "{line}").and_then(|()| out.flush())
        });
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written,
        }
    }

    /// Something worth knowing, on standard error.
    pub(crate) fn note(&self, line: &str) {
        if self.progress != Shown::Nothing {
            self.error(line);
        }
    }

    /// A line on standard error that is told to those who want quiet, too.
    pub(crate) fn error(&self, line: &str) {
        self.bars.suspend(|| {
            // Where nobody reads, there is nobody to tell.
            let _ = writeln!(io::stderr(), "{line}");
        });
    }
}

/// At most so often in a second.
const DRAWN: u8 = 20;

/// The log's lines between the bars.
impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bars.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
