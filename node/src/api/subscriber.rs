//! The handle that receives.

use std::collections::HashSet;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use libp2p::PeerId;
use tokio::sync::oneshot;

use super::{Event, Payload, Received, StreamError, SubscribeError, Topic};
use crate::net::{Command, Filter, Incoming, Notice, SubscriptionLink};
use crate::types::{Cursor, Delivery, Position, Start};

/// Describes a subscription; [`start`](Self::start) begins it.
#[derive(Debug)]
pub struct SubscribeBuilder<T> {
    topic: Topic<T>,
    filter: Filter,
    start: Start,
    delivery: Delivery,
}

impl<T: Payload> SubscribeBuilder<T> {
    pub(crate) fn new(topic: Topic<T>) -> Self {
        Self {
            topic,
            filter: Filter::default(),
            start: Start::Now,
            delivery: Delivery::Ordered,
        }
    }

    /// Where to begin: with what is published from now on, unless this says otherwise. The past comes from any members that
    /// hold it, is delivered as records like others, in order for each publisher, and ends with [`Event::CaughtUp`].
    #[must_use]
    pub fn from(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// What suits the data: each publisher's records in order, unless this says otherwise.
    #[must_use]
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }

    /// Only records of these authors. Called again, it adds.
    #[must_use]
    pub fn publishers(mut self, publishers: impl IntoIterator<Item = PeerId>) -> Self {
        self.filter
            .publishers
            .get_or_insert_with(HashSet::new)
            .extend(publishers);
        self
    }

    /// Only records under these keys. Called again, it adds.
    #[must_use]
    pub fn keys(mut self, keys: impl IntoIterator<Item: Into<Bytes>>) -> Self {
        self.filter
            .keys
            .get_or_insert_with(HashSet::new)
            .extend(keys.into_iter().map(Into::into));
        self
    }

    /// Begins.
    ///
    /// # Errors
    /// [`SubscribeError::TooManyTopics`], [`SubscribeError::Closed`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves no subscription behind.
    pub async fn start(self) -> Result<Subscriber<T>, SubscribeError> {
        let Self {
            topic,
            filter,
            start,
            delivery,
        } = self;
        let position = match &start {
            Start::After(position) => position.clone(),
            _ => Position::default(),
        };
        let (reply, started) = oneshot::channel();
        let command = Command::Subscribe {
            slot: topic.mesh.link.slot,
            topic: topic.name.clone(),
            filter,
            start,
            delivery,
            reply,
        };
        topic
            .mesh
            .node
            .commands
            .send(command)
            .await
            .map_err(|_| SubscribeError::Closed)?;
        let link = started.await.map_err(|_| SubscribeError::Closed)??;
        Ok(Subscriber { topic, link, position })
    }
}

/// A stream of [`Event`]s: per publisher in order and each record once. Ends when the mesh is left or the node stops.
///
/// Dropping it unsubscribes. Cancel safe: an event that was not returned is not lost.
#[derive(Debug)]
pub struct Subscriber<T> {
    topic: Topic<T>,
    link: SubscriptionLink,
    position: Position,
}

impl<T: Payload> Subscriber<T> {
    /// The place after the last event that was returned: what to save to resume there.
    #[must_use]
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// The topic this subscriber is on.
    #[must_use]
    pub fn topic(&self) -> &Topic<T> {
        &self.topic
    }

    /// The next record. What an event stream shows between records is an error here, never skipped.
    ///
    /// # Errors
    /// [`StreamError::Gap`], [`StreamError::Lagged`], [`StreamError::Fork`], [`StreamError::Undecodable`]: the next call goes on
    /// after it;
    /// [`StreamError::Closed`] for good.
    ///
    /// # Cancel safety
    /// An event that was not returned is not lost.
    pub async fn next_record(&mut self) -> Result<Received<T>, StreamError> {
        loop {
            return match self.next().await.ok_or(StreamError::Closed)? {
                Event::Record(record) => Ok(record),
                Event::Gap {
                    publisher,
                    incarnation,
                    from,
                    to,
                } => Err(StreamError::Gap {
                    publisher,
                    incarnation,
                    from,
                    to,
                }),
                Event::Lagged { missed } => Err(StreamError::Lagged { missed }),
                Event::Undecodable { cursor, error } => Err(StreamError::Undecodable { cursor, source: error }),
                Event::Fork {
                    publisher,
                    incarnation,
                    sequence,
                    ..
                } => Err(StreamError::Fork {
                    publisher,
                    incarnation,
                    sequence,
                }),
                Event::Restarted { .. }
                | Event::Silent { .. }
                | Event::Resumed { .. }
                | Event::Unanswered
                | Event::CaughtUp => continue,
            };
        }
    }

    fn event(&mut self, delivery: Notice) -> Event<T> {
        match delivery {
            Notice::Record(incoming) => self.record(incoming),
            Notice::Gap {
                publisher,
                incarnation,
                from,
                to,
            } => {
                self.position.advance(&Cursor {
                    publisher,
                    incarnation,
                    sequence: to.saturating_sub(1),
                });
                Event::Gap {
                    publisher,
                    incarnation,
                    from,
                    to,
                }
            }
            Notice::Restarted { publisher, incarnation } => Event::Restarted { publisher, incarnation },
            Notice::Lagged { missed } => Event::Lagged { missed },
            Notice::Fork {
                publisher,
                incarnation,
                sequence,
                first,
                second,
            } => Event::Fork {
                publisher,
                incarnation,
                sequence,
                first,
                second,
            },
            Notice::Silent { publisher, since } => Event::Silent { publisher, since },
            Notice::Resumed { publisher } => Event::Resumed { publisher },
            Notice::Unanswered => Event::Unanswered,
            Notice::CaughtUp => Event::CaughtUp,
        }
    }

    fn record(&mut self, incoming: Incoming) -> Event<T> {
        let Incoming {
            author,
            deliverer,
            incarnation,
            sequence,
            sent_us,
            key,
            payload,
            received_at,
        } = incoming;
        let cursor = Cursor {
            publisher: author,
            incarnation,
            sequence,
        };
        self.position.advance(&cursor);
        match T::decode_payload(payload) {
            Ok(value) => {
                let sent_at = SystemTime::UNIX_EPOCH + Duration::from_micros(sent_us);
                Event::Record(Received {
                    value,
                    key,
                    author,
                    delivered_by: deliverer,
                    cursor,
                    sent_at,
                    received_at,
                })
            }
            Err(error) => Event::Undecodable { cursor, error },
        }
    }
}

impl<T: Payload> Stream for Subscriber<T> {
    type Item = Event<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event<T>>> {
        let this = self.get_mut();
        this.link
            .poll_next(cx)
            .map(|delivery| delivery.map(|delivery| this.event(delivery)))
    }
}
