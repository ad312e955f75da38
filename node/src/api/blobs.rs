//! Blobs: bytes of any kind, up to 4 GiB, shared in a mesh under the hash of what is in them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use libp2p::PeerId;
use tokio::sync::{oneshot, watch};
use tokio_stream::wrappers::WatchStream;

use super::{FetchError, Mesh, ShareError};
use crate::net::{Command, FetchState, aside};
use crate::store::{BlobInfo, BlobStore, BlobStoreError, Hold};
use crate::types::BlobId;

/// Sharing and fetching blobs.
///
/// What is shared is copied into the node's data directory, or its memory if it has none, and given to every member that asks
/// for its id; members that fetched it give it as well. Neighbours are asked; if none holds it, other members are met and asked.
///
/// ```
/// use maille::{Credential, Node};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let on_loopback = || Node::builder().listen(["/ip4/127.0.0.1/tcp/0".parse().unwrap()]).mdns(false).run_file(false);
/// let alice = on_loopback().spawn().await?;
/// let bob = on_loopback().bootstrap(alice.multiaddrs()).spawn().await?;
/// let alice = alice.join("party.example".parse()?, Credential::open()).await?;
/// let bob = bob.join("party.example".parse()?, Credential::open()).await?;
///
/// let id = alice.share("a picture").await?;
/// // The id travels as text, in a record or in a chat.
/// let fetch = bob.fetch(id.to_string().parse()?).await?;
/// assert_eq!(fetch.bytes().await?, "a picture");
/// assert_eq!(fetch.progress().bytes_total, Some(9));
/// # Ok(())
/// # }
/// ```
impl Mesh {
    /// Shares bytes. They are pinned: kept until they are unpinned. Returns once they are durable, with a data directory.
    ///
    /// # Errors
    /// [`ShareError::Store`], [`ShareError::Closed`].
    ///
    /// # Cancel safety
    /// Dropped before it returns, the future may have them shared all the same.
    pub async fn share(&self, bytes: impl Into<Bytes>) -> Result<BlobId, ShareError> {
        let bytes = bytes.into();
        let imported = self.with_blobs(move |store| store.import(&mut &bytes[..])).await;
        Ok(imported.ok_or(ShareError::Closed)??)
    }

    /// Shares a file as it is now: a copy of it, pinned.
    ///
    /// # Errors
    /// [`ShareError`].
    ///
    /// # Cancel safety
    /// As of [`share`](Self::share).
    pub async fn share_file(&self, path: impl Into<PathBuf>) -> Result<BlobId, ShareError> {
        let path = path.into();
        let imported = self.with_blobs(move |store| match std::fs::File::open(&path) {
            Ok(mut file) => Ok(store.import(&mut file)?),
            Err(source) => Err(ShareError::Open { path, source }),
        });
        imported.await.ok_or(ShareError::Closed)?
    }

    /// Begins to fetch a blob, from all members that hold some of it; or shows the fetch of it that is under way. While nobody
    /// holds it, members are asked again with back-off, for ever: a deadline is the caller's. What was fetched in an earlier
    /// run is not fetched again.
    ///
    /// # Errors
    /// [`FetchError::TooMany`], [`FetchError::Store`], [`FetchError::Closed`].
    ///
    /// # Cancel safety
    /// Dropping the future fetches nothing.
    pub async fn fetch(&self, id: BlobId) -> Result<Fetch, FetchError> {
        let held = self.with_blobs(move |store| store.hold(id)).await;
        let hold = held.ok_or(FetchError::Closed)??;
        let (reply, fetching) = oneshot::channel();
        let command = Command::Fetch {
            slot: self.link.slot,
            blob: id,
            reply,
        };
        self.node.commands.send(command).await.map_err(|_| FetchError::Closed)?;
        let state = fetching
            .await
            .map_err(|_| FetchError::Closed)?
            .ok_or(FetchError::TooMany)?;
        Ok(Fetch {
            mesh: self.clone(),
            id,
            state,
            hold: Arc::new(hold),
        })
    }

    /// The neighbours that hold all of a blob, as they say within 20 seconds. Of many who ask at once, some hear of none.
    ///
    /// # Cancel safety
    /// Changes nothing; may be dropped at any time.
    pub async fn holders(&self, id: BlobId) -> Vec<PeerId> {
        let (reply, told) = oneshot::channel();
        let (slot, blob) = (self.link.slot, id);
        // An error means that the mesh was left, and then it has no neighbours.
        let _ = self.node.commands.send(Command::Holders { slot, blob, reply }).await;
        told.await.unwrap_or_default()
    }

    /// The blobs of this mesh that this node holds some of.
    ///
    /// # Errors
    /// When the data directory cannot be read.
    ///
    /// # Cancel safety
    /// Changes nothing; may be dropped at any time.
    pub async fn blobs(&self) -> Result<Vec<BlobInfo>, BlobStoreError> {
        self.with_blobs(|store| store.list())
            .await
            .unwrap_or_else(|| Ok(Vec::new()))
    }

    /// Keeps a blob of which this node holds some, until it is unpinned; or lets it go once its room is needed. Whether some
    /// of it is held.
    ///
    /// # Errors
    /// When the data directory cannot be written.
    ///
    /// # Cancel safety
    /// Dropped before it returns, the future may have done it all the same.
    pub async fn pin_blob(&self, id: BlobId, pinned: bool) -> Result<bool, BlobStoreError> {
        let done = self.with_blobs(move |store| store.set_pin(&id, pinned)).await;
        done.unwrap_or(Ok(false))
    }

    /// Works on the store on a thread that may block; nothing if the node stopped meanwhile.
    async fn with_blobs<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<BlobStore>) -> T + Send + 'static,
    ) -> Option<T> {
        let store = self.link.blobs.clone();
        aside::run(move || work(&store)).await.ok()
    }
}

/// How far a fetch is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FetchProgress {
    /// Bytes that are held and proved.
    pub bytes: u64,
    /// The size of the blob, once that is proved: with the first thing that a holder gives.
    pub bytes_total: Option<u64>,
    /// Neighbours that say they hold some of it.
    pub holders: usize,
}

impl From<&FetchState> for FetchProgress {
    fn from(state: &FetchState) -> Self {
        Self {
            bytes: state.bytes,
            bytes_total: state.bytes_total,
            holders: state.holders,
        }
    }
}

/// A blob that is being fetched, or has been. While a handle lives, what is held of the blob stays; when the last is dropped
/// the fetch ends, and what was fetched may go once its room is needed, unless it is [pinned](Mesh::pin_blob).
#[derive(Clone, Debug)]
pub struct Fetch {
    mesh: Mesh,
    id: BlobId,
    state: watch::Receiver<FetchState>,
    hold: Arc<Hold>,
}

impl Fetch {
    /// Which blob.
    #[must_use]
    pub fn id(&self) -> BlobId {
        self.id
    }

    /// In which mesh.
    #[must_use]
    pub fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> FetchProgress {
        FetchProgress::from(&*self.state.borrow())
    }

    /// How far it is, now and at every change, until it ends. Cancel safe.
    pub fn progress_changes(&self) -> impl Stream<Item = FetchProgress> + Send + Unpin + use<> {
        WatchStream::new(self.state.clone()).map(|state| FetchProgress::from(&state))
    }

    /// Waits until all of the blob is held here: from then on this node gives it to others. For ever, if nobody holds it: use a
    /// deadline.
    ///
    /// # Errors
    /// [`FetchError::Store`], [`FetchError::Closed`].
    ///
    /// # Cancel safety
    /// Changes nothing; may be dropped at any time.
    pub async fn done(&self) -> Result<(), FetchError> {
        let mut state = self.state.clone();
        let ended = state.wait_for(|state| state.ended.is_some()).await;
        match &ended.map_err(|_| FetchError::Closed)?.ended {
            Some(Err(error)) => Err(FetchError::Store(error.clone())),
            _ => Ok(()),
        }
    }

    /// Waits until it is [`done`](Self::done), and reads all of it into memory.
    ///
    /// # Errors
    /// [`FetchError::Store`], [`FetchError::Closed`].
    ///
    /// # Cancel safety
    /// Changes nothing; may be dropped at any time.
    pub async fn bytes(&self) -> Result<Bytes, FetchError> {
        let bytes_out = |store: &BlobStore, id: &BlobId| {
            let mut bytes = Vec::new();
            store.copy_to(id, &mut bytes).map(|_| Bytes::from(bytes))
        };
        Ok(self.read(bytes_out).await??)
    }

    /// Waits until it is [`done`](Self::done), and writes it to a file; how many bytes. Until it is whole, nothing is under
    /// that name but what was there before.
    ///
    /// # Errors
    /// [`FetchError`].
    ///
    /// # Cancel safety
    /// Dropped before it returns, the future may write the file all the same.
    pub async fn to_file(&self, path: impl AsRef<Path>) -> Result<u64, FetchError> {
        let path = path.as_ref().to_owned();
        let to = path.clone();
        let written = self.read(move |store, id| store.copy_to_file(id, &to)).await?;
        written.map_err(|error| match error {
            BlobStoreError::Sink(source) => FetchError::Write { path, source },
            other => other.into(),
        })
    }

    /// Waits until it is [`done`](Self::done), and writes it to something on a thread that may block; how many bytes.
    ///
    /// # Errors
    /// [`FetchError`]; [`BlobStoreError::Sink`] in it is what the writer said.
    ///
    /// # Cancel safety
    /// Dropped before it returns, the future may write some of it all the same.
    pub async fn write_to(&self, mut sink: impl Write + Send + 'static) -> Result<u64, FetchError> {
        Ok(self.read(move |store, id| store.copy_to(id, &mut sink)).await??)
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&BlobStore, &BlobId) -> T + Send + 'static,
    ) -> Result<T, FetchError> {
        self.done().await?;
        let (id, hold) = (self.id, self.hold.clone());
        let read = self.mesh.with_blobs(move |store| {
            let _stays = hold;
            read(store, &id)
        });
        read.await.ok_or(FetchError::Closed)
    }
}
