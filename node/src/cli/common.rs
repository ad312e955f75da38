//! What the commands share: options, a node made from them, a mesh joined, and the watch over it. The one file, with
//! `place.rs` and `password.rs`, that knows how the library's builder and credentials are spelled.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use futures::StreamExt;
use indicatif::ProgressBar;
use maille::{
    Credential, JoinError, Mesh, MeshEvent, MeshEvents, MeshName, Multiaddr, Node, NodeBuilder, NodeEvent, NodeEvents,
    PeerMultiaddr, SpawnError, Status, Ticket,
};

use super::exit::{Failure, say};
use super::parse::{self, PasswordFile};
use super::password::{self, PASSWORD_VARIABLE};
use super::patience::{Patience, Standing, Verdict};
use super::place::Place;
use super::signals::Stop;

/// How often a command looks at how its mesh stands.
const STATUS_INTERVAL: Duration = Duration::from_millis(200);

/// How often an unreachable bootstrap peer is worth a line.
const UNREACHABLE_NOTE_INTERVAL: Duration = Duration::from_secs(60);

/// How long a node may take to leave its meshes at the end of a command.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Options of every command that runs a node.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct NetworkOptions {
    /// A peer to begin with, as `maille node` prints it; several may follow, or repeat the option
    #[arg(long, value_name = "MULTIADDR")]
    pub(crate) bootstrap: Vec<PeerMultiaddr>,
    /// Where to listen; /ip4/0.0.0.0/tcp/0 is any free TCP port
    #[arg(long, value_name = "MULTIADDR", value_parser = parse::multiaddr)]
    pub(crate) listen: Vec<Multiaddr>,
    /// Do not look for peers on the local network
    #[arg(long)]
    pub(crate) no_mdns: bool,
    /// Keep identity, ports and known peers in this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

/// Options of every command that enters a mesh.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Mesh")]
pub(crate) struct MeshOptions {
    /// A ticket to the mesh; it may replace ADDRESS
    #[arg(long, value_name = "TICKET")]
    pub(crate) ticket: Option<Ticket>,
    /// Read the password from a file, for every mesh or for one; without it, from MAILLE_PASSWORD or the terminal
    #[arg(long, value_name = "[MESH=]FILE", value_parser = OsStringValueParser::new().map(PasswordFile::from))]
    pub(crate) password_file: Vec<PasswordFile>,
    /// Enter an open mesh, which has no password
    #[arg(long, conflicts_with = "password_file")]
    pub(crate) open: bool,
    /// Found a new mesh: refuse a weak password, and wait for the first other member
    #[arg(long)]
    pub(crate) found: bool,
    /// Found the mesh even if its password can be guessed
    #[arg(long)]
    pub(crate) allow_weak_password: bool,
    /// Keep looking for members, whoever refuses
    #[arg(long)]
    pub(crate) retry_forever: bool,
}

impl MeshOptions {
    /// Whether to look for members without an end.
    pub(crate) fn endless(&self) -> bool {
        self.found || self.retry_forever
    }

    /// Finds the password, asking for it if need be.
    async fn credential(&self, mesh: &MeshName, stop: &Stop) -> Result<Credential, Failure> {
        if self.open {
            return Ok(Credential::open());
        }
        let source = password::source(&self.password_file, mesh, std::env::var_os(PASSWORD_VARIABLE))?;
        let (mesh, founding, allow_weak) = (mesh.clone(), self.found, self.allow_weak_password);
        let ask = tokio::task::spawn_blocking(move || password::read(source, &mesh, founding));
        let password = stop
            .or(ask)
            .await?
            .map_err(|_| Failure::other("reading the password stopped short"))??;
        if let Some(warning) = password::weigh(&password, founding, allow_weak)? {
            say(&warning);
        }
        Ok(Credential::password(password).founding(founding).allow_weak(allow_weak))
    }
}

/// A node under construction, from the options that all commands share.
pub(crate) fn builder(network: &NetworkOptions, tickets: impl IntoIterator<Item = Ticket>) -> NodeBuilder {
    let bootstrap = network.bootstrap.iter().map(|peer| peer.multiaddr().clone());
    let mut builder = Node::builder().bootstrap(bootstrap).mdns(!network.no_mdns);
    for ticket in tickets {
        builder = builder.ticket(ticket);
    }
    if !network.listen.is_empty() {
        builder = builder.listen(network.listen.clone());
    }
    if let Some(directory) = &network.data_dir {
        builder = builder.data_dir(directory);
    }
    builder
}

/// Starts a node.
pub(crate) async fn spawn(builder: NodeBuilder, stop: &Stop) -> Result<Node, Failure> {
    stop.or(builder.spawn()).await?.map_err(|error| match error {
        SpawnError::Bootstrap(error) => Failure::Usage(error.to_string()),
        other => Failure::Other(other.into()),
    })
}

/// Ends a node: it flushes and leaves, but not without an end.
pub(crate) async fn shutdown(node: Node) {
    let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, node.shutdown()).await;
}

/// A node that joined the mesh a command is about.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) node: Node,
    pub(crate) mesh: Mesh,
    endless: bool,
    open: bool,
}

impl Member {
    /// Starts a node and joins. Being alone, or refused, is not an error here: see [`Watch`].
    pub(crate) async fn join(
        place: &Place,
        network: &NetworkOptions,
        options: &MeshOptions,
        stop: &Stop,
    ) -> Result<Self, Failure> {
        let credential = options.credential(&place.mesh, stop).await?;
        let node = spawn(builder(network, place.tickets.clone()), stop).await?;
        Self::enter(node, place, credential, options, stop).await
    }

    /// Joins several meshes with one node. All passwords are found before it starts.
    pub(crate) async fn join_all(
        places: &[Place],
        network: &NetworkOptions,
        options: &MeshOptions,
        stop: &Stop,
    ) -> Result<Vec<Self>, Failure> {
        let mut credentials = Vec::with_capacity(places.len());
        for place in places {
            credentials.push(options.credential(&place.mesh, stop).await?);
        }
        let tickets = places.iter().flat_map(|place| place.tickets.clone());
        let node = spawn(builder(network, tickets), stop).await?;
        let mut members = Vec::with_capacity(places.len());
        for (place, credential) in places.iter().zip(credentials) {
            members.push(Self::enter(node.clone(), place, credential, options, stop).await?);
        }
        Ok(members)
    }

    async fn enter(
        node: Node,
        place: &Place,
        credential: Credential,
        options: &MeshOptions,
        stop: &Stop,
    ) -> Result<Self, Failure> {
        let mesh = stop
            .or(node.join(place.mesh.clone(), credential))
            .await?
            .map_err(|error| match error {
                JoinError::WeakPassword { .. } => Failure::Usage(error.to_string()),
                other => Failure::Other(other.into()),
            })?;
        Ok(Self {
            node,
            mesh,
            endless: options.endless(),
            open: options.open,
        })
    }

    /// Watches from now on.
    pub(crate) fn watch(&self, progress: ProgressBar) -> Watch {
        Watch {
            mesh: self.mesh.clone(),
            mesh_events: self.mesh.events(),
            node_events: self.node.events(),
            patience: Patience::new(self.endless, Instant::now()),
            open: self.open,
            unreachable_noted: None,
            progress,
        }
    }
}

/// Looks after a member while its command works: says what people should know, and when it is time to give up.
#[derive(Debug)]
pub(crate) struct Watch {
    mesh: Mesh,
    mesh_events: MeshEvents,
    node_events: NodeEvents,
    patience: Patience,
    open: bool,
    unreachable_noted: Option<Instant>,
    progress: ProgressBar,
}

impl Watch {
    /// Ends when the command cannot succeed any more. Cancel safe; call it again to go on.
    pub(crate) async fn given_up(&mut self) -> Failure {
        let mut tick = tokio::time::interval(STATUS_INTERVAL);
        loop {
            let failure = tokio::select! {
                _ = tick.tick() => self.look(),
                Some(event) = self.mesh_events.next() => self.on_mesh_event(&event),
                Some(event) = self.node_events.next() => self.on_node_event(&event),
            };
            if let Some(failure) = failure {
                return failure;
            }
        }
    }

    /// Whether a member was ever found.
    pub(crate) fn joined_ever(&self) -> bool {
        self.patience.joined_ever()
    }

    /// Says a line where no progress is drawn over it.
    pub(crate) fn note(&self, line: &str) {
        self.progress.suspend(|| say(line));
    }

    /// What to say when time is up and peers were met, but all refused so far.
    pub(crate) fn refused_so_far(&self) -> Option<Failure> {
        self.patience.refused_so_far().map(|peers| self.refused(peers))
    }

    fn look(&mut self) -> Option<Failure> {
        let standing = match self.mesh.status() {
            Status::Joined { .. } => Standing::Joined,
            Status::Refused { peers } => Standing::Refused { peers },
            _ => Standing::Alone,
        };
        match self.patience.observe(standing, Instant::now())? {
            Verdict::Refused { peers } => Some(self.refused(peers)),
            Verdict::StillLooking { minutes } => {
                let met = match standing {
                    Standing::Refused { peers } => {
                        format!("{} met, none accepted this password", counted(peers, "peer"))
                    }
                    Standing::Alone | Standing::Joined => "nobody met yet".to_owned(),
                };
                let time = counted(usize::try_from(minutes).unwrap_or(usize::MAX), "minute");
                self.note(&format!(
                    "still looking for members of {} after {time}: {met}",
                    self.mesh.name()
                ));
                None
            }
        }
    }

    fn on_mesh_event(&mut self, event: &MeshEvent) -> Option<Failure> {
        if matches!(event, MeshEvent::NeighbourJoined { .. }) {
            // A member that comes and goes between two looks was met all the same.
            self.patience.observe(Standing::Joined, Instant::now());
        }
        matches!(event, MeshEvent::IdentityInUse).then(|| {
            Failure::other(format!(
                "another process takes part in {} with this identity: stop it, or use another --data-dir",
                self.mesh.name()
            ))
        })
    }

    fn on_node_event(&mut self, event: &NodeEvent) -> Option<Failure> {
        let noted_lately = self
            .unreachable_noted
            .is_some_and(|noted| noted.elapsed() < UNREACHABLE_NOTE_INTERVAL);
        if let NodeEvent::BootstrapUnreachable { .. } = event
            && !noted_lately
            && !self.patience.joined_ever()
        {
            self.unreachable_noted = Some(Instant::now());
            self.note(&unreachable(event));
        }
        None
    }

    fn refused(&self, peers: usize) -> Failure {
        Failure::Refused(refused(peers, self.mesh.name().as_str(), self.open))
    }
}

/// The line about a bootstrap peer that cannot be reached; empty for other events.
pub(crate) fn unreachable(event: &NodeEvent) -> String {
    let NodeEvent::BootstrapUnreachable { peer, reason } = event else {
        return String::new();
    };
    let peer = peer.map_or_else(
        || "a bootstrap peer".to_owned(),
        |peer| format!("bootstrap peer {peer}"),
    );
    format!("{peer} cannot be reached yet, and is tried again: {reason}")
}

/// The sentence of exit code 3.
fn refused(peers: usize, mesh: &str, open: bool) -> String {
    let peers = counted(peers, "peer");
    if open {
        return format!(
            "none of {peers} on {mesh} let this node in without a password: the mesh may have one, or they are another group \
             with the same mesh name"
        );
    }
    format!(
        "none of {peers} on {mesh} accepted this password: it may be wrong, or they are another group with the same mesh name"
    )
}

/// `1 record`, `2 records`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// The same for what is counted without an end.
pub(crate) fn counted_u64(count: u64, noun: &str) -> String {
    counted(usize::try_from(count).unwrap_or(usize::MAX), noun)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_reads_as_documented() {
        assert_eq!(
            refused(3, "market.example", false),
            "none of 3 peers on market.example accepted this password: it may be wrong, or they are another group with the \
             same mesh name"
        );
        assert!(refused(1, "m", true).starts_with("none of 1 peer on m let this node in without a password"));
    }

    #[test]
    fn counts_read_as_english() {
        let read: Vec<String> = [0, 1, 2].map(|count| counted(count, "record")).into();
        assert_eq!(read, ["0 records", "1 record", "2 records"]);
    }

    #[test]
    fn unreachable_peers_are_named() {
        let event = NodeEvent::BootstrapUnreachable {
            peer: None,
            reason: "connection refused".into(),
        };
        assert_eq!(
            unreachable(&event),
            "a bootstrap peer cannot be reached yet, and is tried again: connection refused"
        );
    }
}
