//! The command `tus`: one file per subcommand, and what they share.

mod access;
mod args;
mod log;
mod serve;
mod server;
mod signals;
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
    /// Receive uploads and keep them as files
    Serve(Box<args::Serve>),
}

fn main() -> ExitCode {
    // The environment's name of a flag follows from the flag's; `--help` says how, once.
    let command = Tus::command()
        .mut_subcommands(|subcommand| subcommand.mut_args(|flag| flag.hide_env(true)));
    let tus = Tus::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit());

    let result = match tus.command {
        Command::Serve(args) => serve::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
