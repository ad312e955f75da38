//! `maille sub ADDRESS`: prints the records of a topic.

use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use futures::StreamExt;
use indicatif::ProgressBar;
use maille::{Address, Event, PeerId, Received, Subscriber};

use super::common::{Member, MeshOptions, NetworkOptions, Watch, counted, shutdown};
use super::exit::{Failure, say};
use super::output::{Output, TopicEvent, json_line, payload_line, rfc3339};
use super::parse;
use super::place::{AddressOrTicket, Place};
use super::signals::Stop;

const EXAMPLES: &str = "\
Examples:
  Print what is published on a topic:
    maille sub chat.example/room
  Take the next 100 prices of two symbols, as JSON, for at most a minute:
    maille sub market.example/equities --key AAPL MSFT --count 100 --timeout 60 --json
  Enter with a ticket that somebody gave you:
    maille sub maille1… --password-file secret.txt

With --timeout and without --count, it ends with 0 if it met a member, else with 4. With --count, fewer records end it with 6.
If only peers that refuse the password were met, it ends with 3.";

/// Print the records of a topic, one a line
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SubArgs {
    /// Mesh and topic, such as market.example/equities/us, or a ticket
    #[arg(value_name = "ADDRESS")]
    address: Option<AddressOrTicket>,
    /// End after so many records
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after so long: seconds, or 30s, 2m, 1h 30m
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    timeout: Option<Duration>,
    /// Only records of these publishers; several may follow, or repeat the option
    #[arg(long, value_name = "ID")]
    publisher: Vec<PeerId>,
    /// Only records with one of these keys; several may follow, or repeat the option
    #[arg(long, value_name = "KEY", num_args = 1..)]
    key: Vec<String>,
    /// Print records and everything else that happens as JSON, one object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    mesh: MeshOptions,
    #[command(flatten)]
    network: NetworkOptions,
}

impl SubArgs {
    /// `--key A B ADDRESS` takes the ADDRESS for a key: gives it back, if there is no other.
    fn take_address_from_keys(&mut self) {
        if self.address.is_none()
            && self.mesh.ticket.is_none()
            && self.key.len() > 1
            && let Some(address) = self.key.last().and_then(|last| last.parse().ok())
        {
            self.key.pop();
            self.address = Some(address);
        }
    }
}

/// Runs `maille sub`.
pub(crate) async fn run(mut args: SubArgs, stop: Stop) -> Result<(), Failure> {
    args.take_address_from_keys();
    let (place, address) = Place::of_address(args.address.clone(), args.mesh.ticket.clone())?;
    let member = Member::join(&place, &args.network, &args.mesh, &stop).await?;
    let mut builder = member.mesh.topic::<Bytes>(address.topic().clone()).subscribe();
    if !args.publisher.is_empty() {
        builder = builder.publishers(args.publisher.clone());
    }
    if !args.key.is_empty() {
        builder = builder.keys(args.key.clone());
    }
    let subscriber = stop
        .or(builder.start())
        .await?
        .map_err(|error| Failure::Other(error.into()))?;
    say(&format!("subscribed to {address} as {}", member.node.id()));

    let mut watch = member.watch(ProgressBar::hidden());
    let output = Output::standard();
    let printer = Printer {
        address: &address,
        args: &args,
        output: &output,
    };
    let (end, records) = printer.print_all(subscriber, &mut watch, &stop).await;
    let outcome = match end {
        End::Interrupted => {
            output.finish_soon().await;
            Err(Failure::Interrupted(String::new()))
        }
        end => stop
            .or(output.finish())
            .await?
            .and_then(|()| judge(end, records, &args, &address, &watch)),
    };
    shutdown(member.node).await;
    outcome
}

/// Why printing ended.
#[derive(Debug)]
enum End {
    CountReached,
    TimedOut,
    Interrupted,
    GivenUp(Failure),
    OutputClosed,
    MeshLeft,
}

/// What an end means for the exit code.
fn judge(end: End, records: u64, args: &SubArgs, address: &Address, watch: &Watch) -> Result<(), Failure> {
    match end {
        End::CountReached | End::OutputClosed => Ok(()),
        End::Interrupted => Err(Failure::Interrupted(String::new())),
        End::GivenUp(failure) => Err(failure),
        End::MeshLeft => Err(Failure::other("the mesh was left")),
        End::TimedOut => {
            let timeout = args.timeout.unwrap_or_default().as_secs_f64();
            if let Some(refused) = watch.refused_so_far() {
                return Err(refused);
            }
            timed_out(records, args.count, timeout, watch.joined_ever(), address)
        }
    }
}

/// What running out of time means, if nobody refused.
fn timed_out(records: u64, count: Option<u64>, seconds: f64, met: bool, address: &Address) -> Result<(), Failure> {
    let alone = format!(
        "no member of {} was met in {seconds} s. Is one running with the same password? Elsewhere than on this machine or network, \
         both need a --bootstrap peer or a ticket",
        address.mesh()
    );
    match (count, met) {
        (Some(count), met) => {
            let came = counted(usize::try_from(records).unwrap_or(usize::MAX), "record");
            let why = if met { String::new() } else { format!(": {alone}") };
            Err(Failure::CountNotReached(format!(
                "{came} of {count} came in {seconds} s{why}"
            )))
        }
        (None, true) => Ok(()),
        (None, false) => Err(Failure::NobodyThere(alone)),
    }
}

/// Turns events into lines.
struct Printer<'a> {
    address: &'a Address,
    args: &'a SubArgs,
    output: &'a Output,
}

impl Printer<'_> {
    /// Prints until something ends it; returns what, and how many records there were.
    async fn print_all(&self, mut subscriber: Subscriber<Bytes>, watch: &mut Watch, stop: &Stop) -> (End, u64) {
        let mut ending = Box::pin(async {
            tokio::select! {
                biased;
                _ = stop.requested() => End::Interrupted,
                () = sleep_if(self.args.timeout) => End::TimedOut,
                failure = watch.given_up() => End::GivenUp(failure),
            }
        });
        let mut records = 0;
        loop {
            let event = tokio::select! {
                biased;
                end = &mut ending => return (end, records),
                event = subscriber.next() => event,
            };
            let Some(event) = event else {
                return (End::MeshLeft, records);
            };
            let is_record = matches!(event, Event::Record(_));
            if let Some(line) = self.line(event) {
                let open = tokio::select! {
                    biased;
                    end = &mut ending => return (end, records),
                    open = self.output.print(line) => open,
                };
                if !open {
                    return (End::OutputClosed, records);
                }
            }
            records += u64::from(is_record);
            if is_record && Some(records) == self.args.count {
                return (End::CountReached, records);
            }
        }
    }

    /// The line for standard output, if there is one; what is not a record goes to standard error unless all is JSON.
    fn line(&self, event: Event<Bytes>) -> Option<Vec<u8>> {
        if self.args.json {
            return topic_event(self.address.topic().as_str(), &event).map(|event| json_line(&event));
        }
        if let Event::Record(received) = &event {
            return Some(payload_line(&received.value, self.output.on_terminal));
        }
        if let Some(sentence) = sentence(&event) {
            say(&sentence);
        }
        None
    }
}

/// An event in the JSON shape; `None` for kinds this version does not know.
fn topic_event(topic: &str, event: &Event<Bytes>) -> Option<TopicEvent> {
    let shape = TopicEvent {
        topic: topic.to_owned(),
        ..TopicEvent::default()
    };
    Some(match event {
        Event::Record(received) => record_event(shape, received),
        Event::Gap {
            publisher,
            incarnation,
            from,
            to,
        } => TopicEvent {
            event: "gap",
            author: Some(publisher.to_string()),
            incarnation: Some(*incarnation),
            sequence: Some(*from),
            sequence_end: Some(*to),
            missed: Some(to.saturating_sub(*from)),
            ..shape
        },
        Event::Lagged { missed } => TopicEvent {
            event: "lagged",
            missed: Some(*missed),
            ..shape
        },
        Event::Restarted { publisher, incarnation } => TopicEvent {
            event: "restarted",
            author: Some(publisher.to_string()),
            incarnation: Some(*incarnation),
            ..shape
        },
        Event::Fork {
            publisher,
            incarnation,
            sequence,
            ..
        } => TopicEvent {
            event: "fork",
            author: Some(publisher.to_string()),
            incarnation: Some(*incarnation),
            sequence: Some(*sequence),
            ..shape
        },
        Event::Silent { publisher, since } => TopicEvent {
            event: "silent",
            author: Some(publisher.to_string()),
            received_at: rfc3339(*since),
            ..shape
        },
        Event::Resumed { publisher } => TopicEvent {
            event: "resumed",
            author: Some(publisher.to_string()),
            ..shape
        },
        Event::CaughtUp => TopicEvent {
            event: "caught_up",
            ..shape
        },
        Event::Undecodable { cursor, error } => TopicEvent {
            event: "undecodable",
            author: Some(cursor.publisher.to_string()),
            incarnation: Some(cursor.incarnation),
            sequence: Some(cursor.sequence),
            reason: Some(error.to_string()),
            ..shape
        },
        _ => return None,
    })
}

fn record_event(shape: TopicEvent, received: &Received<Bytes>) -> TopicEvent {
    TopicEvent {
        event: "record",
        author: Some(received.author.to_string()),
        incarnation: Some(received.cursor.incarnation),
        sequence: Some(received.cursor.sequence),
        sent_at: rfc3339(received.sent_at),
        received_at: rfc3339(received.received_at),
        ..shape
    }
    .with_key(received.key.as_deref())
    .with_payload(&received.value)
}

/// An event in words; `None` for kinds this version does not know.
fn sentence(event: &Event<Bytes>) -> Option<String> {
    let missing = |count: u64| counted(usize::try_from(count).unwrap_or(usize::MAX), "record");
    Some(match event {
        Event::Gap {
            publisher,
            incarnation,
            from,
            to,
        } => format!(
            "gap: {} of {publisher} are missing (incarnation {incarnation}, from {from} to before {to})",
            missing(to.saturating_sub(*from))
        ),
        Event::Lagged { missed } => format!(
            "lagged: {} lost here, because standard output was read too slowly; filter with --key or --publisher",
            missing(*missed)
        ),
        Event::Restarted { publisher, incarnation } => format!("{publisher} started again (incarnation {incarnation})"),
        Event::Fork {
            publisher,
            incarnation,
            sequence,
            ..
        } => format!(
            "fork: {publisher} signed two things for record {sequence} of incarnation {incarnation}; nothing more of it follows"
        ),
        Event::Silent { publisher, since } => match rfc3339(*since) {
            Some(since) => format!("silent: {publisher} was last heard at {since}"),
            None => format!("silent: {publisher} is not heard any more"),
        },
        Event::Resumed { publisher } => format!("resumed: {publisher} is heard again"),
        Event::Undecodable { cursor, error } => format!("record {cursor} cannot be decoded: {error}"),
        _ => return None,
    })
}

async fn sleep_if(timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => tokio::time::sleep(timeout).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    const PEER: &str = "12D3KooWGRUfVRvGCpQ6kQq8mLWmHwEDCFXcKo9AD9i2nGT6Jxqt";

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: SubArgs,
    }

    fn parse(line: &str) -> Result<SubArgs, clap::Error> {
        let spread = parse::spread_values(format!("sub {line}").split_whitespace().map(Into::into));
        let mut args = Command::try_parse_from(spread)?.args;
        args.take_address_from_keys();
        Ok(args)
    }

    fn address() -> Address {
        "market.example/equities/us".parse().unwrap()
    }

    #[test]
    fn options_of_several_values_go_anywhere() {
        for line in [
            format!("--publisher {PEER} {PEER} --key A B m.example/x"),
            format!("m.example/x --key A B --publisher {PEER} {PEER}"),
            format!("--key A --key B --publisher {PEER} m.example/x --publisher {PEER}"),
        ] {
            let args = parse(&line).unwrap();
            assert!(args.address.is_some(), "{line}");
            assert_eq!(
                (args.key.clone(), args.publisher.len()),
                (vec!["A".to_owned(), "B".to_owned()], 2),
                "{line}"
            );
        }
        // One key that looks like an address is a key.
        let args = parse("--key m.example/x").unwrap();
        assert_eq!((args.key.len(), args.address.is_some()), (1, false));
    }

    #[test]
    fn counts_timeouts_and_publishers_are_checked() {
        let args = parse("m.example/x --count 5 --timeout 1.5").unwrap();
        assert_eq!((args.count, args.timeout), (Some(5), Some(Duration::from_millis(1500))));
        for bad in ["--count 0", "--count -1", "--count x", "--timeout -1", "--publisher me"] {
            assert_eq!(
                parse(&format!("m.example/x {bad}")).unwrap_err().exit_code(),
                2,
                "{bad}"
            );
        }
    }

    #[test]
    fn running_out_of_time_has_three_meanings() {
        assert!(timed_out(0, None, 5.0, true, &address()).is_ok());
        assert_eq!(timed_out(0, None, 5.0, false, &address()).unwrap_err().code(), 4);
        assert_eq!(timed_out(3, Some(5), 5.0, false, &address()).unwrap_err().code(), 6);
        let Err(Failure::CountNotReached(text)) = timed_out(1, Some(5), 2.5, true, &address()) else {
            panic!()
        };
        assert_eq!(text, "1 record of 5 came in 2.5 s");
    }

    #[test]
    fn what_is_not_a_record_has_the_same_shape() {
        let publisher: PeerId = PEER.parse().unwrap();
        let gap = Event::Gap {
            publisher,
            incarnation: 9,
            from: 5,
            to: 8,
        };
        let json = String::from_utf8(json_line(&topic_event("equities/us", &gap).unwrap())).unwrap();
        assert_eq!(
            json,
            format!(
                "{{\"event\":\"gap\",\"topic\":\"equities/us\",\"author\":\"{PEER}\",\"incarnation\":9,\"sequence\":5,\
                 \"sequence_end\":8,\"missed\":3,\"key\":null,\"sent_at\":null,\"received_at\":null}}\n"
            )
        );
        assert!(
            sentence(&gap)
                .unwrap()
                .starts_with(&format!("gap: 3 records of {PEER} are missing"))
        );
        let lagged = topic_event("x", &Event::Lagged { missed: 7 }).unwrap();
        assert_eq!((lagged.event, lagged.missed), ("lagged", Some(7)));
        let restarted = topic_event(
            "x",
            &Event::Restarted {
                publisher,
                incarnation: 10,
            },
        )
        .unwrap();
        assert_eq!((restarted.event, restarted.incarnation), ("restarted", Some(10)));
    }
}
