//! A world of publishers, members that hold parts of what they published, a network that loses, delays, repeats and
//! reorders, and the machine under test between them. Everything follows from a seed.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::OnceLock,
    time::{Duration, Instant},
};

use libp2p::PeerId;
use maille_proto::frame::Record;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use super::{
    lies::{Lie, lied},
    peer,
};
use crate::{
    core::{
        catchup::{
            Action, Answer, Catchup, Claim, Fault, Input, Question, RequestId, Run, SessionId, newest::run_of,
            spans::Spans,
        },
        stream::{Context, Frame, SigningKey, Unsigned},
    },
    types::Selector,
};

/// Frames of a run that exist from the beginning; the rest come while the session runs.
pub(super) const BASE_FRAMES: usize = 10;
const RUN_FRAMES: usize = 12;
const PUBLISHERS: u8 = 4;
const KEYS: [Option<&str>; 4] = [None, Some("A"), Some("B"), Some("C")];

/// A record's place.
pub(super) type At = (Run, u64);

pub(super) fn context() -> Context {
    Context::new(&"market.example".parse().unwrap(), 1, &"equities/us".parse().unwrap())
}

/// Every frame there ever is, by run, ascending. Signed once for all tests.
pub(super) fn frames() -> &'static BTreeMap<Run, Vec<Frame>> {
    static FRAMES: OnceLock<BTreeMap<Run, Vec<Frame>>> = OnceLock::new();
    FRAMES.get_or_init(|| {
        let mut rng = StdRng::seed_from_u64(1);
        let mut runs = BTreeMap::new();
        for number in 0..PUBLISHERS {
            let key = SigningKey::from_secret(&[number + 1; 32]);
            for incarnation in 5..6 + u64::from(number % 2) {
                let run = Run {
                    publisher: key.publisher(),
                    incarnation,
                };
                let mut sent_us = incarnation * 1_000;
                let mut first_sequence = 0;
                let mut seal = || {
                    sent_us += rng.random_range(0..100);
                    let record = |_| Record {
                        key: KEYS.choose(&mut rng).unwrap().map(|key| key.into()),
                        payload: vec![1; 20],
                    };
                    let records: Vec<Record> = (0..1 + first_sequence % 4).map(record).collect();
                    let count = records.len() as u64;
                    let unsigned = Unsigned {
                        incarnation,
                        first_sequence,
                        previous: (first_sequence > 0).then_some([7; 32]),
                        sent_us,
                        records,
                        ..Unsigned::default()
                    };
                    first_sequence += count;
                    Frame::open(unsigned.seal(&key, &context()).unwrap().wire, &context()).unwrap()
                };
                runs.insert(run, (0..RUN_FRAMES).map(|_| seal()).collect());
            }
        }
        runs
    })
}

pub(super) fn end_of(run: Run, frames_of_it: usize) -> u64 {
    frames()[&run][frames_of_it - 1].sequences().end
}

/// What somebody holds: places of frames in [`frames`].
#[derive(Debug, Clone, Default)]
pub(super) struct Holding(pub(super) BTreeMap<Run, BTreeSet<usize>>);

impl Holding {
    pub(super) fn all() -> Self {
        Self(frames().keys().map(|run| (*run, (0..BASE_FRAMES).collect())).collect())
    }

    pub(super) fn random(rng: &mut StdRng) -> Self {
        let mut holding = BTreeMap::new();
        for run in frames().keys() {
            let cut = rng.random_range(0..BASE_FRAMES);
            let held: BTreeSet<usize> = match rng.random_range(0..5) {
                0 => BTreeSet::new(),
                1 => (cut..BASE_FRAMES).collect(),
                2 => (0..cut).collect(),
                3 => (0..BASE_FRAMES).filter(|_| rng.random_bool(0.6)).collect(),
                _ => (0..BASE_FRAMES).collect(),
            };
            if !held.is_empty() {
                holding.insert(*run, held);
            }
        }
        Self(holding)
    }

    pub(super) fn frames(&self) -> impl Iterator<Item = &'static Frame> {
        let of = |(run, places): (&Run, &BTreeSet<usize>)| {
            let all = &frames()[run];
            places.iter().map(|place| &all[*place]).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of)
    }

    pub(super) fn records(&self) -> BTreeSet<At> {
        self.frames()
            .flat_map(|frame| frame.sequences().map(|sequence| (run_of(frame), sequence)))
            .collect()
    }

    fn claims(&self, selector: Selector) -> Vec<Claim> {
        let newest: Option<BTreeSet<At>> = match selector {
            Selector::Last(n) => Some(newest_records(self.frames(), n as usize)),
            _ => None,
        };
        let mut claims = vec![];
        for run in self.0.keys() {
            let mine: Vec<&Frame> = self.frames().filter(|frame| run_of(frame) == *run).collect();
            let held: Spans = mine.iter().map(|frame| frame.sequences()).collect();
            let from = match (selector, &newest) {
                (Selector::Since(us), _) => mine
                    .iter()
                    .find(|frame| frame.sent_us >= us)
                    .map(|frame| frame.sequences().start),
                (_, Some(newest)) => newest.iter().find(|at| at.0 == *run).map(|at| at.1),
                _ => held.first().map(|span| span.start),
            };
            let Some(from) = from else { continue };
            claims.push(Claim {
                run: *run,
                held: held.iter().cloned().collect(),
                from,
                newest_us: mine.last().map_or(0, |frame| frame.sent_us),
                proved: None,
            });
        }
        claims
    }

    fn answer(&self, what: &Question, page: usize) -> Answer {
        match what {
            Question::Runs { selector, from } => {
                let mut claims = self.claims(*selector);
                claims.retain(|claim| from.is_none_or(|from| claim.run >= from));
                let more = claims.len() > page;
                claims.truncate(page);
                Answer::Runs { claims, more }
            }
            Question::Range { run, sequences } => {
                let overlaps = |frame: &&Frame| {
                    let held = frame.sequences();
                    run_of(frame) == *run && held.start < sequences.end && held.end > sequences.start
                };
                frames_answer(self.frames().filter(overlaps), 0, page)
            }
            Question::Latest { skip } => {
                let newest = newest_of_keys(self.frames());
                let holds = |frame: &&Frame| {
                    frame
                        .sequences()
                        .any(|sequence| newest.contains(&(run_of(frame), sequence)))
                };
                frames_answer(self.frames().filter(holds), *skip as usize, page)
            }
        }
    }
}

fn frames_answer<'a>(frames: impl Iterator<Item = &'a Frame>, skip: usize, page: usize) -> Answer {
    let mut frames: Vec<Frame> = frames.skip(skip).take(page + 1).cloned().collect();
    let more = frames.len() > page;
    frames.truncate(page);
    let rejected = 0;
    Answer::Frames { frames, more, rejected }
}

/// The model of `Last(n)`.
pub(super) fn newest_records<'a>(frames: impl Iterator<Item = &'a Frame>, n: usize) -> BTreeSet<At> {
    let mut records: BTreeSet<(u64, Run, u64)> = frames
        .flat_map(|frame| {
            frame
                .sequences()
                .map(|sequence| (frame.sent_us, run_of(frame), sequence))
        })
        .collect();
    while records.len() > n {
        records.pop_first();
    }
    records.into_iter().map(|(_, run, sequence)| (run, sequence)).collect()
}

/// The model of `Latest`.
pub(super) fn newest_of_keys<'a>(frames: impl Iterator<Item = &'a Frame>) -> BTreeSet<At> {
    let mut newest = BTreeMap::new();
    for frame in frames {
        for (sequence, key, _) in frame.records() {
            let at = newest
                .entry((frame.publisher, key.cloned()))
                .or_insert((run_of(frame), sequence));
            *at = (run_of(frame), sequence).max(*at);
        }
    }
    newest.into_values().collect()
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) holding: Holding,
    pub(super) lie: Option<Lie>,
    pub(super) gone: bool,
}

/// How bad the network is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weather {
    pub(super) lost: f64,
    pub(super) repeated: f64,
    pub(super) failed: f64,
    pub(super) busy: f64,
    pub(super) delay_ms_max: u64,
}

pub(super) const FINE: Weather = Weather {
    lost: 0.0,
    repeated: 0.0,
    failed: 0.0,
    busy: 0.0,
    delay_ms_max: 200,
};
pub(super) const STORM: Weather = Weather {
    lost: 0.1,
    repeated: 0.2,
    failed: 0.05,
    busy: 0.1,
    delay_ms_max: 2_000,
};

enum Event {
    Answer(RequestId, PeerId, Answer),
    Fail(RequestId),
    Leave(PeerId),
}

/// The machine, its members, and what it did.
pub(super) struct World {
    pub(super) rng: StdRng,
    pub(super) catchup: Catchup,
    pub(super) me: PeerId,
    pub(super) members: BTreeMap<PeerId, Member>,
    pub(super) local: Holding,
    pub(super) weather: Weather,
    pub(super) now: Instant,
    events: BTreeMap<(Instant, u64), Event>,
    count: u64,
    pub(super) delivered: Vec<At>,
    pub(super) gaps: Vec<(Run, Range<u64>)>,
    pub(super) named: Vec<(PeerId, Fault)>,
    pub(super) lacking: Vec<PeerId>,
    pub(super) handed: Vec<At>,
    pub(super) hopeless: Vec<(Run, Range<u64>)>,
    pub(super) digests: Vec<PeerId>,
    pub(super) heads_asked: usize,
    pub(super) unanswered: bool,
    pub(super) caught_up: Option<Vec<(Run, u64)>>,
    pub(super) claimed: Vec<(Run, u64)>,
    /// Runs whose last frames come through the live inbox before the first comparison.
    pub(super) live: BTreeSet<Run>,
    /// Who told what it holds.
    pub(super) told: BTreeSet<PeerId>,
    /// Liars that withheld what they claim.
    pub(super) withheld: BTreeSet<PeerId>,
    pub(super) asked: Vec<(PeerId, Question)>,
}

impl World {
    pub(super) fn new(seed: u64, members: Vec<Member>, local: Holding, weather: Weather) -> Self {
        let (me, now) = (peer(0), Instant::now());
        let members: BTreeMap<PeerId, Member> = (1..).map(peer).zip(members).collect();
        let mut world = Self {
            rng: StdRng::seed_from_u64(seed),
            catchup: Catchup::new(me, StdRng::seed_from_u64(seed ^ 0xabcd)),
            me,
            members,
            local,
            weather,
            now,
            events: BTreeMap::new(),
            count: 0,
            delivered: vec![],
            gaps: vec![],
            named: vec![],
            lacking: vec![],
            handed: vec![],
            hopeless: vec![],
            digests: vec![],
            heads_asked: 0,
            unanswered: false,
            caught_up: None,
            claimed: vec![],
            live: BTreeSet::new(),
            told: BTreeSet::new(),
            withheld: BTreeSet::new(),
            asked: vec![],
        };
        let all = world.members.keys().copied().collect();
        world.give(Input::Members(all));
        world
    }

    pub(super) fn give(&mut self, input: Input) {
        let mut out = vec![];
        self.catchup.handle(input, self.now, &mut out);
        for action in out {
            self.perform(action);
        }
    }

    /// Somebody leaves after so many milliseconds.
    pub(super) fn leave_in(&mut self, ms: u64, peer: PeerId) {
        self.schedule(ms, Event::Leave(peer));
    }

    /// Lets time pass until nothing is under way, at most so many seconds.
    pub(super) fn run(&mut self, seconds: u64) {
        self.run_ms(seconds * 1_000);
    }

    pub(super) fn run_ms(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        let mut turns = 0;
        loop {
            let event = self.events.keys().next().map(|(at, _)| *at);
            let due = self.catchup.next_deadline();
            let Some(next) = event.into_iter().chain(due).min().filter(|next| *next <= until) else {
                break;
            };
            turns += 1;
            assert!(turns < 100_000, "the machine turns without end");
            self.now = next.max(self.now);
            if event.is_some_and(|event| event <= next) {
                let (_, event) = self.events.pop_first().unwrap();
                self.happen(event);
            } else {
                self.give(Input::TimedOut);
            }
        }
        self.now = until;
    }

    fn schedule(&mut self, ms: u64, event: Event) {
        self.count += 1;
        self.events
            .insert((self.now + Duration::from_millis(ms), self.count), event);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Answer(request, from, answer) => self.give(Input::Answered { request, from, answer }),
            Event::Fail(request) => self.give(Input::Failed { request }),
            Event::Leave(peer) => {
                self.members.get_mut(&peer).unwrap().gone = true;
                let here = self.members.iter().filter(|(_, member)| !member.gone);
                let here = here.map(|(peer, _)| *peer).collect();
                self.give(Input::Members(here));
            }
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Ask { request, peer, what } => self.ask(request, peer, what),
            Action::Deliver { frame, wanted, .. } => {
                let run = run_of(&frame);
                assert!(!wanted.is_empty() && frame.sequences().start <= wanted.start);
                assert!(wanted.end <= frame.sequences().end);
                self.delivered.extend(wanted.map(|sequence| (run, sequence)));
            }
            Action::Gap { run, sequences, .. } => {
                assert!(!sequences.is_empty());
                self.gaps.push((run, sequences));
            }
            Action::CaughtUp { reached, claimed, .. } => {
                assert!(self.caught_up.is_none(), "caught up twice");
                (self.caught_up, self.claimed) = (Some(reached), claimed);
            }
            Action::Unanswered { .. } => self.unanswered = true,
            Action::Compare { session } => self.compare(session),
            Action::Hand { frame, .. } => {
                let run = run_of(&frame);
                self.handed.extend(frame.sequences().map(|sequence| (run, sequence)));
            }
            Action::Hopeless { run, sequences } => self.hopeless.push((run, sequences)),
            Action::OfferDigest { peer } => self.digests.push(peer),
            Action::CompareHeads => self.heads_asked += 1,
            Action::HoldsLess { peer, .. } => self.lacking.push(peer),
            Action::Penalise { peer, why } => self.named.push((peer, why)),
        }
    }

    fn compare(&mut self, session: SessionId) {
        for run in &self.live {
            self.local.0.entry(*run).or_default().extend(BASE_FRAMES..RUN_FRAMES);
        }
        let next = self.live.iter().map(|run| (*run, end_of(*run, RUN_FRAMES))).collect();
        self.give(Input::Live { session, next });
    }

    fn ask(&mut self, request: RequestId, peer: PeerId, what: Question) {
        self.asked.push((peer, what.clone()));
        let page = self.rng.random_range(1..5);
        if peer == self.me {
            let answer = self.local.answer(&what, page);
            self.schedule(0, Event::Answer(request, peer, answer));
            return;
        }
        let Weather {
            lost,
            repeated,
            failed,
            busy,
            delay_ms_max,
        } = self.weather;
        let delay = self.rng.random_range(1..=delay_ms_max);
        let member = &self.members[&peer];
        if member.gone || self.rng.random_bool(failed) {
            return self.schedule(delay, Event::Fail(request));
        }
        if self.rng.random_bool(lost) {
            return;
        }
        let answer = if self.rng.random_bool(busy) {
            Answer::Busy
        } else {
            self.told.insert(peer);
            let honest = member.holding.answer(&what, page);
            match member.lie {
                None => honest,
                Some(lie) => {
                    let answer = lied(lie, &what, honest.clone());
                    if matches!(what, Question::Range { .. }) && answer != honest {
                        self.withheld.insert(peer);
                    }
                    answer
                }
            }
        };
        if self.rng.random_bool(repeated) {
            let later = delay + self.rng.random_range(0..=delay_ms_max);
            self.schedule(later, Event::Answer(request, peer, answer.clone()));
        }
        self.schedule(delay, Event::Answer(request, peer, answer));
    }
}
