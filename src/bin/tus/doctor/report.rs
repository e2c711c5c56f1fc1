//! What was found, line by line.

use anyhow::Result;
use serde_json::json;

use crate::{address::printable, exit::Exit, screen::Screen};

pub(super) struct Report {
    screen: Screen,
    warnings: usize,
    failures: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Ok,
    Warn,
    Fail,
}

impl Report {
    pub(super) fn new(screen: Screen) -> Self {
        Self {
            screen,
            warnings: 0,
            failures: 0,
        }
    }

    pub(super) fn ok(&mut self, check: &str, message: &str) -> Result<()> {
        self.add(Status::Ok, check, message, None)
    }

    /// Uploads work, but not for everybody or not at their best.
    pub(super) fn warn(&mut self, check: &str, message: &str, advice: &str) -> Result<()> {
        self.warnings += 1;
        self.add(Status::Warn, check, message, Some(advice))
    }

    /// Uploads break.
    pub(super) fn fail(&mut self, check: &str, message: &str, advice: &str) -> Result<()> {
        self.failures += 1;
        self.add(Status::Fail, check, message, Some(advice))
    }

    pub(super) fn conclude(self) -> Result<Exit> {
        let Self {
            screen,
            warnings,
            failures,
        } = self;
        screen.note(&format!(
            "{} failed, {} to look at",
            count(failures, "check"),
            count(warnings, "warning")
        ));
        Ok(match failures {
            0 => Exit::Success,
            _ => Exit::Failure,
        })
    }

    fn add(&self, status: Status, check: &str, message: &str, advice: Option<&str>) -> Result<()> {
        let message = printable(message);
        self.screen.result(
            || {
                let mut text = format!("{:4}  {check:11}  {message}", status.word());
                if let Some(advice) = advice {
                    text += &format!("\n{:19}→ {advice}", "");
                }
                text
            },
            || {
                json!({
                    "check": check,
                    "status": status.word().to_lowercase(),
                    "message": message,
                    "advice": advice,
                })
            },
        )?;
        Ok(())
    }
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

fn count(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    }
}
