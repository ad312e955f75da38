//! What one member hears of jobs, votes and leases, and what follows from it. Workers act on it; submitters and `status` look.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use maille::{BlobId, Event, Json, Leases, PeerId, Subscriber};
use shared::Failure;

use crate::job::{Job, JobId, Said, Vote};
use crate::mesh::Place;
use crate::outcome::{Outcome, RESULT_BYTES_MAX};
use crate::plan::{Action, Input, JobState, Plan, Slot};

/// Votes for jobs that are not known yet: topics come in no order among each other.
const EARLY_MAX: usize = 4_096;
/// Results that are held; those of other tasks are fetched as blobs, or asked for again.
const RESULTS_MAX: usize = 16_384;
/// Reasons that workers gave.
const REASONS_MAX: usize = 1_024;
/// Who only watches looks at the time this often.
const IDLE: Duration = Duration::from_secs(1);

/// Decides whether this worker can work on a job; else why not.
pub(crate) type Judge = Box<dyn Fn(&Job) -> Result<(), String> + Send>;

type Changes = Box<dyn Stream<Item = ()> + Send + Unpin>;

/// A member that watches.
pub(crate) struct Watch {
    pub(crate) place: Place,
    pub(crate) leases: Leases,
    pub(crate) plan: Plan,
    pub(crate) jobs: BTreeMap<JobId, Job>,
    /// Why workers cannot work on a job.
    pub(crate) reasons: BTreeMap<(JobId, PeerId), String>,
    /// What this worker has to say about new jobs.
    pub(crate) to_say: Vec<Said>,
    /// What the plan asks for and nobody took yet.
    pub(crate) actions: Vec<Action>,
    /// The past of both topics was heard.
    pub(crate) caught_up: [bool; 2],
    /// Replicas of which a vote came.
    pub(crate) votes: usize,
    results: BTreeMap<BlobId, Vec<u8>>,
    early: Vec<(PeerId, Vote)>,
    judge: Option<Judge>,
    on_jobs: Subscriber<Json<Job>>,
    on_said: Subscriber<Json<Said>>,
    changes: Changes,
}

impl Watch {
    /// Begins to watch; a worker has slots and a judge.
    pub(crate) async fn start(place: Place, slots: usize, judge: Option<Judge>) -> Result<Self, Failure> {
        let leases = place.leases().await?;
        let (on_jobs, on_said) = (place.jobs().await?, place.said().await?);
        let changes = Box::new(leases.changes());
        Ok(Self {
            plan: Plan::new(place.node.id(), slots),
            place,
            leases,
            jobs: BTreeMap::new(),
            reasons: BTreeMap::new(),
            to_say: Vec::new(),
            actions: Vec::new(),
            caught_up: [false; 2],
            votes: 0,
            results: BTreeMap::new(),
            early: Vec::new(),
            judge,
            on_jobs,
            on_said,
            changes,
        })
    }

    /// Takes in what comes next. Whether to go on. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        let deadline = self.plan.next_deadline(now).unwrap_or(now + IDLE);
        let left = || Failure::Other("the mesh was left".to_owned());
        tokio::select! {
            event = self.on_jobs.next() => match event.ok_or_else(left)? {
                Event::Record(record) => self.heard_job(record.value.0),
                Event::CaughtUp => self.caught_up[0] = true,
                _ => {}
            },
            event = self.on_said.next() => match event.ok_or_else(left)? {
                Event::Record(record) => self.heard(record.author, record.value.0),
                Event::CaughtUp => self.caught_up[1] = true,
                _ => {}
            },
            changed = self.changes.next() => {
                changed.ok_or_else(left)?;
                self.look_at_leases();
            }
            () = tokio::time::sleep_until(deadline.into()) => self.hear(Input::TimedOut),
        }
        Ok(())
    }

    pub(crate) fn hear(&mut self, input: Input) {
        self.plan.handle(input, Instant::now(), &mut self.actions);
    }

    /// A job of this node's own: its record does not come back to it.
    pub(crate) fn submitted(&mut self, job: Job) {
        self.heard_job(job);
    }

    fn heard_job(&mut self, job: Job) {
        if job.check().is_err() || self.jobs.contains_key(&job.id()) {
            return;
        }
        let id = job.id();
        let able = match self.judge.as_ref().map(|judge| judge(&job)) {
            Some(Err(why)) => {
                self.to_say.push(Said::Cannot { job: id, why });
                false
            }
            Some(Ok(())) => true,
            None => false,
        };
        self.hear(Input::Job {
            id,
            tasks: job.tasks,
            replicas: job.replicas as usize,
            deadline: job.deadline(),
            able,
        });
        self.jobs.insert(id, job);
        // The plan made room.
        self.jobs.retain(|id, _| self.plan.jobs().contains_key(id));
        let (of_it, others) = std::mem::take(&mut self.early)
            .into_iter()
            .partition(|(_, vote)| vote.job == id);
        self.early = others;
        let of_it: Vec<(PeerId, Vote)> = of_it;
        for (voter, vote) in of_it {
            self.count(voter, &vote);
        }
    }

    /// What a member says, or this one itself.
    pub(crate) fn heard(&mut self, author: PeerId, said: Said) {
        if said.check().is_err() {
            return;
        }
        match said {
            Said::Vote(vote) if self.jobs.contains_key(&vote.job) => self.count(author, &vote),
            Said::Vote(vote) => {
                if self.early.len() < EARLY_MAX {
                    self.early.push((author, vote));
                }
            }
            Said::Cannot { job, why } => {
                if self.reasons.len() < REASONS_MAX {
                    self.reasons.insert((job, author), why);
                }
            }
        }
    }

    fn count(&mut self, voter: PeerId, vote: &Vote) {
        self.votes += 1;
        if let Ok(Some(result)) = vote.inline()
            && self.results.len() < RESULTS_MAX
        {
            self.results.insert(vote.digest, result);
        }
        self.hear(Input::Vote {
            job: vote.job,
            task: vote.task,
            voter,
            digest: vote.digest,
        });
    }

    fn look_at_leases(&mut self) {
        let slot = |held: maille::Held| Some((Slot::parse(&held.key)?, held.token.holder()));
        let leases = self.leases.held().into_iter().filter_map(slot).collect();
        self.hear(Input::Workers(self.leases.ranked("")));
        self.hear(Input::Leases(leases));
    }

    /// A job as far as it is known.
    pub(crate) fn state(&self, id: JobId) -> Option<(&Job, &JobState)> {
        Some((self.jobs.get(&id)?, self.plan.jobs().get(&id)?))
    }

    /// What was accepted, task by task; fetched where it is large.
    pub(crate) async fn outcomes(&self, id: JobId) -> Result<Vec<Option<Outcome>>, Failure> {
        let Some((_, state)) = self.state(id) else {
            return Ok(Vec::new());
        };
        let mut outcomes = Vec::with_capacity(state.tasks.len());
        for task in &state.tasks {
            outcomes.push(match task.accepted() {
                None => None,
                Some(digest) => {
                    let bytes = match self.results.get(&digest) {
                        Some(bytes) => bytes.clone(),
                        None => self.place.blob(digest, RESULT_BYTES_MAX + 1).await?,
                    };
                    Outcome::from_bytes(&bytes)
                }
            });
        }
        Ok(outcomes)
    }
}
