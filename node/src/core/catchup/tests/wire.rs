//! Questions and answers survive the wire, and what is not one is refused.

use bytes::Bytes;
use maille_proto::{CATCHUP_ANSWER_BYTES_MAX, CATCHUP_REQUEST_BYTES_MAX, CATCHUP_RUNS_MAX, CATCHUP_SPANS_MAX};

use super::{
    peer,
    world::{context, frames},
};
use crate::{
    core::catchup::{
        Answer, Claim, Question, Run,
        wire::{Request, TopicHeld, WireError, read_topics, write_busy, write_frames, write_runs, write_topics},
    },
    types::Selector,
};

fn run(number: u32) -> Run {
    Run {
        publisher: peer(number),
        incarnation: u64::MAX - 1,
    }
}

fn claim(number: u32, spans: u64) -> Claim {
    Claim {
        run: run(number),
        held: (0..spans).map(|span| span * 10..span * 10 + 9).collect(),
        from: 3,
        newest_us: 1_700_000_000_000_000,
        proved: None,
    }
}

#[test]
fn requests_round_trip() {
    let longest = "x".repeat(255);
    for topic in ["a", longest.as_str()] {
        let questions = [
            Question::Latest { skip: 0 },
            Question::Latest { skip: 7 },
            Question::Range {
                run: run(1),
                sequences: 0..u64::MAX,
            },
            Question::Runs {
                selector: Selector::All,
                from: None,
            },
            Question::Runs {
                selector: Selector::Since(0),
                from: Some(run(2)),
            },
            Question::Runs {
                selector: Selector::Last(10_000),
                from: Some(run(2)),
            },
        ];
        for question in questions {
            let request = Request::Topic(topic.parse().unwrap(), question);
            let bytes = request.write();
            assert!(bytes.len() <= CATCHUP_REQUEST_BYTES_MAX, "{}", bytes.len());
            assert_eq!(Request::read(&bytes), Ok(request));
        }
        for request in [Request::Topics(None), Request::Topics(Some(topic.parse().unwrap()))] {
            assert_eq!(Request::read(&request.write()), Ok(request));
        }
    }
}

#[test]
fn requests_that_ask_nothing_are_refused() {
    let empty = Request::Topic(
        "a".parse().unwrap(),
        Question::Range {
            run: run(1),
            sequences: 5..5,
        },
    );
    let what = "the range asked for";
    assert_eq!(Request::read(&empty.write()), Err(WireError::Range { what }));
    // A latest question without a topic.
    assert!(matches!(Request::read(&[0x22, 0]), Err(WireError::Topic(_))));
    assert!(Request::read(&[]).is_err());
}

#[test]
fn claims_round_trip_and_share_answers() {
    let claims: Vec<Claim> = (0..5).map(|number| claim(number, 1 + u64::from(number))).collect();
    let bytes = write_runs(claims.iter().cloned().map(|claim| (claim, None)));
    assert_eq!(
        Answer::read(&bytes, &context()),
        Ok(Answer::Runs { claims, more: false })
    );

    // A head that is not one proves nothing.
    let head = Some(Bytes::from(vec![1; 200]));
    let bytes = write_runs([(claim(1, 1), head)]);
    let claims = vec![claim(1, 1)];
    assert_eq!(
        Answer::read(&bytes, &context()),
        Ok(Answer::Runs { claims, more: false })
    );

    let many = (0..5_000).map(|number| (claim(number, 1_000), None));
    let bytes = write_runs(many);
    assert!(bytes.len() <= CATCHUP_ANSWER_BYTES_MAX, "{}", bytes.len());
    let Ok(Answer::Runs { claims, more: true }) = Answer::read(&bytes, &context()) else {
        panic!("there are more");
    };
    assert!((500..=CATCHUP_RUNS_MAX).contains(&claims.len()), "{}", claims.len());
    assert_eq!(claims[0].held.len(), CATCHUP_SPANS_MAX);
    assert_eq!(
        claims[0].held.last(),
        claim(0, 1_000).held.last(),
        "the newest spans stay"
    );
}

#[test]
fn spans_out_of_order_are_refused() {
    for held in [vec![0..5, 5..9], vec![5..9, 0..4], vec![0..5, 2..9], vec![3..3]] {
        let bad = Claim { held, ..claim(1, 1) };
        let bytes = write_runs([(bad, None)]);
        assert!(matches!(Answer::read(&bytes, &context()), Err(WireError::Range { .. })));
    }
}

#[test]
fn frames_are_opened_and_forged_ones_counted() {
    let all: Vec<Bytes> = frames().values().flatten().map(|frame| frame.wire.clone()).collect();
    let mut sent = all.clone();
    let mut forged = all[0].to_vec();
    forged[3] ^= 1;
    sent.insert(4, forged.into());
    let Ok(Answer::Frames { frames, more, rejected }) = Answer::read(&write_frames(sent, true), &context()) else {
        panic!("frames");
    };
    assert_eq!((more, rejected), (true, 1));
    assert!(frames.iter().map(|frame| &frame.wire).eq(&all));

    let large = (0..9).map(|_| Bytes::from(vec![1; 300_000]));
    let bytes = write_frames(large, false);
    assert!(bytes.len() <= CATCHUP_ANSWER_BYTES_MAX, "{}", bytes.len());
    let answer = Answer::read(&bytes, &context());
    assert_eq!(
        answer,
        Ok(Answer::Frames {
            frames: vec![],
            more: true,
            rejected: 3
        })
    );
}

#[test]
fn busy_and_topics_round_trip() {
    assert_eq!(Answer::read(&write_busy(), &context()), Ok(Answer::Busy));
    assert_eq!(read_topics(&write_busy()), Ok(None));
    let topic = |number: u32| TopicHeld {
        name: format!("a/{number}").parse().unwrap(),
        publishers: number,
        newest_us: 7,
        kept: number == 1,
    };
    let topics: Vec<TopicHeld> = (0..3).map(topic).collect();
    assert_eq!(read_topics(&write_topics(topics.clone())), Ok(Some((topics, false))));
    let (some, more) = read_topics(&write_topics((0..2_000).map(topic))).unwrap().unwrap();
    assert_eq!((some.len(), more), (1_024, true));
    assert_eq!(Answer::read(&write_topics([]), &context()), Err(WireError::Kind));
}
