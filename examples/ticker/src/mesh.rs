//! Everything the ticker asks of maille, in one place: nodes, meshes, ticks out, ticks in. No logic of the ticker.

use std::time::SystemTime;

use futures::StreamExt;
pub(crate) use maille::{Address, Credential, PeerId, Start};
use maille::{Event, MeshName, Node, Publisher, Subscriber, Topic};
use shared::network;
pub(crate) use shared::network::{new_credential, own_address};
pub(crate) use shared::{Helper, Network, Standing};

use crate::exit::Failure;
use crate::tick::Tick;

/// A node of its own in one mesh, on one topic.
#[derive(Debug)]
pub(crate) struct Member {
    node: Node,
    mesh: maille::Mesh,
    topic: Topic<Tick>,
}

impl Member {
    /// Starts a node and joins. Returns once the password is stretched; being alone is a state, not an error.
    pub(crate) async fn join(network: &Network, address: &Address, credential: Credential) -> Result<Self, Failure> {
        let node = network.spawn(false).await?;
        let name: MeshName = address.mesh().clone();
        let mesh = node
            .join(name, credential)
            .await
            .map_err(|error| Failure::Other(error.to_string()))?;
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

    /// Bytes its node wrote to all connections so far.
    pub(crate) fn bytes_sent(&self) -> u64 {
        self.node.metrics().bytes_sent
    }

    /// Resolves, with the sentence to end with, once every peer met refused for 20 s and no member was found.
    pub(crate) async fn refused(&self) -> Failure {
        network::refused(&self.mesh).await
    }

    /// Begins to publish.
    pub(crate) async fn publisher(&self) -> Result<Outlet, Failure> {
        self.topic
            .publisher()
            .await
            .map(Outlet)
            .map_err(|error| Failure::Other(error.to_string()))
    }

    /// Begins to listen, to all authors and symbols or only to these.
    pub(crate) async fn subscribe(
        &self,
        start: Start,
        authors: &[PeerId],
        symbols: &[String],
    ) -> Result<Inlet, Failure> {
        let past = start != Start::Now;
        let mut builder = self.topic.subscribe().from(start);
        if !authors.is_empty() {
            builder = builder.publishers(authors.iter().copied());
        }
        if !symbols.is_empty() {
            builder = builder.keys(symbols.iter().cloned());
        }
        builder
            .start()
            .await
            .map(|subscriber| Inlet { subscriber, past })
            .map_err(|error| Failure::Other(error.to_string()))
    }

    /// Flushes, leaves and stops the node.
    pub(crate) async fn stop(self) {
        self.node.shutdown().await;
    }
}

/// Where ticks go out.
#[derive(Clone, Debug)]
pub(crate) struct Outlet(Publisher<Tick>);

impl Outlet {
    /// Waits until so many neighbours are subscribed; for ever, if they do not come.
    pub(crate) async fn ready(&self, neighbours: usize) -> Result<(), Failure> {
        self.0
            .ready(neighbours)
            .await
            .map_err(|error| Failure::Other(error.to_string()))
    }

    /// Neighbours that are subscribed now.
    pub(crate) fn subscribed(&self) -> usize {
        self.0.subscribed()
    }

    /// Publishes under the symbol as key. Waits for room in the window, no longer.
    pub(crate) async fn publish(&self, tick: &Tick) -> Result<(), Failure> {
        let key = tick.symbol.clone();
        self.0
            .publish_keyed(key, tick)
            .await
            .map(drop)
            .map_err(|error| Failure::Other(error.to_string()))
    }

    /// Waits until everything is acknowledged. Gives how many neighbours did.
    pub(crate) async fn flush(&self) -> Result<usize, Failure> {
        self.0
            .flush()
            .await
            .map(|flushed| flushed.neighbours)
            .map_err(|error| Failure::Other(error.to_string()))
    }
}

/// Where ticks come in.
#[derive(Debug)]
pub(crate) struct Inlet {
    subscriber: Subscriber<Tick>,
    /// What comes is of the past still.
    past: bool,
}

/// What an [`Inlet`] hears.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all that is heard is ticks")]
pub(crate) enum Heard {
    /// A tick. Its fields are not checked yet: see [`Tick::read`].
    Tick(Arrival),
    /// Something else.
    Note(Note),
}

/// A tick and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    /// What was published.
    pub(crate) tick: Tick,
    /// Who signed it.
    pub(crate) author: PeerId,
    /// The author's run.
    pub(crate) incarnation: u64,
    /// Its number in that run.
    pub(crate) sequence: u64,
    /// By the author's clock.
    pub(crate) sent_at: SystemTime,
    /// By ours.
    pub(crate) received_at: SystemTime,
    /// It was published before we listened, and came from whoever holds it.
    pub(crate) past: bool,
}

impl Arrival {
    /// When its author was heard: a tick of the past says that it was then, not now.
    pub(crate) fn heard_at(&self) -> SystemTime {
        if self.past {
            self.sent_at.min(self.received_at)
        } else {
            self.received_at
        }
    }
}

/// What happened besides ticks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// Records that are missing and could not be had.
    Gap {
        /// Whose.
        author: PeerId,
        /// Of which run.
        incarnation: u64,
        /// The first missing one.
        from: u64,
        /// The one after the last missing one.
        to: u64,
    },
    /// We were too slow.
    Lagged {
        /// For so many events.
        missed: u64,
    },
    /// A publisher began anew.
    Restarted {
        /// Who.
        author: PeerId,
        /// The new run.
        incarnation: u64,
    },
    /// An author is not heard any more.
    Silent {
        /// Who.
        author: PeerId,
        /// When it was heard last, by our clock.
        since: SystemTime,
    },
    /// An author that was silent is heard again.
    Resumed {
        /// Who.
        author: PeerId,
    },
    /// An author signed two things that contradict each other.
    Fork {
        /// Who.
        author: PeerId,
        /// In which run, of which nothing more comes.
        incarnation: u64,
        /// Where the two part.
        sequence: u64,
    },
    /// What comes from now on is live.
    CaughtUp,
    /// A record that is no tick.
    Undecodable {
        /// Whose.
        author: PeerId,
    },
}

impl Inlet {
    /// What comes next; none when the mesh was left.
    pub(crate) async fn next(&mut self) -> Option<Heard> {
        loop {
            let note = match self.subscriber.next().await? {
                Event::Record(record) => {
                    return Some(Heard::Tick(Arrival {
                        tick: record.value,
                        author: record.author,
                        incarnation: record.cursor.incarnation,
                        sequence: record.cursor.sequence,
                        sent_at: record.sent_at,
                        received_at: record.received_at,
                        past: self.past,
                    }));
                }
                Event::Gap {
                    publisher,
                    incarnation,
                    from,
                    to,
                } => Note::Gap {
                    author: publisher,
                    incarnation,
                    from,
                    to,
                },
                Event::Lagged { missed } => Note::Lagged { missed },
                Event::Restarted { publisher, incarnation } => Note::Restarted {
                    author: publisher,
                    incarnation,
                },
                Event::Silent { publisher, since } => Note::Silent {
                    author: publisher,
                    since,
                },
                Event::Resumed { publisher } => Note::Resumed { author: publisher },
                Event::Fork {
                    publisher,
                    incarnation,
                    sequence,
                    ..
                } => Note::Fork {
                    author: publisher,
                    incarnation,
                    sequence,
                },
                Event::CaughtUp => {
                    self.past = false;
                    Note::CaughtUp
                }
                Event::Undecodable { cursor, .. } => Note::Undecodable {
                    author: cursor.publisher,
                },
                // Events of later versions that say nothing about ticks.
                _ => continue,
            };
            return Some(Heard::Note(note));
        }
    }
}

#[cfg(test)]
impl Arrival {
    /// One for tests of what is shown.
    pub(crate) fn sample(sent_at: SystemTime) -> Self {
        Self {
            tick: Tick::default(),
            author: PeerId::random(),
            incarnation: 1,
            sequence: 2,
            sent_at,
            received_at: sent_at,
            past: false,
        }
    }
}
