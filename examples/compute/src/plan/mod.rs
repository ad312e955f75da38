//! Who works on what, and when: a pure machine that every worker runs the same, so that nobody assigns anything. It reads no clock
//! and sends nothing.
//!
//! ```text
//!   a task needs ─→ missing votes − leases that are not slow
//!   who takes it ─→ of the workers that neither voted nor hold a replica the first by rank; the others a little later
//!   Claim ─→ Granted ─→ queued ─→ Start ─→ Finished ─→ its vote
//!     └─ Refused: another has it     └─ Cancel: enough votes without it
//! ```
//!
//! A crashed worker's lease ends, and then its task needs one more. A slow worker's lease counts no more once it is three times as
//! old as others took: somebody starts a copy, and the first result ends the other. A task is settled by its votes alone.

mod pick;
mod slot;
mod task;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use maille::{BlobId, PeerId};

pub(crate) use self::slot::Slot;
pub(crate) use self::task::Task;
use crate::job::JobId;

/// Jobs of one topic that a worker knows; of more, those whose deadline passed first make room.
const JOBS_MAX: usize = 64;
/// Workers that are told apart.
const WORKERS_MAX: usize = 256;
/// How much longer one who ranks one place lower waits for a task.
const PATIENCE: Duration = Duration::from_millis(500);
/// Times that others took are remembered.
const TIMES_MAX: usize = 64;
/// From so many times on, slow is what takes longer than [`SLOW`] times the median.
const TIMES_MIN: usize = 3;
/// As above.
const SLOW: u32 = 3;
/// Nothing is slow before.
const SLOW_MIN: Duration = Duration::from_secs(2);
/// Until there are times, what takes longer than this part of the deadline is slow.
const SLOW_OF_DEADLINE: u32 = 4;
/// A task whose inputs could not be had is left to others for so long.
const BROKEN_FOR: Duration = Duration::from_secs(5);
/// A lease that was seen for so long was not one of two claims of a moment.
const SETTLED: Duration = Duration::from_secs(1);

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// A job was submitted.
    Job {
        id: JobId,
        tasks: u32,
        replicas: usize,
        deadline: Duration,
        /// Whether this worker can work on it.
        able: bool,
    },
    /// A worker voted.
    Vote {
        job: JobId,
        task: u32,
        voter: PeerId,
        digest: BlobId,
    },
    /// Who holds what, all of it.
    Leases(Vec<(Slot, PeerId)>),
    /// Who works, all of them.
    Workers(Vec<PeerId>),
    /// A claim became a lease.
    Granted(Slot),
    /// It did not.
    Refused(Slot),
    /// A lease was lost.
    Lost(Slot),
    /// A task was worked on, and the vote counted.
    Finished(Slot),
    /// A task could not be begun: its module or input is nowhere.
    Broken(Slot),
    /// The deadline passed.
    TimedOut,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Try to get the lease.
    Claim(Slot),
    /// Work, then vote.
    Start(Slot),
    /// Stop working, if so, and release the lease or give up the claim.
    Cancel(Slot),
}

/// How far this worker is with one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Claiming,
    Queued,
    Running,
}

/// A job as far as it is known.
#[derive(Debug)]
pub(crate) struct JobState {
    pub(crate) tasks: Vec<Task>,
    pub(crate) began: Instant,
    pub(crate) deadline: Duration,
    able: bool,
    /// How long others' leases lasted until they voted.
    times: VecDeque<Duration>,
    /// Replicas whose workers went, or were slow, and which others did.
    pub(crate) taken_over: usize,
}

impl JobState {
    /// From which age on a lease is slow.
    fn slow_after(&self) -> Duration {
        let mut times: Vec<_> = self.times.iter().copied().collect();
        times.sort_unstable();
        match times.get(times.len() / 2) {
            Some(median) if times.len() >= TIMES_MIN => (*median * SLOW).max(SLOW_MIN),
            _ => (self.deadline / SLOW_OF_DEADLINE).max(SLOW_MIN),
        }
    }

    /// Tasks of which a result is accepted.
    pub(crate) fn accepted(&self) -> usize {
        self.tasks.iter().filter(|task| task.accepted().is_some()).count()
    }

    /// Whether nothing more is to be done.
    pub(crate) fn is_settled(&self) -> bool {
        self.tasks.iter().all(|task| task.missing() == 0)
    }
}

/// What one worker knows and does. With no slots it only watches.
#[derive(Debug)]
pub(crate) struct Plan {
    me: PeerId,
    slots: usize,
    jobs: BTreeMap<JobId, JobState>,
    workers: Vec<PeerId>,
    /// Who holds which replica, and since when that is known.
    held: BTreeMap<Slot, (PeerId, Instant)>,
    own: BTreeMap<Slot, Stage>,
    /// Tasks to leave to others for a while.
    broken: BTreeMap<(JobId, u32), Instant>,
}

impl Plan {
    pub(crate) fn new(me: PeerId, slots: usize) -> Self {
        Self {
            me,
            slots,
            jobs: BTreeMap::new(),
            workers: Vec::new(),
            held: BTreeMap::new(),
            own: BTreeMap::new(),
            broken: BTreeMap::new(),
        }
    }

    pub(crate) fn handle(&mut self, input: Input, now: Instant, out: &mut Vec<Action>) {
        match input {
            Input::Job {
                id,
                tasks,
                replicas,
                deadline,
                able,
            } => self.job(id, tasks, replicas, deadline, able, now),
            Input::Vote {
                job,
                task,
                voter,
                digest,
            } => self.vote(job, task, voter, digest, now),
            Input::Leases(leases) => self.leases(leases, now),
            Input::Workers(workers) => self.set_workers(workers),
            Input::Granted(slot) => {
                if let Some(stage) = self.own.get_mut(&slot) {
                    *stage = Stage::Queued;
                }
            }
            Input::Refused(slot) => drop(self.own.remove(&slot)),
            Input::Finished(slot) => drop(self.own.remove(&slot)),
            Input::Lost(slot) => {
                if self.own.contains_key(&slot) {
                    self.cancel(slot, out);
                }
            }
            Input::Broken(slot) => {
                self.own.remove(&slot);
                self.broken.insert((slot.job, slot.task), now + BROKEN_FOR);
            }
            Input::TimedOut => {}
        }
        self.broken.retain(|_, until| *until > now);
        self.look(now, out);
    }

    /// When to say that time has passed: ranks that wait, and leases that become slow, are looked at as often.
    pub(crate) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let is_idle = self.slots == 0 || self.jobs.values().all(JobState::is_settled);
        (!is_idle).then(|| now + PATIENCE)
    }

    /// All jobs.
    pub(crate) fn jobs(&self) -> &BTreeMap<JobId, JobState> {
        &self.jobs
    }

    /// Who works.
    pub(crate) fn workers(&self) -> &[PeerId] {
        &self.workers
    }

    /// Who holds which replica.
    pub(crate) fn held(&self) -> impl Iterator<Item = (&Slot, PeerId)> {
        self.held.iter().map(|(slot, (holder, _))| (slot, *holder))
    }

    // ---- facts ---------------------------------------------------------------------------------------------------

    fn job(&mut self, id: JobId, tasks: u32, replicas: usize, deadline: Duration, able: bool, now: Instant) {
        if self.jobs.contains_key(&id) {
            return;
        }
        if self.jobs.len() >= JOBS_MAX {
            let oldest = self.jobs.iter().min_by_key(|(_, job)| job.began + job.deadline);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                self.jobs.remove(&oldest);
            }
        }
        let new = |number| Task::new(id, number, replicas, &self.workers);
        let job = JobState {
            tasks: (0..tasks).map(new).collect(),
            began: now,
            deadline,
            able,
            times: VecDeque::new(),
            taken_over: 0,
        };
        self.jobs.insert(id, job);
    }

    fn vote(&mut self, id: JobId, number: u32, voter: PeerId, digest: BlobId, now: Instant) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Some(task) = job.tasks.get_mut(number as usize) else {
            return;
        };
        if !task.vote(voter, digest, now) {
            return;
        }
        job.taken_over += task.done_for_others();
        let held = self
            .held
            .range(Slot::all_of(id, number))
            .find(|(_, (holder, _))| *holder == voter);
        if let Some((_, (_, since))) = held {
            if job.times.len() >= TIMES_MAX {
                job.times.pop_front();
            }
            job.times.push_back(now - *since);
        }
    }

    fn leases(&mut self, leases: Vec<(Slot, PeerId)>, now: Instant) {
        let before = std::mem::take(&mut self.held);
        for (slot, holder) in leases {
            let since = match before.get(&slot) {
                Some((same, since)) if *same == holder => *since,
                _ => now,
            };
            self.held.insert(slot, (holder, since));
        }
        for (slot, (holder, since)) in before {
            let Some(job) = self.jobs.get_mut(&slot.job) else {
                continue;
            };
            let is_slow = since + job.slow_after() <= now;
            let is_gone = self.workers.binary_search(&holder).is_err() && since + SETTLED <= now;
            let still_held = self.held.get(&slot).is_some_and(|(same, _)| *same == holder);
            if !still_held
                && (is_slow || is_gone)
                && let Some(task) = job.tasks.get_mut(slot.task as usize)
            {
                task.lost_worker(&holder);
                job.taken_over += task.done_for_others();
            }
        }
    }

    fn set_workers(&mut self, mut workers: Vec<PeerId>) {
        workers.sort_unstable();
        workers.truncate(WORKERS_MAX);
        if workers == self.workers {
            return;
        }
        self.workers = workers;
        for (id, job) in &mut self.jobs {
            for (number, task) in (0..).zip(&mut job.tasks) {
                task.weigh(*id, number, &self.workers);
            }
        }
    }

    fn cancel(&mut self, slot: Slot, out: &mut Vec<Action>) {
        self.own.remove(&slot);
        out.push(Action::Cancel(slot));
    }
}
