//! `maille pub ADDRESS`: each line of standard input is a record.

use std::io::IsTerminal;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use indicatif::ProgressBar;
use maille::{Address, PublishError, Publisher};
use maille_proto::{KEY_BYTES_MAX, RECORD_BYTES_MAX};
use serde::Serialize;

use super::common::{Member, MeshOptions, NetworkOptions, Watch, counted, counted_u64, shutdown};
use super::exit::{Failure, say};
use super::keys::{Delimiter, JsonPointer, KeyRule};
use super::lines::{Line, read_standard_input};
use super::output::{json_line, print_now};
use super::parse;
use super::place::{AddressOrTicket, Place};
use super::receipts::Receipts;
use super::signals::Stop;

/// More subscribed neighbours than a publisher ever keeps cannot be waited for.
const WAIT_FOR_MAX: i64 = 8;

/// How long to wait for `--wait-for` neighbours unless told otherwise.
const WAIT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long an interrupted publisher still waits for acknowledgements.
const FLUSH_INTERRUPTED_TIMEOUT: Duration = Duration::from_secs(5);

/// How often the terminal shows that something goes on.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

const EXAMPLES: &str = "\
Examples:
  Publish one record:
    echo hello | maille pub chat.example/room
  Publish prices keyed by the second column, to at least three subscribers:
    maille pub market.example/equities --key-field 2 --wait-for 3 < prices.csv
  Follow a log whose lines are JSON, keyed by its host:
    tail -f app.log | maille pub ops.example/logs --key-json /host --retry-forever";

/// Publish each line of standard input as a record
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PubArgs {
    /// Mesh and topic, such as market.example/equities/us, or a ticket
    #[arg(value_name = "ADDRESS")]
    address: Option<AddressOrTicket>,
    /// The record's key is the Nth field of its line, counted from 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    key_field: Option<u16>,
    /// What separates fields: one character, `tab`, or `blanks` for any run of spaces and tabs
    #[arg(long, value_name = "CHAR", default_value = ",", requires = "key_field")]
    delimiter: Delimiter,
    /// The record's key is the value at this JSON pointer (RFC 6901) in its line
    #[arg(long, value_name = "POINTER", conflicts_with = "key_field")]
    key_json: Option<JsonPointer>,
    /// Lines may be any bytes, not only UTF-8
    #[arg(long)]
    binary: bool,
    /// Read nothing until so many neighbours are subscribed; 0 does not wait
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=WAIT_FOR_MAX))]
    wait_for: u8,
    /// How long --wait-for waits [default: 30s; without end with --found and --retry-forever]
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    wait_timeout: Option<Duration>,
    /// Say on standard output, as JSON, who publishes and what was published
    #[arg(long)]
    json: bool,
    /// Say on standard output, once a record is acknowledged, which: PUBLISHER/INCARNATION/SEQUENCE, or an object with --json.
    /// Acknowledged is what is stored in --data-dir; without it, what a neighbour has
    #[arg(long)]
    receipts: bool,
    #[command(flatten)]
    mesh: MeshOptions,
    #[command(flatten)]
    network: NetworkOptions,
}

impl PubArgs {
    fn key_rule(&self) -> KeyRule {
        match (self.key_field, &self.key_json) {
            (Some(field), _) => KeyRule::Field {
                field: usize::from(field),
                delimiter: self.delimiter,
            },
            (None, Some(pointer)) => KeyRule::Json(pointer.clone()),
            (None, None) => KeyRule::None,
        }
    }

    /// `None`: without end.
    fn wait_timeout(&self) -> Option<Duration> {
        self.wait_timeout.or((!self.mesh.endless()).then_some(WAIT_TIMEOUT))
    }
}

/// What `--json` says at the beginning and at the end.
#[derive(Debug, Serialize)]
struct Report<'a> {
    event: &'static str,
    topic: &'a str,
    author: String,
    incarnation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    neighbours: Option<usize>,
}

/// Runs `maille pub`.
pub(crate) async fn run(args: PubArgs, stop: Stop) -> Result<(), Failure> {
    let (place, address) = Place::of_address(args.address.clone(), args.mesh.ticket.clone())?;
    let member = Member::join(&place, &args.network, &args.mesh, &stop).await?;
    let topic = member.mesh.topic::<Bytes>(address.topic().clone());
    let publisher = stop.or(topic.publisher()).await?.map_err(publish_failure)?;
    introduce(&args, &address, &publisher)?;

    let progress = ProgressBar::new_spinner();
    let is_stored = args.network.data_dir.is_some();
    let receipts = args.receipts.then(|| Receipts::start(&address, is_stored, args.json));
    let mut session = Session {
        receipts,
        watch: member.watch(progress.clone()),
        publisher,
        progress,
        stop,
        address,
        records: 0,
    };
    let outcome = session.run(&args).await;
    session.progress.finish_and_clear();
    let told = match session.receipts.take() {
        Some(receipts) => receipts.finish().await,
        None => Ok(()),
    };
    shutdown(member.node).await;

    let neighbours = outcome?;
    told?;
    if args.json {
        print_json(&session.report("published", Some(session.records), Some(neighbours)))?;
    }
    say(&published(session.records, neighbours));
    Ok(())
}

/// Says who publishes, and how to follow this publisher alone.
fn introduce(args: &PubArgs, address: &Address, publisher: &Publisher<Bytes>) -> Result<(), Failure> {
    let id = publisher.id();
    say(&format!("publishing on {address} as {id}"));
    say(&format!(
        "to follow this publisher alone: maille sub {address} --publisher {id}"
    ));
    if args.json {
        let topic = address.topic().as_str();
        let (author, incarnation) = (id.to_string(), publisher.incarnation());
        print_json(&Report {
            event: "publishing",
            topic,
            author,
            incarnation,
            records: None,
            neighbours: None,
        })?;
    }
    Ok(())
}

/// From the first look for subscribers to the last acknowledgement.
struct Session {
    receipts: Option<Receipts>,
    watch: Watch,
    publisher: Publisher<Bytes>,
    progress: ProgressBar,
    stop: Stop,
    address: Address,
    records: u64,
}

impl Session {
    /// Publishes all of standard input, and returns to how many neighbours.
    async fn run(&mut self, args: &PubArgs) -> Result<usize, Failure> {
        self.progress.enable_steady_tick(PROGRESS_INTERVAL);
        self.wait_for_subscribers(usize::from(args.wait_for), args.wait_timeout())
            .await?;
        let Err(failure) = self.publish_lines(args).await else {
            return self.flush(args.mesh.endless()).await;
        };
        // What came before is handed on all the same.
        let flushed = tokio::time::timeout(FLUSH_INTERRUPTED_TIMEOUT, self.publisher.flush()).await;
        let done = match flushed {
            Ok(Ok(flushed)) => published(self.records, flushed.neighbours),
            _ => format!(
                "published {}, not all of them acknowledged",
                counted_u64(self.records, "record")
            ),
        };
        Err(match failure {
            Failure::Interrupted(_) => Failure::Interrupted(done),
            Failure::UnreadableInput(text) => Failure::UnreadableInput(format!("{text}\nbefore it, {done}")),
            other => other,
        })
    }

    async fn wait_for_subscribers(&mut self, wanted: usize, timeout: Option<Duration>) -> Result<(), Failure> {
        if wanted == 0 {
            return Ok(());
        }
        let address = &self.address;
        self.progress
            .set_message(format!("waiting for {} to {address}", counted(wanted, "subscriber")));
        tokio::select! {
            biased;
            _ = self.stop.requested() => return Err(Failure::Interrupted("nothing was read".to_owned())),
            ready = self.publisher.ready(wanted) => return ready.map_err(publish_failure),
            failure = self.watch.given_up() => return Err(failure),
            () = sleep_if(timeout) => {}
        }
        if let Some(refused) = self.watch.refused_so_far() {
            return Err(refused);
        }
        let subscribed = match self.publisher.subscribed() {
            0 => "nobody is".to_owned(),
            some => format!("only {some} of the {wanted} wanted are"),
        };
        let seconds = timeout.unwrap_or_default().as_secs_f64();
        Err(Failure::NobodyThere(format!(
            "{subscribed} subscribed to {address} after {seconds} s, and nothing was read. Is `maille sub {address}` running with \
             the same password? Elsewhere than on this machine or network, both need a --bootstrap peer or a ticket; --wait-timeout \
             waits longer, --wait-for 0 does not wait"
        )))
    }

    async fn publish_lines(&mut self, args: &PubArgs) -> Result<(), Failure> {
        if std::io::stdin().is_terminal() {
            self.progress.finish_and_clear();
            say("each line you type is a record; Ctrl-D ends");
        }
        let keys = args.key_rule();
        let mut lines = read_standard_input(RECORD_BYTES_MAX, !args.binary);
        loop {
            let line = tokio::select! {
                biased;
                _ = self.stop.requested() => return Err(Failure::Interrupted(String::new())),
                line = lines.recv() => line,
                failure = self.watch.given_up() => return Err(failure),
            };
            let Some(line) = line else { return Ok(()) };
            let line = line.map_err(|error| Failure::UnreadableInput(error.to_string()))?;
            self.publish(line, &keys).await?;
        }
    }

    async fn publish(&mut self, line: Line, keys: &KeyRule) -> Result<(), Failure> {
        let unreadable =
            |reason: String| Failure::UnreadableInput(format!("line {} cannot be published: {reason}", line.number));
        let key = keys
            .key_of(&line.bytes, KEY_BYTES_MAX)
            .map_err(|error| unreadable(error.to_string()))?;
        let value = Bytes::from(line.bytes);
        let publishing = async {
            match key {
                Some(key) => self.publisher.publish_keyed(key, &value).await,
                None => self.publisher.publish(&value).await,
            }
        };
        match self.stop.or(publishing).await? {
            Ok(receipt) => {
                if let Some(receipts) = &self.receipts {
                    // An error, such as a closed pipe, is told at the end.
                    self.stop.or(receipts.add(receipt)).await?;
                }
            }
            Err(error @ (PublishError::RecordTooLarge { .. } | PublishError::KeyTooLarge { .. })) => {
                return Err(unreadable(error.to_string()));
            }
            Err(other) => return Err(publish_failure(other)),
        }
        self.records += 1;
        if !self.progress.is_finished() {
            self.progress
                .set_message(format!("published {}", counted_u64(self.records, "record")));
        }
        Ok(())
    }

    /// Waits until every record is acknowledged, as long as that gets on.
    async fn flush(&mut self, endless: bool) -> Result<usize, Failure> {
        let mut left_before = u64::MAX;
        loop {
            let flushed = tokio::select! {
                biased;
                _ = self.stop.requested() => {
                    let records = counted_u64(self.records, "record");
                    return Err(Failure::Interrupted(format!("published {records}, not all of them acknowledged")));
                }
                flushed = self.publisher.flush() => flushed,
                failure = self.watch.given_up() => return Err(failure),
            };
            match flushed {
                Ok(flushed) => return Ok(flushed.neighbours),
                Err(PublishError::NotFlushed { left }) if endless || left < left_before => left_before = left,
                Err(PublishError::NotFlushed { left }) => {
                    return Err(Failure::other(format!(
                        "{left} of {} are not acknowledged by every subscribed neighbour, and nothing moves: the network may be \
                         cut; --retry-forever keeps trying",
                        counted_u64(self.records, "record")
                    )));
                }
                Err(other) => return Err(publish_failure(other)),
            }
        }
    }

    fn report(&self, event: &'static str, records: Option<u64>, neighbours: Option<usize>) -> Report<'_> {
        let (author, incarnation) = (self.publisher.id().to_string(), self.publisher.incarnation());
        Report {
            event,
            topic: self.address.topic().as_str(),
            author,
            incarnation,
            records,
            neighbours,
        }
    }
}

fn publish_failure(error: PublishError) -> Failure {
    Failure::Other(error.into())
}

/// The last line of standard error.
fn published(records: u64, neighbours: usize) -> String {
    format!(
        "published {} to {}",
        counted_u64(records, "record"),
        counted(neighbours, "neighbour")
    )
}

async fn sleep_if(timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => tokio::time::sleep(timeout).await,
        None => std::future::pending().await,
    }
}

fn print_json(report: &Report<'_>) -> Result<(), Failure> {
    match print_now(&json_line(report)) {
        // Who does not care for this report may still care for the records: publishing goes on.
        Err(Failure::OutputClosed) => Ok(()),
        printed => printed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: PubArgs,
    }

    fn parse(line: &str) -> Result<PubArgs, clap::Error> {
        Command::try_parse_from(format!("pub {line}").split_whitespace()).map(|command| command.args)
    }

    #[test]
    fn the_last_line_counts_in_english() {
        assert_eq!(published(120, 3), "published 120 records to 3 neighbours");
        assert_eq!(published(1, 1), "published 1 record to 1 neighbour");
        assert_eq!(published(0, 0), "published 0 records to 0 neighbours");
    }

    #[test]
    fn waiting_has_an_end_unless_told_otherwise() {
        assert_eq!(parse("m.example/x").unwrap().wait_timeout(), Some(WAIT_TIMEOUT));
        assert_eq!(
            parse("m.example/x --wait-timeout 2m").unwrap().wait_timeout(),
            Some(Duration::from_secs(120))
        );
        assert_eq!(parse("m.example/x --found").unwrap().wait_timeout(), None);
        assert_eq!(
            parse("m.example/x --retry-forever --wait-timeout 5")
                .unwrap()
                .wait_timeout(),
            Some(Duration::from_secs(5))
        );
        assert_eq!(parse("m.example/x").unwrap().wait_for, 1);
        assert!(parse("m.example/x --wait-for 9").is_err());
        assert!(parse("m.example/x --wait-timeout soon").is_err());
    }

    #[test]
    fn keys_come_from_one_place() {
        let comma = KeyRule::Field {
            field: 2,
            delimiter: Delimiter::Byte(b','),
        };
        assert_eq!(parse("m.example/x --key-field 2").unwrap().key_rule(), comma);
        let tab = KeyRule::Field {
            field: 1,
            delimiter: Delimiter::Byte(b'\t'),
        };
        assert_eq!(
            parse("m.example/x --key-field 1 --delimiter tab").unwrap().key_rule(),
            tab
        );
        assert_eq!(
            parse("m.example/x --key-json /s").unwrap().key_rule(),
            KeyRule::Json("/s".parse().unwrap())
        );
        assert_eq!(parse("m.example/x").unwrap().key_rule(), KeyRule::None);
        for bad in [
            "--key-field 0",
            "--key-field x",
            "--key-json s",
            "--key-field 1 --key-json /s",
            "--delimiter ;",
        ] {
            assert!(parse(&format!("m.example/x {bad}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn bad_places_are_usage_errors() {
        for bad in [
            "market.example",
            "a..b/x",
            "m.example/x --bootstrap /ip4/127.0.0.1/tcp/1",
            "m.example/x --ticket maille1x",
        ] {
            assert_eq!(parse(bad).unwrap_err().exit_code(), 2, "{bad}");
        }
        assert!(parse("m.example/x --open --password-file f").is_err());
    }
}
