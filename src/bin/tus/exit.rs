//! How a command ends: its exit code, and the one line that says why.

use std::{fmt, process::ExitCode};

use tower_tus::client::Error;

use crate::address::printable;

/// What a script can act upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Success,
    /// Whatever is none of the others: the network, the server, the disk.
    Failure,
    /// Flags or values that cannot be used, as clap's own. Nothing was sent.
    Usage,
    /// What the URL names is not there, or no longer.
    NotFound,
    /// The server refused with another 4xx, or said before that it takes no upload that large.
    Refused,
    /// By SIGINT or Ctrl-C.
    Interrupted,
    /// By SIGTERM.
    Terminated,
}

impl Exit {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Refused => 4,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// What an error that ends a command makes of it.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        if error.is::<Usage>() {
            return Self::Usage;
        }
        if let Some(signal) = error.downcast_ref::<Stopped>() {
            return signal.exit();
        }
        if error.is::<NotFound>() {
            return Self::NotFound;
        }
        error
            .downcast_ref::<Error>()
            .map_or(Self::Failure, |error| {
                let refused = error
                    .status()
                    .is_some_and(|status| status.is_client_error());
                match () {
                    () if error.is_not_found() => Self::NotFound,
                    () if error.is_setting() => Self::Usage,
                    () if refused || error.is_too_large() => Self::Refused,
                    () => Self::Failure,
                }
            })
    }

    /// Of several: what they have in common.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Success, exit) | (exit, Self::Success) => exit,
            (one, other) if one == other => one,
            (signal @ (Self::Interrupted | Self::Terminated), _)
            | (_, signal @ (Self::Interrupted | Self::Terminated)) => signal,
            _ => Self::Failure,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// A flag or a value that cannot be used, and why.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Nothing of this name is there.
#[derive(Debug)]
pub(crate) struct NotFound(pub(crate) String);

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotFound {}

/// The signal that ended a command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopped(pub(crate) &'static str);

impl Stopped {
    pub(crate) fn exit(self) -> Exit {
        match self.0 {
            "SIGTERM" => Exit::Terminated,
            _ => Exit::Interrupted,
        }
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stopped by {}", self.0)
    }
}

impl std::error::Error for Stopped {}

/// One line, fit for a terminal. Some errors tell their causes themselves, and what a store answers may be long.
pub(crate) fn explain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    for cause in anyhow::Chain::new(error).map(ToString::to_string) {
        if !text.contains(&cause) {
            let colon = if text.is_empty() { "" } else { ": " };
            text = text + colon + &cause;
        }
    }
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let line = printable(&lines.join(" "));
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// The longest reason that is told, in characters.
const LONGEST: usize = 800;

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_reason_is_one_line_and_says_nothing_twice() {
        let error = anyhow!("403\n  <b/>\n")
            .context("sending: 403\n  <b/>\n")
            .context("cannot");
        assert_eq!(explain(error.as_ref()), "cannot: sending: 403 <b/>");
        assert_eq!(
            explain(anyhow!("cannot read a\x1b[31m").as_ref()),
            "cannot read a\u{fffd}[31m"
        );
        let long = explain(anyhow!("é".repeat(2 * LONGEST)).as_ref());
        assert_eq!(long.chars().count(), LONGEST + 1);
    }

    #[test]
    fn several_ends_are_what_they_have_in_common() {
        use Exit::{Failure, Interrupted, NotFound, Refused, Success};
        assert_eq!(Success.and(NotFound), NotFound);
        assert_eq!(NotFound.and(NotFound), NotFound);
        assert_eq!(NotFound.and(Refused), Failure);
        assert_eq!(Refused.and(Interrupted), Interrupted);
    }

    #[test]
    fn what_ends_a_command_has_a_code_behind_any_context() {
        let usage = anyhow::Error::from(Usage("no".into())).context("upload");
        assert_eq!(Exit::of(&usage), Exit::Usage);
        let stopped = anyhow::Error::from(Stopped("SIGTERM"));
        assert_eq!(Exit::of(&stopped).code(), 143);
        assert_eq!(Exit::of(&anyhow!("else")), Exit::Failure);
    }
}
