//! Members that told of less than others gave, of a time in which they had something: they hide it, lost it, or have room for
//! little. Not those that give less than they claim: that is a doubt, and no honest member does it for long.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use libp2p::PeerId;

use super::Claim;
use crate::core::stream::Frame;

/// How far into the time of which a member has something a record must lie that it is expected to have: digests have told
/// it of that by then, and clocks are not further apart.
pub const EXPECTED_AFTER: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Shortfalls {
    times: BTreeMap<PeerId, Times>,
    named: BTreeSet<PeerId>,
}

/// Of what time a member has something, by publishers' clocks: microseconds since the Unix epoch.
#[derive(Debug)]
struct Times {
    /// When the oldest run began that it has from the start.
    first_us: u64,
    newest_us: u64,
}

impl Shortfalls {
    /// One of the things that a member says it has.
    pub(super) fn told(&mut self, peer: PeerId, claim: &Claim) {
        let times = self.times.entry(peer).or_insert(Times {
            first_us: u64::MAX,
            newest_us: 0,
        });
        times.newest_us = claim.newest_us.max(times.newest_us);
        if claim.held.first().is_some_and(|held| held.start == 0) {
            times.first_us = claim.run.incarnation.saturating_mul(1_000).min(times.first_us);
        }
    }

    /// Somebody gave a frame: who did not say that it has that, though it should. Each is named once.
    pub(super) fn given(&mut self, frame: &Frame, has: impl Fn(&PeerId) -> bool) -> Vec<PeerId> {
        let margin_us = EXPECTED_AFTER.as_micros() as u64;
        let expected = |times: &Times| {
            let first_us = times.first_us.saturating_add(margin_us);
            first_us <= frame.sent_us && frame.sent_us.saturating_add(margin_us) <= times.newest_us
        };
        let lacking = self.times.iter().filter(|(peer, times)| expected(times) && !has(peer));
        let lacking: Vec<PeerId> = lacking.map(|(peer, _)| *peer).collect();
        lacking.into_iter().filter(|peer| self.named.insert(*peer)).collect()
    }

    /// What it said does not count.
    pub(super) fn drop_peer(&mut self, peer: &PeerId) {
        self.times.remove(peer);
    }
}
