//! Compute without a master: workers decide by themselves who does what, take over from the failed, and vote on results. Parses,
//! dispatches, and turns the outcome into an exit code; the work is in the modules.

mod args;
mod demo;
mod inputs;
mod job;
#[cfg(test)]
mod kmers_tests;
mod mesh;
mod money;
mod outcome;
mod plan;
mod report;
mod run;
mod sandbox;
mod submit;
mod watch;
mod work;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use shared::Failure;

use crate::args::{Cli, Command};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        None => demo::run(&cli.demo).await,
        Some(Command::Work(args)) => work::run(args).await,
        Some(Command::Submit(args)) => submit::run(args).await,
        Some(Command::Status(args)) => report::status(args).await,
        Some(Command::Result(args)) => report::result(args).await,
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
