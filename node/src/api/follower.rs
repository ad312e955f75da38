//! The handle of one who follows what changes in a document.

use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll, ready};

use futures::{Stream, StreamExt as _};
use tokio_stream::wrappers::WatchStream;

use super::Document;
use crate::core::document::{Changes, Reader};
use crate::net::DocumentLink;

impl Document {
    /// Follows what changes, by item: an edit of one item costs what that item is long, however long the document. A stream:
    /// at first everything, then what changed since, by whomever, until the mesh is left. One that is slow gets what happened
    /// meanwhile in one piece, and misses nothing. It keeps neither the document open nor the mesh joined. Cancel safe.
    ///
    /// ```
    /// use futures::StreamExt;
    /// use maille::{Contents, Credential, Node};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let node = Node::builder().listen(["/ip4/127.0.0.1/tcp/0".parse().unwrap()]).mdns(false).run_file(false).spawn().await?;
    /// # let mesh = node.join("party.example".parse()?, Credential::open()).await?;
    /// let plan = mesh.document("plan".parse()?).await?;
    /// plan.edit(|edit| edit.set("guests", "1", "name", "Anna")).await?;
    /// plan.edit(|edit| edit.set("guests", "2", "name", "Bo")).await?;
    ///
    /// let mut follower = plan.follow();
    /// let mut mine = Contents::default();
    /// mine.apply(follower.next().await.expect("the mesh is joined"));
    ///
    /// plan.edit(|edit| edit.remove("guests", "2")).await?;
    /// let changes = follower.next().await.expect("the mesh is joined");
    /// assert_eq!(changes.lists["guests"].keys().collect::<Vec<_>>(), ["2"]);
    /// mine.apply(changes);
    /// assert_eq!(mine, *plan.contents());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn follow(&self) -> Follower {
        Follower {
            reader: self.link.follow(),
            wakes: WatchStream::new(self.link.changes.clone()),
            link: std::sync::Arc::downgrade(&self.link),
        }
    }
}

/// One who follows what changes in a document, from [`Document::follow`].
#[derive(Debug)]
pub struct Follower {
    link: Weak<DocumentLink>,
    reader: Reader,
    wakes: WatchStream<u64>,
}

impl Follower {
    /// What changed since the last look, of this or of the stream; nothing, if the document is closed. Does not wait.
    pub fn look(&mut self) -> Changes {
        let link = self.link.upgrade();
        link.map(|link| link.look(self.reader)).unwrap_or_default()
    }
}

impl Stream for Follower {
    type Item = Changes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Changes>> {
        loop {
            if ready!(self.wakes.poll_next_unpin(cx)).is_none() {
                return Poll::Ready(None);
            }
            let changes = self.look();
            // They may have been looked at before this was told.
            if !changes.is_empty() {
                return Poll::Ready(Some(changes));
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if let Some(link) = self.link.upgrade() {
            link.unfollow(self.reader);
        }
    }
}
