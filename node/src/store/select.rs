//! Where a selection begins in each run, found by a few looks at single frames. Knows nothing of how frames are kept.

use std::collections::BinaryHeap;
use std::ops::Range;

use libp2p::PeerId;

/// A frame's place in its run, and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) first: u64,
    pub(super) end: u64,
    pub(super) sent_us: u64,
}

/// The newest spans of frames that come from the last to the first, ascending.
pub(super) fn spans<E>(
    descending: impl Iterator<Item = Result<Range<u64>, E>>,
    spans_max: usize,
) -> Result<Vec<Range<u64>>, E> {
    let mut spans: Vec<Range<u64>> = Vec::new();
    for frame in descending {
        let frame = frame?;
        let full = spans.len() == spans_max;
        match spans.last_mut() {
            Some(above) if above.start == frame.end => above.start = frame.start,
            _ if full => break,
            _ => spans.push(frame),
        }
    }
    spans.reverse();
    Ok(spans)
}

/// The first sequence number of the frames of `first..next` that were sent at or after `since_us`; `None` if none was.
///
/// `before` gives the last frame that begins before a number, and must find the one that begins at `first`.
pub(super) fn since<E>(
    (first, next): (u64, u64),
    since_us: u64,
    mut before: impl FnMut(u64) -> Result<Option<Place>, E>,
) -> Result<Option<u64>, E> {
    // Frames that begin before `low` are too old; those from `high` are not.
    let (mut low, mut high) = (first, next);
    while low < high {
        let middle = low + (high - low) / 2;
        // `middle` is below `next`, so that one more is a number still.
        match before(middle + 1)?.filter(|place| place.first >= low) {
            Some(place) if place.sent_us >= since_us => high = place.first,
            _ => low = middle + 1,
        }
    }
    Ok((high < next).then_some(high))
}

/// A run among others whose newest records are counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) publisher: PeerId,
    pub(super) incarnation: u64,
    pub(super) next: u64,
}

/// Where in each run the newest `records` records of all runs begin; `None` where there are none of them.
///
/// `before` gives the last frame of a run that begins before a number.
pub(super) fn last<E>(
    runs: &[Run],
    records: u32,
    mut before: impl FnMut(usize, u64) -> Result<Option<Place>, E>,
) -> Result<Vec<Option<u64>>, E> {
    let mut from = vec![None; runs.len()];
    let mut newest = BinaryHeap::new();
    let mut push = |newest: &mut BinaryHeap<_>, index: usize, number| {
        if let Some(place) = before(index, number)? {
            let run = &runs[index];
            // Ties: the greater publisher, then the later incarnation.
            newest.push((
                place.sent_us,
                run.publisher,
                run.incarnation,
                index,
                place.first,
                place.end,
            ));
        }
        Ok(())
    };
    for (index, run) in runs.iter().enumerate() {
        push(&mut newest, index, run.next)?;
    }
    let mut left = u64::from(records);
    while left > 0
        && let Some((.., index, first, end)) = newest.pop()
    {
        let taken = left.min(end - first);
        left -= taken;
        from[index] = Some(end - taken);
        push(&mut newest, index, first)?;
    }
    Ok(from)
}
