//! What a mesh's node holds of blobs, what it fetches, and for whom: the state. What is done with it is in `on_blobs.rs`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use libp2p::PeerId;
use libp2p::request_response::{InboundRequestId, OutboundRequestId, ResponseChannel};
use maille_proto::BLOB_CHUNK_BYTES;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{oneshot, watch};

use crate::core::blobs::wire::Request;
use crate::core::blobs::{ChunkSet, Fetcher, Outline, Progress, Question, Reply, Served, Serving};
use crate::store::{BlobLimits, BlobStore, BlobStoreError, DataDir, Hold};
use crate::types::{BlobId, MeshName};

/// Answers about who holds a blob that are gathered at the same time.
pub(super) const CENSUSES_MAX: usize = 8;

/// How far a fetch is, as its handles see it.
#[derive(Clone, Debug, Default)]
pub(crate) struct FetchState {
    pub(crate) bytes: u64,
    /// Once it is proved.
    pub(crate) bytes_total: Option<u64>,
    pub(crate) holders: usize,
    /// All is held, or nothing more comes.
    pub(crate) ended: Option<Result<(), Arc<BlobStoreError>>>,
}

/// A blob that is fetched.
#[derive(Debug)]
pub(super) struct Wanted {
    state: watch::Sender<FetchState>,
    outline: Option<Arc<Outline>>,
    /// It was found damaged, and nobody waits for it.
    pub(super) is_repair: bool,
    /// Once the store was looked at.
    hold: Option<Hold>,
}

impl Wanted {
    pub(super) fn new(is_repair: bool) -> Self {
        Self {
            state: watch::Sender::default(),
            outline: None,
            is_repair,
            hold: None,
        }
    }

    pub(super) fn watch(&self) -> watch::Receiver<FetchState> {
        self.state.subscribe()
    }

    /// Nobody waits for it any more.
    pub(super) fn is_dropped(&self) -> bool {
        !self.is_repair && self.state.is_closed()
    }

    pub(super) fn found(&mut self, hold: Hold, outline: Option<Arc<Outline>>) {
        self.hold = Some(hold);
        self.outlined(outline);
    }

    pub(super) fn outlined(&mut self, outline: Option<Arc<Outline>>) {
        self.outline = outline.or(self.outline.take());
    }

    pub(super) fn tell(&self, progress: Progress) {
        self.state.send_modify(|state| {
            state.holders = progress.holders;
            if let (Some(outline), Some((held, chunks))) = (&self.outline, progress.chunks) {
                // The last chunk, which is shorter, came first.
                let missing = u64::from(chunks - held) * BLOB_CHUNK_BYTES as u64;
                state.bytes = outline.bytes().saturating_sub(missing);
                state.bytes_total = Some(outline.bytes());
            }
        });
    }

    pub(super) fn end(self, ended: Result<(), BlobStoreError>) {
        self.state.send_modify(|state| {
            if let (Some(outline), true) = (&self.outline, ended.is_ok()) {
                state.bytes = outline.bytes();
                state.bytes_total = Some(outline.bytes());
            }
            state.ended = Some(ended.map_err(Arc::new));
        });
    }
}

/// Somebody wants to know who holds a blob.
#[derive(Debug)]
pub(super) struct Census {
    pub(super) waiting: usize,
    pub(super) holders: Vec<PeerId>,
    pub(super) reply: oneshot::Sender<Vec<PeerId>>,
}

/// For whom a member is asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asker {
    Fetch(BlobId, Question),
    Census(u64),
}

/// The blobs of one mesh.
pub(super) struct Blobs {
    pub(super) store: Arc<BlobStore>,
    pub(super) fetcher: Fetcher,
    pub(super) serving: Serving,
    /// As many as the fetcher takes.
    pub(super) wanted: HashMap<BlobId, Wanted>,
    /// Questions of ours under way; the fetcher and the censuses bound them.
    pub(super) asked: HashMap<OutboundRequestId, Asker>,
    pub(super) censuses: HashMap<u64, Census>,
    /// Questions of members whose answers are being read; `serving` bounds them.
    pub(super) reading: HashMap<Served, (Request, InboundRequestId, ResponseChannel<Vec<u8>>)>,
    /// Answers on their way.
    pub(super) leaving: HashMap<InboundRequestId, Served>,
    /// The last number of a census or of a question.
    pub(super) last_number: u64,
}

impl Blobs {
    pub(super) fn new(data_dir: Option<&DataDir>, mesh: &MeshName, limits: BlobLimits) -> Self {
        let dir = data_dir.map(|data_dir| data_dir.blobs_dir(mesh));
        Self {
            store: Arc::new(BlobStore::new(dir, limits)),
            fetcher: Fetcher::new(StdRng::from_rng(&mut rand::rng())),
            serving: Serving::default(),
            wanted: HashMap::new(),
            asked: HashMap::new(),
            censuses: HashMap::new(),
            reading: HashMap::new(),
            leaving: HashMap::new(),
            last_number: 0,
        }
    }

    pub(super) fn store(&self) -> Arc<BlobStore> {
        self.store.clone()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.fetcher.next_deadline()
    }

    pub(super) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}

/// Work on blobs that was done away from the loop.
pub(super) enum BlobDone {
    /// What the store holds of a blob that is wanted.
    Looked {
        blob: BlobId,
        found: Result<Looked, BlobStoreError>,
    },
    /// What a member gave was checked, and stored if it is right.
    Checked {
        blob: BlobId,
        peer: PeerId,
        question: Question,
        checked: Result<Checked, BlobStoreError>,
    },
    /// An answer for a member was read.
    Read {
        number: Served,
        answer: Vec<u8>,
        /// It was found not to be what it was.
        is_damaged: bool,
    },
}

/// What the store holds of a blob.
pub(super) struct Looked {
    pub(super) hold: Hold,
    pub(super) held: Option<(Arc<Outline>, ChunkSet)>,
}

/// What became of what a member gave.
pub(super) struct Checked {
    pub(super) reply: Reply,
    pub(super) outline: Option<Arc<Outline>>,
    /// Bytes that were not held before, and bytes that were.
    pub(super) new: usize,
    pub(super) again: usize,
}
