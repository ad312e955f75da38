//! A set of sequence numbers as ranges. Bounded by who fills it.

use std::ops::Range;

/// Ascending half-open ranges that neither touch nor overlap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Spans(Vec<Range<u64>>);

impl Spans {
    pub(super) fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.0.partition_point(|span| span.end < range.start);
        let last = self.0.partition_point(|span| span.start <= range.end);
        let joined = self.0[first..last].iter().fold(range, |joined, span| {
            joined.start.min(span.start)..joined.end.max(span.end)
        });
        self.0.splice(first..last, [joined]);
    }

    pub(super) fn remove(&mut self, range: &Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.0.partition_point(|span| span.end <= range.start);
        let last = self.0.partition_point(|span| span.start < range.end);
        if first >= last {
            return;
        }
        let before = self.0[first].start..range.start;
        let after = range.end..self.0[last - 1].end;
        let rest = [before, after].into_iter().filter(|span| !span.is_empty());
        self.0.splice(first..last, rest.collect::<Vec<_>>());
    }

    /// What of it lies in `range`.
    pub(super) fn within(&self, range: &Range<u64>) -> Self {
        let overlap = |span: &Range<u64>| span.start.max(range.start)..span.end.min(range.end);
        let first = self.0.partition_point(|span| span.end <= range.start);
        let spans = self.0[first..].iter().map(overlap);
        Self(spans.take_while(|span| !span.is_empty()).collect())
    }

    pub(super) fn contains(&self, sequence: u64) -> bool {
        self.next_from(sequence) == Some(sequence)
    }

    /// The lowest one that is not below `sequence`.
    pub(super) fn next_from(&self, sequence: u64) -> Option<u64> {
        let at = self.0.partition_point(|span| span.end <= sequence);
        self.0.get(at).map(|span| span.start.max(sequence))
    }

    /// The range that holds `sequence`, from there on.
    pub(super) fn run_from(&self, sequence: u64) -> Option<Range<u64>> {
        let at = self.0.partition_point(|span| span.end <= sequence);
        let span = self.0.get(at).filter(|span| span.start <= sequence)?;
        Some(sequence..span.end)
    }

    pub(super) fn first(&self) -> Option<&Range<u64>> {
        self.0.first()
    }

    /// The one after the last.
    pub(super) fn end(&self) -> Option<u64> {
        self.0.last().map(|span| span.end)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Range<u64>> {
        self.0.iter()
    }
}

impl FromIterator<Range<u64>> for Spans {
    fn from_iter<T: IntoIterator<Item = Range<u64>>>(ranges: T) -> Self {
        let mut spans = Self::default();
        ranges.into_iter().for_each(|range| spans.insert(range));
        spans
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn spans_are_a_set(changes in prop::collection::vec((any::<bool>(), 0_u64..60, 0_u64..9), 0..40), cut in 0_u64..60) {
            let (mut spans, mut model) = (Spans::default(), BTreeSet::new());
            for (add, from, length) in changes {
                let range = from..from + length;
                if add {
                    spans.insert(range.clone());
                    model.extend(range);
                } else {
                    spans.remove(&range);
                    model.retain(|number| !range.contains(number));
                }
                prop_assert!(spans.0.windows(2).all(|pair| pair[0].end < pair[1].start), "{:?}", spans);
                prop_assert!(spans.0.iter().all(|span| !span.is_empty()), "{:?}", spans);
            }
            prop_assert_eq!(spans.iter().cloned().flatten().collect::<BTreeSet<_>>(), model.clone());
            prop_assert_eq!(spans.next_from(cut), model.range(cut..).next().copied());
            prop_assert_eq!(spans.contains(cut), model.contains(&cut));
            let within: BTreeSet<u64> = spans.within(&(cut..cut + 10)).iter().cloned().flatten().collect();
            prop_assert_eq!(within, model.range(cut..cut + 10).copied().collect::<BTreeSet<_>>());
        }
    }
}
