//! A party planner without a server: guests, to-dos, notes, photos and files, shared by a small group, offline too. Parses,
//! dispatches, and turns the outcome into an exit code.

mod app;
mod args;
mod demo;
mod group;
mod home;
mod invite;
mod lan;
mod photo;
mod plan;
mod save;
mod start;
mod web;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use shared::Failure;

use crate::args::{Cli, Command, DemoArgs, StartArgs};

#[tokio::main]
async fn main() -> ExitCode {
    let command = Cli::parse().command.unwrap_or_else(|| {
        // Somebody who builds it wants to see it at work; somebody who has it, to use it.
        match std::env::var_os("CARGO") {
            Some(_) => Command::Demo(DemoArgs::parse_from(["demo"])),
            None => Command::Start(StartArgs::default()),
        }
    });
    let outcome = match command {
        Command::Start(args) => start::start(args).await,
        Command::Join(args) => start::join(args).await,
        Command::Demo(args) => demo::run(&args).await,
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
