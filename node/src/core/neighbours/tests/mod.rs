//! One machine, input by input.

mod approaching;
mod keeping;

use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{candidates::CANDIDATES_MAX, test_peers::*, *};

const ME: u64 = 999_999;
const NONE: [u64; 0] = [];

/// A machine and its clock.
struct Rig {
    start: Instant,
    now: Instant,
    machine: Neighbours,
}

impl Rig {
    fn new(seed: u64) -> Self {
        eprintln!("seed {seed}");
        let start = Instant::now();
        let mut rig = Rig {
            start,
            now: start,
            machine: Neighbours::new(peer(ME), StdRng::seed_from_u64(seed)),
        };
        assert_eq!(rig.handle(Input::TimedOut), [Action::LookUp { topic: None }]);
        rig.handle(Input::LookedUp);
        rig
    }

    fn handle(&mut self, input: Input) -> Vec<Action> {
        let mut out = Vec::new();
        self.machine.handle(input, self.now, &mut out);
        assert!(
            self.machine.next_deadline().unwrap() > self.now,
            "a deadline that does not move on"
        );
        out
    }

    /// Lets time pass up to `seconds` after the start; look-ups find nothing. Returns the actions with their times.
    fn run_to(&mut self, seconds: f64) -> Vec<(f64, Action)> {
        self.run_answering(seconds, |_| None)
    }

    /// The same; `outcome` says how approaches end, if they do.
    fn run_answering(&mut self, seconds: f64, outcome: impl Fn(u64) -> Option<Input>) -> Vec<(f64, Action)> {
        let end = self.start + Duration::from_secs_f64(seconds);
        let mut all = Vec::new();
        while let Some(at) = self.machine.next_deadline().filter(|at| *at <= end) {
            self.now = at;
            let mut out = self.handle(Input::TimedOut);
            let mut next = 0;
            while next < out.len() {
                let more = match &out[next] {
                    Action::Approach { peer, .. } => outcome(number(peer)),
                    Action::LookUp { .. } => Some(Input::LookedUp),
                    _ => None,
                };
                out.extend(more.map(|input| self.handle(input)).unwrap_or_default());
                next += 1;
            }
            all.extend(
                out.into_iter()
                    .map(|action| ((self.now - self.start).as_secs_f64(), action)),
            );
        }
        self.now = end;
        all
    }

    fn found(&mut self, n: u64, source: Source) -> Vec<Action> {
        self.found_on(n, source, &[])
    }

    fn found_on(&mut self, n: u64, source: Source, topics: &[u64]) -> Vec<Action> {
        let topics = topics.iter().copied().map(TopicHint).collect();
        self.handle(Input::Found {
            peer: peer(n),
            multiaddrs: vec![multiaddr(n)],
            source,
            topics,
        })
    }

    fn own_topics(&mut self, topics: impl IntoIterator<Item = u64>) -> Vec<Action> {
        self.handle(Input::OwnTopics(topics.into_iter().map(TopicHint).collect()))
    }

    fn admit(&mut self, n: u64, topics: &[u64]) -> Vec<Action> {
        let mut out = self.handle(Input::Admitted {
            peer: peer(n),
            multiaddr: None,
        });
        if self.holds(n) {
            out.extend(self.handle(Input::Profiled {
                record: record(n, topics),
            }));
        }
        out
    }

    fn holds(&self, n: u64) -> bool {
        self.machine.neighbours().any(|held| held == peer(n))
    }

    fn count(&self) -> usize {
        self.machine.neighbours().len()
    }
}

fn dial_failed(n: u64) -> Option<Input> {
    Some(Input::DialFailed { peer: peer(n) })
}

fn refused(n: u64) -> Option<Input> {
    Some(Input::Refused { peer: peer(n) })
}

fn approached(actions: &[Action]) -> Vec<u64> {
    let peers = actions.iter().filter_map(|action| match action {
        Action::Approach { peer, .. } => Some(number(peer)),
        _ => None,
    });
    peers.collect()
}

fn times_approached(actions: &[(f64, Action)], n: u64) -> Vec<f64> {
    let mine = actions
        .iter()
        .filter(|(_, action)| approached(std::slice::from_ref(action)) == [n]);
    mine.map(|(at, _)| *at).collect()
}

fn dropped(actions: &[Action]) -> Vec<u64> {
    let peers = actions.iter().filter_map(|action| match action {
        Action::Drop { peer, .. } => Some(number(peer)),
        _ => None,
    });
    peers.collect()
}

/// Whether the gaps between `times` are `expected`, each up to a tenth shorter, the last one repeated.
fn assert_gaps(times: &[f64], expected: &[f64]) {
    for (i, pair) in times.windows(2).enumerate() {
        let (gap, longest) = (pair[1] - pair[0], expected[i.min(expected.len() - 1)]);
        assert!(
            (0.9 * longest - 1e-6..=longest + 1e-6).contains(&gap),
            "gap {i} is {gap} s in {times:?}"
        );
    }
}
