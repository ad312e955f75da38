//! `maille id`: the peer id that a data directory holds.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::exit::Failure;
use super::node::{DATA_DIR, default_data_dir};
use super::output::{json_line, print_now};

const EXAMPLES: &str = "\
Examples:
  Who `maille node` is on this machine:
    maille id
  Who a publisher with a data directory of its own is:
    maille id --data-dir /var/lib/ticker";

/// Print the peer id of a data directory; a new one gets its key now
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct IdArgs {
    /// The data directory [default: the one of `maille node`]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What `--json` says.
#[derive(Debug, Serialize)]
struct Identity {
    event: &'static str,
    peer: String,
}

/// Runs `maille id`.
pub(crate) fn run(args: &IdArgs) -> Result<(), Failure> {
    let directory = args.data_dir.clone().map_or_else(|| default_data_dir(DATA_DIR), Ok)?;
    let peer = maille::Node::identity_in(&directory)
        .map_err(|error| Failure::Other(error.into()))?
        .to_string();
    print_now(&if args.json {
        json_line(&Identity {
            event: "identity",
            peer,
        })
    } else {
        format!("{peer}\n").into_bytes()
    })
}
