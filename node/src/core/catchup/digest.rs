//! Comparing heads with neighbours: every ten seconds one of them is told a digest of ours, and who differs is asked what
//! it knows. So the loss of a last frame is noticed. Not the digest's making, and not the repair.

use std::{
    collections::BTreeMap,
    ops::Range,
    time::{Duration, Instant},
};

use libp2p::PeerId;
use rand::{RngExt as _, rngs::StdRng, seq::IteratorRandom as _};

use super::{
    Action, Claim, Question, RequestId, Run,
    asker::{Asker, Owner},
};
use crate::types::Selector;

/// Between digests that this node offers.
pub const DIGEST_INTERVAL: Duration = Duration::from_secs(10);
/// Between two looks at what the same neighbour knows.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Records of one run that are repaired because a neighbour has them: the newest.
pub const LACKING_MAX: u64 = 65_536;
/// Pages of runs that a neighbour is asked for at once.
const PAGES_MAX: usize = 4;
/// Neighbours of which the last look is remembered.
const LOOKS_MAX: usize = 256;

#[derive(Debug)]
pub(super) struct Digests {
    offer_at: Option<Instant>,
    look: Option<Look>,
    /// The next look is at all that is held of publishers that are known.
    back: bool,
    looked: BTreeMap<PeerId, Instant>,
}

#[derive(Debug)]
struct Look {
    peer: PeerId,
    since_us: u64,
    /// Only publishers that are known matter.
    back: bool,
    asked: Option<RequestId>,
    claims: Vec<Claim>,
    pages: usize,
}

impl Digests {
    pub(super) fn new() -> Self {
        Self {
            offer_at: None,
            look: None,
            back: false,
            looked: BTreeMap::new(),
        }
    }

    /// Offers ours when it is time.
    pub(super) fn step(&mut self, asker: &Asker, rng: &mut StdRng, now: Instant, out: &mut Vec<Action>) {
        let due = *self.offer_at.get_or_insert_with(|| now + jittered(rng));
        if due <= now {
            self.offer_at = Some(now + jittered(rng));
            if let Some(peer) = asker.members().choose(rng) {
                out.push(Action::OfferDigest { peer });
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.offer_at
    }

    /// A neighbour's heads differ from ours.
    pub(super) fn differs(
        &mut self,
        peer: PeerId,
        since_us: u64,
        asker: &mut Asker,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        self.looked
            .retain(|_, at| now.saturating_duration_since(*at) < LOOK_INTERVAL);
        let known = self.looked.contains_key(&peer) || self.looked.len() >= LOOKS_MAX;
        if self.look.is_some() || known || peer == asker.me() || !asker.free(&peer, now) {
            return;
        }
        self.looked.insert(peer, now);
        // It may lack something as well; it answers with its own only if it has not looked for a while.
        out.push(Action::OfferDigest { peer });
        // What was sent before this node began to listen, behind a partition, is missed of a publisher that it heard.
        let back = self.back && since_us > 0;
        self.back = !self.back;
        let selector = if back { Selector::All } else { Selector::Since(since_us) };
        let what = Question::Runs { selector, from: None };
        self.look = Some(Look {
            peer,
            since_us,
            back,
            asked: Some(asker.ask(peer, Owner::Digest, what, now, out)),
            claims: vec![],
            pages: 1,
        });
    }

    /// What it knows.
    pub(super) fn runs(
        &mut self,
        request: RequestId,
        claims: Vec<Claim>,
        next: Option<Question>,
        asker: &mut Asker,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let Some(look) = self.look.as_mut().filter(|look| look.asked == Some(request)) else {
            return;
        };
        look.claims.extend(claims);
        look.asked = None;
        if let Some(next) = next.filter(|_| look.pages < PAGES_MAX) {
            look.pages += 1;
            look.asked = Some(asker.ask(look.peer, Owner::Digest, next, now, out));
        } else {
            out.push(Action::CompareHeads);
        }
    }

    pub(super) fn failed(&mut self, request: RequestId) {
        if self.look.as_ref().is_some_and(|look| look.asked == Some(request)) {
            self.look = None;
        }
    }

    /// What of that the live inbox lacks, and who claims it.
    pub(super) fn heads(&mut self, heads: &[(Run, u64)]) -> Vec<(PeerId, Run, Range<u64>)> {
        let Some(look) = self.look.take_if(|look| look.asked.is_none()) else {
            return vec![];
        };
        let ours: BTreeMap<Run, u64> = heads.iter().copied().collect();
        let mut lacking = vec![];
        for claim in look.claims {
            let end = claim
                .held
                .last()
                .map_or(0, |span| span.end)
                .max(claim.proved.unwrap_or(0));
            let newest = ours.range(..=last_of(claim.run.publisher)).next_back();
            let newest = newest.filter(|(run, _)| run.publisher == claim.run.publisher);
            let from = match ours.get(&claim.run) {
                Some(next) => *next,
                // Of a run that has ended, the live inbox takes nothing.
                None if newest.is_some_and(|(run, _)| run.incarnation > claim.run.incarnation) => continue,
                // It follows a run that is heard.
                None if newest.is_some() => 0,
                None if look.back || claim.newest_us < look.since_us => continue,
                None => claim.from,
            };
            if from < end {
                lacking.push((look.peer, claim.run, from.max(end.saturating_sub(LACKING_MAX))..end));
            }
        }
        lacking
    }
}

fn last_of(publisher: PeerId) -> Run {
    Run {
        publisher,
        incarnation: u64::MAX,
    }
}

fn jittered(rng: &mut StdRng) -> Duration {
    DIGEST_INTERVAL.mul_f64(rng.random_range(0.8..=1.2))
}
