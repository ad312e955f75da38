//! The command line: one file a subcommand, and what they share. No logic of meshes, only of talking to people.

mod asking;
mod common;
mod completions;
mod durable;
mod events;
mod execute;
mod exit;
mod fetch;
mod id;
mod keep;
mod keys;
mod lines;
mod man;
mod members;
mod node;
mod output;
mod parse;
mod passphrase;
mod password;
mod patience;
mod place;
mod publish;
mod receipts;
mod reply;
mod request;
mod share;
mod signals;
mod start;
mod subscribe;
mod table;
mod ticket;
mod topics;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use self::exit::{EXIT_CODES_HELP, Failure};
use self::signals::Stop;

/// The variable that says what is logged to standard error.
const LOG_VARIABLE: &str = "MAILLE_LOG";

/// What is logged unless told otherwise. libp2p warns of what is usual here: a node that begins alone knows
/// nobody, and a peer that ends cuts its connections.
const LOG_DEFAULT: &str = "warn,libp2p_kad=error,libp2p_gossipsub=error,libp2p_mdns=error,yamux=error";

/// How long tasks may take to end once the command is done.
const RUNTIME_TIMEOUT: Duration = Duration::from_secs(1);

const ABOUT: &str = "\
Publish and subscribe without a server: name a mesh, share its password, publish.

An ADDRESS is a mesh and a topic in it, such as market.example/equities/us. Two terminals on one machine, or on one local \
network, meet by themselves; elsewhere both begin with the same --bootstrap peer, a `maille node`, or with a ticket.";

const ENVIRONMENT_HELP: &str = "\
Environment:
  MAILLE_PASSWORD  the mesh's password, if there is no --password-file
  MAILLE_RUN_DIR   where the nodes of one user on one machine find each other, if not in the runtime directory
  MAILLE_LOG       what to log on standard error, such as `info` or `maille=debug` [default: warn]

Examples:
  In one terminal, then in another, with the same password:
    maille sub chat.example/room
    echo hello | maille pub chat.example/room";

/// Publish and subscribe without a server
#[derive(Debug, Parser)]
#[command(name = "maille", version, about, long_about = ABOUT, after_help = format!("{ENVIRONMENT_HELP}\n\n{EXIT_CODES_HELP}"))]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Node(Box<node::NodeArgs>),
    Pub(Box<publish::PubArgs>),
    Sub(Box<subscribe::SubArgs>),
    Keep(Box<keep::KeepArgs>),
    Topics(Box<topics::TopicsArgs>),
    Request(Box<request::RequestArgs>),
    Reply(Box<reply::ReplyArgs>),
    Members(Box<members::MembersArgs>),
    Share(Box<share::ShareArgs>),
    Fetch(Box<fetch::FetchArgs>),
    Ticket(Box<ticket::TicketArgs>),
    Passphrase(passphrase::PassphraseArgs),
    Id(id::IdArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// Does what the arguments say, and tells how it ended.
pub(crate) fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(parse::spread_values(arguments)) {
        Ok(cli) => cli,
        Err(error) => return usage_error(error),
    };
    exit::report(init_tracing().and_then(|()| start(cli.command)))
}

/// The definition of the command line, for completions and manual pages.
fn command() -> clap::Command {
    Cli::command()
}

fn start(command: Command) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::other(format!("cannot start: {error}")))?;
    let outcome = runtime.block_on(dispatch(command));
    // A thread may still wait for standard input, and the process need not.
    runtime.shutdown_timeout(RUNTIME_TIMEOUT);
    outcome
}

async fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Passphrase(args) => passphrase::run(&args),
        Command::Completions(args) => completions::run(&args, self::command()),
        Command::Man(args) => man::run(&args, self::command()),
        Command::Ticket(args) => ticket::run(*args),
        Command::Id(args) => id::run(&args),
        Command::Node(args) => node::run(*args, Stop::install()?).await,
        Command::Pub(args) => publish::run(*args, Stop::install()?).await,
        Command::Sub(args) => subscribe::run(*args, Stop::install()?).await,
        Command::Keep(args) => keep::run(*args, Stop::install()?).await,
        Command::Topics(args) => topics::run(*args, Stop::install()?).await,
        Command::Request(args) => request::run(*args, Stop::install()?).await,
        Command::Reply(args) => reply::run(*args, Stop::install()?).await,
        Command::Members(args) => members::run(*args, Stop::install()?).await,
        Command::Share(args) => share::run(*args, Stop::install()?).await,
        Command::Fetch(args) => fetch::run(*args, Stop::install()?).await,
    }
}

/// Logs go to standard error. No secret is ever logged, at any level.
fn init_tracing() -> Result<(), Failure> {
    let filter = match std::env::var(LOG_VARIABLE) {
        Ok(text) => EnvFilter::try_new(&text)
            .map_err(|error| Failure::Usage(format!("the variable {LOG_VARIABLE} is not a log filter: {error}")))?,
        Err(_) => EnvFilter::new(LOG_DEFAULT),
    };
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(std::io::stderr)
        .init();
    Ok(())
}

/// Prints what clap found wrong, or the help that was asked for. Control characters of the arguments do not reach the terminal.
fn usage_error(mut error: clap::Error) -> ExitCode {
    for kind in [
        ContextKind::InvalidValue,
        ContextKind::InvalidArg,
        ContextKind::InvalidSubcommand,
    ] {
        if let Some(ContextValue::String(value)) = error.get(kind) {
            let clean = exit::printable(value);
            error.insert(kind, ContextValue::String(clean));
        }
    }
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_command_explains_itself_with_examples() {
        for subcommand in command().get_subcommands() {
            let name = subcommand.get_name();
            assert!(subcommand.get_about().is_some(), "{name}");
            let help = subcommand.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.starts_with("Examples:\n"), "{name}: {help:?}");
        }
        let help = command().render_long_help().to_string();
        for code in ["0  ", "1  ", "2  ", "3  ", "4  ", "5  ", "6  ", "130  "] {
            assert!(
                help.contains(&format!("\n  {code}")),
                "exit code {code} is missing in {help}"
            );
        }
    }

    #[test]
    fn passwords_are_not_arguments() {
        for subcommand in command().get_subcommands() {
            assert!(
                subcommand
                    .get_arguments()
                    .all(|argument| argument.get_id() != "password")
            );
        }
    }
}
