//! What the live inbox misses, from whoever has it: the local store, then member after member. Not what a subscriber with
//! history wants, and not the order in which frames are delivered.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    time::{Duration, Instant},
};

use libp2p::PeerId;
use rand::{rngs::StdRng, seq::IteratorRandom as _};

use super::{
    Action, Question, RequestId, Run,
    asker::{Asker, Owner},
    spans::Spans,
};
use crate::core::stream::Frame;

/// Runs that are repaired at once; what is missing of others is hopeless at once.
pub const REPAIRS_MAX: usize = 1_024;
/// Questions about repairs at once.
pub const REPAIRS_ASKING_MAX: usize = 64;
/// Separate holes of one run that are repaired; what is missing beyond is hopeless at once.
pub const HOLES_MAX: usize = 256;
/// How long a repair waits for somebody to ask.
pub const REPAIR_WAIT: Duration = Duration::from_secs(5);
/// Nobody has it now, but others may be repairing it too, and a link to those who have it may still come: all are asked
/// again after this time, whenever it has doubled, up to a longest time ...
const ROUND_DELAY: Duration = Duration::from_secs(1);
const ROUND_DELAY_MAX: Duration = Duration::from_secs(8);
/// ... so many times in all: after 1, 2, 4 and five times 8 s. In less than that a neighbour that is gone without a word is
/// given up and others are met ...
pub const ROUNDS: u32 = 8;
/// ... or so many times while the neighbourhood is unsettled: 111 s. The live inbox waits for longer than that.
pub const ROUNDS_UNSETTLED: u32 = 16;
/// In how many rounds what nobody has is asked for.
pub(super) fn rounds_max(unsettled: bool) -> u32 {
    if unsettled { ROUNDS_UNSETTLED } else { ROUNDS }
}

/// How long after the round before all are asked again.
pub(super) fn round_delay(rounds: u32) -> Duration {
    ROUND_DELAY_MAX.min(ROUND_DELAY * 2_u32.saturating_pow(rounds))
}

/// Who has not answered after this time may be gone without a word: another is asked as well ...
pub const ASK_ANOTHER: Duration = Duration::from_millis(500);
/// ... so many at once for the same.
pub const ASKED_AT_ONCE: usize = 8;
/// How often a member that says it is busy is asked in one round.
const BUSY_MAX: u32 = 8;

#[derive(Debug, Default)]
pub(super) struct Repair {
    jobs: BTreeMap<Run, Job>,
    asking: usize,
}

#[derive(Debug)]
struct Job {
    /// What is still missing.
    missing: Spans,
    /// What of it the live inbox waits for: the rest is only said to exist.
    awaited: Spans,
    /// Who was asked and has not answered.
    asked: BTreeMap<RequestId, PeerId>,
    /// Somebody may be asked ...
    may_ask: bool,
    /// ... and when that is so again, if nobody answers.
    ask_another_at: Option<Instant>,
    looked_for: u64,
    /// Who does not have that, or did not answer, in this round.
    tried: BTreeSet<PeerId>,
    busy: BTreeMap<PeerId, u32>,
    /// Until somebody can be asked.
    patience: Instant,
    /// What nobody had in this round.
    lacking: Spans,
    rounds: u32,
    /// When the next one begins.
    round_at: Option<Instant>,
}

impl Repair {
    /// These are missing; `awaited` by the live inbox, or only claimed by somebody.
    pub(super) fn add(&mut self, run: Run, sequences: Range<u64>, awaited: bool, now: Instant, out: &mut Vec<Action>) {
        if sequences.is_empty() {
            return;
        }
        let full = self.jobs.len() >= REPAIRS_MAX && !self.jobs.contains_key(&run);
        if full
            || self
                .jobs
                .get(&run)
                .is_some_and(|job| job.missing.iter().count() >= HOLES_MAX)
        {
            if awaited {
                out.push(Action::Hopeless { run, sequences });
            }
            return;
        }
        let job = self.jobs.entry(run).or_insert_with(|| Job {
            missing: Spans::default(),
            awaited: Spans::default(),
            asked: BTreeMap::new(),
            may_ask: true,
            ask_another_at: None,
            looked_for: sequences.start,
            tried: BTreeSet::new(),
            busy: BTreeMap::new(),
            patience: now + REPAIR_WAIT,
            lacking: Spans::default(),
            rounds: 0,
            round_at: None,
        });
        job.missing.insert(sequences.clone());
        if awaited {
            // Members that lack what was asked for earlier may have this.
            job.rounds = 0;
            job.awaited.insert(sequences);
        }
    }

    /// These are missing no longer.
    pub(super) fn withdraw(&mut self, run: Run, sequences: &Range<u64>) {
        if let Some(job) = self.jobs.get_mut(&run) {
            job.missing.remove(sequences);
            job.awaited.remove(sequences);
            self.tidy(run);
        }
    }

    pub(super) fn step(&mut self, asker: &mut Asker, rng: &mut StdRng, now: Instant, out: &mut Vec<Action>) {
        let runs: Vec<Run> = self.jobs.keys().copied().collect();
        let rounds_max = rounds_max(asker.is_unsettled(now));
        for run in runs {
            let Some(job) = self.jobs.get_mut(&run) else { continue };
            job.advance(now);
            while job.may_ask
                && let Some(hole) = job.next_hole()
            {
                if job.looked_for != hole.start {
                    job.look_for(hole.start);
                }
                let able: Vec<PeerId> = job.able(asker).collect();
                let alone = asker.is_alone();
                if able.is_empty() {
                    if (alone && now < job.patience) || (job.is_last_round(rounds_max) && !job.asked.is_empty()) {
                        break;
                    }
                    if !alone && job.puts_off(&hole, rounds_max, now) {
                        continue;
                    }
                    for sequences in job.awaited.within(&hole).iter().cloned() {
                        out.push(Action::Hopeless { run, sequences });
                    }
                    job.missing.remove(&hole);
                    job.awaited.remove(&hole);
                    continue;
                }
                if self.asking >= REPAIRS_ASKING_MAX {
                    break;
                }
                let me = asker.me();
                let free = able.iter().filter(|peer| asker.free(peer, now));
                let least = free.clone().map(|peer| job.rank(peer, &me, asker)).min();
                let best = free.filter(|peer| Some(job.rank(peer, &me, asker)) == least);
                let Some(peer) = best.choose(rng) else { break };
                let what = Question::Range { run, sequences: hole };
                let request = asker.ask(*peer, Owner::Repair(run), what, now, out);
                job.asking(request, *peer, now);
                self.asking += 1;
            }
            self.tidy(run);
        }
    }

    pub(super) fn answered(
        &mut self,
        request: RequestId,
        peer: PeerId,
        run: Run,
        frames: Vec<Frame>,
        out: &mut Vec<Action>,
    ) {
        let Some(job) = self.ended(request, run) else { return };
        for frame in frames {
            let sequences = frame.sequences();
            if job.missing.within(&sequences).is_empty() {
                continue;
            }
            job.missing.remove(&sequences);
            job.awaited.remove(&sequences);
            out.push(Action::Hand { frame, from: peer });
        }
        if job.missing.contains(job.looked_for) {
            job.tried.insert(peer);
        }
        self.tidy(run);
    }

    pub(super) fn failed(&mut self, request: RequestId, peer: PeerId, run: Run, busy: bool) {
        if let Some(job) = self.ended(request, run) {
            let times = job.busy.entry(peer).or_default();
            *times += 1;
            if !busy || *times >= BUSY_MAX {
                job.tried.insert(peer);
            }
        }
        self.tidy(run);
    }

    /// When somebody's patience ends who can ask nobody, another one is asked, or everybody is asked again.
    pub(super) fn next_deadline(&self, asker: &Asker, now: Instant) -> Option<Instant> {
        let alone = asker.is_alone();
        let due = |job: &Job| {
            let patience = alone.then_some(job.patience).filter(|_| job.asked.is_empty());
            let others = [patience, job.round_at, job.ask_another_at];
            others.into_iter().flatten().filter(|at| *at > now).min()
        };
        self.jobs.values().filter_map(due).min()
    }

    fn ended(&mut self, request: RequestId, run: Run) -> Option<&mut Job> {
        // Counted whether or not the job is still wanted.
        self.asking = self.asking.saturating_sub(1);
        let job = self.jobs.get_mut(&run)?;
        job.asked.remove(&request)?;
        job.may_ask = true;
        Some(job)
    }

    fn tidy(&mut self, run: Run) {
        if self.jobs.get(&run).is_some_and(|job| job.missing.is_empty()) {
            self.jobs.remove(&run);
        }
    }
}

impl Job {
    fn asking(&mut self, request: RequestId, peer: PeerId, now: Instant) {
        self.asked.insert(request, peer);
        self.may_ask = false;
        self.ask_another_at = (self.asked.len() < ASKED_AT_ONCE).then_some(now + ASK_ANOTHER);
    }

    /// Lets another one be asked, and begins a round, if it is time.
    fn advance(&mut self, now: Instant) {
        if self.ask_another_at.take_if(|at| *at <= now).is_some() {
            self.may_ask = true;
        }
        if self.round_at.is_some_and(|at| at <= now) {
            self.round_at = None;
            self.lacking = Spans::default();
            self.tried.clear();
            self.busy.clear();
        }
    }

    /// What to look for next in this round.
    fn next_hole(&self) -> Option<Range<u64>> {
        let mut missing = self.missing.clone();
        self.lacking.iter().for_each(|span| missing.remove(span));
        missing.first().cloned()
    }

    fn is_last_round(&self, rounds_max: u32) -> bool {
        self.rounds >= rounds_max && self.round_at.is_none()
    }

    /// Leaves a hole for the next round, if it is worth one.
    fn puts_off(&mut self, hole: &Range<u64>, rounds_max: u32, now: Instant) -> bool {
        if self.awaited.within(hole).is_empty() || self.is_last_round(rounds_max) {
            return false;
        }
        if self.round_at.is_none() {
            self.round_at = Some(now + round_delay(self.rounds));
            self.rounds += 1;
        }
        self.lacking.insert(hole.clone());
        true
    }

    fn look_for(&mut self, sequence: u64) {
        self.looked_for = sequence;
        self.tried.clear();
        self.busy.clear();
    }

    fn able(&self, asker: &Asker) -> impl Iterator<Item = PeerId> {
        let all = std::iter::once(asker.me()).chain(asker.members());
        let pending = |peer: &PeerId| self.asked.values().any(|asked| asked == peer);
        all.filter(move |peer| !self.tried.contains(peer) && !pending(peer))
    }

    /// The local store first, last who did not answer of late, else who is least busy.
    fn rank(&self, peer: &PeerId, me: &PeerId, asker: &Asker) -> (bool, bool, u32, usize) {
        let busy = self.busy.get(peer).copied().unwrap_or(0);
        (peer != me, asker.is_mute(peer), busy, asker.load(peer))
    }
}
