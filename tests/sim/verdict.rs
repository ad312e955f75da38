//! Whether every subscriber that is connected has all there is: what any connected node holds of a run, from where the
//! subscriber began. That it was told in order and once is in its diary.

use std::{
    cmp::Ordering,
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    ops::Range,
};

use maille::{Start, core::catchup::Run};

use super::{
    diary::Span,
    queue::{SECOND, Us},
    reader::Reader,
    world::World,
};

/// A subscriber that begins with what is published from now on hears all that is published so long after.
const BEGUN_AFTER: Us = 15 * SECOND;

#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Subscribers that were connected at the end.
    pub(crate) readers: usize,
    /// Records that they heard.
    pub(crate) records: u64,
    /// Records that they were told are missing.
    pub(crate) gaps: u64,
    /// Records that are held, were not heard, and were not reported.
    pub(crate) silent: u64,
    /// Records that were reported as missing while a neighbour held them.
    pub(crate) false_gaps: u64,
    /// Records that were not heard because a subscriber who wanted what is new met their run later. What many hold
    /// counts as often.
    pub(crate) late: u64,
    /// What was wrong, in words.
    pub(crate) faults: Vec<String>,
    /// What was reported as missing while a neighbour held it, in words.
    pub(crate) in_vain: Vec<String>,
    /// The same in every run of one seed.
    pub(crate) digest: u64,
}

/// What of a range is not in these.
fn without(range: Range<u64>, spans: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut rest = vec![range];
    for span in spans {
        let cut = |part: Range<u64>| {
            let (below, above) = (
                part.start..part.end.min(span.start.max(part.start)),
                part.start.max(span.end)..part.end,
            );
            let parts = if span.is_empty() { [part, 0..0] } else { [below, above] };
            parts.into_iter().filter(|part| !part.is_empty())
        };
        rest = rest.into_iter().flat_map(cut).collect();
    }
    rest
}

fn length(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}

/// The spans of one run that were heard, or reported as missing.
fn told(spans: &[Span], run: Run, heard: bool) -> Vec<Range<u64>> {
    let told = spans.iter().filter(|span| span.run == run && span.heard == heard);
    told.map(|span| span.sequences.clone()).collect()
}

impl World {
    pub(crate) fn verdict(&self) -> Verdict {
        let mut held: BTreeMap<Run, Vec<Range<u64>>> = BTreeMap::new();
        for node in self.here() {
            for (run, spans) in self.held_by(node) {
                held.entry(run).or_default().extend(spans);
            }
        }
        let mut verdict = Verdict::default();
        let mut hasher = DefaultHasher::new();
        for node in self.here() {
            for (number, reader) in self.nodes[node].readers.iter().enumerate() {
                let name = format!(
                    "reader {node}.{number} ({:?} at {} s)",
                    reader.start,
                    reader.joined / SECOND
                );
                let (before, in_vain) = (verdict.faults.len(), verdict.in_vain.len());
                self.judge(node, reader, &held, &mut verdict);
                let faults = reader.diary.faults.iter().cloned();
                verdict.faults.extend(faults);
                let faults = verdict.faults[before..].iter_mut();
                for fault in faults.chain(&mut verdict.in_vain[in_vain..]) {
                    fault.insert_str(0, &format!("{name}: "));
                }
                verdict.readers += 1;
                verdict.records += reader.diary.records;
                verdict.gaps += reader
                    .diary
                    .gaps()
                    .map(|span| span.sequences.end - span.sequences.start)
                    .sum::<u64>();
                reader.diary.digest().hash(&mut hasher);
            }
        }
        verdict.digest = hasher.finish();
        verdict
    }

    fn judge(&self, node: usize, reader: &Reader, held: &BTreeMap<Run, Vec<Range<u64>>>, verdict: &mut Verdict) {
        if !reader.diary.caught_up {
            verdict.faults.push("never caught up".to_owned());
        }
        for (run, held) in held {
            if reader.diary.forks.contains(run) {
                continue;
            }
            let spans = reader.diary.spans(&run.publisher);
            let (from, due) = self.begins(reader, *run);
            let (heard, missing) = (told(spans, *run, true), told(spans, *run, false));
            let mut lacking: Vec<Range<u64>> = vec![];
            for range in held {
                verdict.late += range.end.min(from).saturating_sub(range.start.max(due));
                let wanted = range.start.max(from)..range.end;
                if wanted.is_empty() {
                    continue;
                }
                for part in without(wanted, &heard) {
                    lacking.extend(without(part, &lacking));
                }
            }
            let silent: Vec<Range<u64>> = lacking
                .iter()
                .flat_map(|part| without(part.clone(), &missing))
                .collect();
            verdict.silent += length(&silent);
            for part in lacking.iter().flat_map(|part| without(part.clone(), &silent)) {
                let false_gaps = part
                    .clone()
                    .filter(|at| !self.excused.contains(&(node, *run, *at)))
                    .count();
                verdict.false_gaps += false_gaps as u64;
                if false_gaps > 0 {
                    let fault =
                        format!("{run:?}: {part:?} reported as missing, {false_gaps} of them held by a neighbour");
                    verdict.in_vain.push(fault);
                }
            }
            for lost in silent {
                let published = |at: u64| self.published_at(*run, at).map(|at| at / 1_000);
                let times = (published(lost.start), published(lost.end - 1));
                let spans: Vec<_> = spans
                    .iter()
                    .map(|span| (span.run.incarnation, &span.sequences, span.heard))
                    .collect();
                let what = format!("lost in silence, published at {times:?} ms; it heard {spans:?}");
                verdict.faults.push(format!("{run:?}: {lost:?} {what}"));
            }
        }
    }

    fn published_at(&self, run: Run, sequence: u64) -> Option<Us> {
        let times = &self.published.get(&run)?.times;
        times.get(usize::try_from(sequence).ok()?).copied()
    }

    /// From where on a reader wants a run, and from where on one that heard of it at once would.
    fn begins(&self, reader: &Reader, run: Run) -> (u64, u64) {
        let in_run = |(incarnation, next): (u64, u64)| match incarnation.cmp(&run.incarnation) {
            Ordering::Less => 0,
            Ordering::Equal => next,
            Ordering::Greater => u64::MAX,
        };
        let began = reader.diary.began(&run.publisher).map(in_run);
        let resumed = match &reader.start {
            Start::After(position) => position.next(&run.publisher),
            _ => None,
        };
        if let Some(next) = resumed {
            let from = in_run((next.incarnation, next.sequence));
            return (from, from);
        }
        if matches!(reader.start, Start::All | Start::After(_)) {
            // Three members are asked how far back there is anything.
            return (began.unwrap_or(0), 0);
        }
        let began = began.unwrap_or(u64::MAX);
        let times = self.published.get(&run).map_or(&[][..], |run| &run.times);
        let published_by = |time| times.partition_point(|at| *at < time) as u64;
        let due = published_by(reader.joined + BEGUN_AFTER).min(began);
        match reader.start {
            // Of what was there it wants only the newest.
            Start::Latest => (began.max(published_by(reader.joined)), due),
            _ => (began, due),
        }
    }
}
