//! One task: its votes, and how the workers rank for it.

use std::time::Instant;

use maille::{BlobId, PeerId, Quorum, Verdict};

use crate::job::JobId;

/// One task.
#[derive(Debug)]
pub(crate) struct Task {
    quorum: Quorum<BlobId>,
    replicas: usize,
    /// How much each worker weighs, in the order of the workers: the heaviest goes first.
    weights: Vec<u64>,
    /// Since when nobody works on what is missing.
    pub(super) waits_since: Option<Instant>,
    /// Replicas whose workers went.
    orphans: usize,
    /// When a result was accepted first.
    pub(crate) accepted_at: Option<Instant>,
}

impl Task {
    pub(super) fn new(job: JobId, number: u32, replicas: usize, workers: &[PeerId]) -> Self {
        let mut task = Self {
            quorum: Quorum::new(replicas),
            replicas,
            weights: Vec::new(),
            waits_since: None,
            orphans: 0,
            accepted_at: None,
        };
        task.weigh(job, number, workers);
        task
    }

    /// Ranks the workers: a rendezvous hash for each (Thaler and Ravishankar, 1998).
    pub(super) fn weigh(&mut self, job: JobId, number: u32, workers: &[PeerId]) {
        let weight = |worker: &PeerId| {
            let text = [job.to_string().as_bytes(), &number.to_be_bytes(), &worker.to_bytes()].concat();
            let first = *BlobId::of(&text).as_bytes().first_chunk().expect("a hash has 32 bytes");
            u64::from_be_bytes(first)
        };
        self.weights = workers.iter().map(weight).collect();
    }

    pub(super) fn weight(&self, place: usize) -> u64 {
        self.weights.get(place).copied().unwrap_or_default()
    }

    pub(super) fn vote(&mut self, voter: PeerId, digest: BlobId, now: Instant) -> bool {
        let is_new = self.quorum.vote(voter, digest);
        if self.accepted().is_some() {
            self.accepted_at.get_or_insert(now);
        }
        is_new
    }

    /// Votes that are wanted still. All replicas are worked on, also once there is a majority: that is what names a liar.
    pub(crate) fn missing(&self) -> usize {
        match self.quorum.verdict() {
            Verdict::Open { missing } => missing,
            Verdict::Accepted(_) => self.replicas.saturating_sub(self.quorum.votes().count()),
            _ => 0,
        }
    }

    pub(crate) fn accepted(&self) -> Option<BlobId> {
        match self.quorum.verdict() {
            Verdict::Accepted(digest) => Some(*digest),
            _ => None,
        }
    }

    /// As many as may be asked voted, without a majority.
    pub(crate) fn has_no_quorum(&self) -> bool {
        self.quorum.verdict() == Verdict::NoQuorum
    }

    pub(crate) fn liars(&self) -> Vec<PeerId> {
        self.quorum.liars()
    }

    pub(crate) fn votes(&self) -> usize {
        self.quorum.votes().count()
    }

    pub(super) fn has_vote_of(&self, worker: &PeerId) -> bool {
        self.quorum.votes().any(|(voter, _)| voter == *worker)
    }

    /// Replicas there may be at a time or after each other: as many as votes are asked for, and two copies of slow ones.
    pub(super) fn replicas_max(&self) -> u32 {
        u32::try_from(self.quorum.asked_max() + 2).unwrap_or(u32::MAX)
    }

    /// A worker went before it voted. Whether others have done its work already.
    pub(super) fn lost_worker(&mut self, worker: &PeerId) -> bool {
        if self.has_vote_of(worker) {
            return false;
        }
        let is_done = self.missing() == 0;
        self.orphans += usize::from(!is_done);
        is_done
    }

    /// Somebody begins again what another left.
    pub(super) fn take_orphan(&mut self) -> bool {
        let taken = self.orphans > 0;
        self.orphans = self.orphans.saturating_sub(1);
        taken
    }
}
