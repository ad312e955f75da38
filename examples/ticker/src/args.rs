//! The command line. Parses, and decides nothing else.

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use shared::MeshArgs;
use shared::network::place;

use crate::exit::{EXIT_CODES_HELP, Failure};
use crate::mesh::{Address, PeerId};
use crate::pace::Speed;
use crate::source::columns::Columns;

/// What the demo replays unless told otherwise: the newest 160 days of five symbols, three ticks each: 8 s at speed 1.
const DEMO_TICKS: u64 = 2_400;
/// Nodes that one process may start for the demo.
const SUBSCRIBERS_MAX: u64 = 200;

const EXAMPLES: &str = "\
Examples:
  ticker                                    the demo: real prices between nodes of this machine
  ticker --speed max --ticks 20000 --json   as fast as it goes; the last line is one JSON object
  ticker publish market.example/equities/us
  ticker watch market.example/equities/us --symbols AAPL,IBM
  zcat ticks.csv.gz | ticker publish market.example/coins --file -
  ticker publish weather.example/oslo --file oslo.jsonl --time when --key station --value /main/temp";

/// A stock ticker without a server.
///
/// Without a command: the demo. It starts a publisher, three subscribers and a stranger with a wrong password, each a node
/// of its own on 127.0.0.1, in a mesh that they find through Kademlia, replays real stock prices, and ends with a summary.
#[derive(Debug, Parser)]
#[command(name = "ticker", version, args_conflicts_with_subcommands = true)]
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
    /// Publish prices, or any other readings, on a topic
    ///
    /// Waits until somebody is subscribed, and ends when everything is acknowledged. Without --file it replays the stock
    /// prices that come with the program.
    #[command(after_help = format!(
        "Known layouts, told apart by their first line, gzipped or plain:\n  date,symbol,open,high,low,close,…\n  \
         ts_ns,symbol,kind,bid,bid_size,ask,ask_size,price,size\n\
         Any other CSV, and JSON lines: --time, --key and --value name the columns.\n\n{EXAMPLES}\n\n{EXIT_CODES_HELP}"
    ))]
    Publish(PublishArgs),
    /// Watch a topic: a live board on a terminal, lines in a pipe
    #[command(after_help = format!("{EXAMPLES}\n\n{EXIT_CODES_HELP}"))]
    Watch(WatchArgs),
}

/// Options of the demo.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Pace: 1 is twenty trading days a second, N is N times that, `max` is as fast as it goes
    #[arg(long, value_name = "1|N|max", default_value = "1")]
    pub(crate) speed: Speed,
    /// How many ticks to replay: the newest ones of the file
    #[arg(long, value_name = "N", default_value_t = DEMO_TICKS, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) ticks: u64,
    /// How many subscribers, each a node of its own
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=SUBSCRIBERS_MAX))]
    pub(crate) subscribers: u64,
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
    /// The file to replay; `-` is standard input
    #[arg(long, value_name = "F|-")]
    pub(crate) file: Option<String>,
    /// Column, JSON member or JSON pointer of the time
    #[arg(long, value_name = "COL", requires_all = ["key", "value", "file"])]
    time: Option<String>,
    /// Column of what the reading is about: the symbol, team, station
    #[arg(long, value_name = "COL", requires_all = ["time", "value", "file"])]
    key: Option<String>,
    /// Column of the number
    #[arg(long, value_name = "COL", requires_all = ["time", "key", "file"])]
    value: Option<String>,
    /// Count bad rows and go on, instead of stopping at the first
    #[arg(long)]
    pub(crate) skip_bad: bool,
    /// Pace: 1 is market time (daily files: twenty days a second), N is N times that, `max` is as fast as it goes
    #[arg(long, value_name = "1|N|max", default_value = "1")]
    pub(crate) speed: Speed,
    /// Wait until so many members are subscribed; 0 does not wait
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(0..=8))]
    pub(crate) wait_for: u16,
    /// How long to wait for them
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub(crate) wait_timeout: Duration,
}

impl PublishArgs {
    /// The named columns, if any; clap sees to it that all three are there or none.
    pub(crate) fn columns(&self) -> Option<Columns> {
        Some(Columns {
            time: self.time.clone()?,
            key: self.key.clone()?,
            value: self.value.clone()?,
        })
    }
}

/// Options of `watch`.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// Where to, who with.
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    /// Only these symbols
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub(crate) symbols: Vec<String>,
    /// Only ticks of these authors (repeatable)
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub(crate) publisher: Vec<PeerId>,
    /// Where to begin: with the newest tick of each symbol that any member still holds, with all that are held, or with the
    /// next one
    #[arg(long, value_name = "WHERE", value_enum, default_value_t = Beginning::Latest)]
    pub(crate) from: Beginning,
    /// End after so many ticks
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// End with code 4 if no tick comes for so long
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) timeout: Option<Duration>,
}

/// Where `watch` begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Beginning {
    Latest,
    All,
    Now,
}

/// Options of every command that joins a mesh, as in `maille`.
#[derive(Debug, Args)]
pub(crate) struct CommonArgs {
    /// MESH/TOPIC, such as market.example/equities/us; may be left out with a ticket that names a topic
    #[arg(value_name = "ADDRESS", required_unless_present = "ticket")]
    pub(crate) address: Option<Address>,
    /// How to get in.
    #[command(flatten)]
    pub(crate) mesh: MeshArgs,
    /// JSON lines
    #[arg(long)]
    pub(crate) json: bool,
}

impl CommonArgs {
    /// The address that ADDRESS and `--ticket` name together.
    pub(crate) fn place(&self) -> Result<Address, Failure> {
        place(
            self.address.clone(),
            self.mesh.ticket.as_ref(),
            "market.example/equities/us",
        )
    }
}

/// `30s`, `500ms`, `2m`, or a plain number of seconds.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text
        .bytes()
        .take_while(|byte| byte.is_ascii_digit() || *byte == b'.')
        .count();
    let (number, unit) = text.split_at(digits);
    let unit_s = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err("give a duration such as 500ms, 30s or 2m".to_owned()),
    };
    let seconds: f64 = number
        .parse()
        .map_err(|_| "give a duration such as 500ms, 30s or 2m".to_owned())?;
    Duration::try_from_secs_f64(seconds * unit_s).map_err(|_| "too long a duration".to_owned())
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
        let cli = parse("ticker").unwrap();
        assert!(cli.command.is_none());
        assert_eq!(
            (cli.demo.speed, cli.demo.ticks, cli.demo.subscribers, cli.demo.json),
            (Speed::Times(1.0), 2_400, 3, false)
        );
        let cli = parse("ticker --speed max --ticks 20000 --subscribers 16 --json").unwrap();
        assert_eq!(
            (cli.demo.speed, cli.demo.ticks, cli.demo.subscribers, cli.demo.json),
            (Speed::Max, 20_000, 16, true)
        );
    }

    #[test]
    fn publish_and_watch_take_their_options() {
        let line = "ticker publish market.example/equities/us --file - --time t --key k --value v --skip-bad --speed 10 \
                    --no-mdns --password-file p --wait-for 3 --wait-timeout 500ms";
        let Some(Command::Publish(args)) = parse(line).unwrap().command else {
            panic!("publish")
        };
        let columns = Columns {
            time: "t".to_owned(),
            key: "k".to_owned(),
            value: "v".to_owned(),
        };
        assert_eq!(
            (args.columns(), args.file.as_deref(), args.skip_bad),
            (Some(columns), Some("-"), true)
        );
        assert_eq!(
            (args.speed, args.wait_for, args.wait_timeout),
            (Speed::Times(10.0), 3, Duration::from_millis(500))
        );
        assert!(args.common.mesh.no_mdns && !args.common.mesh.open);
        let line = "ticker watch maille://market.example/equities/us --symbols AAPL,IBM --json --open --count 5";
        let Some(Command::Watch(args)) = parse(line).unwrap().command else {
            panic!("watch")
        };
        assert_eq!(args.symbols, ["AAPL", "IBM"]);
        assert!(args.common.json && args.common.mesh.open && args.publisher.is_empty());
    }

    #[test]
    fn wrong_usage_is_code_2() {
        for line in [
            "ticker --speed 0",
            "ticker --ticks 0",
            "ticker --subscribers 0",
            "ticker --subscribers 201",
            "ticker publish",
            "ticker watch",
            "ticker publish a.example/x --time t",
            "ticker publish a.example/x --time t --key k --value v",
            "ticker publish a.example/x --wait-timeout soon",
            "ticker watch a.example/x --open --password-file f",
            "ticker --json publish a.example/x",
            "ticker sell a.example/x",
        ] {
            assert_eq!(parse(line).map(|_| ()).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn help_documents_exit_codes_and_examples() {
        for line in ["ticker --help", "ticker publish --help", "ticker watch --help"] {
            let error = parse(line).map(|_| ()).unwrap_err();
            let help = error.to_string();
            assert_eq!((error.kind(), error.exit_code()), (ErrorKind::DisplayHelp, 0));
            assert!(
                help.contains("Exit codes:\n  0    done") && help.contains("Examples:\n  ticker "),
                "{help}"
            );
        }
    }

    #[test]
    fn durations_parse() {
        assert_eq!(parse_duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("1.5"), Ok(Duration::from_millis(1_500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        for text in ["", "s", "-1s", "1d", "1e400s", "99999999999999999999999999999h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
