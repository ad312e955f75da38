//! Quorums of few and many votes, in any order; and trust.

use proptest::prelude::*;

use super::*;

fn peers(count: usize) -> Vec<PeerId> {
    let mut peers: Vec<_> = (0..count).map(|_| PeerId::random()).collect();
    peers.sort_unstable();
    peers
}

fn cast(replicas: usize, answers: &[&'static str]) -> (Quorum<&'static str>, Vec<PeerId>) {
    let (mut quorum, peers) = (Quorum::new(replicas), peers(answers.len()));
    for (voter, answer) in peers.iter().zip(answers) {
        quorum.vote(*voter, *answer);
    }
    (quorum, peers)
}

#[test]
fn a_majority_is_accepted_and_the_liar_named() {
    let (quorum, peers) = cast(3, &["x", "y", "x"]);
    assert_eq!(quorum.verdict(), Verdict::Accepted(&"x"));
    assert_eq!(quorum.liars(), [peers[1]]);
    assert_eq!(
        cast(3, &["x", "x"]).0.verdict(),
        Verdict::Accepted(&"x"),
        "a third cannot change it"
    );
    assert_eq!(cast(1, &["x"]).0.verdict(), Verdict::Accepted(&"x"));
    assert_eq!(cast(2, &["x"]).0.verdict(), Verdict::Open { missing: 1 });
}

#[test]
fn without_a_majority_more_are_asked_and_then_there_is_none() {
    for (answers, missing) in [
        (&[][..], 3),
        (&["x"], 2),
        (&["x", "y"], 1),
        (&["x", "y", "z"], 2),
        (&["x", "y", "z", "x"], 1),
        (&["x", "x", "y", "y", "z"], 2),
        (&["x", "x", "y", "y", "z", "x"], 1),
    ] {
        let (quorum, _) = cast(3, answers);
        assert_eq!(quorum.verdict(), Verdict::Open { missing }, "{answers:?}");
        assert!(quorum.liars().is_empty(), "{answers:?}");
    }
    let three_of_seven = cast(3, &["x", "x", "x", "y", "y", "z", "z"]).0;
    assert_eq!(three_of_seven.verdict(), Verdict::NoQuorum, "most is not a majority");
    assert_eq!(
        cast(3, &["a", "b", "c", "d", "e", "f", "g"]).0.verdict(),
        Verdict::NoQuorum
    );
}

#[test]
fn who_gives_two_answers_counts_for_neither() {
    let (mut quorum, peers) = cast(3, &["x", "x"]);
    assert!(!quorum.vote(peers[0], "x"), "said again");
    assert!(quorum.vote(peers[0], "y"));
    assert!(!quorum.vote(peers[0], "x"), "nothing makes it count again");
    assert_eq!(quorum.verdict(), Verdict::Open { missing: 2 });
    assert_eq!(quorum.liars(), [peers[0]]);
}

#[test]
fn trust_takes_long_and_goes_at_once() {
    let (mut trust, member) = (Trust::default(), PeerId::random());
    for _ in 0..CLEAN_MIN {
        assert_eq!(trust.replicas(&member, 3, 1), 3);
        trust.right(member);
    }
    assert_eq!(trust.replicas(&member, 3, 1), 1);
    assert_eq!(trust.replicas(&member, 3, AUDIT_ONE_IN), 3, "audited");
    trust.wrong(&member);
    assert_eq!(trust.replicas(&member, 3, 1), 3);
    (0..HOSTS_MAX + 9).for_each(|_| trust.right(PeerId::random()));
    assert_eq!(trust.clean.len(), HOSTS_MAX);
}

proptest! {
    #[test]
    fn the_order_of_votes_does_not_matter(
        votes in prop::collection::vec((0_usize..80, 0_u8..4), 0..160),
        replicas in 1_usize..9,
        swaps in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..80),
    ) {
        let peers = peers(80);
        let count = |votes: &[(usize, u8)]| {
            let mut quorum = Quorum::new(replicas);
            for (voter, answer) in votes {
                quorum.vote(peers[*voter], *answer);
            }
            quorum
        };
        let mut other = votes.clone();
        if !votes.is_empty() {
            swaps.iter().for_each(|(a, b)| other.swap(a.index(votes.len()), b.index(votes.len())));
        }
        let (one, other) = (count(&votes), count(&other));
        prop_assert_eq!(one.verdict(), other.verdict());
        prop_assert_eq!(one.liars(), other.liars());
        prop_assert!(one.votes.len() <= VOTERS_MAX);
        if let Verdict::Open { missing } = one.verdict() {
            prop_assert!(missing >= 1);
            let voted = one.votes().filter(|(_, answer)| answer.is_some()).count();
            prop_assert!(voted + missing <= one.asked_max());
        }
    }
}
