//! Whom the machine keeps and lets go, and what it tells neighbours.

use super::*;

#[test]
fn a_newcomer_at_the_high_mark_takes_the_place_of_one_nobody_misses() {
    let mut rig = Rig::new(12);
    rig.own_topics([1, 2]);
    // Four on topic 1, all needed; seven on topic 2, of whom three can be spared; thirteen on nothing of ours.
    (0..4).for_each(|n| _ = rig.admit(n, &[1]));
    (4..11).for_each(|n| _ = rig.admit(n, &[2, 77]));
    (11..24).for_each(|n| _ = rig.admit(n, &[77]));
    assert_eq!(rig.count(), HIGH_MIN);
    for newcomer in 100..113 {
        let actions = rig.admit(newcomer, &[2]);
        let [gone] = dropped(&actions)[..] else {
            panic!("{actions:?}")
        };
        assert!((11..24).contains(&gone), "{gone} shared a topic");
        let Some(Action::Drop { sample, .. }) =
            actions.into_iter().find(|action| matches!(action, Action::Drop { .. }))
        else {
            unreachable!()
        };
        assert_eq!(sample.len(), 16);
        assert!(sample.iter().all(|record| record.peer != peer(gone)));
        assert_eq!(rig.count(), HIGH_MIN);
        assert_eq!(
            rig.handle(Input::Left { peer: peer(gone) }),
            [],
            "what we dropped is not lost"
        );
    }
    for newcomer in 200..300 {
        let actions = rig.admit(newcomer, &[77]);
        assert!(
            dropped(&actions).iter().all(|gone| *gone >= 4),
            "one of four on topic 1 went"
        );
        assert_eq!(rig.count(), HIGH_MIN);
    }
    let on_two = rig
        .machine
        .neighbours()
        .filter(|held| (4..11).contains(&number(held)) || (100..113).contains(&number(held)));
    assert!(on_two.count() >= TOPIC_MIN);
}

#[test]
fn at_the_hard_mark_the_newcomer_itself_is_let_go() {
    let mut rig = Rig::new(13);
    rig.own_topics(0..16);
    // Four on each of sixteen topics: none can be spared.
    (0..64).for_each(|n| assert_eq!(dropped(&rig.admit(n, &[n % 16])), NONE));
    assert_eq!(rig.count(), HARD);
    assert_eq!(dropped(&rig.admit(100, &[3])), [100]);
    assert_eq!(rig.count(), HARD);
    // Fewer topics, a lower mark.
    let gone = dropped(&rig.own_topics(0..5));
    assert_eq!(gone.len(), HARD - 30);
    for topic in 0..5 {
        let on = rig
            .machine
            .neighbours()
            .filter(|held| number(held) % 16 == topic)
            .count();
        assert_eq!(on, 4, "topic {topic}");
    }
}

#[test]
fn a_topic_in_need_is_looked_up_and_its_peers_come_first() {
    let mut rig = Rig::new(14);
    (0..12).for_each(|n| _ = rig.admit(n, &[77]));
    rig.run_to(100.0);
    let expected = [
        Action::LookUp { topic: None },
        Action::LookUp {
            topic: Some(TopicHint(5)),
        },
    ];
    assert_eq!(rig.own_topics([5]), expected);
    assert_eq!(
        approached(&rig.found_on(50, Source::Kademlia, &[6])),
        NONE,
        "content but for the topic"
    );
    let begun: Vec<u64> = (60..80)
        .flat_map(|n| approached(&rig.found_on(n, Source::Kademlia, &[5])))
        .collect();
    assert_eq!(begun, [60, 61, 62, 63, 64, 65, 66, 67], "eight are enough");
    let replaced = approached(&rig.handle(dial_failed(60).unwrap()));
    assert!(replaced.len() == 1 && (68..80).contains(&replaced[0]), "{replaced:?}");
}

#[test]
fn swaps_go_out_every_half_minute_and_only_questions_are_answered() {
    let mut rig = Rig::new(15);
    (0..10).for_each(|n| _ = rig.admit(n, &[]));
    let actions = rig.run_to(3_000.0);
    let asked: Vec<f64> = actions
        .iter()
        .filter_map(|(at, action)| match action {
            Action::Swap { records, answer, peer } => {
                assert!(!answer && records.len() == 8 && records.iter().all(|record| record.peer != *peer));
                Some(*at)
            }
            _ => None,
        })
        .collect();
    assert!(
        (90..=110).contains(&asked.len()),
        "{} swaps in fifty minutes",
        asked.len()
    );
    assert!(
        asked
            .windows(2)
            .all(|pair| (23.9..=36.1).contains(&(pair[1] - pair[0])))
    );

    let mut rig = Rig::new(16);
    (0..10).for_each(|n| _ = rig.admit(n, &[]));
    let swap = |records, answer| Input::Swapped {
        peer: peer(1),
        records,
        answer,
    };
    let answers = rig.handle(swap(vec![record(50, &[])], false));
    let is_answer =
        |action: &Action| matches!(action, Action::Swap { answer: true, records, .. } if records.len() == 8);
    assert_eq!(answers.iter().filter(|action| is_answer(action)).count(), 1);
    assert!(rig.machine.candidates.get(&peer(50)).is_some());
    // Too soon again; an answer nobody asked for; a stranger.
    assert_eq!(rig.handle(swap(vec![record(51, &[])], false)), []);
    assert_eq!(rig.handle(swap(vec![record(52, &[])], true)), []);
    let stranger = Input::Swapped {
        peer: peer(99),
        records: vec![record(53, &[])],
        answer: false,
    };
    assert_eq!(rig.handle(stranger), []);
    assert!((51..54).all(|n| rig.machine.candidates.get(&peer(n)).is_none()));
}

#[test]
fn only_so_many_records_of_one_message_count() {
    let mut rig = Rig::new(17);
    (0..20).for_each(|n| _ = rig.admit(n, &[]));
    rig.handle(Input::Sample {
        records: (100..1_000).map(|n| record(n, &[])).collect(),
    });
    assert_eq!(rig.machine.candidates.len(), 16);
}

#[test]
fn a_welcome_names_members_of_the_newcomers_topics_and_some_others() {
    let mut rig = Rig::new(18);
    (0..20).for_each(|n| _ = rig.admit(n, &[n % 4]));
    rig.handle(Input::Sample {
        records: (100..116).map(|n| record(n, &[9])).collect(),
    });
    let sample = rig.machine.sample(16, &[TopicHint(2)]);
    let mut peers: Vec<u64> = sample.iter().map(|record| number(&record.peer)).collect();
    peers.sort_unstable();
    peers.dedup();
    assert_eq!(peers.len(), 16);
    assert_eq!(
        sample.iter().filter(|record| record.topics == [TopicHint(2)]).count(),
        5,
        "all there are"
    );
    assert!(
        peers.iter().filter(|n| **n >= 100).count() >= 2,
        "hearsay travels on: {peers:?}"
    );
    assert!(
        peers.iter().filter(|n| **n < 100).count() >= 10,
        "most are known to be alive: {peers:?}"
    );
    assert_eq!(rig.machine.sample(1_000, &[]).len(), 16);
    assert_eq!(Rig::new(19).machine.sample(16, &[]), []);
}

#[test]
fn the_cache_is_written_at_most_every_half_minute_and_keeps_those_met() {
    let mut rig = Rig::new(20);
    let remembered = |actions: &[Action]| {
        actions.iter().rev().find_map(|action| match action {
            Action::Remember(records) => Some(records.iter().map(|record| number(&record.peer)).collect::<Vec<_>>()),
            _ => None,
        })
    };
    assert_eq!(remembered(&rig.admit(0, &[])), Some(vec![0]));
    for n in 1..5 {
        rig.now += Duration::from_secs(1);
        assert_eq!(remembered(&rig.admit(n, &[])), None);
    }
    rig.handle(Input::Disconnected { peer: peer(2) });
    let actions: Vec<Action> = rig
        .run_answering(31.0, dial_failed)
        .into_iter()
        .map(|(_, action)| action)
        .collect();
    assert_eq!(
        actions
            .iter()
            .filter(|action| matches!(action, Action::Remember(_)))
            .count(),
        1
    );
    assert_eq!(remembered(&actions), Some(vec![0, 1, 3, 4, 2]));
    assert_eq!(rig.machine.to_remember().len(), 5);
    rig.handle(Input::Sample {
        records: vec![record(50, &[])],
    });
    assert_eq!(rig.machine.to_remember().len(), 5, "hearsay is not remembered");
}

#[test]
fn every_five_minutes_one_neighbour_makes_room_for_one_never_met() {
    let mut rig = Rig::new(21);
    rig.own_topics([1]);
    (0..4).for_each(|n| _ = rig.admit(n, &[1]));
    (4..16).for_each(|n| _ = rig.admit(n, &[]));
    rig.handle(Input::Sample {
        records: (100..110).map(|n| record(n, &[])).collect(),
    });
    let actions: Vec<Action> = rig.run_to(239.0).into_iter().map(|(_, action)| action).collect();
    assert_eq!(approached(&actions), NONE);
    let actions: Vec<Action> = rig.run_to(361.0).into_iter().map(|(_, action)| action).collect();
    let [newcomer] = approached(&actions)[..] else {
        panic!("{actions:?}")
    };
    assert!((100..110).contains(&newcomer));
    let gone = dropped(&rig.admit(newcomer, &[]));
    assert!(gone.len() == 1 && (4..16).contains(&gone[0]), "{gone:?}");
    assert_eq!(rig.count(), 16);
}

#[test]
fn a_forged_profile_of_a_neighbour_changes_nothing() {
    let mut rig = Rig::new(22);
    rig.admit(1, &[1]);
    rig.admit(2, &[1]);
    let forged = MemberRecord {
        sequence: 9,
        ..record(2, &[666])
    };
    rig.handle(Input::Sample { records: vec![forged] });
    assert!(rig.machine.sample(16, &[]).contains(&record(2, &[1])));
    // Nor does anybody who is no neighbour describe himself.
    rig.handle(Input::Profiled {
        record: record(3, &[1]),
    });
    assert_eq!(rig.machine.sample(16, &[]).len(), 2);
}

/// Whatever comes in whatever order: bounds hold and time moves on.
#[test]
fn any_order_of_inputs_keeps_the_bounds() {
    for seed in 0..10 {
        let mut rig = Rig::new(seed);
        let mut rng = StdRng::seed_from_u64(seed + 1_000);
        for _ in 0..2_000 {
            let n = rng.random_range(0..200);
            let peer = if rng.random_ratio(1, 50) { peer(ME) } else { peer(n) };
            let topics = |rng: &mut StdRng| {
                (0..rng.random_range(0..4))
                    .map(|_| rng.random_range(0..30))
                    .collect::<Vec<u64>>()
            };
            let hints = |topics: Vec<u64>| topics.into_iter().map(TopicHint).collect::<Vec<_>>();
            let few = topics(&mut rng);
            let records: Vec<MemberRecord> = (0..rng.random_range(0..20))
                .map(|_| MemberRecord {
                    sequence: rng.random_range(0..3),
                    ..record(rng.random_range(0..300), &few)
                })
                .collect();
            let source = Source::ALL[rng.random_range(0..Source::ALL.len())];
            let input = match rng.random_range(0..18) {
                0 | 1 => Input::Found {
                    peer,
                    multiaddrs: vec![multiaddr(n)],
                    source,
                    topics: hints(few),
                },
                2 => Input::DialFailed { peer },
                3 => Input::NotSpeaking { peer },
                4 => Input::Unanswered { peer, guessed: true },
                5 => Input::Refused { peer },
                6..=8 => Input::Admitted {
                    peer,
                    multiaddr: Some(multiaddr(n)),
                },
                9 => Input::Left { peer },
                10 => Input::Disconnected { peer },
                11 => Input::Profiled {
                    record: record(n, &few),
                },
                12 => Input::TopicsOf {
                    peer,
                    topics: hints(few),
                },
                13 if rng.random_ratio(1, 10) => {
                    Input::OwnTopics((0..rng.random_range(0..100)).map(TopicHint).collect())
                }
                14 => Input::Swapped {
                    peer,
                    records,
                    answer: rng.random(),
                },
                15 => Input::Farewell { peer, records },
                16 => Input::Sample { records },
                17 => Input::LookedUp,
                _ => Input::TimedOut,
            };
            rig.handle(input);
            rig.now += Duration::from_millis(rng.random_range(0..3_000));
            assert!(rig.count() <= HARD && !rig.holds(ME));
            assert!(rig.machine.to_remember().len() <= BOOK_RECORDS_MAX);
            assert!(
                rig.machine
                    .neighbours()
                    .all(|held| rig.machine.candidates.get(&held).is_none())
            );
        }
    }
}
