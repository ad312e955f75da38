//! The handle that publishes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use libp2p::PeerId;
use maille_proto::{KEY_BYTES_MAX, RECORD_BYTES_MAX};
use tokio::sync::watch;

use super::{Payload, PublishError, Topic};
use crate::net::{Outgoing, PublisherLink, PublisherState};
use crate::types::Cursor;

/// How long [`Publisher::flush`] waits: longer than a neighbour waits for a frame that was lost on its way.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(45);
/// [`Publisher::ready`] counts no further: a node looks for no more subscribers of a topic than this, however many there
/// are.
const READY_NEIGHBOURS_MAX: usize = crate::core::neighbours::TOPIC_TARGET;

/// One stream of records of this node on one topic. Clones publish on the same stream.
#[derive(Debug)]
pub struct Publisher<T> {
    topic: Topic<T>,
    link: Arc<PublisherLink>,
}

impl<T> Clone for Publisher<T> {
    fn clone(&self) -> Self {
        Self {
            topic: self.topic.clone(),
            link: self.link.clone(),
        }
    }
}

/// A record that was taken, with its place in the stream.
#[derive(Clone, Debug)]
pub struct Receipt {
    cursor: Cursor,
    state: watch::Receiver<PublisherState>,
}

impl Receipt {
    /// Its place in this publisher's stream.
    #[must_use]
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Waits until the record is in this node's durable log: it survives this process and this machine's loss of power.
    /// Without a data directory there is none.
    ///
    /// # Errors
    /// [`PublishError::NotStored`] if it cannot be stored, or there is no data directory; [`PublishError::Closed`].
    ///
    /// # Cancel safety
    /// Changes nothing; may be dropped at any time.
    pub async fn stored(&self) -> Result<(), PublishError> {
        let sequence = self.cursor.sequence;
        let mut state = self.state.clone();
        let settled = state.wait_for(|state| state.stored.as_ref().is_none_or(|stored| stored.next > sequence));
        let settled = settled.await.map_err(|_| PublishError::Closed)?;
        match &settled.stored {
            Some(stored) if !stored.is_lost(sequence) => Ok(()),
            _ => Err(PublishError::NotStored),
        }
    }

    /// Waits until a neighbour has acknowledged the record; says how many have. A count of neighbours, never of the
    /// audience. Waits for ever if nobody is subscribed: use a deadline.
    ///
    /// # Errors
    /// [`PublishError::Closed`].
    ///
    /// # Cancel safety
    /// Changes nothing; may be dropped at any time.
    pub async fn spread(&self) -> Result<usize, PublishError> {
        let sequence = self.cursor.sequence;
        let count = |state: &PublisherState| {
            let acknowledgements = state.acknowledgements.iter();
            acknowledgements
                .filter(|acknowledged| acknowledged.contains(&sequence))
                .count()
        };
        let mut state = self.state.clone();
        let spread = state.wait_for(|state| count(state) > 0).await;
        spread.map(|state| count(&state)).map_err(|_| PublishError::Closed)
    }
}

/// What [`Publisher::flush`] reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flushed {
    /// Neighbours that acknowledged every record; never the size of the audience.
    pub neighbours: usize,
}

impl<T: Payload> Publisher<T> {
    pub(crate) fn new(topic: Topic<T>, link: Arc<PublisherLink>) -> Self {
        Self { topic, link }
    }

    /// The author that subscribers see.
    #[must_use]
    pub fn id(&self) -> PeerId {
        self.topic.mesh.node.id
    }

    /// This run's number; it grows with every start.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.link.incarnation
    }

    /// Publishes one record. Returns once it has a sequence number and a place in the bounded queue.
    ///
    /// # Errors
    /// [`PublishError::RecordTooLarge`] and [`PublishError::Payload`] before anything is sent; [`PublishError::Closed`].
    ///
    /// # Cancel safety
    /// Dropping the future before it returns publishes nothing.
    pub async fn publish(&self, value: &T) -> Result<Receipt, PublishError> {
        self.push(None, value).await
    }

    /// Publishes one record under a key. Records with equal keys are versions of the same thing, such as a symbol's price.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), and [`PublishError::KeyTooLarge`].
    ///
    /// # Cancel safety
    /// Dropping the future before it returns publishes nothing.
    pub async fn publish_keyed(&self, key: impl Into<Bytes>, value: &T) -> Result<Receipt, PublishError> {
        self.push(Some(key.into()), value).await
    }

    async fn push(&self, key: Option<Bytes>, value: &T) -> Result<Receipt, PublishError> {
        let payload = value.encode_payload()?;
        if payload.len() > RECORD_BYTES_MAX {
            return Err(PublishError::RecordTooLarge {
                bytes: payload.len(),
                bytes_max: RECORD_BYTES_MAX,
            });
        }
        if let Some(key) = key.as_ref().filter(|key| key.len() > KEY_BYTES_MAX) {
            return Err(PublishError::KeyTooLarge {
                bytes: key.len(),
                bytes_max: KEY_BYTES_MAX,
            });
        }
        let sequence = self
            .link
            .push(Outgoing { key, payload })
            .await
            .ok_or(PublishError::Closed)?;
        Ok(Receipt {
            cursor: Cursor {
                publisher: self.id(),
                incarnation: self.incarnation(),
                sequence,
            },
            state: self.link.state.clone(),
        })
    }

    /// Neighbours that subscribed to this topic, now.
    #[must_use]
    pub fn subscribed(&self) -> usize {
        self.link.state.borrow().subscribed
    }

    /// Waits until `neighbours` (at most 8 are counted: more is not sought) have subscribed. Waits for ever if they do not: use a deadline.
    ///
    /// # Errors
    /// [`PublishError::Closed`].
    ///
    /// # Cancel safety
    /// Changes nothing; may be dropped at any time.
    pub async fn ready(&self, neighbours: usize) -> Result<(), PublishError> {
        let enough = neighbours.min(READY_NEIGHBOURS_MAX);
        self.wait(|state| state.subscribed >= enough).await.map(drop)
    }

    /// Waits until every neighbour that is subscribed has acknowledged every record that was published before the call, and
    /// with a data directory until they are stored. With
    /// no neighbour at all there is nobody to wait for; [`Flushed::neighbours`] says so.
    ///
    /// # Errors
    /// [`PublishError::NotFlushed`] after 45 s, with what is left; [`PublishError::Closed`].
    ///
    /// # Cancel safety
    /// Changes nothing; may be dropped at any time.
    pub async fn flush(&self) -> Result<Flushed, PublishError> {
        let published = self.link.published();
        let is_stored = |state: &PublisherState| state.stored.as_ref().is_none_or(|stored| stored.next >= published);
        let flushed = self.wait(|state| state.sent >= published && state.acknowledged >= published && is_stored(state));
        match tokio::time::timeout(FLUSH_TIMEOUT, flushed).await {
            Ok(state) => Ok(Flushed {
                neighbours: state?.acknowledged_by,
            }),
            Err(_) => {
                let state = self.link.state.borrow();
                let stored = state.stored.as_ref().map_or(published, |stored| stored.next);
                Err(PublishError::NotFlushed {
                    left: published.saturating_sub(state.acknowledged.min(stored)),
                })
            }
        }
    }

    async fn wait(&self, mut reached: impl FnMut(&PublisherState) -> bool) -> Result<PublisherState, PublishError> {
        let mut state = self.link.state.clone();
        let reached = state.wait_for(|state| reached(state)).await;
        reached.map(|state| state.clone()).map_err(|_| PublishError::Closed)
    }
}
