//! Whether the neighbours of one mesh are still there, and what their clocks say. A neighbour that is asked and says
//! nothing at all is taken to be gone: a machine that lost its power or its cable ends no connection. Not the sending, and
//! not what the offsets are used for.
//!
//! Every question is one exchange of NTP's (RFC 5905, section 8) whose answer takes no time; of the last ones the one with
//! the shortest way counts (section 10), since waiting in queues makes an offset wrong by at most half the way.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use libp2p::PeerId;
use rand::{RngExt, rngs::StdRng};

/// Between questions to one neighbour, up to a fifth longer or shorter.
pub const ASK_INTERVAL: Duration = Duration::from_secs(10);
/// Nothing heard for so long, and [`QUESTIONS_MAX`] questions unanswered: gone.
pub const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Questions in a row that a neighbour may leave unanswered. A node that was itself asleep has asked none.
pub const QUESTIONS_MAX: u32 = 3;
/// What the last of them is given.
pub const ANSWER_TIME: Duration = Duration::from_secs(5);
/// Answers of one neighbour that are compared.
const SAMPLES_MAX: usize = 8;
/// An offset is not taken to be larger: 30,000 years.
const OFFSET_US_MAX: i64 = 1 << 60;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A neighbour's control stream stands.
    Admitted {
        /// Whose.
        peer: PeerId,
    },
    /// It ended.
    Left {
        /// Whose.
        peer: PeerId,
    },
    /// A frame came on it, whatever it said.
    Heard {
        /// From whom.
        peer: PeerId,
    },
    /// A question left.
    Asked {
        /// For whom.
        peer: PeerId,
        /// What this node's clock said, in microseconds since the Unix epoch.
        origin_us: u64,
    },
    /// An answer came.
    Answered {
        /// From whom.
        peer: PeerId,
        /// The question's own time, as the answer repeats it.
        origin_us: u64,
        /// What the neighbour's clock said.
        answer_us: u64,
        /// What this node's clock says now.
        received_us: u64,
    },
    /// The deadline passed.
    TimedOut,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask a neighbour for its clock. `Asked` follows.
    Ask {
        /// Whom.
        peer: PeerId,
    },
    /// End its admission, and the connection under it. It is no neighbour from now on.
    End {
        /// Whose.
        peer: PeerId,
    },
}

/// One exchange.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// The way there and back.
    delay: Duration,
    /// The neighbour's clock less ours.
    offset_us: i64,
}

#[derive(Debug)]
struct Neighbour {
    heard_at: Instant,
    /// Questions since then.
    unanswered: u32,
    ask_at: Instant,
    asked_at: Instant,
    /// The time in the last question, until it is answered.
    origin_us: Option<u64>,
    samples: VecDeque<Sample>,
}

impl Neighbour {
    fn new(now: Instant) -> Self {
        Self {
            heard_at: now,
            unanswered: 0,
            ask_at: now,
            asked_at: now,
            origin_us: None,
            samples: VecDeque::new(),
        }
    }

    /// When it is gone if nothing is heard; only once it has had its questions.
    fn gone_at(&self) -> Option<Instant> {
        (self.unanswered >= QUESTIONS_MAX).then(|| (self.heard_at + SILENCE_MAX).max(self.asked_at + ANSWER_TIME))
    }

    fn deadline(&self) -> Instant {
        self.gone_at().unwrap_or(self.ask_at)
    }

    fn answered(&mut self, answer_us: u64, received_us: u64, now: Instant) {
        let delay = now.saturating_duration_since(self.asked_at);
        // The middle of the way, by the steady clock: ours may have been set meanwhile.
        let middle_us = i128::from(received_us) - i128::try_from(delay.as_micros() / 2).unwrap_or(0);
        let offset_us = (i128::from(answer_us) - middle_us).clamp((-OFFSET_US_MAX).into(), OFFSET_US_MAX.into());
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample {
            delay,
            offset_us: i64::try_from(offset_us).unwrap_or(0),
        });
    }

    fn offset_us(&self) -> Option<i64> {
        let best = self.samples.iter().min_by_key(|sample| sample.delay);
        best.map(|sample| sample.offset_us)
    }
}

/// The neighbours of one mesh, as far as they are heard.
#[derive(Debug)]
pub struct Liveness {
    rng: StdRng,
    /// As many as the neighbourhood has.
    neighbours: HashMap<PeerId, Neighbour>,
    /// Not later than the first of theirs.
    deadline: Option<Instant>,
}

impl Liveness {
    /// Without neighbours. The randomness keeps them from being asked all at once.
    #[must_use]
    pub fn new(rng: StdRng) -> Self {
        Self {
            rng,
            neighbours: HashMap::new(),
            deadline: None,
        }
    }

    /// Takes a fact, and says what to do.
    pub fn handle(&mut self, input: Input, now: Instant, out: &mut Vec<Action>) {
        match input {
            Input::Heard { peer } => {
                if let Some(neighbour) = self.neighbours.get_mut(&peer) {
                    neighbour.heard_at = now;
                    neighbour.unanswered = 0;
                }
                // The most frequent input: it only puts deadlines off, which is noticed when the old one passes.
                return;
            }
            Input::Admitted { peer } => drop(self.neighbours.insert(peer, Neighbour::new(now))),
            Input::Left { peer } => drop(self.neighbours.remove(&peer)),
            Input::Asked { peer, origin_us } => {
                if let Some(neighbour) = self.neighbours.get_mut(&peer) {
                    neighbour.origin_us = Some(origin_us);
                    neighbour.asked_at = now;
                }
            }
            Input::Answered {
                peer,
                origin_us,
                answer_us,
                received_us,
            } => {
                // What was not asked, or not last, or twice, says nothing about a clock.
                if let Some(neighbour) = self.neighbours.get_mut(&peer)
                    && neighbour.origin_us.take_if(|asked| *asked == origin_us).is_some()
                {
                    neighbour.answered(answer_us, received_us, now);
                }
            }
            Input::TimedOut => {}
        }
        self.run_clocks(now, out);
    }

    /// When to hand in `TimedOut`.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// A neighbour's clock less ours, in microseconds, once it has answered.
    #[must_use]
    pub fn offset_us(&self, peer: &PeerId) -> Option<i64> {
        self.neighbours.get(peer)?.offset_us()
    }

    /// The median of the neighbours' offsets, in microseconds: what one of them, or a minority, says does not move it far.
    #[must_use]
    pub fn median_offset(&self) -> Option<i64> {
        let mut offsets: Vec<i64> = self.neighbours.values().filter_map(Neighbour::offset_us).collect();
        offsets.sort_unstable();
        let upper = *offsets.get(offsets.len() / 2)?;
        let lower = offsets[(offsets.len() - 1) / 2];
        Some(lower + (upper - lower) / 2)
    }

    fn run_clocks(&mut self, now: Instant, out: &mut Vec<Action>) {
        let mut gone = Vec::new();
        for (peer, neighbour) in &mut self.neighbours {
            if neighbour.gone_at().is_some_and(|at| at <= now) {
                gone.push(*peer);
            } else if neighbour.unanswered < QUESTIONS_MAX && neighbour.ask_at <= now {
                neighbour.unanswered += 1;
                neighbour.asked_at = now;
                neighbour.ask_at = now + ASK_INTERVAL.mul_f64(self.rng.random_range(0.8..=1.2));
                out.push(Action::Ask { peer: *peer });
            }
        }
        for peer in gone {
            self.neighbours.remove(&peer);
            out.push(Action::End { peer });
        }
        self.deadline = self.neighbours.values().map(Neighbour::deadline).min();
    }
}

#[cfg(test)]
#[path = "liveness_tests.rs"]
mod tests;
