//! `maille keep MESH…`: a keeper, a member that stores topics durably and gives them to whoever comes later.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use futures::future::select_all;
use futures::stream::{SelectAll, StreamExt};
use indicatif::{ProgressBar, ProgressStyle};
use maille::{Address, Keep, Keeper, MeshName, Node, TopicName};
use serde::Serialize;

use super::common::{Member, MeshOptions, NetworkOptions, Watch, counted, counted_u64, shutdown};
use super::exit::{Failure, say};
use super::node::default_data_dir;
use super::output::{json_line, print_now};
use super::parse;
use super::place::{MeshOrTicket, Place};
use super::signals::{Signal, Stop};

/// Its part of the user's data directory.
const DATA_DIR: &str = "keep";

/// Meshes that one keeper joins.
const MESHES_MAX: usize = 64;

/// A shorter time keeps next to nothing, and is surely a mistake.
const RETAIN_MIN: Duration = Duration::from_secs(60);

/// A history of fewer bytes is mostly the file around it.
const SIZE_MIN: u64 = 64 * 1_024 * 1_024;

/// How often the terminal shows what goes on.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

const EXAMPLES: &str = "\
Examples:
  Keep everything of a mesh for a week, for those who come later:
    maille keep market.example
  Keep two topics for a month, on a disk of your choice:
    maille keep market.example --topic equities/us --topic equities/eu --retain 30d --max-size 20GiB --data-dir /srv/market

What is older than --retain goes, and the oldest of a mesh when it takes more than --max-size; each mesh has a history of its own.
Before it began, a keeper fetches what others still hold. It ends with 130 on Ctrl-C, and with 0 on SIGTERM, which is how
services are stopped; what it stored stays, and it goes on from there.";

/// Store topics durably, and give them to whoever comes later
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct KeepArgs {
    /// Meshes, such as market.example; ADDRESSes, each to keep one topic alone; or tickets
    #[arg(value_name = "MESH")]
    meshes: Vec<MeshOrTicket>,
    /// Keep only this topic of each mesh; repeat the option for more
    #[arg(long, value_name = "TOPIC")]
    topic: Vec<TopicName>,
    /// How long records are kept: 90m, 12h, 7d
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = retain)]
    retain: Duration,
    /// What the history of a mesh may take of the disk: 500MB, 2GiB
    #[arg(long, value_name = "SIZE", default_value = "2GiB", value_parser = max_size)]
    max_size: u64,
    /// Print JSON objects
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    mesh: MeshOptions,
    #[command(flatten)]
    network: NetworkOptions,
}

fn retain(text: &str) -> Result<Duration, String> {
    let retain = parse::duration(text)?;
    if retain < RETAIN_MIN {
        return Err("records are kept for at least a minute; a plain number is seconds, `7d` are days".to_owned());
    }
    Ok(retain)
}

fn max_size(text: &str) -> Result<u64, String> {
    let size = parse::bytes(text)?;
    if size < SIZE_MIN {
        return Err("a history takes at least 64MiB; a plain number is bytes, `2GiB` are gibibytes".to_owned());
    }
    Ok(size)
}

/// One mesh, and which topics of it: all, if none is named.
#[derive(Debug)]
struct Kept {
    place: Place,
    topics: BTreeSet<TopicName>,
}

impl KeepArgs {
    /// The meshes, each once.
    fn kept(&self) -> Result<Vec<Kept>, Failure> {
        let mut kept: Vec<Kept> = Vec::new();
        let mut positional: Vec<Option<MeshOrTicket>> = self.meshes.iter().cloned().map(Some).collect();
        if positional.is_empty() {
            positional.push(None);
        }
        if positional.len() > 1 && self.mesh.ticket.is_some() {
            return Err(Failure::Usage(
                "--ticket leads to one mesh: give tickets in the place of their meshes instead".to_owned(),
            ));
        }
        for positional in positional {
            let place = Place::of_mesh(positional, self.mesh.ticket.clone())?;
            let topics: BTreeSet<TopicName> = self.topic.iter().cloned().chain(place.topic.clone()).collect();
            match kept.iter_mut().find(|kept| kept.place.mesh == place.mesh) {
                // Whoever names a mesh and a topic in it wants the mesh.
                Some(same) if same.topics.is_empty() || topics.is_empty() => {
                    same.topics.clear();
                    same.place.tickets.extend(place.tickets);
                }
                Some(same) => {
                    same.topics.extend(topics);
                    same.place.tickets.extend(place.tickets);
                }
                None => kept.push(Kept { place, topics }),
            }
        }
        if kept.len() > MESHES_MAX {
            return Err(Failure::Usage(format!("one keeper keeps at most {MESHES_MAX} meshes")));
        }
        Ok(kept)
    }
}

/// A line of `--json`.
#[derive(Debug, Serialize)]
struct Line<'a> {
    event: &'static str,
    mesh: &'a str,
    topic: &'a str,
}

/// Runs `maille keep`.
pub(crate) async fn run(args: KeepArgs, stop: Stop) -> Result<(), Failure> {
    let kept = args.kept()?;
    let mut network = args.network.clone();
    if network.data_dir.is_none() {
        network.data_dir = Some(default_data_dir(DATA_DIR)?);
    }
    let places: Vec<Place> = kept.iter().map(|kept| kept.place.clone()).collect();
    let members = Member::join_all(&places, &network, &args.mesh, &stop).await?;
    let node = members[0].node.clone();
    let outcome = keep(&args, &kept, members, &node, &stop).await;
    shutdown(node).await;
    match outcome? {
        Signal::Interrupt => Err(Failure::Interrupted(String::new())),
        Signal::Terminate => Ok(()),
    }
}

async fn keep(
    args: &KeepArgs,
    kept: &[Kept],
    members: Vec<Member>,
    node: &Node,
    stop: &Stop,
) -> Result<Signal, Failure> {
    let progress = spinner();
    let mut keepers = Vec::with_capacity(members.len());
    let mut watches = Vec::with_capacity(members.len());
    for (kept, member) in kept.iter().zip(&members) {
        let keep = Keep {
            topics: (!kept.topics.is_empty()).then(|| kept.topics.iter().cloned().collect()),
            retain: args.retain,
            bytes_max: args.max_size,
        };
        let keeper = stop.or(member.mesh.keep(keep)).await?;
        let keeper = keeper.map_err(|error| Failure::Other(error.into()))?;
        keepers.push((kept.place.mesh.clone(), keeper));
        watches.push(member.watch(progress.clone()));
        let (mesh, id) = (&kept.place.mesh, node.id());
        progress.suspend(|| say(&format!("keeping {mesh} as {id}; Ctrl-C ends")));
    }
    let mut printer = Printer {
        json: args.json,
        progress: &progress,
        heard: BTreeSet::new(),
    };
    let ended = tokio::select! {
        biased;
        signal = stop.requested() => Ok(signal),
        failure = given_up(&mut watches) => Err(failure),
        failure = printer.tell(&keepers, node) => Err(failure),
    };
    progress.finish_and_clear();
    ended
}

/// Ends when the keeper cannot succeed any more in one of its meshes.
async fn given_up(watches: &mut [Watch]) -> Failure {
    let all = watches.iter_mut().map(|watch| Box::pin(watch.given_up()));
    select_all(all).await.0
}

fn spinner() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg}, {elapsed}");
    let style = style.expect("this template is well formed, as a test shows");
    let progress = ProgressBar::new_spinner().with_style(style);
    progress.set_message("nothing kept yet");
    progress.enable_steady_tick(PROGRESS_INTERVAL);
    progress
}

/// Says what is kept.
struct Printer<'a> {
    json: bool,
    progress: &'a ProgressBar,
    heard: BTreeSet<(MeshName, TopicName)>,
}

impl Printer<'_> {
    /// Until the meshes are left.
    async fn tell(&mut self, keepers: &[(MeshName, Keeper)], node: &Node) -> Failure {
        let mut changes: SelectAll<_> = keepers
            .iter()
            .map(|(mesh, keeper)| {
                let mesh = mesh.clone();
                keeper.topics_changes().map(move |topics| (mesh.clone(), topics))
            })
            .collect();
        let mut looks = tokio::time::interval(PROGRESS_INTERVAL);
        loop {
            tokio::select! {
                changed = changes.next() => match changed {
                    Some((mesh, topics)) => if let Err(failure) = self.heard(&mesh, topics) {
                        return failure;
                    },
                    None => return Failure::other("the mesh was left"),
                },
                _ = looks.tick() => {
                    let (topics, records) = (self.heard.len(), node.metrics().records_stored);
                    let (topics, records) = (counted(topics, "topic"), counted_u64(records, "record"));
                    self.progress.set_message(format!("keeping {topics}, {records} stored"));
                }
            }
        }
    }

    fn heard(&mut self, mesh: &MeshName, topics: Vec<TopicName>) -> Result<(), Failure> {
        for topic in topics {
            if !self.heard.insert((mesh.clone(), topic.clone())) {
                continue;
            }
            let line = if self.json {
                json_line(&Line {
                    event: "keeping",
                    mesh: mesh.as_str(),
                    topic: topic.as_str(),
                })
            } else {
                format!("{}\n", Address::new(mesh.clone(), topic)).into_bytes()
            };
            match self.progress.suspend(|| print_now(&line)) {
                // A keeper is of use even if nobody reads what it keeps.
                Err(Failure::OutputClosed) => {}
                printed => printed?,
            }
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
        args: KeepArgs,
    }

    fn parse(line: &str) -> Result<KeepArgs, clap::Error> {
        Command::try_parse_from(format!("keep {line}").split_whitespace()).map(|command| command.args)
    }

    fn kept(line: &str) -> Vec<(String, Vec<String>)> {
        let kept = parse(line).unwrap().kept().unwrap();
        let names = |kept: &Kept| kept.topics.iter().map(ToString::to_string).collect();
        kept.iter()
            .map(|kept| (kept.place.mesh.to_string(), names(kept)))
            .collect()
    }

    #[test]
    fn meshes_are_kept_whole_or_by_topic_and_once() {
        let all = |mesh: &str, topics: &[&str]| (mesh.to_owned(), topics.iter().map(ToString::to_string).collect());
        assert_eq!(kept("a.example"), [all("a.example", &[])]);
        assert_eq!(
            kept("a.example b.example/x --topic y"),
            [all("a.example", &["y"]), all("b.example", &["x", "y"])]
        );
        assert_eq!(kept("a.example/x a.example/y"), [all("a.example", &["x", "y"])]);
        assert_eq!(kept("a.example/x a.example"), [all("a.example", &[])]);
        assert!(parse("").unwrap().kept().is_err());
    }

    #[test]
    fn bounds_are_parsed_with_their_units() {
        let args = parse("m.example").unwrap();
        assert_eq!((args.retain, args.max_size), (Duration::from_secs(604_800), 2 << 30));
        let args = parse("m.example --retain 12h --max-size 500MB").unwrap();
        assert_eq!((args.retain, args.max_size), (Duration::from_secs(43_200), 500_000_000));
        for (bad, told) in [
            ("--retain 7", "at least a minute"),
            ("--retain 2y", "a duration looks like"),
            ("--max-size 2", "at least 64MiB"),
            ("--max-size 2GG", "a size looks like"),
            ("--topic a//b", "topic"),
        ] {
            let error = parse(&format!("m.example {bad}")).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{bad}");
            assert!(error.to_string().contains(told), "{bad}: {error}");
        }
    }

    #[test]
    fn the_template_of_the_bar_is_well_formed() {
        spinner().finish_and_clear();
    }
}
