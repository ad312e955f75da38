//! `compute work`: does what the plan says, for as long as it runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::available_parallelism;

use maille::{Json, Lease, Publisher};
use shared::{Failure, stop};
use tokio::task::JoinSet;

use crate::args::WorkArgs;
use crate::inputs::Inputs;
use crate::job::{Job, Said, Vote, Work};
use crate::mesh::Place;
use crate::plan::{Action, Input, Slot};
use crate::run::{self, Vice, Wanted};
use crate::watch::{Judge, Watch};

pub(crate) async fn run(args: WorkArgs) -> Result<(), Failure> {
    let address = args.place.place()?;
    let network = args.place.mesh.network(args.place.data_dir.clone());
    let place = Place::join(&address, &network, &args.place.mesh).await?;
    let processors = available_parallelism().map_or(1, usize::from);
    let slots = args
        .slots
        .map_or(processors, |slots| usize::try_from(slots).unwrap_or(usize::MAX));
    let vice = Vice {
        lies: args.lie,
        slow: args.slow,
    };
    let judge = judge(args.fuel, args.memory.saturating_mul(1_024 * 1_024));
    eprintln!(
        "{} works at {address} on {slots} tasks at a time; Ctrl-C ends it",
        place.node.id()
    );
    let node = place.node.clone();
    let mut worker = Worker::start(place, slots, judge, vice).await?;
    let outcome = tokio::select! {
        outcome = worker.work() => outcome,
        () = stop::requested() => Ok(()),
    };
    worker.leave().await;
    node.shutdown().await;
    outcome
}

/// What a worker with these bounds can do.
fn judge(fuel: u64, memory: u64) -> Judge {
    Box::new(move |job| match &job.work {
        Work::Module(module) if module.memory > memory => Err(format!(
            "it needs {} bytes of memory, and this worker gives {memory} (--memory)",
            module.memory
        )),
        Work::Module(module) if module.fuel > fuel => Err(format!(
            "it needs {} units of fuel, and this worker gives {fuel} (--fuel)",
            module.fuel
        )),
        Work::Module(_) | Work::Option(_) | Work::Risk(_) => Ok(()),
    })
}

/// What ended.
#[derive(Debug)]
enum Done {
    Claimed(Slot, Option<Lease>),
    Lost(Slot),
    /// None: it was cancelled. An error: its inputs are nowhere.
    Ran(Slot, Result<Option<Vec<u8>>, Failure>),
}

/// A worker.
pub(crate) struct Worker {
    watch: Watch,
    votes: Publisher<Json<Said>>,
    inputs: Inputs,
    /// What is under way: at most a claim, a wait for its loss and a run for each replica of the plan.
    doing: JoinSet<Done>,
    /// Dropping a guard gives up the claim or the lease; cancelling ends the run.
    own: BTreeMap<Slot, (Wanted, tokio::task::AbortHandle)>,
    vice: Vice,
}

impl Worker {
    /// Begins to take part.
    pub(crate) async fn start(place: Place, slots: usize, judge: Judge, vice: Vice) -> Result<Self, Failure> {
        let votes = place.say().await?;
        let watch = Watch::start(place, slots, Some(judge)).await?;
        watch.leases.offer().await;
        Ok(Self {
            watch,
            votes,
            inputs: Inputs::default(),
            doing: JoinSet::new(),
            own: BTreeMap::new(),
            vice,
        })
    }

    /// Works until something fails for good.
    pub(crate) async fn work(&mut self) -> Result<(), Failure> {
        loop {
            for action in std::mem::take(&mut self.watch.actions) {
                self.perform(action);
            }
            for said in std::mem::take(&mut self.watch.to_say) {
                self.say(said).await?;
            }
            tokio::select! {
                turn = self.watch.next() => turn?,
                Some(done) = self.doing.join_next() => match done {
                    Ok(done) => self.done(done).await?,
                    // Only of what was given up.
                    Err(error) if error.is_cancelled() => {}
                    Err(error) => return Err(Failure::other(error)),
                },
            }
        }
    }

    /// Takes no part any more; what was begun is left to others at once.
    pub(crate) async fn leave(&mut self) {
        for (_, (wanted, claim)) in std::mem::take(&mut self.own) {
            wanted.cancel();
            claim.abort();
        }
        self.watch.leases.withdraw().await;
    }

    async fn say(&self, said: Said) -> Result<(), Failure> {
        self.votes.publish(&Json(said)).await.map(drop).map_err(Failure::other)
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Claim(slot) => {
                let leases = self.watch.leases.clone();
                let claim = self.doing.spawn(async move {
                    // Whatever refused it: it is not held, and tried again.
                    let lease = leases.try_acquire(slot.key()).await.ok().flatten();
                    Done::Claimed(slot, lease)
                });
                self.own.insert(slot, (Wanted::new(), claim));
            }
            Action::Start(slot) => self.start_task(slot),
            Action::Cancel(slot) => self.give_up(slot),
        }
    }

    fn give_up(&mut self, slot: Slot) {
        if let Some((wanted, claim)) = self.own.remove(&slot) {
            wanted.cancel();
            claim.abort();
        }
    }

    fn start_task(&mut self, slot: Slot) {
        let Some(job) = self.watch.jobs.get(&slot.job).cloned() else {
            return;
        };
        let Some((wanted, _)) = self.own.get(&slot) else { return };
        let (wanted, vice) = (wanted.clone(), self.vice);
        let (inputs, place) = (self.inputs.clone(), self.watch.place.clone());
        self.doing.spawn(async move {
            let ran = match inputs.of(&place, &job).await {
                Ok(inputs) => ran(job, inputs, slot.task, wanted, vice).await,
                Err(failure) => Err(failure),
            };
            Done::Ran(slot, ran)
        });
    }

    async fn done(&mut self, done: Done) -> Result<(), Failure> {
        match done {
            Done::Claimed(slot, None) => {
                self.own.remove(&slot);
                self.watch.hear(Input::Refused(slot));
            }
            Done::Claimed(slot, Some(lease)) => {
                // The lease lives as long as who waits for its loss.
                let guard = self.doing.spawn(async move {
                    lease.lost().await;
                    Done::Lost(slot)
                });
                match self.own.get_mut(&slot) {
                    Some((_, claim)) => *claim = guard,
                    None => guard.abort(),
                }
                self.watch.hear(Input::Granted(slot));
            }
            Done::Lost(slot) => self.watch.hear(Input::Lost(slot)),
            Done::Ran(slot, Ok(Some(bytes))) if self.own.contains_key(&slot) => self.vote(slot, bytes).await?,
            Done::Ran(_, Ok(_)) => {}
            Done::Ran(slot, Err(failure)) => {
                eprintln!("{}: {failure}", slot.key());
                self.give_up(slot);
                self.watch.hear(Input::Broken(slot));
            }
        }
        Ok(())
    }

    async fn vote(&mut self, slot: Slot, bytes: Vec<u8>) -> Result<(), Failure> {
        let vote = Vote::new(slot.job, slot.task, &bytes);
        if vote.result.is_none() {
            self.watch.place.mesh.share(bytes).await.map_err(Failure::other)?;
        }
        let said = Said::Vote(vote);
        self.say(said.clone()).await?;
        self.watch.heard(self.watch.place.node.id(), said);
        self.give_up(slot);
        self.watch.hear(Input::Finished(slot));
        Ok(())
    }
}

async fn ran(
    job: Job,
    inputs: Vec<Arc<Vec<u8>>>,
    task: u32,
    wanted: Wanted,
    vice: Vice,
) -> Result<Option<Vec<u8>>, Failure> {
    let running = tokio::task::spawn_blocking(move || run::run(&job, &inputs, task, &wanted, vice));
    running.await.map_err(Failure::other)
}
