//! Neighbours that answer, fall silent, lie about the time; and this node asleep.

use rand::SeedableRng;

use super::*;

const SEED: u64 = 41;
/// The time at the start, by this node's clock.
const EPOCH_US: u64 = 1_700_000_000_000_000;

/// A machine and neighbours that answer as told.
struct Rig {
    start: Instant,
    now: Instant,
    machine: Liveness,
}

/// How a neighbour behaves: its way in each direction, and its clock less ours; nothing if it is silent.
type Manner = Option<(Duration, Duration, i64)>;

impl Rig {
    fn new() -> Self {
        eprintln!("seed {SEED}");
        let start = Instant::now();
        Self {
            start,
            now: start,
            machine: Liveness::new(StdRng::seed_from_u64(SEED)),
        }
    }

    fn at(&self) -> Duration {
        self.now - self.start
    }

    fn clock_us(&self) -> u64 {
        EPOCH_US + u64::try_from(self.at().as_micros()).unwrap()
    }

    fn handle(&mut self, input: Input) -> Vec<Action> {
        let mut out = Vec::new();
        self.machine.handle(input, self.now, &mut out);
        out
    }

    /// Performs what the machine asks for; says whom it asked and whom it gave up.
    fn perform(&mut self, actions: Vec<Action>, manner: &impl Fn(PeerId, Duration) -> Manner) -> Vec<Action> {
        for action in &actions {
            let Action::Ask { peer } = *action else { continue };
            let origin_us = self.clock_us();
            assert_eq!(self.handle(Input::Asked { peer, origin_us }), []);
            if let Some((there, back, offset_us)) = manner(peer, self.at()) {
                let asked_at = self.now;
                let answer_us = origin_us
                    .checked_add(u64::try_from(there.as_micros()).unwrap())
                    .and_then(|at_us| at_us.checked_add_signed(offset_us))
                    .unwrap();
                self.now = asked_at + there + back;
                let received_us = self.clock_us();
                self.handle(Input::Heard { peer });
                self.handle(Input::Answered {
                    peer,
                    origin_us,
                    answer_us,
                    received_us,
                });
                self.now = asked_at;
            }
        }
        actions
    }

    fn admit(&mut self, peer: PeerId, manner: &impl Fn(PeerId, Duration) -> Manner) {
        let actions = self.handle(Input::Admitted { peer });
        assert_eq!(self.perform(actions, manner), [Action::Ask { peer }]);
    }

    fn run_to(&mut self, seconds: u64, manner: &impl Fn(PeerId, Duration) -> Manner) -> Vec<(Duration, Action)> {
        let end = self.start + Duration::from_secs(seconds);
        let mut all = Vec::new();
        while let Some(at) = self.machine.next_deadline().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            let actions = self.handle(Input::TimedOut);
            let actions = self.perform(actions, manner);
            let at = self.at();
            all.extend(actions.into_iter().map(|action| (at, action)));
        }
        self.now = end;
        all
    }
}

fn ended(actions: &[(Duration, Action)]) -> Vec<(Duration, PeerId)> {
    let ends = actions.iter().filter_map(|(at, action)| match action {
        Action::End { peer } => Some((*at, *peer)),
        Action::Ask { .. } => None,
    });
    ends.collect()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn who_answers_is_asked_every_ten_seconds_and_kept() {
    let mut rig = Rig::new();
    let peer = PeerId::random();
    let manner = |_, _| Some((ms(5), ms(5), 0));
    rig.admit(peer, &manner);
    let actions = rig.run_to(3_600, &manner);
    assert_eq!(ended(&actions), []);
    assert!((330..=390).contains(&actions.len()), "{} in an hour", actions.len());
    for pair in actions.windows(2) {
        let gap = pair[1].0 - pair[0].0;
        assert!(gap >= ms(8_000) && gap <= ms(12_000), "{gap:?}");
    }
}

#[test]
fn who_falls_silent_is_gone_after_thirty_seconds_and_three_questions() {
    for n in 0..100 {
        let mut rig = Rig::new();
        rig.machine.rng = StdRng::seed_from_u64(n);
        let (silent, other) = (PeerId::random(), PeerId::random());
        let falls_silent = Duration::from_secs(60);
        let manner = |peer, at| (peer != silent || at < falls_silent).then_some((ms(1), ms(1), 0));
        rig.admit(silent, &manner);
        rig.admit(other, &manner);
        let actions = rig.run_to(300, &manner);
        let ends = ended(&actions);
        assert_eq!(ends.len(), 1);
        assert_eq!(ends[0].1, silent);
        let is_question =
            |(at, action): &&(Duration, Action)| *at >= falls_silent && *action == Action::Ask { peer: silent };
        let questions: Vec<Duration> = actions.iter().filter(is_question).map(|(at, _)| *at).collect();
        assert_eq!(questions.len(), 3, "no more than three");
        let took = ends[0].0 - falls_silent;
        // Its last answer was up to 12 s before; three questions up to 12 s apart, and 5 s for the last.
        assert!(took >= ms(18_000) && took <= ms(41_000), "{took:?}");
        assert!(ends[0].0 - questions[2] >= ANSWER_TIME);
    }
}

#[test]
fn any_frame_is_a_sign_of_life() {
    let mut rig = Rig::new();
    let peer = PeerId::random();
    let silent = |_, _| None;
    rig.admit(peer, &silent);
    for second in 1..600 {
        assert_eq!(ended(&rig.run_to(second, &silent)), []);
        if second % 20 == 0 {
            rig.handle(Input::Heard { peer });
        }
    }
}

#[test]
fn a_node_that_was_asleep_itself_blames_nobody() {
    let mut rig = Rig::new();
    let peer = PeerId::random();
    let manner = |_, _| Some((ms(1), ms(1), 0));
    rig.admit(peer, &manner);
    rig.run_to(100, &manner);
    // For ten minutes it did not run; frames that came meanwhile are read after the timer.
    rig.now += Duration::from_secs(600);
    let actions = rig.handle(Input::TimedOut);
    assert_eq!(actions, [Action::Ask { peer }]);
    rig.perform(actions, &manner);
    assert_eq!(ended(&rig.run_to(1_000, &manner)), []);
}

#[test]
fn the_answer_with_the_shortest_way_says_what_the_clock_is() {
    let mut rig = Rig::new();
    let peer = PeerId::random();
    // 3 s ahead; all but one answer in six wait half a second in one direction.
    let manner = |_, at: Duration| {
        let waits = if at.as_secs() / 10 % 6 == 5 { ms(0) } else { ms(500) };
        Some((ms(10), ms(10) + waits, 3_000_000))
    };
    rig.admit(peer, &manner);
    rig.run_to(200, &manner);
    let offset = rig.machine.offset_us(&peer).unwrap();
    assert!((offset - 3_000_000).abs() <= 1, "{offset}");
}

#[test]
fn the_median_follows_the_many() {
    let mut rig = Rig::new();
    assert_eq!(rig.machine.median_offset(), None);
    let peers: Vec<PeerId> = (0..5).map(|_| PeerId::random()).collect();
    let offsets = [40_000, -20_000, 10_000, i64::MAX - 2 * EPOCH_US as i64, 10_000_000];
    let of = peers.clone();
    let manner = move |peer, _| {
        let index = of.iter().position(|of| *of == peer).unwrap();
        Some((ms(2), ms(2), offsets[index]))
    };
    for peer in &peers {
        rig.admit(*peer, &manner);
    }
    assert_eq!(
        rig.machine.median_offset(),
        Some(40_000),
        "two of five lie, as far as they can"
    );
    rig.handle(Input::Left { peer: peers[3] });
    assert_eq!(rig.machine.median_offset(), Some(25_000));
    assert_eq!(rig.machine.offset_us(&peers[3]), None);
}

#[test]
fn what_was_not_asked_is_no_answer() {
    let mut rig = Rig::new();
    let peer = PeerId::random();
    rig.admit(peer, &|_, _| None);
    let answer = |origin_us| Input::Answered {
        peer,
        origin_us,
        answer_us: u64::MAX,
        received_us: 0,
    };
    for origin_us in [0, EPOCH_US - 1, u64::MAX] {
        rig.handle(answer(origin_us));
        assert_eq!(rig.machine.offset_us(&peer), None);
    }
    rig.handle(answer(EPOCH_US));
    assert_eq!(
        rig.machine.offset_us(&peer),
        Some(OFFSET_US_MAX),
        "hostile, and bounded"
    );
    rig.handle(Input::Answered {
        peer,
        origin_us: EPOCH_US,
        answer_us: EPOCH_US,
        received_us: EPOCH_US,
    });
    assert_eq!(
        rig.machine.offset_us(&peer),
        Some(OFFSET_US_MAX),
        "an answer counts once"
    );
    // Of strangers nothing is remembered.
    let peer = PeerId::random();
    rig.handle(Input::Heard { peer });
    rig.handle(Input::Asked { peer, origin_us: 1 });
    assert_eq!((rig.machine.neighbours.len(), rig.machine.offset_us(&peer)), (1, None));
}
