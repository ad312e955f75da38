//! One peer in one mesh: its admitted connections, and which one of them the mesh's behaviour is shown.
//!
//! Two shown connections would share one send queue and reorder messages, so one is shown and the rest wait in reserve.
//! Both sides must show the same: the lower PeerId chooses, and says so by being the first to send `Ready`.

use libp2p::swarm::ConnectionId;
use maille_proto::admission::Welcome;

/// An admission names its connection and its number there.
pub(super) type AdmissionId = (ConnectionId, u32);

/// One admitted connection.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) id: AdmissionId,
    pub(super) relayed: bool,
    /// The peer said `Ready`: if it chooses, it chose this one.
    pub(super) peer_ready: bool,
    pub(super) welcome: Option<Welcome>,
}

/// What a change asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// Nothing.
    Keep,
    /// Show this one.
    Show(AdmissionId),
    /// Show `to` instead of `from`, which ends.
    Switch { from: AdmissionId, to: AdmissionId },
}

/// The admitted connections of one peer.
#[derive(Debug)]
pub(super) struct Admissions {
    pub(super) session: [u8; 16],
    chooser: bool,
    /// In the order they were admitted.
    candidates: Vec<Candidate>,
    shown: Option<AdmissionId>,
    pub(super) open: bool,
}

impl Admissions {
    /// `chooser`: this node's PeerId is the lower one.
    pub(super) fn new(session: [u8; 16], chooser: bool) -> Self {
        Self {
            session,
            chooser,
            candidates: Vec::new(),
            shown: None,
            open: false,
        }
    }

    pub(super) fn shown(&self) -> Option<AdmissionId> {
        self.shown
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = AdmissionId> + '_ {
        self.candidates.iter().map(|candidate| candidate.id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }

    pub(super) fn take_welcome(&mut self) -> Option<Welcome> {
        let shown = self.shown?;
        self.candidates
            .iter_mut()
            .find(|candidate| candidate.id == shown)?
            .welcome
            .take()
    }

    pub(super) fn add(&mut self, candidate: Candidate) -> Choice {
        self.candidates.push(candidate);
        self.choose()
    }

    /// The peer said `Ready` on one of them.
    pub(super) fn peer_ready(&mut self, id: AdmissionId) -> Choice {
        for candidate in &mut self.candidates {
            candidate.peer_ready |= candidate.id == id;
        }
        self.choose()
    }

    /// One of them ended; true if it was the one shown.
    pub(super) fn remove(&mut self, id: AdmissionId) -> bool {
        self.candidates.retain(|candidate| candidate.id != id);
        let was_shown = self.shown == Some(id);
        if was_shown {
            self.shown = None;
            self.open = false;
        }
        was_shown
    }

    /// Which one to show now.
    pub(super) fn choose(&self) -> Choice {
        let direct_first = |candidate: &&Candidate| candidate.relayed;
        let best = match self.chooser {
            true => self.candidates.iter().min_by_key(direct_first),
            // The peer's latest choice; what it showed before, it has ended.
            false => self.candidates.iter().rev().find(|candidate| candidate.peer_ready),
        };
        match (best.map(|candidate| candidate.id), self.shown) {
            (None, _) => Choice::Keep,
            (Some(best), Some(shown)) if best == shown => Choice::Keep,
            (Some(best), None) => Choice::Show(best),
            (Some(to), Some(from)) => Choice::Switch { from, to },
        }
    }

    pub(super) fn show(&mut self, id: AdmissionId) {
        self.shown = Some(id);
        self.open = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(connection: usize, relayed: bool) -> Candidate {
        let id = (ConnectionId::new_unchecked(connection), 1);
        Candidate {
            id,
            relayed,
            peer_ready: false,
            welcome: None,
        }
    }

    fn id(connection: usize) -> AdmissionId {
        (ConnectionId::new_unchecked(connection), 1)
    }

    #[test]
    fn the_lower_peer_shows_the_older_and_direct_beats_relayed() {
        let mut peer = Admissions::new([0; 16], true);
        assert_eq!(peer.add(candidate(1, true)), Choice::Show(id(1)));
        peer.show(id(1));
        assert_eq!(peer.add(candidate(2, false)), Choice::Switch { from: id(1), to: id(2) });
        assert!(peer.remove(id(1)));
        peer.show(id(2));
        assert_eq!(
            peer.add(candidate(3, false)),
            Choice::Keep,
            "the older of two direct ones stays"
        );
        assert!(peer.remove(id(2)));
        assert_eq!(peer.choose(), Choice::Show(id(3)), "a reserve takes over");
    }

    #[test]
    fn the_higher_peer_waits_for_the_choice_and_follows_it() {
        let mut peer = Admissions::new([0; 16], false);
        assert_eq!(peer.add(candidate(1, false)), Choice::Keep);
        assert_eq!(peer.add(candidate(2, false)), Choice::Keep);
        assert_eq!(peer.peer_ready(id(2)), Choice::Show(id(2)));
        peer.show(id(2));
        assert!(!peer.remove(id(1)), "a reserve that ends changes nothing");
        assert_eq!(peer.choose(), Choice::Keep);
    }
}
