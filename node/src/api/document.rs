//! The handle of a shared document.

use std::sync::Arc;

use futures::{Stream, StreamExt};
use thiserror::Error;
use tokio_stream::wrappers::WatchStream;

use super::Mesh;
use crate::core::document::{Contents, Edit, EditError, StateHash};
use crate::net::{DocumentLink, OpenDocumentError, OpenError, SubscribeError, open_document};
use crate::types::TopicName;

/// Documents have topics of their own below this one.
const TOPIC_PREFIX: &str = ".documents/";

/// Why a document was not opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// The name leaves no room for what is put before it.
    #[error("the name of a document may have 15 segments and 244 bytes; take a shorter one")]
    Name,
    /// The node is on as many topics of this mesh as a node may be.
    #[error("this node is on {topics_max} topics of this mesh already; leave one first")]
    TooManyTopics {
        /// The limit.
        topics_max: usize,
    },
    /// What is stored of it cannot be used.
    #[error("the document's files cannot be used: {0}")]
    Store(#[source] std::io::Error),
    /// The mesh was left, or the node shut down.
    #[error("the mesh was left")]
    Closed,
}

impl From<OpenDocumentError> for DocumentError {
    fn from(error: OpenDocumentError) -> Self {
        match error {
            OpenDocumentError::Publisher(OpenError::TooManyTopics { topics_max })
            | OpenDocumentError::Subscriber(SubscribeError::TooManyTopics { topics_max }) => {
                Self::TooManyTopics { topics_max }
            }
            OpenDocumentError::Publisher(OpenError::Store(error)) | OpenDocumentError::Store(error) => {
                Self::Store(error)
            }
            OpenDocumentError::Publisher(OpenError::Closed)
            | OpenDocumentError::Subscriber(SubscribeError::Closed)
            | OpenDocumentError::Closed => Self::Closed,
        }
    }
}

impl Mesh {
    /// A document of this mesh that all members edit together: lists of items and texts. Opened again while a handle of it
    /// lives, it is the same. It holds at once what this node's data directory has of it, and soon what other members have
    /// who opened it, or keep its topic, `.documents/` and the name.
    ///
    /// Any member may edit everything. What a hostile one publishes that is no part of a document is left out, and told as
    /// [`MeshEvent::DocumentRefused`](crate::MeshEvent::DocumentRefused). One that passes on changed edits of others can make
    /// members see different documents; their hashes tell.
    ///
    /// # Errors
    /// [`DocumentError`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves no document open.
    ///
    /// ```
    /// use futures::StreamExt;
    /// use maille::{Credential, Node};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let on_loopback = || Node::builder().listen(["/ip4/127.0.0.1/tcp/0".parse().unwrap()]).mdns(false).run_file(false);
    /// # let alice = on_loopback().spawn().await?;
    /// # let bob = on_loopback().bootstrap(alice.multiaddrs()).spawn().await?;
    /// # let at_alice = alice.join("party.example".parse()?, Credential::open()).await?;
    /// # let at_bob = bob.join("party.example".parse()?, Credential::open()).await?;
    /// let plan = at_alice.document("plan".parse()?).await?;
    /// plan.edit(|edit| {
    ///     edit.set("guests", "1", "name", "Anna")?;
    ///     edit.splice("notes", 0..0, "Bring a cake.")
    /// })
    /// .await?;
    ///
    /// let same = at_bob.document("plan".parse()?).await?;
    /// let mut changes = same.changes();
    /// while let Some(contents) = changes.next().await {
    ///     if contents.text("notes") == "Bring a cake." {
    ///         break;
    ///     }
    /// }
    /// assert_eq!(same.state_hash(), plan.state_hash());
    /// plan.synced().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn document(&self, name: TopicName) -> Result<Document, DocumentError> {
        let topic = format!("{TOPIC_PREFIX}{name}")
            .parse()
            .map_err(|_| DocumentError::Name)?;
        let link = open_document(&self.node, &self.link, topic).await?;
        Ok(Document {
            mesh: self.clone(),
            name,
            link,
        })
    }
}

/// A document that members edit together, also while they are apart: what they did merges once they meet. Cheap to clone.
///
/// Lists hold items by their ids, and items values by the names of their fields; of two who set one field at the same time,
/// one wins, the same for all. Texts hold what anybody inserts, wherever. With a data directory the document is stored there.
/// Its handles keep the mesh joined. As one update it holds at most 16 MiB, of which 8 can be filled by editing.
#[derive(Clone, Debug)]
pub struct Document {
    mesh: Mesh,
    name: TopicName,
    pub(super) link: Arc<DocumentLink>,
}

impl Document {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &TopicName {
        &self.name
    }

    /// The mesh it belongs to.
    #[must_use]
    pub fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// All it holds now. It costs what changed since this was last asked for, and what the document is long if an earlier
    /// answer is still held: to follow a large one, use [`follow`](Self::follow).
    #[must_use]
    pub fn contents(&self) -> Arc<Contents> {
        self.link.contents()
    }

    /// A hash of the contents: members that have the same edits have the same.
    #[must_use]
    pub fn state_hash(&self) -> StateHash {
        self.link.hash()
    }

    /// The contents now and after changes, by whomever, until the mesh is left. A reader that is slow misses those between.
    /// [`follow`](Self::follow) tells what changed, and costs less. Cancel safe.
    pub fn changes(&self) -> impl Stream<Item = Arc<Contents>> + Send + Unpin + use<> {
        // Not the link itself, which would keep the document open; nor one that is gone.
        let link = Arc::downgrade(&self.link);
        let changes = WatchStream::new(self.link.changes.clone());
        changes.filter_map(move |_| std::future::ready(link.upgrade().map(|link| link.contents())))
    }

    /// Makes an edit: what the closure describes is done as a whole, or not at all if it returns an error. It is called at
    /// once, while nobody else edits, and must not wait. Returns what the closure does; with a data directory once the edit is
    /// stored, so that no crash loses it. Other members get it soon, and with it those that come later.
    ///
    /// # Errors
    /// [`EditError`].
    ///
    /// # Cancel safety
    /// Dropped before the closure was called, the future changes nothing. After that the edit is made.
    pub async fn edit<T>(&self, describe: impl FnOnce(&mut Edit<'_>) -> Result<T, EditError>) -> Result<T, EditError> {
        self.link.edit(describe).await
    }

    /// Takes the last edit of this handle and its clones back, as far as nobody changed the same since. Whether there was
    /// one: 256 are remembered, as long as the document is open.
    ///
    /// # Errors
    /// [`EditError`].
    ///
    /// # Cancel safety
    /// As [`edit`](Self::edit).
    pub async fn undo(&self) -> Result<bool, EditError> {
        self.link.undo().await
    }

    /// Makes again what was last undone, unless something was edited since. Whether there was something.
    ///
    /// # Errors
    /// [`EditError`].
    ///
    /// # Cancel safety
    /// As [`edit`](Self::edit).
    pub async fn redo(&self) -> Result<bool, EditError> {
        self.link.redo().await
    }

    /// Edits of this node that no other member is known to have.
    #[must_use]
    pub fn unsynchronised(&self) -> usize {
        self.link.unsynchronised()
    }

    /// The number of edits that no other member is known to have, now and at every change, until the mesh is left. Cancel
    /// safe.
    pub fn unsynchronised_changes(&self) -> impl Stream<Item = usize> + Send + Unpin + use<> {
        WatchStream::new(self.link.unsynchronised.clone())
    }

    /// Waits until at least one other member has every edit of this node. Waits for ever if there is none: use a deadline.
    ///
    /// # Errors
    /// [`EditError::Closed`].
    ///
    /// # Cancel safety
    /// Changes nothing; may be dropped at any time.
    pub async fn synced(&self) -> Result<(), EditError> {
        let mut unsynchronised = self.link.unsynchronised.clone();
        while self.link.unsynchronised() > 0 {
            unsynchronised.changed().await.map_err(|_| EditError::Closed)?;
        }
        Ok(())
    }

    /// How large the document is, at most, in bytes as one update.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.link.bytes()
    }
}
