//! Light cycles in the terminal for up to eight players, without a server. Parses, dispatches, and turns the outcome into an
//! exit code.

mod args;
mod chat;
mod demo;
mod face;
mod lobby;
mod record;
mod room;
mod rooms;
mod rules;
mod screen;
mod session;
mod start;
mod watch_file;
mod words;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use shared::Failure;

use crate::args::{Cli, Command};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        None => demo::run(&cli.demo).await,
        Some(Command::Demo(args)) => demo::run(&args).await,
        Some(Command::Host(args)) => start::host(args).await,
        Some(Command::Join(args)) => start::join(args, false).await,
        Some(Command::Watch(args)) => start::join(args, true).await,
        Some(Command::Rooms(args)) => rooms::run(args).await,
        Some(Command::Replay(args)) => watch_file::run(&args).await,
    };
    let Err(failure) = outcome else {
        return ExitCode::SUCCESS;
    };
    if !matches!(failure, Failure::OutputClosed) {
        // Standard error may be closed, too.
        let _ = writeln!(std::io::stderr(), "error: {failure}");
    }
    ExitCode::from(failure.code())
}
