//! How far members are trusted by what they answered before: who was right for long is asked alone, and now and then checked.

use std::collections::BTreeMap;

use libp2p::PeerId;

/// Right answers in a row after which a member is trusted.
pub const CLEAN_MIN: u32 = 10;
/// Of the answers of a trusted member one in so many is checked all the same.
pub const AUDIT_ONE_IN: u64 = 10;
/// Members that are remembered; a member that is not begins anew.
pub const HOSTS_MAX: usize = 1_024;

/// What members' answers were worth so far, and how many replicas the next one of theirs needs: the shape is that of BOINC's
/// adaptive replication (Anderson, 2020). It saves work where most are honest, and costs certainty: until it is audited, a wrong
/// answer of a trusted member is accepted. Nothing uses it unasked.
///
/// It is a view of one's own: members who saw different votes trust differently.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Right answers in a row.
    pub(super) clean: BTreeMap<PeerId, u32>,
}

impl Trust {
    /// A member's answer was accepted.
    pub fn right(&mut self, member: PeerId) {
        if self.clean.len() < HOSTS_MAX || self.clean.contains_key(&member) {
            let clean = self.clean.entry(member).or_default();
            *clean = clean.saturating_add(1);
        }
    }

    /// A member's answer was another than the accepted one: it begins anew.
    pub fn wrong(&mut self, member: &PeerId) {
        self.clean.remove(member);
    }

    /// Whether a member was right for long enough.
    #[must_use]
    pub fn is_trusted(&self, member: &PeerId) -> bool {
        self.clean.get(member).is_some_and(|clean| *clean >= CLEAN_MIN)
    }

    /// How many replicas a question needs that this member answers first. `draw` is a random number that the member cannot know
    /// before it answered.
    #[must_use]
    pub fn replicas(&self, member: &PeerId, replicas: usize, draw: u64) -> usize {
        let is_audited = draw.is_multiple_of(AUDIT_ONE_IN);
        if self.is_trusted(member) && !is_audited {
            1
        } else {
            replicas
        }
    }
}
