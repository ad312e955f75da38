//! A stock ticker without a server: real prices, password-gated nodes, a live board. Parses, dispatches, and turns the
//! outcome into an exit code; the work is in the modules.

mod args;
mod audit;
mod board;
mod decimal;
mod demo;
mod exit;
mod mesh;
mod pace;
mod publish;
mod show;
mod source;
mod stats;
mod summary;
mod tick;
mod watch;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::exit::Failure;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        None => demo::run(&cli.demo).await,
        Some(Command::Publish(args)) => publish::run(args).await,
        Some(Command::Watch(args)) => watch::run(args).await,
    };
    let Err(failure) = outcome else {
        return ExitCode::SUCCESS;
    };
    if !matches!(failure, Failure::OutputClosed) {
        // There is nowhere left to complain if standard error is closed.
        let _ = writeln!(std::io::stderr(), "error: {failure}");
    }
    ExitCode::from(failure.code())
}
