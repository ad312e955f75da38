//! A publisher's window, whatever its neighbours do.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use libp2p::PeerId;
use proptest::prelude::*;

use super::outbox::{ack, give, is_open, outbox, publish, stalls, subscribe};
use crate::core::stream::{
    batch::LINGER,
    outbox::{Input, STALL_TIMEOUT, WINDOW_FRAMES},
    testing::{cases, peer},
};

#[derive(Debug, Clone)]
enum Step {
    Publish(u16),
    Ack { peer: u32, part: f64 },
    Subscribe(u32),
    Gone(u32),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1_u16..400).prop_map(Step::Publish),
        // Also beyond what was sent, and back.
        5 => (0_u32..4, 0.0..1.3).prop_map(|(peer, part)| Step::Ack { peer, part }),
        2 => (0_u32..4).prop_map(Step::Subscribe),
        1 => (0_u32..4).prop_map(Step::Gone),
        1 => (0_u64..40).prop_map(Step::Wait),
    ]
}

/// The model's own way to what all but the stragglers have acknowledged: of 2 to 7 neighbours, one may be slow.
fn pace(acked: &BTreeMap<PeerId, u64>) -> Option<u64> {
    let needed = if acked.len() > 1 { acked.len() - 1 } else { 1 };
    let at_least = |next: u64| acked.values().filter(|acked| **acked >= next).count() >= needed;
    acked.values().copied().filter(|next| at_least(*next)).max()
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn never_further_ahead_and_never_stuck(steps in prop::collection::vec(step(), 1..40)) {
        let mut now = Instant::now();
        let mut outbox = outbox(None);
        let mut acked: BTreeMap<PeerId, u64> = BTreeMap::new();
        let mut probes = 0;
        for step in steps {
            match step {
                Step::Publish(count) => for _ in 0..count {
                    if !is_open(&outbox) {
                        break;
                    }
                    // So long after the last one that it leaves at once.
                    now += LINGER;
                    let ahead = pace(&acked).map_or(0, |pace| outbox.next_sequence() + 1 - pace);
                    if ahead > WINDOW_FRAMES {
                        prop_assert!(probes > 0, "{} ahead", ahead);
                        probes -= 1;
                    }
                    publish(&mut outbox, now);
                },
                Step::Ack { peer: number, part } => {
                    let sent = outbox.next_sequence();
                    let next = (sent as f64 * part) as u64;
                    ack(&mut outbox, number, next, now);
                    if let Some(acked) = acked.get_mut(&peer(number)) && next > *acked && next <= sent {
                        *acked = next;
                    }
                }
                Step::Subscribe(number) => {
                    subscribe(&mut outbox, number, now);
                    acked.entry(peer(number)).or_insert(outbox.next_sequence());
                }
                Step::Gone(number) => {
                    give(&mut outbox, Input::Gone { peer: peer(number) }, now);
                    acked.remove(&peer(number));
                }
                Step::Wait(seconds) => {
                    now += Duration::from_secs(seconds);
                    let before = is_open(&outbox);
                    let out = stalls(&mut outbox, now);
                    if !out.is_empty() {
                        probes = 1;
                    }
                    prop_assert!(out.is_empty() || !before);
                }
            }
            let sent = outbox.next_sequence();
            if pace(&acked).is_none_or(|pace| sent - pace < WINDOW_FRAMES) {
                probes = 0;
            }
            prop_assert_eq!(outbox.unacked(), sent - acked.values().min().copied().unwrap_or(sent));
            if !is_open(&outbox) {
                let due = outbox.next_deadline();
                prop_assert!(due.is_some_and(|due| due <= now + STALL_TIMEOUT), "it opens again by itself");
            }
        }
    }
}
