//! The command line. Most people never see it: `party` opens a page.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use maille::Multiaddr;
use shared::MeshArgs;

use crate::plan::ITEMS_MAX;

const EXAMPLES: &str = "Examples:
  party                                  open the page in the browser
  party start --lan                      the same, and for phones on this Wi-Fi
  party demo                             three members on this computer, a page each
  party demo --headless --seconds 20     without pages: a summary
  party demo --headless --members 30 --items 10000 --photos 2000
                                         how fast a big group is
  party join p-0123.party --name Ada --bootstrap /ip4/127.0.0.1/tcp/6245/p2p/12D3…

Under `cargo run`, party alone is the demo.

Exit codes: 0 done, 1 anything else, 2 usage, 3 refused, 4 nobody there, 130 interrupted.";

/// Plan something together: guests, to-dos, notes, photos. Without a server, offline too.
#[derive(Debug, Parser)]
#[command(version, about, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Open the first page: start a group, join one, or go on with one
    Start(StartArgs),
    /// Join a group from the command line, and open its page
    Join(JoinArgs),
    /// Members on this computer's loopback, three or more, and a helper
    Demo(DemoArgs),
}

/// The page.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct PageArgs {
    /// Only print where the page is
    #[arg(long)]
    pub(crate) no_browser: bool,
    /// Also serve the page on the local network, for whoever scans the code that is shown
    #[arg(long)]
    pub(crate) lan: bool,
}

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct StartArgs {
    #[command(flatten)]
    pub(crate) page: PageArgs,
    /// Where groups are kept, instead of the user's data home
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Do not look for members on the local network
    #[arg(long)]
    pub(crate) no_mdns: bool,
    /// A node to begin with, with its /p2p/ id (repeatable)
    #[arg(long, value_name = "MULTIADDR", value_delimiter = ',')]
    pub(crate) bootstrap: Vec<Multiaddr>,
    /// Where to listen (repeatable)
    #[arg(long, value_name = "MULTIADDR", value_delimiter = ',')]
    pub(crate) listen: Vec<Multiaddr>,
}

#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// The group's mesh, or an address in it; not needed with --ticket
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: Option<String>,
    /// What the others see you called
    #[arg(long)]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) mesh: MeshArgs,
    #[command(flatten)]
    pub(crate) page: PageArgs,
    /// Where groups are kept, instead of the user's data home
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

/// Parsed as a command, too: without arguments it is what `cargo run` does.
#[derive(Debug, Parser)]
pub(crate) struct DemoArgs {
    /// No pages: members edit by themselves, one of them offline in between; ends with a summary
    #[arg(long)]
    pub(crate) headless: bool,
    /// How long members edit
    #[arg(long, value_name = "N", default_value_t = 10, requires = "headless", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) seconds: u64,
    /// How many members there are
    #[arg(long, value_name = "N", default_value = "3", value_parser = count(3..=100))]
    pub(crate) members: usize,
    /// To-dos that are there at the beginning. With --headless and these or photos, how long a page takes to open, and an edit
    /// to reach everybody, is measured
    #[arg(long, value_name = "N", default_value = "0", value_parser = count(0..=ITEMS_MAX))]
    pub(crate) items: usize,
    /// Photos that are named at the beginning; nobody has them
    #[arg(long, value_name = "N", default_value = "0", value_parser = count(0..=ITEMS_MAX))]
    pub(crate) photos: usize,
    /// Only print where the pages are
    #[arg(long)]
    pub(crate) no_browser: bool,
    /// JSON lines; with --headless the last is {members, converged, edits, photo_verified, lost}, or of a big group {members,
    /// items, photos, opened_ms, opened_bytes, reached_ms, reached_ms_max, converged}
    #[arg(long)]
    pub(crate) json: bool,
}

fn count(range: RangeInclusive<usize>) -> impl Fn(&str) -> Result<usize, String> + Clone {
    move |text| {
        let count = text.parse().ok().filter(|count| range.contains(count));
        count.ok_or_else(|| format!("give a number from {} to {}", range.start(), range.end()))
    }
}
