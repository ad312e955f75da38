//! Who said what, who heard what, and whether that is right. Not where it went wrong: the journal has the times.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use maille::{Event, PeerId, Received};

use crate::network::Place;
use crate::plan::Plan;
use crate::world;

/// Faults that are told in words; the others are counted.
const FAULTS_TOLD_MAX: usize = 20;

/// One run of one publisher.
type Run = (PeerId, u64);

/// Where a subscriber began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Now,
    All,
}

#[derive(Debug)]
struct Reader {
    from: From,
    began: Duration,
    /// The network was parted then: who could be asked may have known less than others.
    parted: bool,
    /// The first and the next sequence number heard of each run.
    heard: BTreeMap<Run, (u64, u64)>,
    /// The run heard last of each publisher.
    latest: BTreeMap<PeerId, u64>,
    caught_up: bool,
    unanswered: bool,
}

/// What a run of the simulation is judged by.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// When each record of each run was published.
    published: BTreeMap<Run, Vec<Duration>>,
    readers: BTreeMap<Place, Reader>,
    parted: bool,
    /// Since when nothing is parted any more.
    healed: Duration,
    faults: Vec<String>,
    faults_more: usize,
    /// Everything that was heard, by whom and when, and what the network did: a line each.
    journal: String,
    pub(crate) deliveries: u64,
    pub(crate) unanswered: u64,
    latencies: Vec<Duration>,
}

impl Ledger {
    pub(crate) fn published(&mut self, publisher: PeerId, incarnation: u64, sequence: u64) {
        let times = self.published.entry((publisher, incarnation)).or_default();
        assert_eq!(times.len() as u64, sequence, "sequence numbers count");
        times.push(world::elapsed());
    }

    pub(crate) fn records(&self) -> usize {
        self.published.values().map(Vec::len).sum()
    }

    pub(crate) fn subscribed(&mut self, place: Place, from: From) {
        self.note(format_args!("{place} subscribes from {from:?}"));
        let reader = Reader {
            from,
            began: world::elapsed(),
            parted: self.parted,
            heard: BTreeMap::new(),
            latest: BTreeMap::new(),
            caught_up: from == From::Now,
            unanswered: false,
        };
        self.readers.insert(place, reader);
    }

    /// It is gone; what it missed from now on is no fault.
    pub(crate) fn left(&mut self, place: Place) {
        self.note(format_args!("{place} leaves"));
        self.readers.remove(&place);
    }

    /// Half of the network cannot reach the other half, or can again.
    pub(crate) fn parted(&mut self, parted: bool) {
        (self.parted, self.healed) = (parted, world::elapsed());
        self.note(format_args!("parted: {parted}"));
    }

    /// Writes a line into the journal.
    pub(crate) fn note(&mut self, what: impl std::fmt::Display) {
        let _ = writeln!(self.journal, "{} {what}", world::elapsed().as_millis());
    }

    fn fault(&mut self, what: String) {
        self.note(format_args!("FAULT {what}"));
        match self.faults.len() {
            FAULTS_TOLD_MAX => self.faults_more += 1,
            _ => self.faults.push(format!("at {:.1?}: {what}", world::elapsed())),
        }
    }

    pub(crate) fn heard(&mut self, place: Place, event: Event<String>) {
        match event {
            Event::Record(record) => self.record(place, &record),
            Event::CaughtUp => {
                self.note(format_args!("{place} caught up"));
                if let Some(reader) = self.readers.get_mut(&place) {
                    reader.caught_up = true;
                }
            }
            Event::Unanswered => {
                self.note(format_args!("{place} unanswered"));
                self.unanswered += 1;
                if let Some(reader) = self.readers.get_mut(&place) {
                    reader.unanswered = true;
                }
            }
            Event::Restarted { publisher, incarnation } => {
                self.note(format_args!("{place} restarted {publisher} {incarnation}"));
            }
            Event::Silent { publisher, .. } => self.note(format_args!("{place} silent {publisher}")),
            Event::Resumed { publisher } => self.note(format_args!("{place} resumed {publisher}")),
            // Nothing is older than what is kept, no reader is slow, and nobody lies.
            other => self.fault(format!("place {place} was told {other:?}")),
        }
    }

    fn record(&mut self, place: Place, record: &Received<String>) {
        let cursor = &record.cursor;
        let run = (cursor.publisher, cursor.incarnation);
        let sequence = cursor.sequence;
        self.note(format_args!("{place} heard {} {} {sequence}", run.0, run.1));
        self.deliveries += 1;
        let published = self.published.get(&run).and_then(|times| times.get(sequence as usize));
        match published {
            Some(at) if record.value == text(&run.0, sequence) && record.author == run.0 => {
                self.latencies.push(world::elapsed() - *at);
            }
            _ => self.fault(format!(
                "place {place} heard {:?}, which nobody published",
                record.value
            )),
        }
        let Some(reader) = self.readers.get_mut(&place) else {
            return;
        };
        let latest = reader.latest.insert(run.0, run.1);
        let backwards = latest.is_some_and(|latest| latest > run.1);
        let (_, next) = reader.heard.entry(run).or_insert((sequence, sequence));
        let expected = std::mem::replace(next, sequence + 1);
        if expected != sequence || backwards {
            self.fault(format!(
                "place {place} heard {} {} {sequence} instead of {expected}",
                run.0, run.1
            ));
        }
    }

    /// Every subscriber that is there at the end has everything that is for it.
    pub(crate) fn judge(&mut self) {
        let mut faults = Vec::new();
        for (place, reader) in &self.readers {
            if !reader.caught_up {
                faults.push(format!("place {place} never caught up"));
            }
            for (run, times) in &self.published {
                let end = times.len() as u64;
                // Of what was published before, a reader from now has what it has, without holes.
                let due = match reader.from {
                    From::All if !reader.unanswered && !reader.parted => 0,
                    _ => {
                        let met = if reader.parted { self.healed } else { reader.began };
                        times.iter().filter(|at| **at < met + Plan::SETTLED).count() as u64
                    }
                };
                let (first, next) = reader.heard.get(run).copied().unwrap_or((end, end));
                if first > due || next != end {
                    faults.push(format!(
                        "place {place}, from {:?} at {:.1?}, has {first}..{next} of {} {}, should have {due}..{end}",
                        reader.from, reader.began, run.0, run.1
                    ));
                }
            }
        }
        faults.into_iter().for_each(|fault| self.fault(fault));
    }

    pub(crate) fn readers(&self) -> usize {
        self.readers.len()
    }

    pub(crate) fn faults(&self) -> (&[String], usize) {
        (&self.faults, self.faults_more)
    }

    pub(crate) fn journal(&self) -> &str {
        &self.journal
    }

    /// The latency that half, and that all but one in a hundred, of the deliveries did not exceed.
    pub(crate) fn latencies(&mut self) -> (Duration, Duration) {
        self.latencies.sort_unstable();
        let at = |share: f64| {
            let index = (self.latencies.len() as f64 * share) as usize;
            self.latencies.get(index).copied().unwrap_or_default()
        };
        (at(0.5), at(0.99))
    }
}

/// What a publisher says.
pub(crate) fn text(publisher: &PeerId, sequence: u64) -> String {
    format!("{publisher} says {sequence}")
}
