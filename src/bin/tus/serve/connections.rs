//! How many connections there are at a time, and how long one of them may do nothing.

use std::{num::NonZeroUsize, time::Duration};

use clap::Args;
use tracing::warn;

/// Flags of `tus serve` about connections.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct Connections {
    /// Most connections at a time; others wait [default: 10000, if files may be open for them]
    #[arg(long, env = "TUS_MAX_CONNECTIONS", value_name = "N")]
    max_connections: Option<NonZeroUsize>,

    /// Close connections whose clients do nothing for this time; 0s is never
    #[arg(
        long,
        env = "TUS_KEEP_ALIVE_TIMEOUT",
        value_name = "TIME",
        default_value = "75s"
    )]
    #[arg(value_parser = humantime::parse_duration)]
    keep_alive_timeout: Duration,
}

impl Connections {
    /// How long a client may do nothing, if that has an end.
    pub(crate) fn patience(&self) -> Option<Duration> {
        Some(self.keep_alive_timeout).filter(|patience| !patience.is_zero())
    }

    /// How many there may be at a time. Asks the system to let that many files be open.
    pub(crate) fn most(&self) -> usize {
        let wanted = self.max_connections.map_or(DEFAULT_MOST, NonZeroUsize::get);
        let Some(files) = allow_files(files_for(wanted)) else {
            return wanted;
        };
        if self.max_connections.is_some() {
            if files < files_for(wanted) {
                let hint = "LimitNOFILE= of systemd, or ulimit -n";
                warn!(
                    files,
                    hint, "too few files may be open for --max-connections"
                );
            }
            return wanted;
        }
        wanted.min(connections_with(files))
    }
}

/// How many files may be open for so many connections.
fn files_for(connections: usize) -> usize {
    let each = connections.saturating_mul(FILES_EACH);
    each.saturating_add(OTHER_FILES)
}

/// How many connections have enough with so many open files.
fn connections_with(files: usize) -> usize {
    let others = OTHER_FILES.min(files / 2);
    ((files - others) / FILES_EACH).max(1)
}

/// How many files this process may have open, once it has asked for `wanted`; `None` is any number.
#[cfg(unix)]
fn allow_files(wanted: usize) -> Option<usize> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    let current = limit.current?;
    let raised = limit
        .maximum
        .map_or(wanted as u64, |most| most.min(wanted as u64));
    let raise = || {
        let current = Some(raised);
        setrlimit(Resource::Nofile, Rlimit { current, ..limit })
    };
    let allowed = match raised > current && raise().is_ok() {
        true => raised,
        false => current,
    };
    Some(usize::try_from(allowed).unwrap_or(usize::MAX))
}

/// Elsewhere there is no such limit.
#[cfg(not(unix))]
fn allow_files(_: usize) -> Option<usize> {
    None
}

const DEFAULT_MOST: usize = 10_000;

/// The connection, and the file that it writes or reads.
const FILES_EACH: usize = 2;

/// Listeners, and what is open for the process itself: stores, hook servers, `--admin-listen`.
const OTHER_FILES: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_what_they_do_and_for_the_rest() {
        for (files, connections) in [(0, 1), (40, 10), (256, 64), (1024, 448), (20_128, 10_000)] {
            assert_eq!(connections_with(files), connections, "{files}");
        }
        assert_eq!(connections_with(files_for(10_000)), 10_000);
        assert_eq!(files_for(usize::MAX), usize::MAX);
    }
}
