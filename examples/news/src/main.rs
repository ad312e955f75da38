//! A news feed without a server: RSS, Atom and JSON Feed published into a mesh, and a reader. Parses, dispatches, and turns
//! the outcome into an exit code; the work is in the modules.

mod args;
mod demo;
mod desk;
mod duration;
mod exit;
mod feed;
mod files;
mod item;
mod lines;
mod mesh;
mod publish;
mod read;
mod reader;
mod say;
mod text;

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
        Some(Command::Read(args)) => read::run(args).await,
    };
    let Err(failure) = outcome else {
        return ExitCode::SUCCESS;
    };
    if !matches!(failure, Failure::OutputClosed) {
        say::say(&format!("error: {failure}"));
    }
    ExitCode::from(failure.code())
}
