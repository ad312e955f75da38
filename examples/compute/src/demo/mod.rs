//! The demo: four workers, each a process and a node of its own on 127.0.0.1, price an option on a real stock. One is killed in the
//! middle, one lies; the result is right all the same, and the liar is named.

mod cast;

use std::io::Write;
use std::time::Duration;

use maille::PeerId;
use serde::Serialize;
use shared::{Failure, stop};

use self::cast::{Cast, LIAR, VICTIM, WORKERS};
use crate::args::DemoArgs;
use crate::job::{Job, Work};
use crate::report::{Progress, Report};
use crate::submit::{option, submit};
use crate::watch::Watch;

/// The stock.
const SYMBOL: &str = "AAPL";
/// When all is to be done.
const DEADLINE: Duration = Duration::from_secs(120);
/// How long workers may take to come, and to take the job.
const MEETING: Duration = Duration::from_secs(60);
/// How long its leases may outlive a worker that was killed.
const LEASES_END: Duration = Duration::from_secs(10);
/// Replicas of each task.
const REPLICAS: u32 = 3;

/// The last line with `--json`.
#[derive(Debug, Serialize)]
struct Last {
    tasks: u32,
    accepted: usize,
    taken_over: usize,
    liars: usize,
    deadline_met: bool,
    /// In dollars, as the next two.
    price: Option<f64>,
    standard_error: Option<f64>,
    black_scholes: Option<f64>,
}

pub(crate) async fn run(args: &DemoArgs) -> Result<(), Failure> {
    tokio::select! {
        outcome = play(args) => outcome,
        () = stop::requested() => Err(Failure::Interrupted("the demo did not end".to_owned())),
    }
}

async fn play(args: &DemoArgs) -> Result<(), Failure> {
    let mut cast = Cast::start().await?;
    let mut watch = Watch::start(cast.place.clone(), 0, None).await?;
    let come = async {
        while watch.plan.workers().len() < WORKERS {
            watch.next().await?;
        }
        Ok::<_, Failure>(())
    };
    let late = |_| Failure::Nobody(format!("the workers did not come within {MEETING:?}"));
    tokio::time::timeout(MEETING, come).await.map_err(late)??;
    let job = Job {
        work: Work::Option(option(SYMBOL, args.paths)?),
        tasks: args.tasks,
        replicas: REPLICAS,
        deadline_ms: u64::try_from(DEADLINE.as_millis()).unwrap_or(u64::MAX),
        nonce: rand::random(),
    };
    let id = submit(&watch.place, &job, vec![], MEETING).await?;
    watch.submitted(job);
    let victim = cast.workers[VICTIM].peer;
    let mut progress = Progress::new(args.json);
    while !watch.state(id).is_some_and(|(_, state)| state.is_settled()) {
        watch.next().await?;
        progress.show(&watch, id)?;
        let works = watch.plan.held().filter(|(_, holder)| *holder == victim).count() > 0;
        let is_begun = watch
            .state(id)
            .is_some_and(|(job, state)| state.accepted() * 4 >= job.tasks as usize);
        if works && is_begun && cast.workers[VICTIM].is_alive() {
            cast.workers[VICTIM].kill()?;
            eprintln!("killed a worker in the middle of its work");
        }
        if watch
            .state(id)
            .is_some_and(|(_, state)| state.began.elapsed() > state.deadline)
        {
            break;
        }
    }
    // Nobody knows that the killed one is gone before its leases end.
    let ended = async {
        while watch.plan.held().any(|(_, holder)| holder == victim) {
            watch.next().await?;
        }
        Ok::<_, Failure>(())
    };
    tokio::time::timeout(LEASES_END, ended).await.unwrap_or(Ok(()))?;
    let report = Report::of(&watch, id).await?;
    let liar = cast.workers[LIAR].peer;
    cast.end().await;
    tell(args, &report, liar)
}

fn tell(args: &DemoArgs, report: &Report, liar: PeerId) -> Result<(), Failure> {
    if let Some(path) = &args.plot {
        report.plot(path)?;
    }
    if args.json {
        let found = report.estimate();
        let last = Last {
            tasks: report.job.tasks,
            accepted: report.accepted,
            taken_over: report.taken_over,
            liars: report.liars.len(),
            deadline_met: report.deadline_met,
            price: found.map(|all| all.price()),
            standard_error: found.map(|all| all.standard_error()),
            black_scholes: report.black_scholes(),
        };
        writeln!(
            std::io::stdout(),
            "{}",
            serde_json::to_string(&last).map_err(Failure::other)?
        )?;
    } else {
        report.print(false)?;
    }
    if let Some(why) = report.complaint() {
        return Err(Failure::Other(why));
    }
    match report.liars[..] {
        [named] if named == liar => Ok(()),
        _ => Err(Failure::Other("the liar was not named, or another was".to_owned())),
    }
}
