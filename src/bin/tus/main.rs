//! The command `tus`: one file per subcommand, and what they share.

mod access;
mod args;
mod log;
mod serve;
mod server;
mod signals;
mod storage;
mod value;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// Resumable uploads over HTTP (tus 1.0.0).
#[derive(Debug, Parser)]
#[command(
    name = "tus",
    version,
    arg_required_else_help = true,
    max_term_width = 110
)]
struct Tus {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Receive uploads and keep them in a directory or a bucket
    Serve(Box<args::Serve>),
}

fn main() -> ExitCode {
    // The environment's name of a flag follows from the flag's; `--help` says how, once.
    let command = Tus::command()
        .mut_subcommands(|subcommand| subcommand.mut_args(|flag| flag.hide_env(true)));
    let tus = Tus::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit());

    match tus.command {
        Command::Serve(args) => match args.check() {
            Ok(()) => conclude(serve::run(&args)),
            Err(reason) => {
                eprintln!("error: {reason}");
                ExitCode::from(USAGE)
            }
        },
    }
}

fn conclude(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", explain(&error));
            ExitCode::FAILURE
        }
    }
}

/// One line. Some errors tell their causes themselves, and what a store answers may be long.
fn explain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !text.contains(&cause) {
            let colon = if text.is_empty() { "" } else { ": " };
            text = text + colon + &cause;
        }
    }
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let line = lines.join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// The longest reason that is told, in characters.
const LONGEST: usize = 800;

/// What clap ends with, too.
const USAGE: u8 = 2;

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_reason_is_one_line_and_says_nothing_twice() {
        let error = anyhow!("403\n  <b/>\n")
            .context("sending: 403\n  <b/>\n")
            .context("cannot");
        assert_eq!(explain(&error), "cannot: sending: 403 <b/>");
        let long = explain(&anyhow!("é".repeat(2 * LONGEST)));
        assert_eq!(long.chars().count(), LONGEST + 1);
    }
}
