//! Options of every command that joins a mesh, as in `maille`.

use std::path::PathBuf;

use clap::Args;
use maille::{Multiaddr, Ticket};

use crate::network::{Nearby, Network};

/// How to find a mesh and get in.
#[derive(Debug, Args)]
pub struct MeshArgs {
    /// A node to begin with, with its /p2p/ id (repeatable)
    #[arg(long, value_name = "MULTIADDR", value_delimiter = ',')]
    pub bootstrap: Vec<Multiaddr>,
    /// Where to listen (repeatable)
    #[arg(long, value_name = "MULTIADDR", value_delimiter = ',')]
    pub listen: Vec<Multiaddr>,
    /// Do not look for members on the local network
    #[arg(long)]
    pub no_mdns: bool,
    /// The mesh's password is in this file; else in the variable MAILLE_PASSWORD; else it is asked for
    #[arg(long, value_name = "F")]
    pub password_file: Option<PathBuf>,
    /// An open mesh: no password
    #[arg(long, conflicts_with = "password_file")]
    pub open: bool,
    /// A ticket of the mesh or topic, from `maille ticket`
    #[arg(long, value_name = "T")]
    pub ticket: Option<Ticket>,
}

impl MeshArgs {
    /// Where the command's node listens, whom it asks first, and where it keeps things.
    #[must_use]
    pub fn network(&self, data_dir: Option<PathBuf>) -> Network {
        Network {
            listen: self.listen.clone(),
            bootstrap: self.bootstrap.clone(),
            ticket: self.ticket.clone(),
            nearby: if self.no_mdns { Nearby::Machine } else { Nearby::Lan },
            data_dir,
        }
    }
}
