//! Everything the news asks of maille, in one place: nodes, meshes, items out, items in. No logic of the news.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use futures::StreamExt;
pub(crate) use maille::{Address, Credential, Multiaddr, Password, PeerId, Ticket};
use maille::{Event, Json, Mesh, Node, PublishError, Publisher, Start, Subscriber, Topic};

use crate::args::CommonArgs;
use crate::exit::Failure;
use crate::item::{Item, hash};

/// For so long every peer met must have refused before a command ends as refused.
const REFUSED_AFTER: Duration = Duration::from_secs(20);
/// What names of data directories are hashed for.
const PLACE_CONTEXT: &str = "maille 2026-11 news data directory";

/// Where a node listens, whom it asks first, and where it keeps things.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network {
    /// Empty: where maille listens unless told otherwise.
    pub(crate) listen: Vec<Multiaddr>,
    /// Nodes to begin with.
    pub(crate) bootstrap: Vec<Multiaddr>,
    /// Whose peers to begin with, too.
    pub(crate) ticket: Option<Ticket>,
    /// Look for members on the local network, and among this user's nodes on this machine.
    pub(crate) nearby: Nearby,
    /// Identity and members met; without it, both are new each time.
    pub(crate) data_dir: Option<PathBuf>,
}

/// Where members are looked for without being told of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Nearby {
    /// Nowhere.
    #[default]
    Nowhere,
    /// On this machine.
    Machine,
    /// On this machine and the local network.
    Lan,
}

impl Network {
    /// What a command's options say.
    pub(crate) fn of(args: &CommonArgs, data_dir: Option<PathBuf>) -> Self {
        Self {
            listen: args.listen.clone(),
            bootstrap: args.bootstrap.clone(),
            ticket: args.ticket.clone(),
            nearby: if args.no_mdns { Nearby::Machine } else { Nearby::Lan },
            data_dir,
        }
    }

    /// Loopback only, and nothing known but these multiaddrs.
    pub(crate) fn loopback(bootstrap: Vec<Multiaddr>) -> Self {
        let any_port = "/ip4/127.0.0.1/tcp/0"
            .parse()
            .expect("a constant multiaddr is well formed");
        Self {
            listen: vec![any_port],
            bootstrap,
            ..Self::default()
        }
    }

    async fn spawn(&self, helper: bool) -> Result<Node, Failure> {
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

/// The address that ADDRESS and `--ticket` name together.
pub(crate) fn place(args: &CommonArgs) -> Result<Address, Failure> {
    let missing = || Failure::Usage("give an ADDRESS such as news.example/world, or a ticket".to_owned());
    let address = args.address.clone();
    let Some(ticket) = &args.ticket else {
        return address.ok_or_else(missing);
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

/// Where things are kept unless told otherwise: a place of its own for each address and command.
pub(crate) fn default_data_dir(command: &str, address: &Address) -> Result<PathBuf, Failure> {
    let strategy = etcetera::choose_base_strategy()
        .map_err(|_| Failure::Usage("this user has no home directory: give a place with --data-dir".to_owned()))?;
    let name = format!(
        "{}-{}",
        address.mesh(),
        &hash(PLACE_CONTEXT, &[&address.to_string()])[..8]
    );
    let data = etcetera::BaseStrategy::data_dir(&strategy);
    Ok(data.join("maille").join("news").join(command).join(name))
}

/// An address inside this program, from constant text.
pub(crate) fn own_address(text: &str) -> Result<Address, Failure> {
    text.parse().map_err(|error| Failure::Other(format!("{text}: {error}")))
}

/// A new password for a mesh that lives as long as the demo.
pub(crate) fn new_credential() -> Credential {
    Credential::password(Password::generate(&mut rand::rng()))
}

/// A node that joined no mesh and helps others meet.
#[derive(Debug)]
pub(crate) struct Helper(Node);

impl Helper {
    /// Starts it.
    pub(crate) async fn start(network: &Network) -> Result<Self, Failure> {
        network.spawn(true).await.map(Self)
    }

    /// Where it can be reached.
    pub(crate) fn multiaddrs(&self) -> Vec<Multiaddr> {
        self.0.multiaddrs()
    }

    /// Stops it.
    pub(crate) async fn stop(self) {
        self.0.shutdown().await;
    }
}

/// A node of its own in one mesh, on one topic.
#[derive(Debug)]
pub(crate) struct Member {
    node: Node,
    mesh: Mesh,
    topic: Topic<Json<Item>>,
}

/// Where a node stands in its mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It met nobody.
    Alone,
    /// It met so many peers of the mesh, and all refused.
    Refused(usize),
    /// It has so many neighbours.
    Joined(usize),
}

impl Member {
    /// Starts a node and joins. Returns once the password is stretched; being alone is a state, not an error.
    pub(crate) async fn join(network: &Network, address: &Address, credential: Credential) -> Result<Self, Failure> {
        let node = network.spawn(false).await?;
        let mesh = node
            .join(address.mesh().clone(), credential)
            .await
            .map_err(Failure::other)?;
        let topic = mesh.topic(address.topic().clone());
        Ok(Self { node, mesh, topic })
    }

    /// Who it is.
    pub(crate) fn id(&self) -> PeerId {
        self.node.id()
    }

    /// Where it stands.
    pub(crate) fn standing(&self) -> Standing {
        match self.mesh.status() {
            maille::Status::Refused { peers } => Standing::Refused(peers),
            maille::Status::Joined { neighbours } => Standing::Joined(neighbours),
            // `Alone`, and whatever later versions tell apart of it.
            _ => Standing::Alone,
        }
    }

    /// Resolves, with the sentence to end with, once every peer met refused for 20 s and no member was found.
    pub(crate) async fn refused(&self) -> Failure {
        let mut refused_since = None;
        let mut statuses = self.mesh.status_changes();
        loop {
            match self.standing() {
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
                () = patience => if let Some(failure) = self.refusal() {
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

    /// The sentence to end with if all peers met so far refused.
    pub(crate) fn refusal(&self) -> Option<Failure> {
        let Standing::Refused(peers) = self.standing() else {
            return None;
        };
        Some(Failure::Refused(format!(
            "none of {peers} peers on {} accepted this password: it may be wrong, or they are another group with the same mesh \
             name",
            self.mesh.name()
        )))
    }

    /// Begins to publish.
    pub(crate) async fn publisher(&self) -> Result<Outlet, Failure> {
        self.topic.publisher().await.map(Outlet).map_err(Failure::other)
    }

    /// Begins to read, all publishers or only these: what was published since a time, if there is one, else from now on.
    pub(crate) async fn subscribe(&self, publishers: &[PeerId], since: Option<SystemTime>) -> Result<Inlet, Failure> {
        let start = match since {
            None => Start::Now,
            Some(SystemTime::UNIX_EPOCH) => Start::All,
            Some(since) => Start::Since(since),
        };
        let mut builder = self.topic.subscribe().from(start);
        if !publishers.is_empty() {
            builder = builder.publishers(publishers.iter().copied());
        }
        builder.start().await.map(Inlet).map_err(Failure::other)
    }

    /// Flushes, leaves and stops the node.
    pub(crate) async fn stop(self) {
        self.node.shutdown().await;
    }
}

/// Where items go out.
#[derive(Clone, Debug)]
pub(crate) struct Outlet(Publisher<Json<Item>>);

impl Outlet {
    /// Waits until so many neighbours are subscribed; for ever, if they do not come.
    pub(crate) async fn ready(&self, neighbours: usize) -> Result<(), Failure> {
        self.0.ready(neighbours).await.map_err(Failure::other)
    }

    /// Neighbours that are subscribed now.
    pub(crate) fn subscribed(&self) -> usize {
        self.0.subscribed()
    }

    /// Publishes items under their keys and waits until a member holds them all; for ever, if none comes. What members took
    /// and left with before they acknowledged it is published again to those who come next.
    pub(crate) async fn hold(&self, items: &[(String, Item)]) -> Result<(), Failure> {
        loop {
            self.ready(1).await?;
            for (key, item) in items {
                let published = self.0.publish_keyed(key.clone(), &Json(item.clone())).await;
                published.map_err(Failure::other)?;
            }
            loop {
                match self.0.flush().await {
                    Ok(flushed) if flushed.neighbours > 0 => return Ok(()),
                    Err(PublishError::NotFlushed { .. }) if self.subscribed() > 0 => {}
                    Ok(_) | Err(PublishError::NotFlushed { .. }) => break,
                    Err(error) => return Err(Failure::other(error)),
                }
            }
        }
    }
}

/// Where items come in.
#[derive(Debug)]
pub(crate) struct Inlet(Subscriber<Json<Item>>);

/// What an [`Inlet`] hears.
#[derive(Clone, Debug)]
pub(crate) enum Heard {
    /// An item, tidy.
    Item(Item),
    /// What there was before has been heard; from now on comes what is new. Only of who asked for what was before.
    CaughtUp,
    /// Something else.
    Note(Note),
}

/// What happened besides items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// Nobody could be asked for what was published before.
    Unanswered,
    /// Records that are missing and could not be had.
    Gap {
        /// Whose.
        author: PeerId,
        /// How many.
        missing: u64,
    },
    /// We were too slow.
    Lagged {
        /// For so many events.
        missed: u64,
    },
    /// A record that is no item.
    Undecodable {
        /// Whose.
        author: PeerId,
    },
}

impl Inlet {
    /// What comes next; none when the mesh was left.
    pub(crate) async fn next(&mut self) -> Option<Heard> {
        loop {
            let event = self.0.next().await?;
            return Some(match event {
                Event::Record(record) => Heard::Item(record.value.0.tidy()),
                Event::Gap {
                    publisher, from, to, ..
                } => Heard::Note(Note::Gap {
                    author: publisher,
                    missing: to.saturating_sub(from),
                }),
                Event::Lagged { missed } => Heard::Note(Note::Lagged { missed }),
                Event::Undecodable { cursor, .. } => Heard::Note(Note::Undecodable {
                    author: cursor.publisher,
                }),
                Event::CaughtUp => Heard::CaughtUp,
                Event::Unanswered => Heard::Note(Note::Unanswered),
                // A publisher that began anew, and events of later versions, say nothing about items.
                _ => continue,
            });
        }
    }
}
