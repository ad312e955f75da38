//! What one subscriber heard, and whether it was told in order, once, and without silent holes. Not whether that was all
//! there was: the verdict asks that.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    ops::Range,
};

use maille::{Cursor, PeerId, Position, Start, core::catchup::Run};

use super::reader::Heard;

/// Consecutive records of one run that were all heard, or all reported as missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) run: Run,
    pub(crate) sequences: Range<u64>,
    pub(crate) heard: bool,
}

#[derive(Debug)]
pub(crate) struct Diary {
    /// Of each publisher, in the order in which it was heard.
    spans: BTreeMap<PeerId, Vec<Span>>,
    pub(crate) forks: Vec<Run>,
    pub(crate) restarts: u64,
    pub(crate) records: u64,
    pub(crate) lagged: u64,
    pub(crate) caught_up: bool,
    pub(crate) unanswered: bool,
    /// It chose single records of the past: holes there are none.
    picks: bool,
    /// Where that ended.
    picked: BTreeMap<PeerId, (u64, u64)>,
    /// What was wrong.
    pub(crate) faults: Vec<String>,
    position: Position,
    /// The hash of everything.
    hasher: DefaultHasher,
}

/// What a record of a run says.
pub(crate) fn payload(run: Run, sequence: u64) -> String {
    let mut hasher = DefaultHasher::new();
    (run, sequence).hash(&mut hasher);
    format!("{sequence}: {:016x}", hasher.finish())
}

impl Diary {
    pub(crate) fn new(start: &Start) -> Self {
        Self {
            spans: BTreeMap::new(),
            forks: vec![],
            restarts: 0,
            records: 0,
            lagged: 0,
            caught_up: *start == Start::Now,
            unanswered: false,
            picks: *start == Start::Latest,
            picked: BTreeMap::new(),
            faults: vec![],
            position: match start {
                Start::After(position) => position.clone(),
                _ => Position::new(),
            },
            hasher: DefaultHasher::new(),
        }
    }

    pub(crate) fn spans(&self, publisher: &PeerId) -> &[Span] {
        self.spans.get(publisher).map_or(&[], Vec::as_slice)
    }

    /// From where on it heard of a publisher without a choice: the run and the sequence number.
    pub(crate) fn began(&self, publisher: &PeerId) -> Option<(u64, u64)> {
        let first = self.spans(publisher).first();
        let first = first.map(|first| (first.run.incarnation, first.sequences.start));
        self.picked.get(publisher).copied().or(first)
    }

    pub(crate) fn gaps(&self) -> impl Iterator<Item = &Span> {
        self.spans.values().flatten().filter(|span| !span.heard)
    }

    /// Where it could be resumed.
    pub(crate) fn position(&self) -> &Position {
        &self.position
    }

    pub(crate) fn digest(&self) -> u64 {
        self.hasher.finish()
    }

    pub(crate) fn write(&mut self, heard: &Heard) {
        heard.hash(&mut self.hasher);
        match heard {
            Heard::Record {
                run,
                sequence,
                payload: said,
            } => {
                self.records += 1;
                if **said != *payload(*run, *sequence).as_bytes() {
                    self.faults.push(format!("{run:?} {sequence}: not what was published"));
                }
                if self.forks.contains(run) {
                    self.faults.push(format!("{run:?} {sequence}: after its fork"));
                }
                self.next(*run, *sequence..*sequence + 1, true);
            }
            Heard::Gap { run, from, to } => self.next(*run, *from..*to, false),
            Heard::Restarted(_) => self.restarts += 1,
            Heard::Fork(run) => self.forks.push(*run),
            Heard::Lagged(missed) => self.lagged += missed,
            Heard::Unanswered => self.unanswered = true,
            Heard::CaughtUp => {
                self.caught_up = true;
                if std::mem::take(&mut self.picks) {
                    let last = |(publisher, spans): (&PeerId, &Vec<Span>)| {
                        let last = spans.last()?;
                        Some((*publisher, (last.run.incarnation, last.sequences.end)))
                    };
                    self.picked = self.spans.iter().filter_map(last).collect();
                }
            }
        }
    }

    fn next(&mut self, run: Run, sequences: Range<u64>, heard: bool) {
        let at = |sequence| Cursor {
            publisher: run.publisher,
            incarnation: run.incarnation,
            sequence,
        };
        if sequences.is_empty() {
            self.faults
                .push(format!("{run:?}: an empty gap at {}", sequences.start));
            return;
        }
        self.position.advance(&at(sequences.end - 1));
        let spans = self.spans.entry(run.publisher).or_default();
        let Some(last) = spans.last_mut() else {
            spans.push(Span { run, sequences, heard });
            return;
        };
        let expected = last.sequences.end;
        if run.incarnation < last.run.incarnation {
            self.faults.push(format!("{run:?} {sequences:?}: after {:?}", last.run));
        } else if run == last.run && sequences.start < expected {
            self.faults.push(format!(
                "{run:?} {sequences:?}: {expected} was next: twice, or out of order"
            ));
        } else if run == last.run && sequences.start > expected && self.lagged == 0 && !self.picks {
            self.faults
                .push(format!("{run:?} {sequences:?}: {expected} was next: a silent hole"));
        }
        if run == last.run && sequences.start == expected && heard == last.heard {
            last.sequences.end = sequences.end;
        } else {
            spans.push(Span { run, sequences, heard });
        }
    }
}
