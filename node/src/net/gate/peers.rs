//! One peer in one mesh: its admitted connections, and which one of them the mesh's behaviour is shown.
//!
//! Two shown connections would share one send queue and reorder messages, so one is shown and the rest wait in reserve.
//! Both sides must show the same: the lower PeerId chooses, and says so by being the first to send `Ready`.

use std::time::{Duration, Instant};

use libp2p::swarm::ConnectionId;
use maille_proto::admission::Welcome;

/// How long an admission that is to be open may take until both sides said `Ready`.
pub(super) const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// An admission names its connection and its number there.
pub(super) type AdmissionId = (ConnectionId, u32);

/// One admitted connection.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) id: AdmissionId,
    pub(super) relayed: bool,
    /// The peer said `Ready`: if it chooses, it chose this one.
    pub(super) peer_ready: bool,
    /// Since when it could be open, but for a `Ready`.
    pub(super) waits_since: Instant,
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
    pub(super) fn remove(&mut self, id: AdmissionId, now: Instant) -> bool {
        self.candidates.retain(|candidate| candidate.id != id);
        let was_shown = self.shown == Some(id);
        if was_shown {
            self.shown = None;
            self.open = false;
            self.wait_since(now);
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

    pub(super) fn show(&mut self, id: AdmissionId, now: Instant) {
        self.shown = Some(id);
        self.open = false;
        self.wait_since(now);
    }

    /// Those that wait for a `Ready`, and since when: the one shown, or all, where the peer is to choose and has not.
    fn waiting(&self) -> impl Iterator<Item = &Candidate> {
        let waits = |candidate: &&Candidate| self.shown.is_none_or(|shown| shown == candidate.id);
        self.candidates.iter().filter(|_| !self.open).filter(waits)
    }

    fn wait_since(&mut self, now: Instant) {
        for candidate in &mut self.candidates {
            candidate.waits_since = now;
        }
    }

    /// When one of them has waited for a `Ready` too long.
    pub(super) fn ready_deadline(&self) -> Option<Instant> {
        let since = self.waiting().map(|candidate| candidate.waits_since).min()?;
        Some(since + READY_TIMEOUT)
    }

    /// Those that have. Each is named once in [`READY_TIMEOUT`].
    pub(super) fn never_ready(&mut self, now: Instant) -> Vec<AdmissionId> {
        let due = self
            .waiting()
            .filter(|candidate| candidate.waits_since + READY_TIMEOUT <= now);
        let due: Vec<AdmissionId> = due.map(|candidate| candidate.id).collect();
        for candidate in self.candidates.iter_mut().filter(|c| due.contains(&c.id)) {
            candidate.waits_since = now;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(connection: usize, relayed: bool, waits_since: Instant) -> Candidate {
        let id = (ConnectionId::new_unchecked(connection), 1);
        Candidate {
            id,
            relayed,
            peer_ready: false,
            waits_since,
            welcome: None,
        }
    }

    fn id(connection: usize) -> AdmissionId {
        (ConnectionId::new_unchecked(connection), 1)
    }

    #[test]
    fn the_lower_peer_shows_the_older_and_direct_beats_relayed() {
        let now = Instant::now();
        let mut peer = Admissions::new([0; 16], true);
        assert_eq!(peer.add(candidate(1, true, now)), Choice::Show(id(1)));
        peer.show(id(1), now);
        assert_eq!(
            peer.add(candidate(2, false, now)),
            Choice::Switch { from: id(1), to: id(2) }
        );
        assert!(peer.remove(id(1), now));
        peer.show(id(2), now);
        assert_eq!(
            peer.add(candidate(3, false, now)),
            Choice::Keep,
            "the older of two direct ones stays"
        );
        assert!(peer.remove(id(2), now));
        assert_eq!(peer.choose(), Choice::Show(id(3)), "a reserve takes over");
    }

    #[test]
    fn the_higher_peer_waits_for_the_choice_and_follows_it() {
        let now = Instant::now();
        let mut peer = Admissions::new([0; 16], false);
        assert_eq!(peer.add(candidate(1, false, now)), Choice::Keep);
        assert_eq!(peer.add(candidate(2, false, now)), Choice::Keep);
        assert_eq!(peer.peer_ready(id(2)), Choice::Show(id(2)));
        peer.show(id(2), now);
        assert!(!peer.remove(id(1), now), "a reserve that ends changes nothing");
        assert_eq!(peer.choose(), Choice::Keep);
    }

    #[test]
    fn who_chooses_waits_for_the_ready_of_the_one_it_shows() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut peer = Admissions::new([0; 16], true);
        assert_eq!(peer.ready_deadline(), None);
        assert_eq!(peer.add(candidate(1, false, start)), Choice::Show(id(1)));
        peer.show(id(1), start);
        assert_eq!(peer.add(candidate(2, false, at(1))), Choice::Keep);
        assert_eq!(peer.ready_deadline(), Some(at(10)));
        assert_eq!(peer.never_ready(at(9)), []);
        assert_eq!(peer.never_ready(at(10)), [id(1)], "a reserve is nobody's fault");
        assert_eq!(peer.never_ready(at(11)), [], "once");
        assert!(peer.remove(id(1), at(11)));
        assert_eq!(peer.choose(), Choice::Show(id(2)));
        peer.show(id(2), at(11));
        assert_eq!(peer.ready_deadline(), Some(at(21)));
        peer.open = true;
        assert_eq!((peer.ready_deadline(), peer.never_ready(at(60))), (None, vec![]));
    }

    #[test]
    fn a_peer_that_is_to_choose_and_does_not_loses_each_admission_in_its_time() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut peer = Admissions::new([0; 16], false);
        peer.add(candidate(1, false, start));
        peer.add(candidate(2, false, at(4)));
        assert_eq!(peer.ready_deadline(), Some(at(10)));
        assert_eq!(peer.never_ready(at(10)), [id(1)]);
        assert!(!peer.remove(id(1), at(10)));
        assert_eq!(peer.ready_deadline(), Some(at(14)));
        assert_eq!(peer.peer_ready(id(2)), Choice::Show(id(2)));
        peer.show(id(2), at(12));
        peer.open = true;
        peer.add(candidate(3, false, at(13)));
        assert_eq!(peer.ready_deadline(), None, "one is open: the other is a reserve");
        assert!(peer.remove(id(2), at(100)));
        assert_eq!(
            peer.ready_deadline(),
            Some(at(110)),
            "a reserve has its time from when it is needed"
        );
        assert_eq!(peer.never_ready(at(110)), [id(3)]);
    }
}
