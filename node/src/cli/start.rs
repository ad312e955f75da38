//! Where `maille sub` begins and whether it ends: its options. Not how the past is fetched.

use std::time::{Duration, SystemTime};

use clap::{ArgGroup, Args, ValueEnum};
use maille::{Delivery, Position, Start};

use super::durable::DurableName;
use super::exit::Failure;
use super::parse;

/// Options about the past of a topic.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "History")]
#[command(group = ArgGroup::new("start").args(["last", "since", "all", "latest", "after"]))]
pub(crate) struct StartOptions {
    /// Begin with the newest N records of the topic, by the time they were sent
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(Start::LAST_MAX)))]
    last: Option<u32>,
    /// Begin with what was sent this long ago: 90s, 1h, 7d
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    since: Option<Duration>,
    /// Begin with the oldest record that any member holds
    #[arg(long)]
    all: bool,
    /// Begin with the newest record of each publisher and key
    #[arg(long)]
    latest: bool,
    /// Begin after a position: for each publisher, PUBLISHER/INCARNATION/SEQUENCE of the record that comes next, with commas
    #[arg(long, value_name = "POSITION")]
    after: Option<Position>,
    /// Keep the position under this name in --data-dir, and begin there next time; the first time, where the others say
    #[arg(long, value_name = "NAME", requires = "data_dir")]
    pub(crate) durable: Option<DurableName>,
    /// Go on with what is published from now on; so it is without --no-follow
    #[arg(long, overrides_with = "no_follow")]
    follow: bool,
    /// End once everything that was there is printed
    #[arg(long, overrides_with = "follow")]
    no_follow: bool,
    /// What is printed, and when: each publisher's records in order, with gaps repaired or reported; only the newest record of
    /// each key, when output is slow; or whatever arrives, at once
    #[arg(long, value_name = "HOW", value_enum, default_value_t = DeliveryChoice::Ordered, help_heading = None)]
    delivery: DeliveryChoice,
}

/// A delivery on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DeliveryChoice {
    Ordered,
    Conflated,
    Immediate,
}

impl StartOptions {
    /// Where to begin, if nothing was kept of an earlier run. Times count back from `now`.
    pub(crate) fn start(&self, now: SystemTime) -> Start {
        if let Some(records) = self.last {
            return Start::Last(records);
        }
        if let Some(ago) = self.since {
            return Start::Since(now.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH));
        }
        if let Some(position) = &self.after {
            return Start::After(position.clone());
        }
        match (self.all, self.latest) {
            (true, _) => Start::All,
            (_, true) => Start::Latest,
            _ => Start::Now,
        }
    }

    /// How records are delivered.
    pub(crate) fn delivery(&self) -> Delivery {
        match self.delivery {
            DeliveryChoice::Ordered => Delivery::Ordered,
            DeliveryChoice::Conflated => Delivery::Conflated,
            DeliveryChoice::Immediate => Delivery::Immediate,
        }
    }

    /// Whether to end once the past is printed.
    pub(crate) fn ends(&self) -> bool {
        self.no_follow
    }

    /// What makes no sense together.
    pub(crate) fn check(&self, start: &Start) -> Result<(), Failure> {
        if self.no_follow && *start == Start::Now {
            return Err(Failure::Usage(
                "--no-follow ends once what was there is printed: say where to begin, such as --all, --latest or --since 1h".to_owned(),
            ));
        }
        if self.durable.is_some() && self.delivery != DeliveryChoice::Ordered {
            return Err(Failure::Usage(
                "--durable keeps a place in the order of records: leave --delivery out, or --durable".to_owned(),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        options: StartOptions,
        #[arg(long)]
        data_dir: Option<String>,
    }

    fn parse(line: &str) -> Result<StartOptions, clap::Error> {
        let words = format!("sub {line}");
        Command::try_parse_from(words.split_whitespace()).map(|command| command.options)
    }

    #[test]
    fn each_option_is_one_start() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(864_000);
        let cursor = "12D3KooWGRUfVRvGCpQ6kQq8mLWmHwEDCFXcKo9AD9i2nGT6Jxqt/7/9";
        let cases = [
            ("", Start::Now),
            ("--last 5", Start::Last(5)),
            ("--since 1h", Start::Since(now - Duration::from_secs(3_600))),
            ("--since 10d", Start::Since(SystemTime::UNIX_EPOCH)),
            ("--all", Start::All),
            ("--latest", Start::Latest),
            (&format!("--after {cursor}"), Start::After(cursor.parse().unwrap())),
        ];
        for (line, start) in cases {
            assert_eq!(parse(line).unwrap().start(now), start, "{line}");
        }
    }

    #[test]
    fn starts_exclude_each_other_and_are_checked() {
        for bad in [
            "--all --latest",
            "--last 5 --since 1h",
            "--after x",
            "--last 0",
            "--last 10001",
            "--since soon",
            "--durable a",
            "--durable a/b --data-dir d",
            "--delivery fast",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse("--durable reader --data-dir d --all").is_ok());
    }

    #[test]
    fn the_last_word_about_following_counts() {
        assert!(!parse("--all").unwrap().ends());
        assert!(parse("--all --follow --no-follow").unwrap().ends());
        assert!(!parse("--all --no-follow --follow").unwrap().ends());
    }

    #[test]
    fn what_makes_no_sense_together_is_told() {
        assert!(parse("--no-follow").unwrap().check(&Start::Now).is_err());
        assert!(parse("--no-follow").unwrap().check(&Start::All).is_ok());
        let conflated = "--durable a --data-dir d --delivery conflated";
        assert!(parse(conflated).unwrap().check(&Start::All).is_err());
    }
}
