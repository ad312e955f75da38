//! One subscriber as the runtime feeds it: first with the past, by its session, then with what arrives; bounded, and told
//! what it missed. What it hears goes into its diary.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use maille::{
    PeerId, Start,
    core::catchup::{Run, SessionId},
};

use super::{diary::Diary, queue::Us};

/// What a subscriber hears.
#[derive(Debug, Clone, Hash)]
pub(crate) enum Heard {
    Record { run: Run, sequence: u64, payload: Bytes },
    Gap { run: Run, from: u64, to: u64 },
    Restarted(Run),
    Fork(Run),
    Lagged(u64),
    Unanswered,
    CaughtUp,
}

#[derive(Debug)]
enum Phase {
    History(SessionId),
    /// From these places on.
    Live(BTreeMap<PeerId, (u64, u64)>),
}

#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) start: Start,
    /// When it subscribed.
    pub(crate) joined: Us,
    phase: Phase,
    inbox: VecDeque<Heard>,
    inbox_max: usize,
    /// It takes nothing out of its inbox.
    asleep: bool,
    missed: u64,
    pub(crate) diary: Diary,
}

impl Reader {
    pub(crate) fn new(start: Start, session: Option<SessionId>, inbox_max: usize, joined: Us) -> Self {
        let diary = Diary::new(&start);
        Self {
            start,
            joined,
            phase: session.map_or_else(|| Phase::Live(BTreeMap::new()), Phase::History),
            inbox: VecDeque::new(),
            inbox_max,
            asleep: false,
            missed: 0,
            diary,
        }
    }

    pub(crate) fn session(&self) -> Option<SessionId> {
        match self.phase {
            Phase::History(session) => Some(session),
            Phase::Live(_) => None,
        }
    }

    pub(crate) fn go_live(&mut self, reached: Vec<(Run, u64)>) {
        let mut latest: BTreeMap<PeerId, (u64, u64)> = BTreeMap::new();
        for (run, next) in reached {
            let place = latest.entry(run.publisher).or_default();
            *place = (run.incarnation, next).max(*place);
        }
        self.phase = Phase::Live(latest);
        self.give(Heard::CaughtUp);
    }

    /// Whether more of the past may be fetched for it.
    pub(crate) fn has_room(&self) -> bool {
        self.inbox.len() < self.inbox_max / 2
    }

    pub(crate) fn sleep(&mut self) {
        self.asleep = true;
    }

    /// Reads all that is there; whether it had no room before.
    pub(crate) fn wake(&mut self) -> bool {
        self.asleep = false;
        let was_full = !self.has_room();
        self.read();
        self.report_missed();
        self.read();
        was_full
    }

    /// What arrives, unless it comes before its place.
    pub(crate) fn deliver(&mut self, heard: Heard) {
        let Phase::Live(reached) = &self.phase else {
            if matches!(heard, Heard::Fork(_)) {
                self.give(heard);
            }
            return;
        };
        let place = |publisher: &PeerId| reached.get(publisher).copied().unwrap_or_default();
        let heard = match heard {
            Heard::Record { run, sequence, .. } if (run.incarnation, sequence) < place(&run.publisher) => return,
            Heard::Restarted(run) if run.incarnation <= place(&run.publisher).0 => return,
            Heard::Gap { run, from, to } => {
                let (incarnation, next) = place(&run.publisher);
                let from = if run.incarnation == incarnation {
                    from.max(next)
                } else {
                    from
                };
                if run.incarnation < incarnation || from >= to {
                    return;
                }
                Heard::Gap { run, from, to }
            }
            heard => heard,
        };
        self.give(heard);
    }

    pub(crate) fn give(&mut self, heard: Heard) {
        self.report_missed();
        if self.missed > 0 || self.inbox.len() >= self.inbox_max {
            self.missed += 1;
            return;
        }
        self.inbox.push_back(heard);
        if !self.asleep {
            self.read();
        }
    }

    fn report_missed(&mut self) {
        if self.missed > 0 && self.inbox.len() < self.inbox_max {
            self.inbox.push_back(Heard::Lagged(std::mem::take(&mut self.missed)));
        }
    }

    fn read(&mut self) {
        while let Some(heard) = self.inbox.pop_front() {
            self.diary.write(&heard);
        }
    }

    /// Events that wait to be read.
    pub(crate) fn waiting(&self) -> usize {
        self.inbox.len()
    }
}
