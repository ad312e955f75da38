//! `maille members MESH`: who is in a mesh, once or as it changes.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant, SystemTime};

use clap::Args;
use futures::StreamExt;
use indicatif::ProgressBar;
use maille::{MemberInfo, Members, Mesh, MeshEvent, PeerId, Profile};
use serde::Serialize;

use super::asking::of_members_met;
use super::common::{Member, MeshOptions, NetworkOptions, shutdown};
use super::exit::{Failure, say};
use super::output::{json_line, print_now, rfc3339, text_or_base64};
use super::parse;
use super::place::{MeshOrTicket, Place};
use super::signals::Stop;
use super::table::{ago, table};

/// How long to look for a member unless told otherwise.
const TIMEOUT: &str = "30s";

/// How long a member's profile may take before the member is shown without it.
const PROFILE_WAIT: Duration = Duration::from_secs(2);

/// How often it is looked whether something waits to be shown.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

const EXAMPLES: &str = "\
Examples:
  Who is in a mesh, since when, and what they call themselves:
    maille members market.example
  Under a name of your own, and every joining, leaving and failing from then on:
    maille members market.example --watch --nickname Ann
  The same for programs:
    maille members market.example --watch --json

A mesh of more than 256 others is not listed completely, and a note says so. Times are those of each member's own clock. It ends
with 4 if no member was met in time, and --watch with 130 on Ctrl-C.";

/// List the members of a mesh
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct MembersArgs {
    /// The mesh, such as market.example, or a ticket
    #[arg(value_name = "MESH")]
    mesh_or_ticket: Option<MeshOrTicket>,
    /// Go on, and print who joins, leaves, or fails
    #[arg(long)]
    watch: bool,
    /// What to call this member meanwhile; at most 64 bytes
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true, value_parser = nickname)]
    nickname: Profile,
    /// How long to look for a member: seconds, or 30s, 2m
    #[arg(long, value_name = "TIME", default_value = TIMEOUT, value_parser = parse::duration, conflicts_with = "watch")]
    timeout: Duration,
    /// Print JSON objects, one a member or event
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    mesh: MeshOptions,
    #[command(flatten)]
    network: NetworkOptions,
}

fn nickname(text: &str) -> Result<Profile, String> {
    Profile::new(text, "").map_err(|error| error.to_string())
}

/// A member, or what became of it, in `--json`.
#[derive(Debug, Serialize)]
struct MemberLine<'a> {
    event: &'static str,
    mesh: &'a str,
    peer: String,
    /// Null if it does not say.
    nickname: Option<&'a str>,
    /// When it joined, by its clock.
    since: Option<String>,
    /// What else it says; neither, if nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    about_base64: Option<String>,
}

/// Runs `maille members`.
pub(crate) async fn run(args: MembersArgs, stop: Stop) -> Result<(), Failure> {
    let place = Place::of_mesh(args.mesh_or_ticket.clone(), args.mesh.ticket.clone())?;
    let member = Member::join(&place, &args.network, &args.mesh, &stop).await?;
    member.mesh.introduce(args.nickname.clone());
    let outcome = match args.watch {
        true => watch(&args, &member, &stop).await,
        false => list(&args, &member, &stop).await,
    };
    shutdown(member.node).await;
    outcome
}

// ---- once --------------------------------------------------------------------------------------------------------------

async fn list(args: &MembersArgs, member: &Member, stop: &Stop) -> Result<(), Failure> {
    let members = of_members_met(member, args.timeout, stop, introduced(&member.mesh)).await?;
    note_incomplete(&members);
    let name = member.mesh.name().as_str();
    let text = match args.json {
        true => members
            .list
            .iter()
            .flat_map(|info| line(args, name, "member", info))
            .collect(),
        false => rows(&members.list, std::io::stdout().is_terminal(), SystemTime::now()).into_bytes(),
    };
    print_now(&text)
}

/// The members, once each has said what it says about itself, or has had time to.
async fn introduced(mesh: &Mesh) -> Members {
    let mut changes = mesh.members_changes();
    let all = async {
        while let Some(members) = changes.next().await {
            if !members.list.is_empty() && members.list.iter().all(|info| info.profile.is_some()) {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(PROFILE_WAIT, all).await;
    mesh.members()
}

fn note_incomplete(members: &Members) {
    if !members.complete {
        say("these are not all members: there are more than are listed");
    }
}

/// People read how long ago, programs when. Nicknames come last: they may hold characters of any width.
fn rows(members: &[MemberInfo], people: bool, now: SystemTime) -> String {
    let heading = ["member", "since", "nickname"].map(str::to_owned);
    let row = |info: &MemberInfo| {
        let since = match people {
            true => ago(now.duration_since(info.since).unwrap_or_default()),
            false => rfc3339(info.since).unwrap_or_else(|| "-".to_owned()),
        };
        [info.peer.to_string(), since, shown_nickname(info)]
    };
    let rows: Vec<[String; 3]> = people
        .then_some(heading)
        .into_iter()
        .chain(members.iter().map(row))
        .collect();
    table(&rows)
}

fn shown_nickname(info: &MemberInfo) -> String {
    match info.nickname() {
        "" => "-".to_owned(),
        nickname => nickname.to_owned(),
    }
}

fn line(args: &MembersArgs, mesh: &str, event: &'static str, info: &MemberInfo) -> Vec<u8> {
    if !args.json {
        return format!("{event}  {}  {}\n", info.peer, shown_nickname(info)).into_bytes();
    }
    let about = info
        .profile
        .as_ref()
        .map(Profile::about)
        .filter(|about| !about.is_empty());
    let (about, about_base64) = about.map_or((None, None), |about| text_or_base64(about));
    json_line(&MemberLine {
        event,
        mesh,
        peer: info.peer.to_string(),
        nickname: Some(info.nickname()).filter(|nickname| !nickname.is_empty()),
        since: rfc3339(info.since),
        about,
        about_base64,
    })
}

// ---- as it changes -----------------------------------------------------------------------------------------------------

async fn watch(args: &MembersArgs, member: &Member, stop: &Stop) -> Result<(), Failure> {
    let progress = ProgressBar::hidden();
    let mut standing = member.watch(progress);
    let mut events = member.mesh.events();
    let mut changes = member.mesh.members_changes();
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    let mut board = Board::default();
    let mesh = member.mesh.name().as_str();
    say(&format!("watching {mesh} as {}; Ctrl-C ends", member.node.id()));
    loop {
        let news = tokio::select! {
            biased;
            _ = stop.requested() => return Err(Failure::Interrupted(String::new())),
            failure = standing.given_up() => return Err(failure),
            Some(event) = events.next() => board.on_event(&event),
            Some(members) = changes.next() => board.look(members, Instant::now()),
            _ = looks.tick() => board.look(member.mesh.members(), Instant::now()),
        };
        let text: Vec<u8> = news
            .iter()
            .flat_map(|(event, info)| line(args, mesh, event, info))
            .collect();
        print_now(&text)?;
    }
}

/// What happened, and to whom.
type News = Vec<(&'static str, MemberInfo)>;

/// What was shown, so that each change is shown once: the list tells who is there, events tell why somebody is not.
#[derive(Debug, Default)]
struct Board {
    shown: BTreeMap<PeerId, MemberInfo>,
    /// Those whose profiles are on their way, and since when.
    waiting: BTreeMap<PeerId, Instant>,
    told_incomplete: bool,
}

impl Board {
    fn on_event(&mut self, event: &MeshEvent) -> News {
        let (event, peer) = match event {
            MeshEvent::Left { peer } => ("left", peer),
            MeshEvent::Failed { peer } => ("failed", peer),
            _ => return Vec::new(),
        };
        self.waiting.remove(peer);
        self.shown.remove(peer).map(|info| (event, info)).into_iter().collect()
    }

    fn look(&mut self, members: Members, now: Instant) -> News {
        let mut news = Vec::new();
        if !std::mem::replace(&mut self.told_incomplete, !members.complete) {
            note_incomplete(&members);
        }
        for info in members.list {
            let shown = self.shown.get(&info.peer).map(|shown| shown.profile.clone());
            let event = match shown {
                Some(profile) if profile == info.profile || info.profile.is_none() => continue,
                Some(_) => "introduced",
                None if info.profile.is_none() && !self.is_late(info.peer, now) => continue,
                None => "joined",
            };
            self.waiting.remove(&info.peer);
            self.shown.insert(info.peer, info.clone());
            news.push((event, info));
        }
        news
    }

    fn is_late(&mut self, peer: PeerId, now: Instant) -> bool {
        now.duration_since(*self.waiting.entry(peer).or_insert(now)) >= PROFILE_WAIT
    }
}
