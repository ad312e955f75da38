//! When to ask Kademlia for the mesh and for topics: at once and often while in need, once a minute when content.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;

use super::{
    Action,
    backoff::{Backoff, jittered},
};
use crate::types::TopicHint;

/// Between rounds while in need: 1, 2, 4, 8, 15, 15 … s.
const NEEDY: Backoff = Backoff {
    first: Duration::from_secs(1),
    max: Duration::from_secs(15),
};
/// Between rounds when content.
const CONTENT_INTERVAL: Duration = Duration::from_secs(60);
/// Between rounds however urgent.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// After it a round counts as answered.
const ROUND_TIMEOUT: Duration = Duration::from_secs(30);
/// Topics asked for in one round; the next round takes the next ones.
const TOPICS_A_ROUND_MAX: usize = 8;
/// Rounds in a row that found nobody new, after which a member in need takes it that nobody is left to find.
const FRUITLESS_ROUNDS_MAX: u32 = 6;

/// What a node lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Any neighbour at all.
    Alone,
    /// Some more.
    Few,
    /// Nothing.
    None,
}

/// The rhythm of look-ups of one mesh.
#[derive(Debug, Default)]
pub(super) struct LookUps {
    /// `None`: at once.
    next_at: Option<Instant>,
    started_at: Option<Instant>,
    outstanding: usize,
    rounds: u32,
    found_new: bool,
    fruitless: u32,
    topic_next: usize,
}

impl LookUps {
    /// A source named a peer not known before.
    pub(super) fn found_new(&mut self) {
        self.found_new = true;
        self.fruitless = 0;
    }

    /// One look-up of the round ended.
    pub(super) fn looked_up(&mut self) {
        self.outstanding = self.outstanding.saturating_sub(1);
    }

    /// Something happened that makes a look-up promising or urgent: begin again at the shortest interval, and do not wait
    /// for answers that were asked for before it.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.next_at = self.started_at.map(|at| now.max(at + INTERVAL_MIN));
        self.outstanding = 0;
        self.rounds = 0;
        self.fruitless = 0;
    }

    /// When the next round is due; `None`: at once.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.started_at {
            Some(at) if self.outstanding > 0 => self.next_at.max(Some(at + ROUND_TIMEOUT)),
            _ => self.next_at,
        }
    }

    /// Starts a round: the mesh's key, and those of the topics in need; or, if there is no need, of one of the topics.
    pub(super) fn start(
        &mut self,
        need: Need,
        topics: &[TopicHint],
        now: Instant,
        rng: &mut StdRng,
        out: &mut Vec<Action>,
    ) {
        let found_new = std::mem::take(&mut self.found_new);
        if self.started_at.is_some() && !found_new {
            self.fruitless = self.fruitless.saturating_add(1);
        }
        if found_new && need == Need::Alone {
            // An answer is a random few of all providers: as long as there are new ones, the one that counts may follow.
            self.rounds = self.rounds.min(1);
        }
        let asked = topics
            .len()
            .min(if need == Need::None { 1 } else { TOPICS_A_ROUND_MAX });
        out.push(Action::LookUp { topic: None });
        for offset in 0..asked {
            let topic = topics[(self.topic_next + offset) % topics.len()];
            out.push(Action::LookUp { topic: Some(topic) });
        }
        self.topic_next = if asked == 0 {
            0
        } else {
            (self.topic_next + asked) % topics.len()
        };
        self.outstanding = 1 + asked;
        self.started_at = Some(now);
        self.rounds = self.rounds.saturating_add(1);
        let nobody_left = need == Need::Few && self.fruitless >= FRUITLESS_ROUNDS_MAX;
        let delay = match need {
            Need::None => jittered(CONTENT_INTERVAL, rng),
            Need::Few if nobody_left => jittered(CONTENT_INTERVAL, rng),
            Need::Alone | Need::Few => NEEDY.delay(self.rounds, rng),
        };
        self.next_at = Some(now + delay);
        if need == Need::None {
            self.rounds = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    /// Seconds at which rounds start when each is answered at once.
    fn rounds(need: Need, until_s: u64) -> Vec<f64> {
        let start = Instant::now();
        let mut rng = StdRng::seed_from_u64(2);
        let mut lookups = LookUps::default();
        let mut at = Vec::new();
        loop {
            let now = lookups.deadline().unwrap_or(start);
            if now > start + Duration::from_secs(until_s) {
                return at;
            }
            let mut out = Vec::new();
            lookups.start(need, &[], now, &mut rng, &mut out);
            assert_eq!(out.len(), 1);
            lookups.looked_up();
            at.push((now - start).as_secs_f64());
        }
    }

    #[test]
    fn alone_it_never_waits_longer_than_fifteen_seconds() {
        let at = rounds(Need::Alone, 600);
        assert_eq!(at[0], 0.0);
        for (round, expected) in [1.0, 2.0, 4.0, 8.0, 15.0, 15.0].into_iter().enumerate() {
            let gap = at[round + 1] - at[round];
            assert!(
                (0.9 * expected - 1e-6..=expected).contains(&gap),
                "round {round}: {gap} s"
            );
        }
        assert!(at.windows(2).all(|pair| pair[1] - pair[0] <= 15.0));
        assert!(at.len() >= 43, "{} rounds in ten minutes", at.len());
    }

    #[test]
    fn content_it_asks_once_a_minute_and_so_does_who_finds_nobody_new() {
        let content = rounds(Need::None, 3_600);
        assert!(
            (50..=75).contains(&content.len()),
            "{} rounds in an hour",
            content.len()
        );
        let few = rounds(Need::Few, 3_600);
        assert!((55..=80).contains(&few.len()), "{} rounds in an hour", few.len());
        assert!(few[6] < 60.0, "the seventh round came after {} s", few[6]);
    }

    #[test]
    fn alone_it_goes_on_asking_while_answers_bring_new_peers() {
        let start = Instant::now();
        let mut rng = StdRng::seed_from_u64(4);
        let mut lookups = LookUps::default();
        let mut rounds = 0;
        let end = start + Duration::from_secs(30);
        while let Some(now) = Some(lookups.deadline().unwrap_or(start)).filter(|at| *at <= end) {
            lookups.start(Need::Alone, &[], now, &mut rng, &mut Vec::new());
            lookups.found_new();
            lookups.looked_up();
            rounds += 1;
        }
        assert!((15..=18).contains(&rounds), "{rounds} rounds in 30 s");
    }

    #[test]
    fn an_unanswered_round_holds_the_next_one_for_thirty_seconds_unless_hurried() {
        let start = Instant::now();
        let mut rng = StdRng::seed_from_u64(3);
        let mut lookups = LookUps::default();
        let topics: Vec<TopicHint> = (0..10).map(TopicHint).collect();
        let mut out = Vec::new();
        lookups.start(Need::Alone, &topics, start, &mut rng, &mut out);
        assert_eq!(out.len(), 9);
        assert_eq!(lookups.deadline(), Some(start + ROUND_TIMEOUT));
        lookups.hurry(start + Duration::from_millis(200));
        assert_eq!(lookups.deadline(), Some(start + INTERVAL_MIN));
        out.clear();
        lookups.start(Need::Alone, &topics, start + INTERVAL_MIN, &mut rng, &mut out);
        assert!(
            out.contains(&Action::LookUp {
                topic: Some(TopicHint(9))
            }),
            "topics take turns: {out:?}"
        );
    }
}
