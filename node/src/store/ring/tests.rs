//! The ring against a model that is right by reading, and its bounds on memory.

use proptest::prelude::*;

use crate::store::testing::{Model, assert_same, frame, single, step, steps, topic};

use super::*;

fn small(records_max: usize, newest_records_max: usize) -> RingLimits {
    RingLimits {
        records_max,
        age_us_max: 60,
        newest_records_max,
        ..RingLimits::default()
    }
}

proptest! {
    #[test]
    fn answers_as_the_model_does(
        steps in steps(120),
        (records_max, pinned_max) in (1_usize..60).prop_flat_map(|max| (Just(max), 0..=max)),
        since_us in 900_u64..2_500,
        last in 0_u32..70,
        sequences in (0_u64..45, 0_u64..45).prop_map(|(a, b)| a.min(b)..a.max(b)),
        bytes_max in 1_usize..300,
    ) {
        let limits = small(records_max, pinned_max);
        let budget = Budget::default();
        let (mut ring, mut model) = (Ring::new(limits, budget.clone()), Model::new(limits));
        let mut now_us = 1_000_000;
        for one in steps {
            step(&mut ring, &mut model, one, &mut now_us).unwrap();
        }
        ring.trim(now_us).unwrap();
        model.trim(now_us);
        assert_same(&ring, &model, (since_us, last, sequences, bytes_max));
        prop_assert_eq!(budget.bytes(), ring.topics.values().map(TopicRing::bytes).sum::<usize>());
        // Nothing is counted that is not there.
        ring.trim(u64::MAX).unwrap();
        for topic in ring.topics.values_mut() {
            while !topic.is_empty() {
                let before = topic.bytes();
                topic.drop_oldest(&limits);
                budget.change(before, topic.bytes());
            }
        }
        prop_assert_eq!(budget.bytes(), 0);
    }

    #[test]
    fn memory_stays_within_its_bounds(
        steps in steps(200),
        bytes_max in 500_usize..20_000,
        node_bytes_max in 500_usize..20_000,
    ) {
        let limits = RingLimits { bytes_max, newest_bytes_max: bytes_max / 4, ..RingLimits::default() };
        let budget = Budget::new(node_bytes_max);
        let mut ring = Ring::new(limits, budget.clone());
        let mut model = Model::new(limits);
        let mut now_us = 1_000_000;
        for one in steps {
            step(&mut ring, &mut model, one, &mut now_us).unwrap();
            prop_assert!(ring.topics.values().all(|topic| topic.bytes() <= bytes_max));
            prop_assert!(budget.bytes() <= node_bytes_max, "{budget:?}");
        }
        drop(ring);
        prop_assert_eq!((budget.bytes(), budget.share()), (0, node_bytes_max));
    }
}

#[test]
fn the_oldest_go_first_and_the_newest_of_a_key_stays() {
    let mut ring = Ring::new(small(3, 2), Budget::default());
    let news = topic("news");
    for (sequence, key) in ["a", "b", "c", "c", "c"].into_iter().enumerate() {
        let sequence = sequence as u64;
        ring.append(&news, &frame(1, 7, sequence..sequence + 1, &[Some(key)]), 0)
            .unwrap();
    }
    // Of the three records held, those of "a" and "b" are there for their keys alone.
    let runs = ring.runs(&news, Selector::All).unwrap();
    assert_eq!((runs.len(), runs[0].first, runs[0].next), (1, 4, 5));
    let (latest, more) = ring.latest(&news, 0, usize::MAX).unwrap();
    let wires = [(4, "c"), (1, "b"), (0, "a")].map(|(at, key)| frame(1, 7, at..at + 1, &[Some(key)]).wire);
    assert_eq!((latest, more), (wires.to_vec(), false));
    // A newer one of "a" sets the old one free; "b" goes only when two others need its place.
    ring.append(&news, &frame(1, 7, 5..6, &[Some("a")]), 0).unwrap();
    assert_eq!(ring.latest(&news, 0, usize::MAX).unwrap().0.len(), 3);
    for (sequence, key) in [(6, "d"), (7, "e"), (8, "f")] {
        ring.append(&news, &frame(1, 7, sequence..sequence + 1, &[Some(key)]), 0)
            .unwrap();
    }
    let (latest, _) = ring.latest(&news, 0, usize::MAX).unwrap();
    assert!(!latest.contains(&wires[1]) && latest.len() == 3, "{latest:?}");
}

#[test]
fn a_quiet_mesh_is_not_starved_by_a_loud_one() {
    let budget = Budget::new(40_000);
    let mut loud = Ring::new(RingLimits::default(), budget.clone());
    let mut quiet = Ring::new(RingLimits::default(), budget.clone());
    let news = topic("news");
    for sequence in 0..1_000 {
        loud.append(&news, &single(1, 1, sequence), 0).unwrap();
    }
    assert!((39_000..=40_000).contains(&budget.bytes()), "{budget:?}");
    for sequence in 0..20 {
        quiet.append(&news, &single(1, 1, sequence), 0).unwrap();
    }
    assert_eq!(
        quiet.runs(&news, Selector::All).unwrap()[0].first,
        0,
        "all of it is held"
    );
    assert!(
        budget.bytes() > 40_000,
        "the loud one gives up its part when it is its turn"
    );
    loud.trim(0).unwrap();
    assert!((39_000..=40_000).contains(&budget.bytes()), "{budget:?}");
}

#[test]
fn frames_that_make_no_sense_are_refused() {
    let mut ring = Ring::new(RingLimits::default(), Budget::default());
    let mut kept = single(1, 1, 5);
    kept.keys.clear();
    assert!(matches!(ring.append(&topic("a"), &kept, 0), Err(StoreError::Misfit)));
    (kept.sequences.start, kept.sequences.end) = (6, 5);
    assert!(matches!(ring.append(&topic("a"), &kept, 0), Err(StoreError::Misfit)));
    for index in 0..TOPICS_MAX {
        ring.append(&topic(&format!("t{index}")), &single(1, 1, 0), 0).unwrap();
    }
    let refused = ring.append(&topic("one-more"), &single(1, 1, 0), 0);
    assert!(matches!(refused, Err(StoreError::TooManyTopics { .. })), "{refused:?}");
    ring.append(&topic("t7"), &single(1, 1, u64::MAX - 1), 0).unwrap();
    let runs = ring.runs(&topic("t7"), Selector::Since(0)).unwrap();
    assert_eq!((runs[0].from, runs[0].next), (0, u64::MAX));
    assert!(
        ring.range(&topic("t7"), &runs[0].publisher, 1, 1..u64::MAX - 1, 9)
            .unwrap()
            .is_empty()
    );
}
