//! The sequence numbers seen of one run, as a bounded list of ranges. Not their contents.

/// Ranges of one run; holes beyond it are closed from the lowest up, which makes what is missing there count as seen, so
/// that it is lost when it comes. There are as many as frames in flight that overtook another: some windows of them,
/// where a node is slow and its neighbours are not equally so.
pub(super) const RANGES_MAX: usize = 1_024;

/// Disjoint, not adjacent, ascending half-open ranges.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Whether any of `from..to` was seen.
    pub(super) fn overlaps(&self, from: u64, to: u64) -> bool {
        let after = self.0.partition_point(|range| range.1 <= from);
        self.0.get(after).is_some_and(|range| range.0 < to)
    }

    /// Notes that `from..to` was seen.
    pub(super) fn insert(&mut self, from: u64, to: u64) {
        if from >= to {
            return;
        }
        // Those that touch the new range, ends included, become one with it.
        let first = self.0.partition_point(|range| range.1 < from);
        let last = self.0.partition_point(|range| range.0 <= to);
        let joined = self.0[first..last].iter().fold((from, to), |joined, range| {
            (joined.0.min(range.0), joined.1.max(range.1))
        });
        self.0.splice(first..last, [joined]);
        if self.0.len() > RANGES_MAX {
            self.0[1].0 = self.0[0].0;
            self.0.remove(0);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::core::stream::{outbox::WINDOW_FRAMES, testing::cases};

    proptest! {
        #![proptest_config(cases(300))]

        #[test]
        fn ranges_are_a_set_of_numbers(inserts in prop::collection::vec((0_u64..200, 1_u64..6), 0..60)) {
            let (mut ranges, mut model) = (Ranges::default(), BTreeSet::new());
            for (from, length) in inserts {
                let to = from + length;
                prop_assert_eq!(ranges.overlaps(from, to), (from..to).any(|number| model.contains(&number)));
                ranges.insert(from, to);
                model.extend(from..to);
                prop_assert!(ranges.0.windows(2).all(|pair| pair[0].1 < pair[1].0), "disjoint, not adjacent: {:?}", ranges);
            }
            let numbers: Vec<u64> = ranges.0.iter().flat_map(|range| range.0..range.1).collect();
            prop_assert_eq!(numbers, model.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn frames_that_were_overtaken_are_still_new() {
        let flying = 4 * WINDOW_FRAMES;
        let mut ranges = Ranges::default();
        for number in (0..flying).step_by(2) {
            ranges.insert(number, number + 1);
        }
        let late = (1..flying)
            .step_by(2)
            .filter(|number| ranges.overlaps(*number, number + 1));
        assert_eq!(late.count(), 0);
    }

    #[test]
    fn holes_are_closed_from_the_lowest_up() {
        let mut ranges = Ranges::default();
        for number in 0..10_000 {
            ranges.insert(number * 3, number * 3 + 1);
            assert!(ranges.len() <= RANGES_MAX, "{} ranges", ranges.len());
        }
        assert!(ranges.overlaps(1, 3), "closed");
        assert!(!ranges.overlaps(9_999 * 3 - 2, 9_999 * 3), "the newest hole is open");
        ranges.insert(u64::MAX - 1, u64::MAX);
        assert!(ranges.overlaps(u64::MAX - 1, u64::MAX));
        assert!(!ranges.overlaps(u64::MAX, u64::MAX), "nothing overlaps an empty range");
    }
}
