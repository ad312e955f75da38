//! The command line. Parses, and decides nothing else.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use shared::MeshArgs;
use shared::network::place;

use crate::duration;
use crate::exit::{EXIT_CODES_HELP, Failure};
use crate::feed::source::Source;
use crate::mesh::{Address, PeerId};

/// Feeds are not asked more often than this.
const INTERVAL_MIN: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "\
Examples:
  news                                       the demo: feeds, a publisher and readers on this machine
  news --json                                the same; the last line is one JSON object
  news publish news.example/world --feed https://news.example/rss.xml https://other.example/atom.xml
  news publish news.example/world --feed feed.xml --once
  news read news.example/world
  news read news.example/world --search libp2p --json";

/// A news feed without a server: RSS, Atom and JSON Feed published into a mesh, and a reader.
///
/// Without a command: the demo. It serves feeds on 127.0.0.1, good and broken ones, publishes what they say, has two readers
/// and a keeper, each a node of its own, in a mesh that they find through a helper, and ends with a summary.
#[derive(Debug, Parser)]
#[command(name = "news", version, args_conflicts_with_subcommands = true)]
#[command(after_help = format!("{EXAMPLES}\n\n{EXIT_CODES_HELP}"))]
pub(crate) struct Cli {
    /// What to do instead of the demo.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Options of the demo.
    #[command(flatten)]
    pub(crate) demo: DemoArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Publish the items of feeds on a topic, each once
    ///
    /// Asks the feeds again and again, politely, and publishes what is new. An item counts as published once another member
    /// holds it; that is remembered in the data directory, also over restarts.
    #[command(after_help = format!("{EXAMPLES}\n\n{EXIT_CODES_HELP}"))]
    Publish(PublishArgs),
    /// Read a topic: a reader on a terminal, headlines in a pipe
    #[command(after_help = format!("{EXAMPLES}\n\n{EXIT_CODES_HELP}"))]
    Read(ReadArgs),
}

/// Options of the demo.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// JSON lines; the last one is the summary
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `publish`.
#[derive(Debug, Args)]
pub(crate) struct PublishArgs {
    /// Where to, who with.
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    /// Feeds: addresses of the web, or files (repeatable)
    #[arg(long, value_name = "URL|FILE", required = true, num_args = 1..)]
    pub(crate) feed: Vec<Source>,
    /// Ask each feed once, and end when a member holds every item
    #[arg(long)]
    pub(crate) once: bool,
    /// How often to ask a feed; longer if it says so itself, or fails
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_interval)]
    pub(crate) interval: Duration,
    /// With --once: how long to wait for a member that holds the items
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    pub(crate) wait_timeout: Duration,
}

/// Options of `read`.
#[derive(Debug, Args)]
pub(crate) struct ReadArgs {
    /// Where to, who with.
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    /// Begin so long ago, such as 1d
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) since: Option<Duration>,
    /// Only items with this word in feed, title or text (repeatable: with all of them)
    #[arg(long, value_name = "WORD")]
    pub(crate) search: Vec<String>,
    /// End when everything that there is was read, instead of waiting for more
    #[arg(long)]
    pub(crate) no_follow: bool,
    /// Only items of these publishers (repeatable)
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub(crate) publisher: Vec<PeerId>,
    /// End after so many items
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// JSON lines: an object an item
    #[arg(long)]
    pub(crate) json: bool,
    /// With --no-follow: how long to wait for somebody to ask
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    pub(crate) wait_timeout: Duration,
}

/// Options of every command that joins a mesh, as in `maille`.
#[derive(Debug, Args)]
pub(crate) struct CommonArgs {
    /// MESH/TOPIC, such as news.example/world; may be left out with a ticket that names a topic
    #[arg(value_name = "ADDRESS", required_unless_present = "ticket")]
    pub(crate) address: Option<Address>,
    /// How to get in.
    #[command(flatten)]
    pub(crate) mesh: MeshArgs,
    /// Where identity, and what was published or read, are kept; else in a place of its own for each ADDRESS
    #[arg(long, value_name = "D")]
    pub(crate) data_dir: Option<PathBuf>,
}

impl CommonArgs {
    /// The address that ADDRESS and `--ticket` name together.
    pub(crate) fn place(&self) -> Result<Address, Failure> {
        place(self.address.clone(), self.mesh.ticket.as_ref(), "news.example/world")
    }
}

/// A duration that is polite.
fn parse_interval(text: &str) -> Result<Duration, String> {
    match duration::parse(text)? {
        interval if interval < INTERVAL_MIN => Err("ask no more often than once a second".to_owned()),
        interval => Ok(interval),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_command_is_the_demo() {
        assert!(parse("news").unwrap().command.is_none());
        assert!(parse("news --json").unwrap().demo.json);
    }

    #[test]
    fn publish_and_read_take_their_options() {
        let line = "news publish a.example/x --feed https://a.example/1 2.xml --feed 3.xml --once --interval 1h --data-dir d --open";
        let Some(Command::Publish(args)) = parse(line).unwrap().command else {
            panic!("publish")
        };
        assert_eq!(
            (args.feed.len(), args.once, args.interval),
            (3, true, Duration::from_secs(3_600))
        );
        assert_eq!(args.common.data_dir, Some("d".into()));
        let line = "news read maille://a.example/x --since 1d --search A --search b --no-follow --json --count 3 --password-file p";
        let Some(Command::Read(args)) = parse(line).unwrap().command else {
            panic!("read")
        };
        assert_eq!(
            (args.since, args.search),
            (Some(Duration::from_secs(86_400)), vec!["A".to_owned(), "b".to_owned()])
        );
        assert!(args.no_follow && args.json && args.count == Some(3));
    }

    #[test]
    fn wrong_usage_is_code_2() {
        for line in [
            "news publish",
            "news publish a.example/x",
            "news publish a.example/x --feed",
            "news publish a.example/x --feed ftp://a.example/",
            "news publish a.example/x --feed f --interval 0s",
            "news publish a.example/x --feed f --interval often",
            "news publish a.example --feed f",
            "news read",
            "news read a.example/x --since yesterday",
            "news read a.example/x --count 0",
            "news read a.example/x --open --password-file p",
            "news --json read a.example/x",
            "news write",
        ] {
            let error = parse(line).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
        assert_eq!(parse("news --help").unwrap_err().kind(), ErrorKind::DisplayHelp);
    }
}
