//! The handles of lease groups and of leases: *your own job*.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use libp2p::PeerId;
use thiserror::Error;
use tokio::sync::{oneshot, watch};
use tokio_stream::wrappers::WatchStream;

use super::Mesh;
use crate::core::leases::{CLAIMS_MAX, Held, KEY_BYTES_MAX, LEASE_MAX, LEASE_MIN, Lost, Token};
use crate::net::{GroupLink, Job, LeaseLink, OpenError, OpenGroupError, SubscribeError, open_group};
use crate::types::TopicName;

/// Lease groups have topics of their own below this one.
const TOPIC_PREFIX: &str = ".leases/";

/// Why a lease group was not joined.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LeasesError {
    /// The name leaves no room for what is put before it.
    #[error("the name of a lease group may have 15 segments and 247 bytes; take a shorter one")]
    Name,
    /// A lease may be 0.5 to 60 seconds long.
    #[error("a lease may be 0.5 to 60 seconds long, not {0:?}")]
    Length(Duration),
    /// The node is on as many topics of this mesh as a node may be.
    #[error("this node is on {topics_max} topics of this mesh already; leave one first")]
    TooManyTopics {
        /// The limit.
        topics_max: usize,
    },
    /// The data directory cannot be used.
    #[error("the data directory cannot be used: {0}")]
    Store(#[source] std::io::Error),
    /// The mesh was left, or the node shut down.
    #[error("the mesh was left")]
    Closed,
}

impl From<OpenGroupError> for LeasesError {
    fn from(error: OpenGroupError) -> Self {
        match error {
            OpenGroupError::Publisher(OpenError::TooManyTopics { topics_max })
            | OpenGroupError::Subscriber(SubscribeError::TooManyTopics { topics_max }) => {
                Self::TooManyTopics { topics_max }
            }
            OpenGroupError::Publisher(OpenError::Store(error)) => Self::Store(error),
            OpenGroupError::Publisher(OpenError::Closed)
            | OpenGroupError::Subscriber(SubscribeError::Closed)
            | OpenGroupError::Closed => Self::Closed,
        }
    }
}

/// Why a lease was not acquired.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// The key is empty, or too long.
    #[error("a key has 1 to {KEY_BYTES_MAX} bytes, not {bytes}")]
    Key {
        /// What it has.
        bytes: usize,
    },
    /// This node wants or holds the key already.
    #[error("this node wants or holds this key already; wait for that lease, or drop it")]
    Own,
    /// This node wants or holds as many keys of the group as a member may.
    #[error("this node has {CLAIMS_MAX} keys of this group already; release one first")]
    TooMany,
    /// The mesh was left, or the node shut down.
    #[error("the mesh was left")]
    Closed,
}

impl Mesh {
    /// A lease group of this mesh: who of its members works under which key, for as long as it says so. `lease` is how long
    /// a lease outlives its holder, 0.5 to 60 s: others count a quarter more, on their own clocks, from the last renewal that
    /// reached them, and a holder renews three times in it. Joined again while a handle of it lives, the group is the same,
    /// with the length it has.
    ///
    /// # Your own job
    /// Work that needs doing once has a key: `"report/2026-11"`, `"task 7"`. Every node that could do it asks for that key.
    /// One gets the [`Lease`] and works; when it crashes, the next one gets it. Nobody assigns anything.
    ///
    /// **A lease is not a lock.** Members agree by hearing each other, not by consensus. In a partition, both sides may hold
    /// one key until they meet again, and a process that slept does not know that its time is over. What makes this safe is the
    /// [`Token`]: whoever accepts what was done under a lease, keeps the highest token that it saw for the key and refuses
    /// lower ones. Once the sides meet, the lower holder [loses](Lease::lost) its lease. Where nobody keeps tokens, let work be
    /// such that doing it twice harms nobody.
    ///
    /// Tokens grow for as long as somebody has the group's topic, `.leases/` and the name: its members for an hour, a keeper for
    /// a week. A hostile member can hold any key, and raise the numbers of its tokens to the end; it cannot make itself another.
    ///
    /// # Errors
    /// [`LeasesError`].
    ///
    /// # Cancel safety
    /// Dropping the future joins nothing.
    ///
    /// ```
    /// use std::time::Duration;
    /// use maille::{Credential, Node};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let on_loopback = || Node::builder().listen(["/ip4/127.0.0.1/tcp/0".parse().unwrap()]).mdns(false).run_file(false);
    /// # let alice = on_loopback().spawn().await?;
    /// # let bob = on_loopback().bootstrap(alice.multiaddrs()).spawn().await?;
    /// # let at_alice = alice.join("compute.example".parse()?, Credential::open()).await?;
    /// # let at_bob = bob.join("compute.example".parse()?, Credential::open()).await?;
    /// # at_alice.joined().await;
    /// let jobs = at_alice.leases("jobs".parse()?, Duration::from_secs(2)).await?;
    /// let lease = jobs.acquire("nightly report").await?;
    /// // Whoever stores the report refuses it if it has seen a higher token.
    /// println!("working under token {}", lease.token().number());
    ///
    /// let same = at_bob.leases("jobs".parse()?, Duration::from_secs(2)).await?;
    /// lease.release().await;
    /// let next = same.acquire("nightly report").await?;
    /// assert_eq!(next.token().holder(), bob.id());
    /// tokio::select! {
    ///     _ = next.lost() => println!("another has the key by now: stop, and store nothing"),
    ///     () = async { /* the work */ } => println!("done"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn leases(&self, name: TopicName, lease: Duration) -> Result<Leases, LeasesError> {
        if !(LEASE_MIN..=LEASE_MAX).contains(&lease) {
            return Err(LeasesError::Length(lease));
        }
        let topic = format!("{TOPIC_PREFIX}{name}").parse().map_err(|_| LeasesError::Name)?;
        let link = open_group(&self.node, &self.link, topic, lease).await?;
        Ok(Leases {
            mesh: self.clone(),
            name,
            link,
        })
    }
}

/// A lease group: who holds which key, and who offers to take some. Cheap to clone. When the last handle of it and of its
/// leases is dropped, this node leaves the group, at once for all who hear of it.
#[derive(Clone, Debug)]
pub struct Leases {
    mesh: Mesh,
    name: TopicName,
    link: Arc<GroupLink>,
}

impl Leases {
    /// The group's name.
    #[must_use]
    pub fn name(&self) -> &TopicName {
        &self.name
    }

    /// The mesh it belongs to.
    #[must_use]
    pub fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// Waits until the key is free, and takes it. Of several who wait, those that [offered](Self::offer) themselves go first, by
    /// their rank; of two who claim at the same moment, one gets it. Takes at least 0.3 s, in which others are heard.
    ///
    /// # Errors
    /// [`AcquireError`].
    ///
    /// # Cancel safety
    /// Dropped, the future gives up: nothing is held.
    pub async fn acquire(&self, key: impl Into<Bytes>) -> Result<Lease, AcquireError> {
        match self.ask(key.into(), true).await? {
            Some(lease) => Ok(lease),
            // Only one that does not wait is refused.
            None => Err(AcquireError::Closed),
        }
    }

    /// Takes the key if it is free; nothing, if another holds it or gets it at the same moment.
    ///
    /// # Errors
    /// [`AcquireError`].
    ///
    /// # Cancel safety
    /// Dropped, the future gives up: nothing is held.
    pub async fn try_acquire(&self, key: impl Into<Bytes>) -> Result<Option<Lease>, AcquireError> {
        self.ask(key.into(), false).await
    }

    async fn ask(&self, key: Bytes, waits: bool) -> Result<Option<Lease>, AcquireError> {
        if !(1..=KEY_BYTES_MAX).contains(&key.len()) {
            return Err(AcquireError::Key { bytes: key.len() });
        }
        {
            let machine = self.link.machine();
            if machine.wants(&key) {
                return Err(AcquireError::Own);
            }
            if !machine.has_room() {
                return Err(AcquireError::TooMany);
            }
        }
        // Dropped after the answer's receiver: what wakes the attendant finds that nobody waits.
        let _waiter = self.link.waiter();
        let (reply, granted) = oneshot::channel();
        let job = Job::Acquire {
            key: key.clone(),
            waits,
            reply,
        };
        self.link.jobs.send(job).await.map_err(|_| AcquireError::Closed)?;
        let granted = granted.await.map_err(|_| match self.link.jobs.is_closed() {
            true => AcquireError::Closed,
            false => AcquireError::Own,
        })?;
        Ok(granted.map(|link| Lease {
            link,
            key,
            group: self.clone(),
        }))
    }

    /// Takes part in the [ranking](Self::ranked) from now on. Returns once that left for the neighbours.
    ///
    /// # Cancel safety
    /// Dropped, the future may have offered or not.
    pub async fn offer(&self) {
        self.set_offer(true).await;
    }

    /// Takes no part in the ranking any more. What is held stays held.
    ///
    /// # Cancel safety
    /// Dropped, the future may have withdrawn or not.
    pub async fn withdraw(&self) {
        self.set_offer(false).await;
    }

    async fn set_offer(&self, offers: bool) {
        let (done, said) = oneshot::channel();
        // Errors mean that the mesh was left: nobody ranks any more.
        let _ = self.link.jobs.send(Job::Offer { offers, done }).await;
        let _ = said.await;
    }

    /// Those who offered themselves and were heard within the length of their lease, by their rank for a key: the same for all who
    /// hear the same. When one goes, only its keys change hands.
    #[must_use]
    pub fn ranked(&self, key: impl AsRef<[u8]>) -> Vec<PeerId> {
        self.link.machine().ranked(key.as_ref())
    }

    /// Who claims a key with the highest token, as far as this node knows.
    #[must_use]
    pub fn holder(&self, key: impl Into<Bytes>) -> Option<Token> {
        self.link.machine().holder(&key.into())
    }

    /// Every key that somebody claims, and who does with the highest token; by key.
    #[must_use]
    pub fn held(&self) -> Vec<Held> {
        self.link.machine().held()
    }

    /// One item now, and one after changes of who holds, wants or offers what, until the mesh is left. A reader that is slow
    /// misses those between. Cancel safe.
    pub fn changes(&self) -> impl Stream<Item = ()> + Send + Unpin + use<> {
        WatchStream::new(self.link.changes.clone()).map(drop)
    }
}

/// A held lease. It is renewed for as long as this handle lives; dropping it releases the key.
#[derive(Debug)]
pub struct Lease {
    link: LeaseLink,
    key: Bytes,
    group: Leases,
}

impl Lease {
    /// What it is about.
    #[must_use]
    pub fn key(&self) -> &Bytes {
        &self.key
    }

    /// What goes with everything that is done under this lease.
    #[must_use]
    pub fn token(&self) -> Token {
        self.link.token
    }

    /// Whether it was held still, a moment ago.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.link.lost.borrow().is_none()
    }

    /// Waits until the lease is lost, and says why. Never returns for one that stays.
    ///
    /// # Cancel safety
    /// Changes nothing; may be dropped at any time.
    pub async fn lost(&self) -> Lost {
        let mut lost: watch::Receiver<Option<Lost>> = self.link.lost.clone();
        let why = lost.wait_for(Option::is_some).await.ok().and_then(|why| *why);
        // Without a word the attendant ends only with the node.
        why.unwrap_or(Lost::Closed)
    }

    /// Releases the key, and returns once that left for the neighbours.
    ///
    /// # Cancel safety
    /// Dropped, the future has released the key all the same.
    pub async fn release(self) {
        let Self { link, group, .. } = self;
        drop(link);
        let (done, left) = oneshot::channel();
        // Errors mean that the mesh was left, and all its leases with it.
        let _ = group.link.jobs.send(Job::Flush { done }).await;
        let _ = left.await;
    }
}
