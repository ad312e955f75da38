//! `maille sub ADDRESS`: prints the records of a topic.

use std::io::IsTerminal;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use clap::Args;
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use maille::{Address, Event, PeerId, Start, Subscriber, Topic};

use super::common::{Member, MeshOptions, NetworkOptions, Watch, counted_u64, shutdown};
use super::durable::{Durable, Saver};
use super::events::{cursor_of, sentence, topic_event};
use super::exit::{Failure, say};
use super::output::{Output, json_line, payload_line};
use super::parse;
use super::place::{AddressOrTicket, Place};
use super::signals::Stop;
use super::start::StartOptions;

/// How often the terminal shows that the past is read.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// How long an interrupted command still tries to keep the position of what was printed.
const SAVE_TIMEOUT: Duration = Duration::from_secs(2);

const EXAMPLES: &str = "\
Examples:
  Print what is published on a topic:
    maille sub chat.example/room
  Take the next 100 prices of two symbols, as JSON, for at most a minute:
    maille sub market.example/equities --key AAPL MSFT --count 100 --timeout 60 --json
  Print the newest price of each symbol, though nobody publishes any more, and end:
    maille sub market.example/equities --latest --no-follow
  Print everything once, over as many runs as it takes:
    maille sub market.example/equities --all --durable archive --data-dir ~/archive >> equities.csv
  Enter with a ticket that somebody gave you:
    maille sub maille1… --password-file secret.txt

The past comes from whichever members hold it, publishers or not. With --no-follow, it ends with 4 if no member answered and \
nothing came. With --durable, records of publishers that no run has printed anything of are passed over if they were sent \
before the first run began, and counted; a run that is killed may leave the last moment's records to be printed again.

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
    start: StartOptions,
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
    let now = SystemTime::now();
    let first = args.start.start(now);
    let durable = match (&args.start.durable, &args.network.data_dir) {
        (Some(name), Some(data_dir)) => Some(Durable::open(data_dir, name, &address, &first, now)?),
        _ => None,
    };
    let start = durable
        .as_ref()
        .map_or(first.clone(), |durable| durable.start(first.clone()));
    args.start.check(&start)?;
    let member = Member::join(&place, &args.network, &args.mesh, &stop).await?;
    let progress = progress(&start);
    let printer = Printer {
        topic: member.mesh.topic(address.topic().clone()),
        address: &address,
        args: &args,
        durable: durable.as_ref(),
        progress: progress.clone(),
    };
    let mut watch = member.watch(progress.clone());
    let subscriber = stop.or(printer.subscribe(start)).await??;
    watch.note(&format!("subscribed to {address} as {}", member.node.id()));

    let (mut saver, printed) = durable.clone().map(Saver::start).unzip();
    let output = Output::standard(printed);
    let (end, tally) = printer
        .print_all(subscriber, &output, &mut watch, saver.as_mut(), &stop)
        .await;
    progress.finish_and_clear();
    if tally.passed_over > 0 {
        let count = counted_u64(tally.passed_over, "record");
        watch.note(&format!(
            "passed over {count} from before this position began, of publishers not heard since"
        ));
    }
    let interrupted = matches!(end, End::Interrupted);
    let outcome = if interrupted {
        output.finish_soon().await;
        Err(Failure::Interrupted(String::new()))
    } else {
        let finished = stop.or(output.finish()).await?;
        finished.and_then(|()| judge(end, &tally, &args, &address, &watch))
    };
    let saved = match &mut saver {
        // A reader that stalls holds the last lines, and what is not printed is not kept.
        Some(saver) => tokio::time::timeout(SAVE_TIMEOUT, saver.ended())
            .await
            .unwrap_or(Ok(())),
        None => Ok(()),
    };
    shutdown(member.node).await;
    match outcome {
        Ok(()) | Err(Failure::Interrupted(_) | Failure::OutputClosed) => saved.and(outcome),
        failed => failed,
    }
}

/// The bar while the past is read: on a terminal, and not where the records themselves scroll by.
fn progress(start: &Start) -> ProgressBar {
    if *start == Start::Now || std::io::stdout().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} catching up: {human_pos} records, {per_sec}, {elapsed}");
    let style = style.expect("this template is well formed, as a test shows");
    let progress = ProgressBar::new_spinner().with_style(style);
    progress.enable_steady_tick(PROGRESS_INTERVAL);
    progress
}

/// Why printing ended.
#[derive(Debug)]
enum End {
    CountReached,
    CaughtUp,
    TimedOut,
    Interrupted,
    GivenUp(Failure),
    OutputClosed,
    MeshLeft,
}

/// What was printed, and what was not.
#[derive(Debug, Default)]
struct Tally {
    records: u64,
    /// Records from before a durable position began.
    passed_over: u64,
    /// No other member could be asked about the past.
    unanswered: bool,
}

/// What an end means for the exit code.
fn judge(end: End, tally: &Tally, args: &SubArgs, address: &Address, watch: &Watch) -> Result<(), Failure> {
    match end {
        End::CountReached | End::OutputClosed => Ok(()),
        End::Interrupted => Err(Failure::Interrupted(String::new())),
        End::GivenUp(failure) => Err(failure),
        End::MeshLeft => Err(Failure::other("the mesh was left")),
        End::CaughtUp if tally.unanswered && tally.records == 0 => {
            Err(watch.refused_so_far().unwrap_or_else(|| nobody_answered(address)))
        }
        End::CaughtUp => match args.count {
            Some(count) => Err(Failure::CountNotReached(format!(
                "{} of {count} were there",
                counted_u64(tally.records, "record")
            ))),
            None => Ok(()),
        },
        End::TimedOut => {
            let timeout = args.timeout.unwrap_or_default().as_secs_f64();
            if let Some(refused) = watch.refused_so_far() {
                return Err(refused);
            }
            timed_out(tally.records, args.count, timeout, watch.joined_ever(), address)
        }
    }
}

fn nobody_answered(address: &Address) -> Failure {
    Failure::NobodyThere(format!(
        "no member of {} was there to ask what was published on {}. Is one running with the same password? `maille keep` keeps \
         records for those who come later. Elsewhere than on this machine or network, both need a --bootstrap peer or a ticket",
        address.mesh(),
        address.topic()
    ))
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
            let came = counted_u64(records, "record");
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
    topic: Topic<Bytes>,
    address: &'a Address,
    args: &'a SubArgs,
    durable: Option<&'a Durable>,
    progress: ProgressBar,
}

impl Printer<'_> {
    async fn subscribe(&self, start: Start) -> Result<Subscriber<Bytes>, Failure> {
        let mut builder = self.topic.subscribe().from(start).delivery(self.args.start.delivery());
        if !self.args.publisher.is_empty() {
            builder = builder.publishers(self.args.publisher.clone());
        }
        if !self.args.key.is_empty() {
            builder = builder.keys(self.args.key.clone());
        }
        builder.start().await.map_err(|error| Failure::Other(error.into()))
    }

    /// Prints until something ends it; returns what, and what was printed.
    async fn print_all(
        &self,
        mut subscriber: Subscriber<Bytes>,
        output: &Output,
        watch: &mut Watch,
        saver: Option<&mut Saver>,
        stop: &Stop,
    ) -> (End, Tally) {
        let mut ending = Box::pin(async {
            tokio::select! {
                biased;
                _ = stop.requested() => End::Interrupted,
                () = sleep_if(self.args.timeout) => End::TimedOut,
                failure = failed(saver) => End::GivenUp(failure),
                failure = watch.given_up() => End::GivenUp(failure),
            }
        });
        let mut tally = Tally::default();
        loop {
            let event = tokio::select! {
                biased;
                end = &mut ending => return (end, tally),
                event = subscriber.next() => event,
            };
            let Some(event) = event else {
                return (End::MeshLeft, tally);
            };
            if let Event::Record(received) = &event
                && self.durable.is_some_and(|durable| durable.is_before(received))
            {
                tally.passed_over += 1;
                continue;
            }
            let line = self.line(&event, output.on_terminal);
            let done = self.durable.and_then(|_| cursor_of(&event));
            if line.is_some() || done.is_some() {
                let open = tokio::select! {
                    biased;
                    end = &mut ending => return (end, tally),
                    open = output.print(line.unwrap_or_default(), done) => open,
                };
                if !open {
                    return (End::OutputClosed, tally);
                }
            }
            match event {
                Event::Record(_) => {
                    tally.records += 1;
                    self.progress.inc(1);
                    if Some(tally.records) == self.args.count {
                        return (End::CountReached, tally);
                    }
                }
                Event::Unanswered => tally.unanswered = true,
                Event::CaughtUp => {
                    self.progress.finish_and_clear();
                    if self.args.start.ends() {
                        return (End::CaughtUp, tally);
                    }
                }
                // What was missed is still held by others, and a durable reader misses nothing.
                Event::Lagged { .. } if self.durable.is_some() && !subscriber.position().is_empty() => {
                    let start = Start::After(subscriber.position().clone());
                    subscriber = match self.subscribe(start).await {
                        Ok(resumed) => resumed,
                        Err(failure) => return (End::GivenUp(failure), tally),
                    };
                }
                _ => {}
            }
        }
    }

    /// The line for standard output, if there is one; what is not a record goes to standard error unless all is JSON.
    fn line(&self, event: &Event<Bytes>, on_terminal: bool) -> Option<Vec<u8>> {
        if self.args.json {
            return topic_event(self.address.topic().as_str(), event).map(|event| json_line(&event));
        }
        if let Event::Record(received) = event {
            return Some(payload_line(&received.value, on_terminal));
        }
        if let Some(sentence) = sentence(event) {
            self.progress.suspend(|| say(&sentence));
        }
        None
    }
}

/// Resolves when a position could not be saved.
async fn failed(saver: Option<&mut Saver>) -> Failure {
    match saver {
        Some(saver) => match saver.ended().await {
            Err(failure) => failure,
            // It only ends well when nothing more is printed.
            Ok(()) => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
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
    fn the_template_of_the_bar_is_well_formed() {
        progress(&Start::All).finish_and_clear();
    }
}
