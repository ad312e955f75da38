//! Everything the news asks of maille, in one place: nodes, meshes, items out, items in. No logic of the news.

use std::path::PathBuf;
use std::time::SystemTime;

use futures::StreamExt;
pub(crate) use maille::{Address, Credential, PeerId};
use maille::{Event, Json, Mesh, Node, PublishError, Publisher, Start, Subscriber, Topic};
use shared::network;
pub(crate) use shared::network::{new_credential, own_address};
pub(crate) use shared::{Helper, Network, Standing};

use crate::exit::Failure;
use crate::item::{Item, hash};

/// What names of data directories are hashed for.
const PLACE_CONTEXT: &str = "maille 2026-11 news data directory";

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

/// A node of its own in one mesh, on one topic.
#[derive(Debug)]
pub(crate) struct Member {
    node: Node,
    mesh: Mesh,
    topic: Topic<Json<Item>>,
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
        Standing::of(&self.mesh)
    }

    /// Resolves, with the sentence to end with, once every peer met refused for 20 s and no member was found.
    pub(crate) async fn refused(&self) -> Failure {
        network::refused(&self.mesh).await
    }

    /// The sentence to end with if all peers met so far refused.
    pub(crate) fn refusal(&self) -> Option<Failure> {
        network::refusal(&self.mesh)
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
