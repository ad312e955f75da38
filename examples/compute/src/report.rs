//! What people and pipes see of a job: its progress, its result, why workers cannot; and `compute status`, `compute result`.

mod plot;

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use maille::PeerId;
use serde_json::{Value, json};
use shared::{Failure, stop};

use crate::args::{PlaceArgs, ResultArgs};
use crate::job::{Job, JobId, Work};
use crate::mesh::Place;
use crate::money::{self, Estimate};
use crate::outcome::Outcome;
use crate::watch::Watch;

/// Progress is told at most so often.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);
/// After the past, workers are listened to for so long: each says what it holds at least that often.
const LISTEN: Duration = Duration::from_secs(1);

/// What came of a job.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) id: JobId,
    pub(crate) job: Job,
    pub(crate) accepted: usize,
    pub(crate) no_quorum: usize,
    pub(crate) taken_over: usize,
    pub(crate) liars: Vec<PeerId>,
    pub(crate) deadline_met: bool,
    pub(crate) took: Duration,
    outcomes: Vec<Option<Outcome>>,
}

impl Report {
    pub(crate) async fn of(watch: &Watch, id: JobId) -> Result<Self, Failure> {
        let unknown = || {
            Failure::Nobody(format!(
                "nobody knows the job {id}: its workers are gone, or it was never submitted here"
            ))
        };
        let (job, state) = watch.state(id).ok_or_else(unknown)?;
        let mut liars: Vec<PeerId> = state.tasks.iter().flat_map(|task| task.liars()).collect();
        liars.sort_unstable();
        liars.dedup();
        let last = state
            .tasks
            .iter()
            .map(|task| task.accepted_at)
            .collect::<Option<Vec<Instant>>>();
        let last = last.and_then(|all| all.into_iter().max());
        Ok(Self {
            id,
            job: job.clone(),
            accepted: state.accepted(),
            no_quorum: state.tasks.iter().filter(|task| task.has_no_quorum()).count(),
            taken_over: state.taken_over,
            liars,
            deadline_met: last.is_some_and(|last| last <= state.began + state.deadline),
            took: last.unwrap_or_else(Instant::now).duration_since(state.began),
            outcomes: watch.outcomes(id).await?,
        })
    }

    /// Why the job is not done, if it is not.
    pub(crate) fn complaint(&self) -> Option<String> {
        if self.no_quorum > 0 {
            return Some(format!(
                "{} tasks have no quorum: their workers gave different results",
                self.no_quorum
            ));
        }
        let missing = self.job.tasks as usize - self.accepted.min(self.job.tasks as usize);
        if missing > 0 {
            return Some(format!(
                "{missing} of {} tasks have no accepted result: ask `compute status` why",
                self.job.tasks
            ));
        }
        let failed = |outcome: &Option<Outcome>| match outcome {
            Some(Outcome::Failed(why)) => Some(format!("the module failed: {}", why.words())),
            _ => None,
        };
        self.outcomes.iter().find_map(failed)
    }

    fn results(&self) -> impl Iterator<Item = &[u8]> {
        self.outcomes.iter().filter_map(|outcome| match outcome {
            Some(Outcome::Done(result)) => Some(result.as_slice()),
            Some(Outcome::Failed(_)) | None => None,
        })
    }

    /// What a module's tasks gave, one after the other.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.results().collect::<Vec<_>>().concat()
    }

    /// Of an option job.
    pub(crate) fn estimate(&self) -> Option<Estimate> {
        money::summed(self.results()).filter(|all| all.paths > 0)
    }

    /// What the closed form says, of an option job.
    pub(crate) fn black_scholes(&self) -> Option<f64> {
        match &self.job.work {
            Work::Option(call) => Some(money::black_scholes(call)),
            Work::Risk(_) | Work::Module(_) => None,
        }
    }

    fn json(&self) -> Value {
        let mut all = json!({
            "job": self.id.to_string(),
            "tasks": self.job.tasks,
            "accepted": self.accepted,
            "no_quorum": self.no_quorum,
            "taken_over": self.taken_over,
            "liars": self.liars.iter().map(PeerId::to_string).collect::<Vec<_>>(),
            "deadline_met": self.deadline_met,
            "seconds": self.took.as_secs_f64(),
        });
        match &self.job.work {
            Work::Option(call) => {
                let found = self.estimate();
                all["price"] = json!(found.map(|all| all.price()));
                all["standard_error"] = json!(found.map(|all| all.standard_error()));
                all["black_scholes"] = json!(money::black_scholes(call));
            }
            Work::Risk(portfolio) => {
                let found = money::quantile(portfolio, self.results());
                all["value_at_risk"] = json!(found.map(|(value, _)| value));
                all["standard_error"] = json!(found.map(|(_, error)| error));
                all["closed_form"] = json!(money::normal_risk(portfolio));
            }
            Work::Module(_) => all["bytes"] = json!(self.bytes().len()),
        }
        all
    }

    /// One JSON object, or a person's lines; of a module, its output.
    pub(crate) fn print(&self, json: bool) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        match &self.job.work {
            _ if json => writeln!(out, "{}", self.json())?,
            Work::Module(_) => {
                out.write_all(&self.bytes())?;
                out.flush()?;
                eprintln!("{}", self.summary());
            }
            Work::Option(_) | Work::Risk(_) => writeln!(out, "{}\n{}", self.summary(), self.finding())?,
        }
        Ok(())
    }

    pub(crate) fn summary(&self) -> String {
        let liars = match &self.liars[..] {
            [] => "no liars".to_owned(),
            liars => format!(
                "liars: {}",
                liars.iter().map(PeerId::to_string).collect::<Vec<_>>().join(", ")
            ),
        };
        format!(
            "{} of {} tasks accepted in {:.1} s, the deadline {}; {} taken over; {liars}",
            self.accepted,
            self.job.tasks,
            self.took.as_secs_f64(),
            if self.deadline_met { "met" } else { "missed" },
            self.taken_over,
        )
    }

    fn finding(&self) -> String {
        match &self.job.work {
            Work::Option(call) => match self.estimate() {
                Some(all) => format!(
                    "price {:.4} ± {:.4} $, by Black and Scholes {:.4} $",
                    all.price(),
                    all.standard_error(),
                    money::black_scholes(call)
                ),
                None => "no price".to_owned(),
            },
            Work::Risk(portfolio) => match money::quantile(portfolio, self.results()) {
                Some((value, error)) => format!(
                    "at most {value:.2} ± {error:.2} $ are lost on 99 days of 100, in closed form {:.2} $",
                    money::normal_risk(portfolio)
                ),
                None => "no value at risk".to_owned(),
            },
            Work::Module(_) => String::new(),
        }
    }

    /// Draws how an option's price converged.
    pub(crate) fn plot(&self, path: &Path) -> Result<(), Failure> {
        let Work::Option(call) = &self.job.work else {
            return Err(Failure::Usage("only an option's price is drawn".to_owned()));
        };
        let parts: Vec<&[u8]> = self.results().collect();
        let svg = plot::convergence(&parts, money::black_scholes(call));
        std::fs::write(path, svg).map_err(|error| Failure::Other(format!("{}: {error}", path.display())))
    }
}

/// The id of a job that was submitted.
pub(crate) fn print_id(id: JobId, json: bool) -> Result<(), Failure> {
    let line = if json {
        json!({ "job": id.to_string() }).to_string()
    } else {
        id.to_string()
    };
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

/// How far a followed job is, on standard error.
#[derive(Debug)]
pub(crate) struct Progress {
    told: String,
    next: Instant,
}

impl Progress {
    /// Silent where standard error is no terminal and JSON is wanted.
    pub(crate) fn new(json: bool) -> Self {
        let silent = json && !std::io::stderr().is_terminal();
        let now = Instant::now();
        let next = if silent { now + crate::job::DEADLINE_MAX } else { now };
        Self {
            told: String::new(),
            next,
        }
    }

    pub(crate) fn show(&mut self, watch: &Watch, id: JobId) -> Result<(), Failure> {
        let Some((job, state)) = watch.state(id).filter(|_| self.next <= Instant::now()) else {
            return Ok(());
        };
        self.next = Instant::now() + PROGRESS_INTERVAL;
        let votes: usize = state.tasks.iter().map(|task| task.votes()).sum();
        let left = state.deadline.saturating_sub(state.began.elapsed()).as_secs();
        let line = format!(
            "{} workers; {} of {} tasks accepted, {votes} votes; {left} s to the deadline",
            watch.plan.workers().len(),
            state.accepted(),
            job.tasks
        );
        if line != self.told {
            writeln!(std::io::stderr(), "{line}")?;
            self.told = line;
        }
        Ok(())
    }
}

/// `compute status`.
pub(crate) async fn status(args: PlaceArgs) -> Result<(), Failure> {
    let address = args.place()?;
    let place = Place::join(&address, &args.mesh.network(args.data_dir.clone()), &args.mesh).await?;
    let node = place.node.clone();
    let look = async {
        place.meet(args.timeout).await?;
        let mut watch = Watch::start(place, 0, None).await?;
        let caught_up = async {
            while watch.caught_up != [true; 2] {
                watch.next().await?;
            }
            Ok::<_, Failure>(())
        };
        // What did not come in time is not told.
        tokio::time::timeout(args.timeout, caught_up).await.unwrap_or(Ok(()))?;
        let listen = tokio::time::sleep(LISTEN);
        tokio::pin!(listen);
        loop {
            tokio::select! {
                turn = watch.next() => turn?,
                () = &mut listen => break,
            }
        }
        print_status(&watch, args.json)
    };
    let outcome = tokio::select! {
        outcome = look => outcome,
        () = stop::requested() => Err(Failure::Interrupted(String::new())),
    };
    node.shutdown().await;
    outcome
}

fn print_status(watch: &Watch, json: bool) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let workers: Vec<String> = watch.plan.workers().iter().map(PeerId::to_string).collect();
    let held: Vec<(String, String)> = watch
        .plan
        .held()
        .map(|(slot, holder)| (slot.key(), holder.to_string()))
        .collect();
    let reasons: Vec<_> = watch.reasons.iter().collect();
    if json {
        let jobs: Vec<Value> = watch
            .plan
            .jobs()
            .iter()
            .map(|(id, state)| {
                json!({
                    "job": id.to_string(),
                    "tasks": state.tasks.len(),
                    "accepted": state.accepted(),
                    "settled": state.is_settled(),
                    "no_quorum": state.tasks.iter().filter(|task| task.has_no_quorum()).count(),
                })
            })
            .collect();
        let held: Vec<Value> = held
            .iter()
            .map(|(key, holder)| json!({ "replica": key, "worker": holder }))
            .collect();
        let cannot: Vec<Value> = reasons
            .iter()
            .map(|((job, worker), why)| json!({ "job": job.to_string(), "worker": worker.to_string(), "why": why }))
            .collect();
        writeln!(
            out,
            "{}",
            json!({ "workers": workers, "jobs": jobs, "held": held, "cannot": cannot })
        )?;
        return Ok(());
    }
    writeln!(out, "{} workers", workers.len())?;
    workers.iter().try_for_each(|worker| writeln!(out, "  {worker}"))?;
    for (id, state) in watch.plan.jobs() {
        let settled = if state.is_settled() { ", settled" } else { "" };
        writeln!(
            out,
            "job {id}: {} of {} tasks accepted{settled}",
            state.accepted(),
            state.tasks.len()
        )?;
    }
    held.iter()
        .try_for_each(|(key, holder)| writeln!(out, "  {key} with {holder}"))?;
    for ((job, worker), why) in reasons {
        writeln!(out, "  {worker} cannot do {job}: {why}")?;
    }
    Ok(())
}

/// `compute result`.
pub(crate) async fn result(args: ResultArgs) -> Result<(), Failure> {
    let place = Place::join(&args.address, &args.mesh.network(args.data_dir.clone()), &args.mesh).await?;
    let node = place.node.clone();
    let look = async {
        place.meet(args.timeout).await?;
        let mut watch = Watch::start(place, 0, None).await?;
        let settled = async {
            let is_done = |watch: &Watch| watch.state(args.id).is_some_and(|(_, state)| state.is_settled());
            while !is_done(&watch) {
                watch.next().await?;
            }
            Ok::<_, Failure>(())
        };
        // What is there by then is told, and what is missing.
        tokio::time::timeout(args.timeout, settled).await.unwrap_or(Ok(()))?;
        let report = Report::of(&watch, args.id).await?;
        report.print(args.json)?;
        report.complaint().map_or(Ok(()), |why| Err(Failure::Other(why)))
    };
    let outcome = tokio::select! {
        outcome = look => outcome,
        () = stop::requested() => Err(Failure::Interrupted(String::new())),
    };
    node.shutdown().await;
    outcome
}
