//! A thousand handshakes over a stream that repeats, loses, closes and breaks: each side ends once, and in time.

use std::collections::VecDeque;

use rand::RngExt;

use super::*;

const SEED: u64 = 0x1e4f;
const RUNS: u64 = 1_000;
const STEPS_MAX: usize = 200;

/// One side and what it has to say.
struct Side<M> {
    machine: M,
    inbox: VecDeque<Input>,
    end: Option<Result<Admitted, Failure>>,
}

trait Machine {
    fn handle(&mut self, input: Input, now: Instant, out: &mut Vec<Action>);
    fn next_deadline(&self) -> Option<Instant>;
}

impl Machine for Opener {
    fn handle(&mut self, input: Input, now: Instant, out: &mut Vec<Action>) {
        Opener::handle(self, input, now, out);
    }
    fn next_deadline(&self) -> Option<Instant> {
        Opener::next_deadline(self)
    }
}

impl Machine for Acceptor {
    fn handle(&mut self, input: Input, now: Instant, out: &mut Vec<Action>) {
        out.extend(acceptor_step(self, input, now));
    }
    fn next_deadline(&self) -> Option<Instant> {
        Acceptor::next_deadline(self)
    }
}

impl<M: Machine> Side<M> {
    fn new(machine: M) -> Self {
        Side {
            machine,
            inbox: VecDeque::from([Input::Started]),
            end: None,
        }
    }

    /// One input; returns what the other side is to hear.
    fn step(&mut self, input: Input, now: Instant) -> Vec<Input> {
        let mut out = vec![];
        self.machine.handle(input, now, &mut out);
        assert!(
            self.end.is_none() || out.is_empty(),
            "an ended handshake does nothing: {out:?}"
        );
        let mut said = vec![];
        for action in out {
            match action {
                Action::Send(bytes) => said.push(Input::Received(bytes)),
                Action::DrawWelcome => panic!("drawn already"),
                Action::Admit(admitted) => assert!(self.end.replace(Ok(admitted)).is_none(), "ends once"),
                Action::Fail(failure) => {
                    assert!(self.end.replace(Err(failure)).is_none(), "ends once");
                    said.push(Input::Closed);
                }
            }
        }
        assert_eq!(
            self.machine.next_deadline().is_some(),
            self.end.is_none(),
            "a deadline until the end"
        );
        said
    }

    fn next(&mut self, faults: f64, rng: &mut StdRng) -> Option<Input> {
        if rng.random_bool(faults) {
            return match rng.random_range(0..7) {
                0 => self.inbox.pop_front().and(None), // Lost on the way: the other side waits.
                1 => self.inbox.front().cloned(),      // Twice.
                2 => Some(Input::Closed),
                3 => Some(Input::Lost),
                4 => Some(Input::TimedOut),
                5 => Some(Input::Received(vec![rng.random(); rng.random_range(0..80)])),
                _ => Some(Input::Started),
            };
        }
        self.inbox.pop_front()
    }
}

#[test]
fn a_thousand_interleavings_leave_nobody_stuck() {
    eprintln!("seeds {SEED:#x}..");
    let (mut both, mut acceptor_only, mut none) = (0, 0, 0);
    for seed in SEED..SEED + RUNS {
        let mut rng = StdRng::seed_from_u64(seed);
        let faults = if seed % 10 == 0 {
            0.0
        } else {
            rng.random_range(0.0..0.3)
        };
        match interleave(faults, &mut rng) {
            (true, true) => both += 1,
            (false, true) => acceptor_only += 1,
            (false, false) => none += 1,
            (true, false) => panic!("seed {seed}: an opener admitted by nobody"),
        }
        assert!(faults > 0.0 || both > 0);
    }
    eprintln!("{RUNS} runs: both admitted {both}, only the acceptor {acceptor_only}, none {none}");
    assert!(
        both >= RUNS / 10 && none > RUNS / 10,
        "the schedules must show both endings"
    );
}

/// One run: who was admitted.
fn interleave(faults: f64, rng: &mut StdRng) -> (bool, bool) {
    let setup = honest(rng);
    let mut now = Instant::now();
    let mut opener = Side::new(Opener::new(
        setup.opener_key.clone(),
        setup.opener.me,
        setup.opener.peer,
        fork(rng),
    ));
    // The hello goes unharmed: until it is there, there is no acceptor.
    let hello = match opener.step(Input::Started, now).pop() {
        Some(Input::Received(bytes)) => Hello::parse(bytes).unwrap(),
        other => panic!("a hello, not {other:?}"),
    };
    opener.inbox.clear();
    let mut acceptor = Side::new(accept(&setup, hello, fork(rng)));
    let challenge = acceptor.step(Input::Started, now);
    acceptor.inbox.clear();
    opener.inbox.extend(challenge);
    for _ in 0..STEPS_MAX {
        now += Duration::from_millis(rng.random_range(0..20));
        if rng.random_bool(0.5) {
            if let Some(input) = opener.next(faults, rng) {
                acceptor.inbox.extend(opener.step(input, now));
            }
        } else if let Some(input) = acceptor.next(faults, rng) {
            opener.inbox.extend(acceptor.step(input, now));
        }
    }
    let later = now + HANDSHAKE_TIMEOUT;
    opener.step(Input::TimedOut, later);
    acceptor.step(Input::TimedOut, later);
    let ends = (
        opener.end.expect("the opener has ended"),
        acceptor.end.expect("the acceptor has ended"),
    );
    if faults == 0.0 {
        assert!(ends.0.is_ok() && ends.1.is_ok(), "nothing went wrong, and yet {ends:?}");
    }
    if let (Ok(opener), Ok(acceptor)) = &ends {
        assert_eq!(opener.protocol_prefix, acceptor.protocol_prefix);
    }
    (ends.0.is_ok(), ends.1.is_ok())
}
