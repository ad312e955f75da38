//! Inboxes that meet a run: what of it is history, and what is wanted.

use libp2p::PeerId;

use super::inbox::{RELAY, after, frame, repairs, story};
use crate::core::stream::{
    Frame,
    inbox::{GAP_MAX, Input},
    testing::{Clocked, peer},
};

#[test]
fn of_a_run_that_began_while_it_was_listened_for_nothing_is_history() {
    // Run 5 began five milliseconds into its publisher's clock, and this was sent seven seconds later.
    let young = |sequence| Frame {
        sent_us: 7_005_000,
        ..frame(5, sequence)
    };
    let mut clocked = Clocked::new();
    clocked.receive(7_000, young(300), peer(RELAY));
    clocked.run_to(7_600);
    assert_eq!(story(&mut clocked), "", "what was before it is waited for");
    for sequence in 0..300 {
        clocked.receive(7_600, young(sequence), peer(RELAY));
    }
    let all: Vec<_> = (0..=300).map(|n| format!("d5.{n}")).collect();
    assert_eq!(story(&mut clocked), all.join(" "));

    let mut clocked = Clocked::new();
    clocked.receive(6_999, young(300), peer(RELAY));
    clocked.run_to(7_600);
    assert_eq!(story(&mut clocked), "d5.300", "it began a millisecond too early");

    let mut clocked = Clocked::new();
    clocked.receive(7_000, young(GAP_MAX + 1), peer(RELAY));
    clocked.run_to(7_600);
    assert_eq!(story(&mut clocked), format!("d5.{}", GAP_MAX + 1), "too far to go back");
}

#[test]
fn runs_that_came_and_went_unheard_are_wanted_too() {
    let young = |incarnation, sequence| Frame {
        sent_us: 8_000_000,
        ..frame(incarnation, sequence)
    };
    // Run 2000 began and ended before anything of it came; run 500 began before this node listened.
    let mut clocked = Clocked::new();
    clocked.receive(7_000, after(young(3_000, 0), 2_000, 2), peer(RELAY));
    clocked.run_to(7_600);
    assert_eq!(story(&mut clocked), "");
    clocked.receive(7_600, young(2_000, 1), peer(RELAY));
    clocked.receive(7_700, after(young(2_000, 0), 500, 9), peer(RELAY));
    assert_eq!(story(&mut clocked), "d2000.0 d2000.1 r3000 d3000.0");

    let mut clocked = Clocked::new();
    clocked.receive(7_000, after(young(3_000, 0), 2_000, 2), peer(RELAY));
    clocked.run_out();
    assert_eq!(story(&mut clocked), "g2000.0-2 r3000 d3000.0", "nobody had it");

    // A subscriber whose past reaches into the run does not wait for what was before.
    let mut clocked = Clocked::new();
    clocked.receive(7_000, after(young(3_000, 0), 2_000, 2), peer(RELAY));
    clocked.receive(7_000, young(3_000, 1), peer(RELAY));
    clocked.give(Input::Reached {
        reached: vec![(peer(1), 3_000, 1)],
        claimed: vec![],
        others_are_new: false,
    });
    assert_eq!(story(&mut clocked), "d3000.1");
}

#[test]
fn a_caught_up_subscriber_goes_on_where_it_stands() {
    let mut clocked = Clocked::new();
    let reached = vec![(peer(1), 5, 3)];
    clocked.give(Input::Reached {
        reached,
        claimed: vec![(peer(2), 5, 10)],
        others_are_new: true,
    });
    // The frame after its place is lost: the next one must not be taken for the first.
    clocked.receive(1_000, frame(5, 4), peer(RELAY));
    clocked.run_to(1_500);
    assert_eq!(repairs(&clocked), [(5, 3, 4)]);
    clocked.receive(1_600, frame(5, 3), peer(RELAY));
    assert_eq!(story(&mut clocked), "d5.3 d5.4");
    // Of a run that only members told of, what lies above; of one that nobody knew, all.
    for (publisher, from, ms) in [(2, 10, 2_000), (3, 0, 4_000)] {
        let before = repairs(&clocked).len();
        clocked.receive(ms, Frame::unsigned(peer(publisher), 5, 12..13), peer(RELAY));
        clocked.run_to(ms + 500);
        assert_eq!(repairs(&clocked)[before..], [(5, from, 12)]);
    }
}

#[test]
fn where_members_say_that_a_run_stood_is_where_it_begins() {
    let told = |clocked: &mut Clocked, claimed: Vec<(PeerId, u64, u64)>| {
        clocked.give(Input::Reached {
            reached: vec![],
            claimed,
            others_are_new: false,
        });
    };
    // Told while the run is being met, and before.
    let mut clocked = Clocked::new();
    clocked.receive(0, frame(5, 1_000), peer(RELAY));
    told(&mut clocked, vec![(peer(1), 5, 998), (peer(2), 5, 998)]);
    clocked.receive(100, Frame::unsigned(peer(2), 5, 1_000..1_001), peer(RELAY));
    clocked.run_to(700);
    assert_eq!(story(&mut clocked), "", "two are missing of each");
    for publisher in [1, 2] {
        clocked.receive(700, Frame::unsigned(peer(publisher), 5, 998..1_000), peer(RELAY));
    }
    assert_eq!(story(&mut clocked), "d5.998 d5.999 d5.1000 d5.998 d5.999 d5.1000");

    // Of an earlier run: what follows it is wanted from its start.
    let mut clocked = Clocked::new();
    told(&mut clocked, vec![(peer(1), 5, 3)]);
    clocked.receive(0, after(frame(6, 0), 5, 4), peer(RELAY));
    clocked.receive(100, frame(5, 3), peer(RELAY));
    assert_eq!(story(&mut clocked), "d5.3 r6 d6.0");

    // Who was not told of a run that is older than itself begins with what comes.
    let mut clocked = Clocked::new();
    told(&mut clocked, vec![]);
    clocked.receive(0, frame(5, 1_000), peer(RELAY));
    clocked.run_to(250);
    assert_eq!(story(&mut clocked), "d5.1000");
}
