//! The command `tus`: one file per subcommand, and what they share.

mod access;
mod address;
mod args;
mod bars;
mod completions;
mod concat;
mod connection;
mod delete;
mod doctor;
mod download;
mod exit;
mod hooks;
mod info;
mod log;
mod screen;
mod serve;
mod server;
mod session;
mod signals;
mod state;
mod storage;
mod stored;
mod terminal;
mod upload;
mod value;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::exit::{Exit, Usage, explain};

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
    /// Upload files, directories or standard input, and go on after interruptions
    Upload(Box<upload::Upload>),
    /// Download a finished upload, and go on after interruptions
    Download(download::Download),
    /// Tell where an upload stands
    Info(info::Ask),
    /// Tell what is attached to an upload
    Metadata(info::Ask),
    /// Remove uploads
    Delete(delete::Delete),
    /// Tell what a server can do
    Options(info::Ask),
    /// List the uploads that can go on
    List(stored::List),
    /// Forget such uploads; the server keeps them
    Forget(stored::Forget),
    /// Join parts into one upload
    Concat(concat::Concat),
    /// Find out what breaks uploads to a server
    Doctor(doctor::Doctor),
    /// Print completions for a shell
    Completions(completions::Completions),
}

fn main() -> ExitCode {
    // The environment's name of a flag follows from the flag's; `--help` says how, once.
    let command = Tus::command()
        .mut_subcommands(|subcommand| subcommand.mut_args(|flag| flag.hide_env(true)));
    let tus = Tus::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit());

    let result = match &tus.command {
        Command::Serve(args) => match args.check() {
            Ok(()) => serve::run(args).map(|()| Exit::Success),
            Err(reason) => Err(Usage(reason).into()),
        },
        Command::Upload(args) => upload::run(args),
        Command::Download(args) => download::run(args),
        Command::Info(args) => info::info(args),
        Command::Metadata(args) => info::metadata(args),
        Command::Delete(args) => delete::run(args),
        Command::Options(args) => info::options(args),
        Command::List(args) => stored::list(args),
        Command::Forget(args) => stored::forget(args),
        Command::Concat(args) => concat::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Completions(args) => completions::run(args, Tus::command()),
    };
    let exit = result.unwrap_or_else(|error| {
        eprintln!("error: {}", explain(&error));
        Exit::of(&error)
    });
    exit.into()
}
