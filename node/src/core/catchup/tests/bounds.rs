//! What is bounded: sessions, runs, questions, members, bytes.

use std::time::Instant;

use rand::{SeedableRng as _, rngs::StdRng};

use super::{
    peer,
    sessions::honest,
    world::{FINE, Holding, World, context},
};
use crate::{
    core::{
        catchup::{
            Action, Answer, Catchup, Claim, Input, LATEST_KEYS_MAX, MEMBERS_SETTLE, MEMBERS_WAIT, Question,
            REPAIRS_MAX, REQUESTS_LOCAL_MAX, REQUESTS_PEER_MAX, RUNS_MAX, Run, SESSION_BYTES_MAX, SESSIONS_BYTES_MAX,
            SESSIONS_MAX, SessionId, claims::Claims, newest::NewestOfKeys,
        },
        stream::{Frame, SigningKey, Unsigned},
    },
    types::Start,
};
use maille_proto::frame::Record;

fn run(publisher: u32, incarnation: u64) -> Run {
    Run {
        publisher: peer(publisher),
        incarnation,
    }
}

fn claim(run: Run, held: std::ops::Range<u64>) -> Claim {
    Claim {
        run,
        from: held.start,
        held: vec![held],
        newest_us: 1,
        proved: None,
    }
}

#[test]
fn sessions_are_bounded() {
    let mut world = World::new(1, vec![honest(Holding::default())], Holding::default(), FINE);
    for number in 0..SESSIONS_MAX as u64 {
        world.give(Input::Begin {
            session: SessionId(number),
            start: Start::All,
        });
    }
    assert!(!world.unanswered);
    world.give(Input::Begin {
        session: SessionId(u64::MAX),
        start: Start::All,
    });
    assert!(world.unanswered && world.caught_up.is_some());
    assert_eq!(world.catchup.sessions(), SESSIONS_MAX);
    for number in 0..SESSIONS_MAX as u64 {
        world.give(Input::End {
            session: SessionId(number),
        });
    }
    assert_eq!(world.catchup.sessions(), 0);
}

#[test]
fn questions_to_one_member_are_bounded() {
    let (mut now, me) = (Instant::now(), peer(0));
    let mut catchup = Catchup::new(me, StdRng::seed_from_u64(1));
    let mut out = vec![];
    catchup.handle(Input::Members((0..300).map(peer).collect()), now, &mut out);
    for number in 0..200 {
        let session = SessionId(number);
        catchup.handle(
            Input::Begin {
                session,
                start: Start::All,
            },
            now,
            &mut out,
        );
    }
    for number in 0..200 {
        let (run, sequences) = (run(number, 1), 0..9);
        catchup.handle(Input::Missing { run, sequences }, now, &mut out);
    }
    now += MEMBERS_SETTLE;
    catchup.handle(Input::TimedOut, now, &mut out);
    let asked = |peer| {
        out.iter()
            .filter(move |action| matches!(action, Action::Ask { peer: asked, .. } if *asked == peer))
    };
    assert_eq!(asked(me).count(), REQUESTS_LOCAL_MAX);
    assert!((1..300).all(|number| asked(peer(number)).count() <= REQUESTS_PEER_MAX));
    assert!(catchup.pending() > 100);
}

#[test]
fn runs_of_one_member_are_bounded() {
    let mut claims = Claims::default();
    for number in 0..RUNS_MAX as u64 + 1_000 {
        claims.add(peer(1), &claim(run(2, number), 0..1));
    }
    assert_eq!(claims.selected().count(), RUNS_MAX);
    claims.add(peer(3), &claim(run(4, 0), 0..1));
    assert_eq!(
        claims.selected().count(),
        RUNS_MAX + 1,
        "what one says leaves room for what others say"
    );
}

#[test]
fn repairs_are_bounded() {
    let mut world = World::new(1, vec![], Holding::default(), FINE);
    for number in 0..REPAIRS_MAX as u32 + 5 {
        let (run, sequences) = (run(number, 1), 0..9);
        world.give(Input::Missing { run, sequences });
    }
    assert_eq!(world.hopeless.len(), 5);
    world.run(60);
    assert_eq!(world.hopeless.len(), REPAIRS_MAX + 5);
}

fn large_frame(key: &SigningKey, number: u64, bytes: usize) -> Frame {
    let unsigned = Unsigned {
        incarnation: 1,
        first_sequence: number,
        previous: (number > 0).then_some([1; 32]),
        sent_us: number,
        records: vec![Record {
            key: Some(number.to_be_bytes().to_vec()),
            payload: vec![1; bytes],
        }],
        ..Unsigned::default()
    };
    Frame::open(unsigned.seal(key, &context()).unwrap().wire, &context()).unwrap()
}

/// A session that reads frames of 200 KiB from a quick local store; how many bytes are held at most, and how many records
/// it delivered. `open`: whether there is room after the first of them.
fn read_large(start: Start, count: u64, open: bool) -> (usize, u64) {
    let key = SigningKey::from_secret(&[9; 32]);
    let run = Run {
        publisher: key.publisher(),
        incarnation: 1,
    };
    let frames: Vec<Frame> = (0..count).map(|number| large_frame(&key, number, 200 * 1024)).collect();
    let (mut now, me, session) = (Instant::now(), peer(0), SessionId(1));
    let mut catchup = Catchup::new(me, StdRng::seed_from_u64(1));
    let (mut held, mut delivered, mut over) = (0, 0, false);
    let mut inputs = vec![Input::Begin { session, start }];
    for _ in 0..100_000 {
        let mut out = vec![];
        let input = match inputs.is_empty() {
            false => inputs.remove(0),
            true if over => break,
            true => match catchup.next_deadline() {
                Some(due) if due <= now + MEMBERS_WAIT => {
                    now = now.max(due);
                    Input::TimedOut
                }
                _ => break,
            },
        };
        catchup.handle(input, now, &mut out);
        held = held.max(catchup.held_bytes());
        for action in out {
            match action {
                Action::Ask { request, what, .. } => {
                    let answer = match what {
                        Question::Runs { .. } => Answer::Runs {
                            claims: vec![claim(run, 0..count)],
                            more: false,
                        },
                        Question::Range { sequences, .. } => {
                            let first = sequences.start as usize;
                            let frames = frames[first..(first + 5).min(sequences.end as usize)].to_vec();
                            let more = first + 5 < sequences.end as usize;
                            Answer::Frames {
                                frames,
                                more,
                                rejected: 0,
                            }
                        }
                        Question::Latest { .. } => Answer::Busy,
                    };
                    inputs.push(Input::Answered {
                        request,
                        from: me,
                        answer,
                    });
                }
                Action::Deliver { wanted, .. } => {
                    delivered += wanted.end - wanted.start;
                    if !open {
                        inputs.push(Input::Room { session, open: false });
                    }
                }
                Action::Compare { session } => inputs.insert(0, Input::Live { session, next: vec![] }),
                Action::CaughtUp { .. } => over = true,
                _ => {}
            }
        }
        if !open && delivered > 0 && inputs.is_empty() {
            break;
        }
    }
    assert!(over == open, "caught up: {over}");
    (held, delivered)
}

#[test]
fn bytes_of_a_session_are_bounded() {
    let slack = 2 * maille_proto::CATCHUP_ANSWER_BYTES_MAX * REQUESTS_LOCAL_MAX;
    let (held, delivered) = read_large(Start::All, 200, true);
    assert_eq!(delivered, 200);
    assert!(held <= SESSION_BYTES_MAX + slack, "{held}");
    let (held, delivered) = read_large(Start::Last(100), 200, true);
    assert_eq!(delivered, 100, "20 MiB are chosen, 4 MiB kept, the rest is read again");
    assert!(held <= SESSION_BYTES_MAX + slack, "{held}");
    let (held, delivered) = read_large(Start::All, 200, false);
    assert!(delivered < 100, "{delivered} delivered without room");
    assert!(held <= SESSION_BYTES_MAX + slack, "{held}");
    const { assert!(SESSION_BYTES_MAX < SESSIONS_BYTES_MAX) };
}

#[test]
fn keys_are_bounded_and_what_is_left_out_is_told() {
    let key = SigningKey::from_secret(&[9; 32]);
    let mut newest = NewestOfKeys::default();
    let per_frame = 1_024;
    let frames = LATEST_KEYS_MAX as u64 / per_frame + 1;
    for number in 0..frames {
        let record = |n: u64| Record {
            key: Some(n.to_be_bytes().to_vec()),
            payload: vec![],
        };
        let first = number * per_frame;
        let unsigned = Unsigned {
            incarnation: 1,
            first_sequence: first,
            previous: (number > 0).then_some([1; 32]),
            records: (first..first + per_frame).map(record).collect(),
            ..Unsigned::default()
        };
        let wire = unsigned.seal(&key, &context()).unwrap().wire;
        newest.show(&Frame::open(wire, &context()).unwrap());
    }
    let (chosen, left_out) = newest.chosen();
    let run = *chosen.keys().next().unwrap();
    assert_eq!(
        chosen[&run].iter().cloned().collect::<Vec<_>>(),
        [0..LATEST_KEYS_MAX as u64]
    );
    let rest = LATEST_KEYS_MAX as u64..frames * per_frame;
    assert_eq!(left_out[&run].iter().cloned().collect::<Vec<_>>(), [rest]);
}
