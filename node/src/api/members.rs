//! Who is in a mesh, and what this node says about itself there.

use futures::Stream;
use tokio_stream::wrappers::WatchStream;

use super::Mesh;
use crate::core::presence::MEMBERS_MAX;
use crate::net::Members;
use crate::types::Profile;

impl Mesh {
    /// The members of this mesh but this node itself, neighbours or not.
    ///
    /// From the first time that a member asks for this list on, neighbours everywhere in the mesh ask each other for a sign
    /// of life once a second, so that one that crashed, froze or was cut off is missed, confirmed by others and called
    /// [`Failed`] within 5 s; before, only broken connections tell. One that leaves is gone from the list at once.
    ///
    /// [`Failed`]: crate::MeshEvent::Failed
    ///
    /// ```
    /// use maille::{Credential, Node, Profile};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let on_loopback = || Node::builder().listen(["/ip4/127.0.0.1/tcp/0".parse().unwrap()]).mdns(false).run_file(false);
    /// let alice = on_loopback().spawn().await?;
    /// let bob = on_loopback().bootstrap(alice.multiaddrs()).spawn().await?;
    /// let party = alice.join("party.example".parse()?, Credential::open()).await?;
    /// let same = bob.join("party.example".parse()?, Credential::open()).await?;
    ///
    /// same.introduce(Profile::new("Bob", "brings the cake")?);
    /// party.ready_members(1).await;
    /// # use futures::StreamExt;
    /// # let mut changes = party.members_changes();
    /// # while party.members().list.first().is_none_or(|member| member.nickname().is_empty()) { changes.next().await; }
    /// for member in party.members().list {
    ///     println!("{} is {}", member.nickname(), member.peer); // Bob is 12D3KooW…
    /// #   assert_eq!((member.nickname(), member.peer), ("Bob", bob.id()));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn members(&self) -> Members {
        self.link.presence.watch().borrow().clone()
    }

    /// The members now and at every change, until the mesh is left. A slow reader misses what was between, never the
    /// latest. Cancel safe.
    pub fn members_changes(&self) -> impl Stream<Item = Members> + Send + Unpin + use<> {
        WatchStream::new(self.link.presence.watch())
    }

    /// Waits until so many others are members, at most 256. Returns at once if they are; never, if they do not come: use a
    /// deadline.
    ///
    /// # Cancel safety
    /// Changes nothing; may be dropped at any time.
    pub async fn ready_members(&self, n: usize) {
        let n = n.min(MEMBERS_MAX);
        let mut members = self.link.presence.watch();
        if members.wait_for(|members| members.list.len() >= n).await.is_err() {
            // The mesh was left.
            std::future::pending().await
        }
    }

    /// Says something about this node to all members, in the place of what it said before. Until then it says nothing.
    ///
    /// It travels within half a second, or as soon as a member is met; a member that joins later hears it, too.
    pub fn introduce(&self, profile: Profile) {
        self.link.presence.introduce(profile);
    }
}
