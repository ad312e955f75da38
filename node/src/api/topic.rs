//! The handle of a topic.

use std::marker::PhantomData;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Mesh, Payload, PublishError, Publisher, SubscribeBuilder};
use crate::net::Command;
use crate::types::{Address, TopicName};

/// A topic whose records are values of `T`. Cheap to clone.
#[derive(Debug)]
pub struct Topic<T> {
    pub(crate) mesh: Mesh,
    pub(crate) name: TopicName,
    payload: PhantomData<fn() -> T>,
}

impl<T> Clone for Topic<T> {
    fn clone(&self) -> Self {
        Self {
            mesh: self.mesh.clone(),
            name: self.name.clone(),
            payload: PhantomData,
        }
    }
}

impl<T: Payload> Topic<T> {
    pub(crate) fn new(mesh: Mesh, name: TopicName) -> Self {
        Self {
            mesh,
            name,
            payload: PhantomData,
        }
    }

    /// The topic's name.
    #[must_use]
    pub fn name(&self) -> &TopicName {
        &self.name
    }

    /// The mesh and the topic.
    #[must_use]
    pub fn address(&self) -> Address {
        Address::new(self.mesh.name().clone(), self.name.clone())
    }

    /// A publisher: one stream of this node on this topic. Asked for again while one lives, it is the same stream.
    ///
    /// # Errors
    /// [`PublishError::Store`] if the incarnation cannot be stored, [`PublishError::Closed`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves no publisher behind.
    pub async fn publisher(&self) -> Result<Publisher<T>, PublishError> {
        self.open_publisher(0).await
    }

    /// A publisher whose records lose their worth so long after they were sent, at least a millisecond and at most 49 days:
    /// subscribers who take records as they come get none that is older, and nobody passes them on for long. One that lives
    /// already keeps the lifetime it has.
    ///
    /// # Errors
    /// As [`publisher`](Self::publisher).
    ///
    /// # Cancel safety
    /// Dropping the future leaves no publisher behind.
    pub async fn expiring_publisher(&self, lifetime: Duration) -> Result<Publisher<T>, PublishError> {
        let lifetime_ms = u32::try_from(lifetime.as_millis()).unwrap_or(u32::MAX);
        self.open_publisher(lifetime_ms.max(1)).await
    }

    async fn open_publisher(&self, lifetime_ms: u32) -> Result<Publisher<T>, PublishError> {
        let (reply, opened) = oneshot::channel();
        let content_type = T::content_type();
        let command = Command::OpenPublisher {
            slot: self.mesh.link.slot,
            topic: self.name.clone(),
            content_type,
            lifetime_ms,
            reply,
        };
        self.mesh
            .node
            .commands
            .send(command)
            .await
            .map_err(|_| PublishError::Closed)?;
        let link = opened.await.map_err(|_| PublishError::Closed)??;
        Ok(Publisher::new(self.clone(), link))
    }

    /// Starts to describe a subscription.
    #[must_use]
    pub fn subscribe(&self) -> SubscribeBuilder<T> {
        SubscribeBuilder::new(self.clone())
    }
}
