//! Whom the machine approaches, when, and what it makes of the outcome.

use super::*;

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
fn a_helper_that_joins_its_first_mesh_is_asked_at_once() {
    for source in [Source::Bootstrap, Source::Mdns, Source::RunFile, Source::Ticket] {
        let mut rig = Rig::new(14);
        assert_eq!(approached(&rig.found(1, source)), [1]);
        rig.handle(Input::Speaks { peer: peer(1) });
        rig.handle(Input::NotSpeaking { peer: peer(1) });
        assert_eq!(times_approached(&rig.run_to(10.0), 1), Vec::<f64>::new(), "{source:?}");
        rig.handle(Input::Speaks { peer: peer(1) });
        rig.handle(Input::Speaks { peer: peer(1) });
        let times = times_approached(&rig.run_to(11.0), 1);
        assert!(times.len() == 1 && times[0] <= 10.25, "{source:?}: {times:?}");
        // What it says once it was asked counts, not that it speaks.
        rig.handle(refused(1).unwrap());
        rig.handle(Input::Speaks { peer: peer(1) });
        assert_eq!(times_approached(&rig.run_to(20.0), 1), Vec::<f64>::new(), "{source:?}");
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
    rig.handle(Input::Unanswered {
        peer: peer(3),
        guessed: true,
    });
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
    let under_way = *rig.machine.approaches.peers().next().unwrap();
    assert_eq!(approached(&rig.handle(Input::DialFailed { peer: under_way })).len(), 1);
    let actions: Vec<Action> = rig.run_to(59.0).into_iter().map(|(_, action)| action).collect();
    assert_eq!(approached(&actions), NONE);
    let actions: Vec<Action> = rig.run_to(61.0).into_iter().map(|(_, action)| action).collect();
    assert_eq!(approached(&actions).len(), 8);
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
fn a_peer_that_somebody_waits_for_is_approached_by_a_content_node_within_the_budgets() {
    let mut rig = Rig::new(13);
    for n in 1..=TARGET as u64 {
        rig.admit(n, &[]);
    }
    let wanted = |n| Input::Wanted { peer: peer(n) };
    assert_eq!(approached(&rig.found(100, Source::Record)), NONE);
    assert_eq!(approached(&rig.handle(wanted(100))), [100]);
    assert!(rig.machine.is_approaching(&peer(100)));
    assert_eq!(approached(&rig.handle(wanted(100))), NONE, "twice at once");
    assert_eq!(approached(&rig.handle(wanted(1))), NONE, "a neighbour");
    assert_eq!(approached(&rig.handle(wanted(ME))), NONE);
    // One that failed just now is left alone for a moment.
    rig.handle(dial_failed(100).unwrap());
    assert_eq!(approached(&rig.handle(wanted(100))), NONE);
    // Nobody named these: each may judge our proof, and there are few guesses for such.
    let strangers = 200..300;
    let asked = strangers.filter(|n| {
        let asked = approached(&rig.handle(wanted(*n))) == [*n];
        rig.handle(refused(*n).unwrap());
        asked
    });
    assert_eq!(asked.count(), 10);
    // A neighbour that was let go is called back.
    rig.handle(Input::Farewell {
        peer: peer(1),
        records: Vec::new(),
    });
    rig.handle(Input::Left { peer: peer(1) });
    assert_eq!(approached(&rig.handle(wanted(1))), [1]);
}

#[test]
fn members_beside_the_neighbours_are_found_by_what_their_records_name() {
    let mut rig = Rig::new(14);
    rig.handle(Input::Sample {
        records: vec![record(1, &[7]), record(2, &[8]), record(3, &[8, 7])],
    });
    let mut on = rig.machine.others_on(TopicHint(7));
    on.sort_unstable();
    assert_eq!(on, [peer(1), peer(3)]);
}
