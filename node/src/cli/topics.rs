//! `maille topics MESH`: the topics of a mesh, who publishes on them, and whether a keeper holds them.

use std::io::IsTerminal;
use std::time::{Duration, SystemTime};

use clap::Args;
use maille::{PublisherInfo, TopicInfo};
use serde::Serialize;

use super::asking::of_members_met;
use super::common::{Member, MeshOptions, NetworkOptions, shutdown};
use super::exit::{Failure, say};
use super::output::{json_line, print_now, rfc3339};
use super::parse;
use super::place::{MeshOrTicket, Place};
use super::signals::Stop;
use super::table::{ago, table};

/// How long to look for a member unless told otherwise.
const TIMEOUT: &str = "30s";

const EXAMPLES: &str = "\
Examples:
  Which topics a mesh has, who publishes on them, and whether a keeper holds them:
    maille topics market.example
  The same for programs:
    maille topics market.example --json

It asks the members it meets, so a topic may be missing that only members further away are on.
It ends with 4 if no member was met in time.";

/// List the topics of a mesh
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TopicsArgs {
    /// The mesh, such as market.example, or a ticket
    #[arg(value_name = "MESH")]
    mesh_or_ticket: Option<MeshOrTicket>,
    /// How long to look for a member: seconds, or 30s, 2m
    #[arg(long, value_name = "TIME", default_value = TIMEOUT, value_parser = parse::duration)]
    timeout: Duration,
    /// Print JSON objects, one a topic
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    mesh: MeshOptions,
    #[command(flatten)]
    network: NetworkOptions,
}

/// A topic in `--json`.
#[derive(Debug, Serialize)]
struct TopicLine<'a> {
    event: &'static str,
    mesh: &'a str,
    topic: &'a str,
    kept: bool,
    /// All that one member knows; those asked about are in `publishers`.
    publishers_known: usize,
    publishers: Vec<PublisherLine>,
}

/// A publisher on it.
#[derive(Debug, Serialize)]
struct PublisherLine {
    author: String,
    incarnation: u64,
    /// Of its last record; null if it published none.
    sequence: Option<u64>,
    /// Of its last record, by its clock.
    sent_at: Option<String>,
}

/// Runs `maille topics`.
pub(crate) async fn run(args: TopicsArgs, stop: Stop) -> Result<(), Failure> {
    let place = Place::of_mesh(args.mesh_or_ticket.clone(), args.mesh.ticket.clone())?;
    let member = Member::join(&place, &args.network, &args.mesh, &stop).await?;
    let listed = of_members_met(&member, args.timeout, &stop, member.mesh.topics()).await;
    let outcome = listed.and_then(|mut topics| {
        topics.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        if topics.is_empty() {
            say(&format!("no member that was asked knows a topic of {}", place.mesh));
        }
        print_now(&shown(&args, place.mesh.as_str(), &topics))
    });
    shutdown(member.node).await;
    outcome
}

fn shown(args: &TopicsArgs, mesh: &str, topics: &[TopicInfo]) -> Vec<u8> {
    if args.json {
        return topics.iter().flat_map(|topic| json(mesh, topic)).collect();
    }
    let people = std::io::stdout().is_terminal();
    let rows = topics.iter().flat_map(|topic| rows(topic, people, SystemTime::now()));
    let heading = ["topic", "publisher", "last", "sent", "kept"].map(str::to_owned);
    let rows: Vec<[String; COLUMNS]> = people.then_some(heading).into_iter().chain(rows).collect();
    table(&rows).into_bytes()
}

fn json(mesh: &str, topic: &TopicInfo) -> Vec<u8> {
    let publisher = |info: &PublisherInfo| PublisherLine {
        author: info.publisher.to_string(),
        incarnation: info.incarnation,
        sequence: info.next_sequence.checked_sub(1),
        sent_at: info.heard.and_then(rfc3339),
    };
    json_line(&TopicLine {
        event: "topic",
        mesh,
        topic: topic.name.as_str(),
        kept: topic.kept,
        publishers_known: topic.publishers_known,
        publishers: topic.publishers.iter().map(publisher).collect(),
    })
}

const COLUMNS: usize = 5;

/// One row a publisher; one of dashes where nobody published. People read how long ago, programs when.
fn rows(topic: &TopicInfo, people: bool, now: SystemTime) -> Vec<[String; COLUMNS]> {
    let name = topic.name.to_string();
    let kept = if topic.kept { "kept" } else { "-" }.to_owned();
    let row = |info: &PublisherInfo| {
        let sent = match (info.heard, people) {
            (Some(sent), true) => ago(now.duration_since(sent).unwrap_or_default()),
            (Some(sent), false) => rfc3339(sent).unwrap_or_else(|| "-".to_owned()),
            (None, _) => "-".to_owned(),
        };
        let last = info
            .next_sequence
            .checked_sub(1)
            .map_or("-".to_owned(), |last| last.to_string());
        [name.clone(), info.publisher.to_string(), last, sent, kept.clone()]
    };
    if topic.publishers.is_empty() {
        let dash = || "-".to_owned();
        return vec![[name.clone(), dash(), dash(), dash(), kept]];
    }
    topic.publishers.iter().map(row).collect()
}
