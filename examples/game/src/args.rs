//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use maille::{Address, MeshName};
use shared::MeshArgs;

/// Light cycles for up to eight players, without a server. Alone: a match against bots on this machine.
#[derive(Debug, Parser)]
#[command(version, about, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) demo: DemoArgs,
}

const EXIT_CODES: &str = "Keys: arrows or WASD steer, R says ready, Enter chats, Q quits.\n\nExit codes: 0 done, 1 failed, \
                          2 usage, 3 password refused, 4 nobody there, 5 unreadable replay, 130 interrupted";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Open a room, and print how others get in
    Host(HostArgs),
    /// Play in a room
    Join(JoinArgs),
    /// Watch a room
    Watch(JoinArgs),
    /// List rooms
    Rooms(RoomsArgs),
    /// Check a recorded match, and show it
    Replay(ReplayArgs),
    /// A match of bots on this machine
    Demo(DemoArgs),
}

/// What all who are in a room can say.
#[derive(Debug, Args)]
pub(crate) struct RoomArgs {
    /// The name that others see
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Identity of this player: who comes back with the same one has its seat again
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Record the match in this file
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// A bot plays, without a terminal; says what happens in lines
    #[arg(long)]
    pub(crate) headless: bool,
    /// With --headless: lines of JSON
    #[arg(long, requires = "headless")]
    pub(crate) json: bool,
    /// With --headless: end after so many ticks of the match
    #[arg(long, value_name = "N", requires = "headless")]
    pub(crate) ticks: Option<u32>,
    #[command(flatten)]
    pub(crate) mesh: MeshArgs,
}

#[derive(Debug, Args)]
pub(crate) struct HostArgs {
    /// The room: a mesh and a topic
    #[arg(default_value = "lightcycles.example/arena")]
    pub(crate) address: Address,
    /// Begin once so many are ready
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=8))]
    pub(crate) players: u8,
    #[command(flatten)]
    pub(crate) room: RoomArgs,
}

#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// The room: its address, or its ticket
    pub(crate) place: Option<String>,
    #[command(flatten)]
    pub(crate) room: RoomArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RoomsArgs {
    /// The mesh whose rooms are listed
    #[arg(default_value = "lightcycles.example")]
    pub(crate) name: MeshName,
    /// How long to look, in seconds
    #[arg(long, value_name = "S", default_value_t = 5)]
    pub(crate) wait: u64,
    /// Lines of JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// End with the first room
    #[arg(long)]
    pub(crate) first: bool,
    #[command(flatten)]
    pub(crate) mesh: MeshArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// A file from --record
    pub(crate) file: PathBuf,
    /// Only check it
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct DemoArgs {
    /// How many play
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(2..=8))]
    pub(crate) players: u8,
    /// End after so many ticks; headless: 600 unless told otherwise
    #[arg(long, value_name = "N")]
    pub(crate) ticks: Option<u32>,
    /// Bots only, without a terminal
    #[arg(long)]
    pub(crate) headless: bool,
    /// Headless; the last line is JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Nobody goes and comes back
    #[arg(long)]
    pub(crate) steady: bool,
    /// In the second half of the match so much is chatted, in messages a second
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=5_000))]
    pub(crate) chat: u32,
    /// Record the match in this file
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
}
