//! Inboxes when something is missing, contradictory or silent.

use super::inbox::{RELAY, after, frame, received, story};
use crate::core::stream::{
    Frame,
    inbox::{Action, Input},
    testing::{Clocked, peer},
};

fn head(next: u64, sent_us: u64) -> Frame {
    Frame::unsigned_head(peer(1), 5, next, sent_us)
}

/// What is asked for, and when.
fn repairs(clocked: &mut Clocked) -> Vec<(u64, u64, u64)> {
    let repair = |(ms, action)| match action {
        Action::Repair { from, to, .. } => Some((ms, from, to)),
        _ => None,
    };
    clocked.done.drain(..).filter_map(repair).collect()
}

#[test]
fn what_is_missing_is_asked_for_once_after_half_a_second() {
    let mut clocked = received(&[(0, 0), (100, 2), (100, 3), (300, 5), (700, 4), (800, 9)]);
    clocked.run_to(5_000);
    assert_eq!(
        repairs(&mut clocked),
        [(600, 1, 2), (1_300, 6, 9)],
        "what came meanwhile is not asked for"
    );
    for sequence in [6, 7, 8, 1] {
        clocked.receive(5_000, frame(5, sequence), peer(RELAY));
    }
    clocked.run_out();
    assert_eq!(
        story(&mut clocked),
        (1..=9).map(|n| format!("d5.{n}")).collect::<Vec<_>>().join(" ")
    );
}

#[test]
fn a_head_shows_that_the_last_frames_were_lost() {
    let mut clocked = received(&[(0, 0)]);
    clocked.receive(1_000, head(3, 7), peer(RELAY));
    clocked.receive(2_000, head(3, 8), peer(RELAY));
    clocked.run_to(3_000);
    assert_eq!(repairs(&mut clocked), [(1_500, 1, 3)]);
    clocked.receive(3_000, frame(5, 2), peer(RELAY));
    clocked.receive(3_100, frame(5, 1), peer(RELAY));
    assert_eq!(story(&mut clocked), "d5.1 d5.2");
    clocked.receive(4_000, head(4, 9), peer(RELAY));
    clocked.run_to(123_999);
    assert_eq!(story(&mut clocked), "");
    clocked.run_to(124_000);
    assert_eq!(story(&mut clocked), "g5.3-4", "nobody brought it");
}

#[test]
fn what_nobody_has_is_reported_without_waiting() {
    let mut clocked = received(&[(0, 0), (0, 2), (0, 5)]);
    let lost = |sequences| Input::Lost {
        publisher: peer(1),
        incarnation: 5,
        sequences,
    };
    clocked.run_to(1_000);
    clocked.give(lost(3..5));
    assert_eq!(story(&mut clocked), "d5.0", "its turn has not come");
    clocked.give(lost(1..2));
    assert_eq!(story(&mut clocked), "g5.1-2 d5.2 g5.3-5 d5.5");
    clocked.give(lost(2..9));
    clocked.receive(2_000, frame(5, 6), peer(RELAY));
    assert_eq!(story(&mut clocked), "d5.6", "it came all the same");
}

/// T17, in small.
#[test]
fn a_publisher_that_contradicts_itself_is_believed_no_more() {
    let mut clocked = received(&[(0, 0), (1, 1), (1, 3)]);
    let forged = Frame {
        body_hash: [1; 32],
        message_id: [2; 16],
        wire: vec![3; 70].into(),
        ..frame(5, 1)
    };
    clocked.done.clear();
    clocked.receive(2, forged.clone(), peer(RELAY));
    let fork = Action::Fork {
        publisher: peer(1),
        incarnation: 5,
        sequence: 1,
        second: forged.wire.clone(),
    };
    let evidence = Action::Forward {
        message_id: [2; 16],
        deliverer: peer(RELAY),
    };
    let done: Vec<Action> = clocked.done.drain(..).map(|(_, action)| action).collect();
    assert_eq!(done, [evidence, fork], "it travels once, as evidence");
    clocked.receive(3, forged, peer(RELAY + 1));
    clocked.receive(4, frame(5, 2), peer(RELAY));
    clocked.run_out();
    assert_eq!(
        (story(&mut clocked).as_str(), clocked.inbox.counts().frozen),
        ("i i", 2)
    );
    clocked.receive(60_000, after(frame(6, 0), 5, 4), peer(RELAY));
    assert_eq!(story(&mut clocked), "g5.2-4 r6 d6.0", "a new run is believed");
}

#[test]
fn silence_is_told_and_its_end() {
    let mut clocked = received(&[(0, 0), (500, 1)]);
    let told = |clocked: &mut Clocked| -> Vec<(u64, bool)> {
        let told = |(ms, action)| match action {
            Action::Silent { quiet, .. } => {
                assert_eq!(quiet.as_millis() as u64 + 500, ms);
                Some((ms, true))
            }
            Action::Resumed { .. } => Some((ms, false)),
            _ => None,
        };
        clocked.done.drain(..).filter_map(told).collect()
    };
    clocked.run_to(100_000);
    assert_eq!(told(&mut clocked), [(5_500, true)]);
    clocked.receive(100_000, head(2, 9), peer(RELAY));
    assert_eq!(told(&mut clocked), [(100_000, false)]);
    clocked.run_out();
    assert_eq!(told(&mut clocked), [], "idle, as far as anybody can tell");
}
