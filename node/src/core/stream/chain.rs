//! The chain of hashes through the latest frames of one run: whether a frame contradicts what its publisher signed before.
//! Not whether a frame is new, and not what follows from a contradiction.

use std::collections::BTreeMap;

use super::frame::Frame;

/// Frames of a run of which the hash is remembered: as many as a publisher may have under way.
pub const LINKS_MAX: usize = 256;

#[derive(Debug, Clone, Copy)]
struct Link {
    end: u64,
    body_hash: [u8; 32],
    previous: Option<[u8; 32]>,
}

/// The latest frames of one run, by first sequence number. Heads are no links.
#[derive(Debug, Default)]
pub(super) struct Chain(BTreeMap<u64, Link>);

impl Chain {
    /// Whether this very frame is remembered.
    pub(super) fn contains(&self, frame: &Frame) -> bool {
        let link = self.0.get(&frame.sequences().start);
        link.is_some_and(|link| link.body_hash == frame.body_hash)
    }

    /// The sequence number at which the frame and a remembered one cannot both be true: they share it with other contents,
    /// or one names another body before it.
    pub(super) fn contradiction(&self, frame: &Frame) -> Option<u64> {
        let sequences = frame.sequences();
        if self.contains(frame) {
            return None;
        }
        if !frame.is_head() {
            let below_its_end = self.0.range(..sequences.end).next_back();
            if let Some((first, link)) = below_its_end
                && link.end > sequences.start
            {
                return Some((*first).max(sequences.start));
            }
            if let Some(after) = self.0.get(&sequences.end)
                && after.previous != Some(frame.body_hash)
            {
                return Some(sequences.end);
            }
        }
        let before = self.0.range(..sequences.start).next_back()?.1;
        let breaks = before.end == sequences.start && frame.previous != Some(before.body_hash);
        breaks.then(|| sequences.start - 1)
    }

    /// Remembers a frame that contradicts nothing, and forgets the lowest beyond [`LINKS_MAX`].
    pub(super) fn insert(&mut self, frame: &Frame) {
        if frame.is_head() {
            return;
        }
        let link = Link {
            end: frame.sequences().end,
            body_hash: frame.body_hash,
            previous: frame.previous,
        };
        self.0.insert(frame.sequences().start, link);
        if self.0.len() > LINKS_MAX {
            self.0.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::stream::testing::peer;

    fn frame(from: u64, to: u64) -> Frame {
        Frame::unsigned(peer(1), 7, from..to)
    }

    fn other(from: u64, to: u64) -> Frame {
        Frame {
            body_hash: [9; 32],
            ..frame(from, to)
        }
    }

    #[test]
    fn what_an_honest_publisher_signs_never_contradicts_in_any_order() {
        let frames = [frame(0, 3), frame(3, 4), frame(4, 9), frame(9, 10)];
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
            let mut chain = Chain::default();
            for frame in order.map(|index| &frames[index]) {
                assert_eq!(chain.contradiction(frame), None);
                chain.insert(frame);
                assert_eq!(chain.contradiction(frame), None, "a copy");
            }
            for next in [3, 4, 10] {
                let head = Frame::unsigned_head(peer(1), 7, next, 5);
                assert_eq!(chain.contradiction(&head), None);
            }
        }
    }

    #[test]
    fn two_contents_of_one_sequence_number_and_broken_links_are_noticed() {
        let mut chain = Chain::default();
        chain.insert(&frame(0, 3));
        chain.insert(&frame(4, 9));
        assert_eq!(chain.contradiction(&other(0, 3)), Some(0));
        assert_eq!(chain.contradiction(&other(2, 4)), Some(2), "overlaps the first");
        assert_eq!(chain.contradiction(&other(3, 5)), Some(4), "overlaps the second");
        assert_eq!(
            chain.contradiction(&other(3, 4)),
            Some(4),
            "the one after names another"
        );
        let broken = |frame: Frame| Frame {
            previous: Some([8; 32]),
            ..frame
        };
        assert_eq!(chain.contradiction(&broken(frame(3, 4))), Some(2));
        assert_eq!(chain.contradiction(&broken(frame(9, 10))), Some(8));
        assert_eq!(
            chain.contradiction(&broken(Frame::unsigned_head(peer(1), 7, 9, 5))),
            Some(8)
        );
        assert_eq!(chain.contradiction(&frame(9, 12)), None);
        assert_eq!(chain.contradiction(&frame(100, 101)), None, "too far to tell");
    }

    #[test]
    fn it_is_bounded() {
        let mut chain = Chain::default();
        for number in 0..10_000 {
            chain.insert(&frame(number, number + 1));
            assert!(chain.0.len() <= LINKS_MAX);
        }
        assert_eq!(chain.contradiction(&other(9_999, 10_000)), Some(9_999));
        assert_eq!(chain.contradiction(&other(5, 6)), None, "forgotten");
    }
}
