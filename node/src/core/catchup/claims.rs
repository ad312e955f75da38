//! Who says that it holds what, of every run. Not whether that is true.

use std::{collections::BTreeMap, ops::Range};

use libp2p::PeerId;

use super::{Claim, Run, spans::Spans};

/// What lies so many microseconds before the newest there is, others have found by now, or given up.
const RECENT_US: u64 = 120_000_000;
/// Runs that one member may claim; what it claims beyond is not looked at.
pub const RUNS_MAX: usize = 4_096;

#[derive(Debug, Default)]
pub(super) struct Claims {
    runs: BTreeMap<Run, BTreeMap<PeerId, Said>>,
    runs_of: BTreeMap<PeerId, usize>,
    /// What signed heads prove; it holds whoever passed it on.
    proved: BTreeMap<Run, u64>,
    /// When the newest of a run was sent, as members say.
    newest_us: BTreeMap<Run, u64>,
}

#[derive(Debug, Default)]
struct Said {
    held: Spans,
    from: u64,
}

impl Claims {
    pub(super) fn add(&mut self, peer: PeerId, claim: &Claim) {
        let count = self.runs_of.entry(peer).or_default();
        if *count >= RUNS_MAX {
            return;
        }
        let said = Said {
            held: claim.held.iter().cloned().collect(),
            from: claim.from,
        };
        if self.runs.entry(claim.run).or_default().insert(peer, said).is_none() {
            *count += 1;
        }
        let newest_us = self.newest_us.entry(claim.run).or_default();
        *newest_us = claim.newest_us.max(*newest_us);
        if let Some(proved) = claim.proved {
            let known = self.proved.entry(claim.run).or_default();
            *known = (*known).max(proved);
        }
    }

    /// It gave one frame, so it has it.
    pub(super) fn add_frame(&mut self, peer: PeerId, run: Run, sequences: Range<u64>) {
        let said = self.runs.entry(run).or_default().entry(peer).or_insert_with(|| Said {
            held: Spans::default(),
            from: sequences.start,
        });
        said.from = said.from.min(sequences.start);
        said.held.insert(sequences);
    }

    /// Nothing that this peer says counts any more.
    pub(super) fn drop_peer(&mut self, peer: &PeerId) {
        self.runs.retain(|_, by| {
            by.remove(peer);
            !by.is_empty()
        });
    }

    /// It does not have these, whatever it says.
    pub(super) fn cut(&mut self, peer: &PeerId, run: Run, sequences: &Range<u64>) {
        if let Some(by) = self.runs.get_mut(&run)
            && let Some(said) = by.get_mut(peer)
        {
            said.held.remove(sequences);
            if said.held.is_empty() {
                by.remove(peer);
            }
            if by.is_empty() {
                self.runs.remove(&run);
            }
        }
    }

    /// It has not more than these of a run.
    pub(super) fn limit(&mut self, peer: &PeerId, run: Run, held: &Spans) {
        let mut gone = self.of(peer, run, &(0..u64::MAX));
        held.iter().for_each(|span| gone.remove(span));
        gone.iter().for_each(|span| self.cut(peer, run, span));
    }

    /// What this peer says that it holds of `range`.
    pub(super) fn of(&self, peer: &PeerId, run: Run, range: &Range<u64>) -> Spans {
        let said = self.runs.get(&run).and_then(|by| by.get(peer));
        said.map(|said| said.held.within(range)).unwrap_or_default()
    }

    pub(super) fn holders(&self, run: Run, sequence: u64) -> impl Iterator<Item = PeerId> {
        let by = self.runs.get(&run).into_iter().flatten();
        by.filter(move |(_, said)| said.held.contains(sequence))
            .map(|(peer, _)| *peer)
    }

    /// The lowest sequence number at or above this one that anybody claims who `counts`.
    pub(super) fn next_from(&self, run: Run, sequence: u64, counts: impl Fn(&PeerId) -> bool) -> Option<u64> {
        let by = self.runs.get(&run).into_iter().flatten();
        by.filter(|(peer, _)| counts(peer))
            .filter_map(|(_, said)| said.held.next_from(sequence))
            .min()
    }

    /// The one after the last that anybody claims, or that is proved.
    pub(super) fn end(&self, run: Run) -> u64 {
        let by = self.runs.get(&run).into_iter().flatten();
        let claimed = by.filter_map(|(_, said)| said.held.end()).max();
        claimed.max(self.proved.get(&run).copied()).unwrap_or(0)
    }

    /// Where the run ends by the lower half of those who claim it: one who claims more than there is does not count.
    pub(super) fn agreed_end(&self, run: Run) -> u64 {
        let by = self.runs.get(&run).into_iter().flatten();
        let mut ends: Vec<u64> = by.filter_map(|(_, said)| said.held.end()).collect();
        ends.sort_unstable();
        ends.get(ends.len().saturating_sub(1) / 2).copied().unwrap_or(0)
    }

    /// Whether others may still be looking for what is missing of a run before what was sent at `before_us`, as far as that
    /// is known: by the clocks of publishers alone.
    pub(super) fn may_come(&self, run: Run, before_us: Option<u64>) -> bool {
        let newest_us = self.newest_us.values().max().copied().unwrap_or(0);
        let sent_us = before_us.or_else(|| self.newest_us.get(&run).copied());
        sent_us.is_none_or(|sent_us| sent_us.saturating_add(RECENT_US) >= newest_us)
    }

    /// Where the selector begins, and where the run ends, of all runs.
    pub(super) fn selected(&self) -> impl Iterator<Item = (Run, Range<u64>)> {
        self.runs.iter().filter_map(|(run, by)| {
            let from = by.values().filter_map(|said| said.held.next_from(said.from)).min()?;
            Some((*run, from..self.end(*run).max(from)))
        })
    }
}
