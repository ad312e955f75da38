//! One task: its votes, and how the workers rank for it.

use std::time::Instant;

use maille::{BlobId, PeerId, Quorum, Verdict};

use crate::job::JobId;

/// One task.
#[derive(Debug)]
pub(crate) struct Task {
    quorum: Quorum<BlobId>,
    replicas: usize,
    /// What the votes come to, worked out once a vote: it is asked for far more often.
    missing: usize,
    accepted: Option<BlobId>,
    /// How much each worker weighs, in the order of the workers: the heaviest goes first.
    weights: Vec<u64>,
    /// Since when nobody works on what is missing.
    pub(super) waits_since: Option<Instant>,
    /// Replicas whose workers went or were slow, and which are not done.
    orphans: usize,
    /// When a result was accepted first.
    pub(crate) accepted_at: Option<Instant>,
}

impl Task {
    pub(super) fn new(job: JobId, number: u32, replicas: usize, workers: &[PeerId]) -> Self {
        let mut task = Self {
            quorum: Quorum::new(replicas),
            replicas,
            missing: 0,
            accepted: None,
            weights: Vec::new(),
            waits_since: None,
            orphans: 0,
            accepted_at: None,
        };
        task.weigh(job, number, workers);
        task.count();
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
        self.count();
        if self.accepted.is_some() {
            self.accepted_at.get_or_insert(now);
        }
        is_new
    }

    fn count(&mut self) {
        (self.missing, self.accepted) = match self.quorum.verdict() {
            Verdict::Open { missing } => (missing, None),
            // All replicas are worked on, also once there is a majority: that is what names a liar.
            Verdict::Accepted(digest) => (self.replicas.saturating_sub(self.quorum.votes().count()), Some(*digest)),
            _ => (0, None),
        };
    }

    /// Votes that are wanted still.
    pub(crate) fn missing(&self) -> usize {
        self.missing
    }

    pub(crate) fn accepted(&self) -> Option<BlobId> {
        self.accepted
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

    /// A worker went, or was slow, and did not vote.
    pub(super) fn lost_worker(&mut self, worker: &PeerId) {
        self.orphans += usize::from(!self.has_vote_of(worker));
    }

    /// Replicas of lost workers, once others have done all there is.
    pub(super) fn done_for_others(&mut self) -> usize {
        match self.missing {
            0 => std::mem::take(&mut self.orphans),
            _ => 0,
        }
    }
}
