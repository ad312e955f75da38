//! Nodes as the examples start them, and where they stand in a mesh.

use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt;
use maille::{Address, Credential, Mesh, Multiaddr, Node, Password, Ticket};

use crate::exit::Failure;

/// For so long every peer met must have refused before a command ends as refused.
const REFUSED_AFTER: Duration = Duration::from_secs(20);

/// Where a node listens, whom it asks first, and where it keeps things.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// Empty: where maille listens unless told otherwise.
    pub listen: Vec<Multiaddr>,
    /// Nodes to begin with.
    pub bootstrap: Vec<Multiaddr>,
    /// Whose peers to begin with, too.
    pub ticket: Option<Ticket>,
    /// Where members are looked for without being told of them.
    pub nearby: Nearby,
    /// Identity and members met; without it, both are new each time.
    pub data_dir: Option<PathBuf>,
}

/// Where members are looked for without being told of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nearby {
    /// Nowhere.
    #[default]
    Nowhere,
    /// Among this user's nodes on this machine.
    Machine,
    /// On this machine and the local network.
    Lan,
}

impl Network {
    /// Loopback only, and nothing known but these multiaddrs.
    ///
    /// # Panics
    /// Never: the multiaddr to listen on is constant.
    #[must_use]
    pub fn loopback(bootstrap: Vec<Multiaddr>) -> Self {
        let any_port = "/ip4/127.0.0.1/tcp/0"
            .parse()
            .expect("a constant multiaddr is well formed");
        Self {
            listen: vec![any_port],
            bootstrap,
            ..Self::default()
        }
    }

    /// Starts a node; a helper joins no mesh.
    ///
    /// # Errors
    /// When a multiaddr makes no sense, or the node cannot be started.
    pub async fn spawn(&self, helper: bool) -> Result<Node, Failure> {
        let mut builder = Node::builder()
            .bootstrap(self.bootstrap.iter().cloned())
            .mdns(self.nearby == Nearby::Lan)
            .run_file(self.nearby != Nearby::Nowhere)
            .helper(helper);
        if !self.listen.is_empty() {
            builder = builder.listen(self.listen.iter().cloned());
        }
        if let Some(ticket) = &self.ticket {
            builder = builder.ticket(ticket.clone());
        }
        if let Some(data_dir) = &self.data_dir {
            builder = builder.data_dir(data_dir);
        }
        builder.spawn().await.map_err(|error| match error {
            maille::SpawnError::Bootstrap(_) => Failure::Usage(error.to_string()),
            _ => Failure::other(error),
        })
    }
}

/// The address that ADDRESS and `--ticket` name together; `such_as` is one for the sentence when there is none.
///
/// # Errors
/// When they contradict each other, or name none.
pub fn place(address: Option<Address>, ticket: Option<&Ticket>, such_as: &str) -> Result<Address, Failure> {
    let Some(ticket) = ticket else {
        return address.ok_or_else(|| Failure::Usage(format!("give an ADDRESS such as {such_as}, or a ticket")));
    };
    let mesh = ticket.mesh();
    match (address, ticket.topic()) {
        (Some(address), _) if address.mesh() != mesh => Err(Failure::Usage(format!(
            "the ticket leads to {mesh}, not to {}: leave one of them out",
            address.mesh()
        ))),
        (Some(address), _) => Ok(address),
        (None, Some(topic)) => Ok(Address::new(mesh.clone(), topic.clone())),
        (None, None) => Err(Failure::Usage(format!(
            "the ticket leads to {mesh} but names no topic: give the ADDRESS too, such as {mesh}/news"
        ))),
    }
}

/// An address inside a program, from constant text.
///
/// # Errors
/// When it is none.
pub fn own_address(text: &str) -> Result<Address, Failure> {
    text.parse().map_err(|error| Failure::Other(format!("{text}: {error}")))
}

/// A new password for a mesh that lives as long as a demo.
#[must_use]
pub fn new_credential() -> Credential {
    Credential::password(Password::generate(&mut rand::rng()))
}

/// A node that joined no mesh and helps others meet.
#[derive(Debug)]
pub struct Helper(Node);

impl Helper {
    /// Starts it.
    ///
    /// # Errors
    /// When the node cannot be started.
    pub async fn start(network: &Network) -> Result<Self, Failure> {
        network.spawn(true).await.map(Self)
    }

    /// Where it can be reached.
    #[must_use]
    pub fn multiaddrs(&self) -> Vec<Multiaddr> {
        self.0.multiaddrs()
    }

    /// Stops it.
    pub async fn stop(self) {
        self.0.shutdown().await;
    }
}

/// Where a node stands in its mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It met nobody.
    Alone,
    /// It met so many peers of the mesh, and all refused.
    Refused(usize),
    /// It has so many neighbours.
    Joined(usize),
}

impl Standing {
    /// Where it stands now.
    #[must_use]
    pub fn of(mesh: &Mesh) -> Self {
        match mesh.status() {
            maille::Status::Refused { peers } => Self::Refused(peers),
            maille::Status::Joined { neighbours } => Self::Joined(neighbours),
            // `Alone`, and whatever later versions tell apart of it.
            _ => Self::Alone,
        }
    }
}

/// The sentence to end with if all peers met so far refused.
#[must_use]
pub fn refusal(mesh: &Mesh) -> Option<Failure> {
    let Standing::Refused(peers) = Standing::of(mesh) else {
        return None;
    };
    Some(Failure::Refused(format!(
        "none of {peers} peers on {} accepted this password: it may be wrong, or they are another group with the same mesh name",
        mesh.name()
    )))
}

/// Resolves, with the sentence to end with, once every peer met refused for 20 s and no member was found.
pub async fn refused(mesh: &Mesh) -> Failure {
    let mut refused_since = None;
    let mut statuses = mesh.status_changes();
    loop {
        match Standing::of(mesh) {
            Standing::Joined(_) => return std::future::pending().await,
            Standing::Refused(_) => {
                refused_since.get_or_insert_with(tokio::time::Instant::now);
            }
            Standing::Alone => {}
        }
        let patience = async {
            match refused_since {
                Some(since) => tokio::time::sleep_until(since + REFUSED_AFTER).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = patience => if let Some(failure) = refusal(mesh) {
                return failure;
            } else {
                refused_since = None;
            },
            status = statuses.next() => if status.is_none() {
                return Failure::Other("the mesh was left".to_owned());
            },
        }
    }
}
