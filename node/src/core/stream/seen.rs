//! Which frames of a topic were seen before, and how many newcomers a neighbour may bring: what decides about passing a
//! frame on. It never looks at predecessors, at the chain of hashes, or at a clock of others.

use std::time::{Duration, Instant};

use libp2p::PeerId;

use super::{
    NEIGHBOURS_MAX,
    frame::{Blame, Frame},
    lru::Lru,
    ranges::Ranges,
};

/// Publishers remembered on one topic; the one silent for longest is forgotten for another.
pub const PUBLISHERS_MAX: usize = 1_024;
/// Runs of one publisher: the current one, and those before it while they end.
pub const RUNS_MAX: usize = 8;
/// A neighbour may bring one new publisher or run in this time ...
pub const NEWCOMER_INTERVAL: Duration = Duration::from_secs(6);
/// ... and this many at once: a subscriber whose only neighbour is on a busy topic meets all of its publishers through
/// that one, and a frame ignored here is lost. It takes eight such neighbours to fill the memory of publishers.
pub const NEWCOMER_BURST: u32 = 128;

/// What to do with a frame whose signature holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// New: pass it on.
    Forward,
    /// Some of its sequence numbers were seen, or its run is older than those remembered.
    Duplicate,
    /// Its publisher or run is new, and who delivered it brought too many of those.
    OverLimit,
}

impl Verdict {
    /// Who is at fault. Mild for [`Verdict::OverLimit`]: an honest forwarder adds up what its own neighbours bring.
    #[must_use]
    pub fn blame(self) -> Blame {
        match self {
            Self::Forward | Self::Duplicate => Blame::Nobody,
            Self::OverLimit => Blame::Forwarder,
        }
    }
}

/// What was seen on one topic.
#[derive(Debug)]
pub struct Seen {
    publishers: Lru<Runs>,
    newcomers: Lru<Rations>,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            publishers: Lru::new(PUBLISHERS_MAX),
            newcomers: Lru::new(NEIGHBOURS_MAX),
        }
    }
}

impl Seen {
    /// Decides about a frame, and notes that it was seen if it is to be forwarded.
    pub fn verdict(&mut self, frame: &Frame, deliverer: PeerId, now: Instant) -> Verdict {
        let (publisher, incarnation) = (frame.publisher, frame.incarnation);
        let runs = self.publishers.peek_mut(&publisher);
        let known = runs.and_then(|runs| runs.find(incarnation));
        if let Some(run) = known {
            if !run.is_news(frame) {
                return Verdict::Duplicate;
            }
            run.note(frame);
            // Only what is new counts as a sign of life: copies are for anybody to send.
            self.publishers.touch(&publisher);
            return Verdict::Forward;
        }
        if self
            .publishers
            .peek(&publisher)
            .is_some_and(|runs| runs.are_later(incarnation))
        {
            return Verdict::Duplicate;
        }
        let rations = self.rations(deliverer, now);
        // What it publishes itself does not suffer from what it has to pass on.
        let allowance = match deliverer == publisher {
            true => &mut rations.own,
            false => &mut rations.others,
        };
        if !allowance.spend(now) {
            return Verdict::OverLimit;
        }
        if self.publishers.touch(&publisher).is_none() {
            self.publishers.insert(publisher, Runs::default());
        }
        let runs = self
            .publishers
            .peek_mut(&publisher)
            .expect("inserted if it was not there");
        runs.start(incarnation).note(frame);
        Verdict::Forward
    }

    /// How many publishers are remembered.
    #[must_use]
    pub fn publishers(&self) -> usize {
        self.publishers.len()
    }

    fn rations(&mut self, neighbour: PeerId, now: Instant) -> &mut Rations {
        if self.newcomers.touch(&neighbour).is_none() {
            let (own, others) = (Allowance::full(now), Allowance::full(now));
            self.newcomers.insert(neighbour, Rations { own, others });
        }
        self.newcomers
            .peek_mut(&neighbour)
            .expect("inserted if it was not there")
    }
}

/// What was seen of one run.
#[derive(Debug, Default)]
struct Run {
    ranges: Ranges,
    /// The latest head: the next sequence number, and when it was sent.
    head: (u64, u64),
}

impl Run {
    fn is_news(&self, frame: &Frame) -> bool {
        let sequences = frame.sequences();
        match frame.is_head() {
            // Heads never go back, and repeat themselves with a later time.
            true => (sequences.start, frame.sent_us) > self.head,
            false => !self.ranges.overlaps(sequences.start, sequences.end),
        }
    }

    fn note(&mut self, frame: &Frame) {
        let sequences = frame.sequences();
        match frame.is_head() {
            true => self.head = (sequences.start, frame.sent_us),
            false => self.ranges.insert(sequences.start, sequences.end),
        }
    }
}

/// The latest runs of one publisher, the latest last.
#[derive(Debug, Default)]
struct Runs(Vec<(u64, Run)>);

impl Runs {
    fn find(&mut self, incarnation: u64) -> Option<&mut Run> {
        self.0.iter_mut().find(|run| run.0 == incarnation).map(|run| &mut run.1)
    }

    /// Whether all that are remembered are later, and no more fit.
    fn are_later(&self, incarnation: u64) -> bool {
        self.0.len() >= RUNS_MAX && self.0.iter().all(|run| run.0 > incarnation)
    }

    fn start(&mut self, incarnation: u64) -> &mut Run {
        let place = self.0.partition_point(|run| run.0 < incarnation);
        self.0.insert(place, (incarnation, Run::default()));
        if self.0.len() > RUNS_MAX {
            self.0.remove(0);
        }
        self.find(incarnation)
            .expect("the earliest goes, and this one is later")
    }
}

/// What one neighbour may still bring.
#[derive(Debug)]
struct Rations {
    /// Runs of its own.
    own: Allowance,
    others: Allowance,
}

/// How many newcomers one neighbour may still bring: a bucket of tokens.
#[derive(Debug)]
struct Allowance {
    tokens: u32,
    /// When the tokens were that many.
    counted: Instant,
}

impl Allowance {
    fn full(now: Instant) -> Self {
        Self {
            tokens: NEWCOMER_BURST,
            counted: now,
        }
    }

    fn spend(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.counted);
        let earned = u32::try_from(passed.as_millis() / NEWCOMER_INTERVAL.as_millis()).unwrap_or(u32::MAX);
        if earned >= NEWCOMER_BURST - self.tokens {
            *self = Self::full(now);
        } else {
            self.tokens += earned;
            self.counted += NEWCOMER_INTERVAL * earned;
        }
        let allowed = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::stream::testing::peer;

    fn frame(publisher: u32, incarnation: u64, sequence: u64) -> Frame {
        Frame::unsigned(peer(publisher), incarnation, sequence..sequence + 1)
    }

    #[test]
    fn every_sequence_number_passes_once() {
        let (mut seen, now) = (Seen::default(), Instant::now());
        for round in 0..2 {
            for sequence in [0, 5, 1, 3, 2, 4, u64::MAX - 1] {
                let expected = if round == 0 {
                    Verdict::Forward
                } else {
                    Verdict::Duplicate
                };
                assert_eq!(
                    seen.verdict(&frame(1, 7, sequence), peer(100), now),
                    expected,
                    "{sequence}"
                );
            }
        }
        let overlapping = Frame::unsigned(peer(1), 7, 5..9);
        assert_eq!(seen.verdict(&overlapping, peer(100), now), Verdict::Duplicate);
        assert_eq!(
            seen.verdict(&Frame::unsigned(peer(1), 7, 6..9), peer(100), now),
            Verdict::Forward
        );
        assert_eq!(seen.verdict(&frame(1, 7, 8), peer(100), now), Verdict::Duplicate);
    }

    #[test]
    fn heads_pass_once_each_and_never_go_back() {
        let (mut seen, now) = (Seen::default(), Instant::now());
        let mut verdict = |next, sent_us| {
            let head = Frame::unsigned_head(peer(1), 7, next, sent_us);
            seen.verdict(&head, peer(100), now)
        };
        assert_eq!(verdict(5, 10), Verdict::Forward);
        assert_eq!(verdict(5, 10), Verdict::Duplicate);
        assert_eq!(verdict(5, 20), Verdict::Forward);
        assert_eq!(verdict(4, 30), Verdict::Duplicate, "an old one, or a lie");
        assert_eq!(verdict(6, 15), Verdict::Forward, "its clock stepped back");
        assert_eq!(verdict(6, 15), Verdict::Duplicate);
        assert_eq!(verdict(5, 40), Verdict::Duplicate);
        assert_eq!(seen.verdict(&frame(1, 7, 3), peer(100), now), Verdict::Forward);
    }

    #[test]
    fn the_latest_runs_are_remembered() {
        let (mut seen, now) = (Seen::default(), Instant::now());
        let latest = 10 * RUNS_MAX as u64;
        for (incarnation, expected) in (1..=RUNS_MAX as u64).map(|run| (10 * run, Verdict::Forward)).chain([
            (5, Verdict::Duplicate),
            (10, Verdict::Duplicate),
            (15, Verdict::Forward),
            (10, Verdict::Duplicate),
            (latest + 1, Verdict::Forward),
            (15, Verdict::Duplicate),
            (latest, Verdict::Duplicate),
        ]) {
            assert_eq!(
                seen.verdict(&frame(1, incarnation, 0), peer(100), now),
                expected,
                "{incarnation}"
            );
            assert!(seen.publishers.peek(&peer(1)).unwrap().0.len() <= RUNS_MAX);
        }
        assert_eq!(
            seen.verdict(&frame(1, 20, 1), peer(100), now),
            Verdict::Forward,
            "20 is still known"
        );
    }

    #[test]
    fn newcomers_are_rationed_per_neighbour() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        assert_eq!(seen.verdict(&frame(0, 1, 0), peer(1_000_000), start), Verdict::Forward);
        let mut forwarded = 0;
        // 20 minutes of 100 newcomers a second: half of them publishers, half of them runs of one publisher.
        for step in 0..120_000 {
            let now = start + Duration::from_millis(u64::from(step) * 10);
            let minted = if step % 2 == 0 {
                frame(step + 1, 1, 0)
            } else {
                frame(1, u64::from(step) + 9, 0)
            };
            forwarded += u32::from(seen.verdict(&minted, peer(1_000_001), now) == Verdict::Forward);
            if step % 1_000 == 0 {
                let known = frame(0, 1, u64::from(step) + 1);
                assert_eq!(
                    seen.verdict(&known, peer(1_000_001), now),
                    Verdict::Forward,
                    "known ones always pass"
                );
            }
        }
        let allowed = NEWCOMER_BURST + 20 * 10;
        assert!(
            (allowed - 1..=allowed).contains(&forwarded),
            "{forwarded} of {allowed} forwarded"
        );
        let elsewhere = frame(2_000_000, 1, 0);
        let now = start + Duration::from_millis(1_199_999);
        assert_eq!(seen.verdict(&elsewhere, peer(1_000_001), now), Verdict::OverLimit);
        assert_eq!(
            seen.verdict(&elsewhere, peer(1_000_000), now),
            Verdict::Forward,
            "another neighbour may"
        );
        let own = |incarnation| frame(1_000_001, incarnation, 0);
        let verdict = seen.verdict(&own(1), peer(1_000_001), now);
        assert_eq!(verdict, Verdict::Forward, "it is heard itself");
        let minted = (2..1_000).filter(|run| seen.verdict(&own(*run), peer(1_000_001), now) == Verdict::Forward);
        assert_eq!(
            minted.count(),
            NEWCOMER_BURST as usize - 1,
            "and has a ration of its own"
        );
        assert!(seen.publishers() <= PUBLISHERS_MAX);
    }

    #[test]
    fn publishers_are_bounded_and_the_live_ones_stay() {
        let (mut seen, now) = (Seen::default(), Instant::now());
        for publisher in 0..10_000 {
            // A neighbour for every 100, so that no ration applies.
            let verdict = seen.verdict(&frame(publisher + 1, 1, 0), peer(1_000_000 + publisher / 100), now);
            assert_eq!(verdict, Verdict::Forward);
            let live = frame(0, 1, u64::from(publisher));
            assert_eq!(seen.verdict(&live, peer(1_000_000), now), Verdict::Forward);
            assert!(seen.publishers() <= PUBLISHERS_MAX);
        }
        assert_eq!(
            seen.verdict(&frame(0, 1, 0), peer(1_000_000), now),
            Verdict::Duplicate,
            "never forgotten"
        );
    }
}
