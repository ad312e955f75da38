//! One machine, input by input.

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
        println!("seed {seed}");
        let start = Instant::now();
        let mut rig = Rig {
            start,
            now: start,
            machine: Neighbours::new(peer(ME), StdRng::seed_from_u64(seed)),
        };
        assert_eq!(rig.handle(Input::TimedOut), [Action::LookUp { topic: None }]);
        rig.handle(Input::LookedUp { found: 0 });
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
                    Action::LookUp { .. } => Some(Input::LookedUp { found: 0 }),
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

#[test]
fn a_bootstrap_node_that_starts_last_is_tried_every_fifteen_seconds_for_ever() {
    for source in [Source::Bootstrap, Source::Ticket, Source::Cache] {
        let mut rig = Rig::new(1);
        assert_eq!(approached(&rig.found(1, source)), [1]);
        rig.handle(dial_failed(1).unwrap());
        let mut times = vec![0.0];
        times.extend(times_approached(&rig.run_answering(3_600.0, dial_failed), 1));
        assert_gaps(&times, &[1.0, 2.0, 4.0, 8.0, 15.0]);
        assert!((240..=270).contains(&times.len()), "{} in an hour", times.len());
        rig.admit(1, &[]);
        assert_eq!(rig.machine.status(), Status::Joined { neighbours: 1 });
    }
}

#[test]
fn a_lost_neighbour_is_redialled_for_ten_minutes_though_the_node_is_content() {
    let mut rig = Rig::new(2);
    (0..20).for_each(|n| _ = rig.admit(n, &[]));
    rig.run_to(100.0);
    assert_eq!(approached(&rig.handle(Input::Disconnected { peer: peer(3) })), NONE);
    let mut times = vec![100.0];
    times.extend(times_approached(&rig.run_answering(5_000.0, dial_failed), 3));
    let redials = times.iter().filter(|at| **at < 700.0).count();
    assert_gaps(&times[..redials], &[1.0, 2.0, 4.0, 8.0, 15.0]);
    assert!((40..=48).contains(&redials), "{redials} redials");
    assert!(
        times.len() - redials <= 16,
        "afterwards only now and then: {:?}",
        &times[redials..]
    );
}

#[test]
fn a_neighbour_that_said_farewell_is_not_called_back() {
    let mut rig = Rig::new(3);
    (0..20).for_each(|n| _ = rig.admit(n, &[]));
    let records = vec![record(50, &[]), record(51, &[]), record(ME, &[])];
    rig.handle(Input::Farewell { peer: peer(3), records });
    rig.handle(Input::Left { peer: peer(3) });
    let actions = rig.run_to(250.0);
    assert_eq!(times_approached(&actions, 3), Vec::<f64>::new());
    // The one thing it taught is whom to try when a neighbour is exchanged.
    let actions: Vec<Action> = rig.run_to(800.0).into_iter().map(|(_, action)| action).collect();
    let tried = approached(&actions);
    assert!(
        !tried.is_empty() && tried.iter().all(|n| [50, 51].contains(n)),
        "{tried:?}"
    );
}

#[test]
fn a_refusal_costs_fifteen_seconds_then_thirty_then_sixty() {
    for source in [Source::Bootstrap, Source::Ticket] {
        let mut rig = Rig::new(4);
        rig.found(1, source);
        rig.handle(refused(1).unwrap());
        let mut times = vec![0.0];
        times.extend(times_approached(&rig.run_answering(3_600.0, refused), 1));
        assert_gaps(&times, &[15.0, 30.0, 60.0, 120.0, 240.0, 300.0]);
        assert!(times.len() >= 15, "{} in an hour", times.len());
    }
}

#[test]
fn peers_named_for_no_mesh_are_asked_once_a_connection() {
    for source in [Source::Mdns, Source::RunFile] {
        for outcome in [refused(1).unwrap(), Input::NotSpeaking { peer: peer(1) }] {
            let mut rig = Rig::new(5);
            assert_eq!(approached(&rig.found(1, source)), [1]);
            rig.handle(outcome.clone());
            assert_eq!(approached(&rig.found(1, source)), NONE);
            assert_eq!(times_approached(&rig.run_to(600.0), 1), Vec::<f64>::new());
            rig.handle(Input::Disconnected { peer: peer(1) });
            let times = times_approached(&rig.run_to(1_200.0), 1);
            assert!(times.first().is_some_and(|at| (610.0..620.0).contains(at)), "{times:?}");

            // Somebody names it for this mesh: it may have joined since.
            rig.handle(outcome);
            rig.found(1, Source::Kademlia);
            let now = (rig.now - rig.start).as_secs_f64();
            let times = times_approached(&rig.run_to(now + 2.0), 1);
            assert_eq!(times.len(), 1);
        }
    }
}

#[test]
fn a_helper_is_asked_once_and_makes_look_ups_urgent() {
    let mut rig = Rig::new(6);
    rig.run_to(200.0);
    rig.found(1, Source::Bootstrap);
    let actions = rig.handle(Input::NotSpeaking { peer: peer(1) });
    assert_eq!(actions, [Action::LookUp { topic: None }]);
    assert_eq!(times_approached(&rig.run_to(900.0), 1), Vec::<f64>::new());
    // The connection breaks: a lonely node wants its helper back.
    rig.handle(Input::Disconnected { peer: peer(1) });
    assert_eq!(times_approached(&rig.run_to(914.9), 1).len(), 0);
    assert_eq!(times_approached(&rig.run_to(915.1), 1).len(), 1);
}

#[test]
fn refused_counts_peers_of_this_mesh_until_a_member_is_found() {
    let mut rig = Rig::new(7);
    // A member of some other mesh, on this machine: no evidence about our password.
    rig.found(1, Source::RunFile);
    assert_eq!(rig.handle(refused(1).unwrap()), []);
    assert_eq!(rig.machine.status(), Status::Alone);
    // Kademlia says that it is in ours.
    let reported = rig.found(1, Source::Kademlia);
    assert!(
        reported.contains(&Action::Report(Status::Refused { peers: 1 })),
        "{reported:?}"
    );
    rig.found(2, Source::Kademlia);
    assert!(
        rig.handle(refused(2).unwrap())
            .contains(&Action::Report(Status::Refused { peers: 2 }))
    );
    assert!(
        !rig.handle(refused(2).unwrap())
            .iter()
            .any(|action| matches!(action, Action::Report(_)))
    );
    rig.found(3, Source::Kademlia);
    rig.handle(Input::Unanswered { peer: peer(3) });
    assert_eq!(rig.machine.status(), Status::Refused { peers: 2 });
    assert!(
        rig.admit(4, &[])
            .contains(&Action::Report(Status::Joined { neighbours: 1 }))
    );
    rig.handle(refused(2).unwrap());
    assert!(
        rig.handle(Input::Left { peer: peer(4) })
            .contains(&Action::Report(Status::Alone))
    );
}

/// T6, as far as it is ours: at most 90 guesses in the first hour, and a peer that a ticket named is not held up.
#[test]
fn a_thousand_fakes_get_ninety_guesses_in_an_hour() {
    let mut rig = Rig::new(8);
    let mut guesses = 0;
    for n in 0..1_000 {
        for n in approached(&rig.found(n, Source::Kademlia)) {
            guesses += 1;
            rig.handle(refused(n).unwrap());
        }
    }
    assert_eq!(guesses, 30);
    assert_eq!(rig.machine.status(), Status::Refused { peers: 30 });
    let mut actions = rig.run_answering(3_599.0, refused);
    actions.retain(|(_, action)| matches!(action, Action::Approach { .. }));
    assert!(
        (85..=90).contains(&(guesses + actions.len())),
        "{} guesses",
        guesses + actions.len()
    );
    rig.found(5_000, Source::Ticket);
    let actions = rig.run_answering(3_601.0 + 60.0, refused);
    let asked: Vec<u64> = actions
        .into_iter()
        .flat_map(|(_, action)| approached(&[action]))
        .collect();
    assert_eq!(asked.first(), Some(&5_000), "the ticket's peer is the next to be asked");
}

#[test]
fn dials_are_budgeted() {
    let mut rig = Rig::new(9);
    rig.admit(2_000, &[]);
    let mut first = 0;
    for n in 0..1_000 {
        for n in approached(&rig.found(n, Source::Record)) {
            first += 1;
            rig.handle(dial_failed(n).unwrap());
        }
    }
    assert_eq!(first, 30);
    let minute: Vec<Action> = rig
        .run_answering(60.0, dial_failed)
        .into_iter()
        .map(|(_, action)| action)
        .collect();
    assert!(
        (55..=61).contains(&approached(&minute).len()),
        "{} in a minute",
        approached(&minute).len()
    );
}

#[test]
fn approaches_under_way_are_few_and_the_lost_outcome_of_one_is_given_up() {
    let mut rig = Rig::new(10);
    rig.admit(2_000, &[]);
    let begun: usize = (0..20).map(|n| approached(&rig.found(n, Source::Record)).len()).sum();
    assert_eq!(begun, 8);
    assert_eq!(
        approached(&rig.handle(dial_failed_of_some(&rig_pending(&rig)))).len(),
        1
    );
    let actions: Vec<Action> = rig.run_to(59.0).into_iter().map(|(_, action)| action).collect();
    assert_eq!(approached(&actions), NONE);
    let actions: Vec<Action> = rig.run_to(61.0).into_iter().map(|(_, action)| action).collect();
    assert_eq!(approached(&actions).len(), 8);
}

fn rig_pending(rig: &Rig) -> PeerId {
    *rig.machine.approaches.peers().next().unwrap()
}

fn dial_failed_of_some(peer: &PeerId) -> Input {
    Input::DialFailed { peer: *peer }
}

#[test]
fn candidates_are_bounded_and_those_the_user_named_stay() {
    let mut rig = Rig::new(11);
    rig.found(1, Source::Bootstrap);
    rig.handle(dial_failed(1).unwrap());
    for n in 10_000..11_500 {
        rig.found(n, Source::Kademlia);
        assert!(rig.machine.candidates.len() <= CANDIDATES_MAX);
    }
    assert_eq!(rig.machine.candidates.len(), CANDIDATES_MAX);
    assert!(rig.machine.candidates.get(&peer(1)).is_some());
}

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
    assert_eq!(begun, [60, 61, 62, 63, 64, 65], "six are enough");
    let replaced = approached(&rig.handle(dial_failed(60).unwrap()));
    assert!(replaced.len() == 1 && (66..80).contains(&replaced[0]), "{replaced:?}");
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
        peer: peer(1),
        records: (100..1_000).map(|n| record(n, &[])).collect(),
    });
    assert_eq!(rig.machine.candidates.len(), 16);
}

#[test]
fn a_welcome_names_members_of_the_newcomers_topics_and_some_others() {
    let mut rig = Rig::new(18);
    (0..20).for_each(|n| _ = rig.admit(n, &[n % 4]));
    rig.handle(Input::Sample {
        peer: peer(1),
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
        let last = actions.iter().rev().find_map(|action| match action {
            Action::Remember(records) => Some(records.iter().map(|record| number(&record.peer)).collect::<Vec<_>>()),
            _ => None,
        });
        last
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
        peer: peer(1),
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
        peer: peer(1),
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
    rig.handle(Input::Sample {
        peer: peer(1),
        records: vec![forged],
    });
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
                4 => Input::Unanswered { peer },
                5 => Input::Refused { peer },
                6 | 7 | 8 => Input::Admitted {
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
                16 => Input::Sample { peer, records },
                17 => Input::LookedUp { found: 3 },
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
