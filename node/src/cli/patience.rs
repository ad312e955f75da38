//! How long a command looks for members before it gives up as refused, and what it says meanwhile. Pure: no clock.

use std::time::{Duration, Instant};

/// For so long every peer met must have refused before a command ends as refused.
const REFUSED_AFTER: Duration = Duration::from_secs(20);

/// How often a command that still looks says so.
const NOTE_INTERVAL: Duration = Duration::from_secs(60);

/// Where a node stands in its mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// No peer of the mesh was met.
    Alone,
    /// So many peers were met, and all refused.
    Refused { peers: usize },
    /// There are members.
    Joined,
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Give up: so many peers refused, and nobody else is there.
    Refused { peers: usize },
    /// Say that we still look, as we have for so many minutes.
    StillLooking { minutes: u64 },
}

/// Watches the standing of one node in one mesh.
#[derive(Debug)]
pub(crate) struct Patience {
    /// A founder, or one told to retry for ever, never gives up as refused: it is not the one with the wrong password,
    /// or does not care.
    endless: bool,
    started: Instant,
    next_note: Instant,
    refused_since: Option<Instant>,
    peers_refused: usize,
    joined_ever: bool,
}

impl Patience {
    pub(crate) fn new(endless: bool, now: Instant) -> Self {
        let next_note = now + NOTE_INTERVAL;
        Self {
            endless,
            started: now,
            next_note,
            refused_since: None,
            peers_refused: 0,
            joined_ever: false,
        }
    }

    /// Takes note of the standing, and decides. Call it a few times a second.
    pub(crate) fn observe(&mut self, standing: Standing, now: Instant) -> Option<Verdict> {
        match standing {
            Standing::Joined => {
                self.joined_ever = true;
                self.refused_since = None;
                self.next_note = now + NOTE_INTERVAL;
                return None;
            }
            Standing::Refused { peers } => {
                self.refused_since.get_or_insert(now);
                self.peers_refused = peers;
            }
            Standing::Alone => {}
        }
        let refused_for = self.refused_since.map(|since| now.saturating_duration_since(since));
        if !self.endless && !self.joined_ever && refused_for.is_some_and(|time| time >= REFUSED_AFTER) {
            return Some(Verdict::Refused {
                peers: self.peers_refused,
            });
        }
        if now < self.next_note {
            return None;
        }
        self.next_note = now + NOTE_INTERVAL;
        Some(Verdict::StillLooking {
            minutes: now.saturating_duration_since(self.started).as_secs() / 60,
        })
    }

    /// Whether a member was ever found.
    pub(crate) fn joined_ever(&self) -> bool {
        self.joined_ever
    }

    /// How many peers refused, if some did and no member was ever found: what to say when time is up before the 20 s.
    pub(crate) fn refused_so_far(&self) -> Option<usize> {
        (!self.endless && !self.joined_ever && self.refused_since.is_some()).then_some(self.peers_refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn twenty_seconds_of_refusal_and_nobody_else_is_the_end() {
        let start = Instant::now();
        let mut patience = Patience::new(false, start);
        assert_eq!(patience.observe(Standing::Alone, start + 3 * SECOND), None);
        assert_eq!(patience.refused_so_far(), None);
        assert_eq!(
            patience.observe(Standing::Refused { peers: 1 }, start + 4 * SECOND),
            None
        );
        // Peers that refused and left were met all the same.
        assert_eq!(patience.observe(Standing::Alone, start + 9 * SECOND), None);
        assert_eq!(patience.refused_so_far(), Some(1));
        let almost = start + 24 * SECOND - Duration::from_millis(1);
        assert_eq!(patience.observe(Standing::Refused { peers: 3 }, almost), None);
        let verdict = patience.observe(Standing::Refused { peers: 3 }, start + 24 * SECOND);
        assert_eq!(verdict, Some(Verdict::Refused { peers: 3 }));
    }

    #[test]
    fn one_member_outweighs_every_refusal() {
        let start = Instant::now();
        let mut patience = Patience::new(false, start);
        patience.observe(Standing::Refused { peers: 2 }, start);
        patience.observe(Standing::Joined, start + 10 * SECOND);
        assert!(patience.joined_ever());
        patience.observe(Standing::Refused { peers: 2 }, start + 11 * SECOND);
        assert_eq!(
            patience.observe(Standing::Refused { peers: 2 }, start + 50 * SECOND),
            None
        );
        assert_eq!(patience.refused_so_far(), None);
    }

    #[test]
    fn founders_never_end_as_refused_but_say_that_they_look() {
        let start = Instant::now();
        let mut patience = Patience::new(true, start);
        let mut notes = Vec::new();
        for second in 0..=185 {
            match patience.observe(Standing::Refused { peers: 1 }, start + second * SECOND) {
                Some(Verdict::StillLooking { minutes }) => notes.push((second, minutes)),
                other => assert_eq!(other, None),
            }
        }
        assert_eq!(notes, [(60, 1), (120, 2), (180, 3)]);
        assert_eq!(patience.refused_so_far(), None);
    }

    #[test]
    fn who_has_members_says_nothing() {
        let start = Instant::now();
        let mut patience = Patience::new(false, start);
        for second in 0..300 {
            assert_eq!(patience.observe(Standing::Joined, start + second * SECOND), None);
        }
        assert_eq!(patience.observe(Standing::Alone, start + 301 * SECOND), None);
    }
}
