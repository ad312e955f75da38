//! `compute submit`: makes a job, hands it to the mesh, and leaves, or stays until it is done.

use std::path::Path;
use std::time::Duration;

use maille::{BlobId, Json};
use serde::Deserialize;
use shared::{Failure, stop};

use crate::args::SubmitArgs;
use crate::job::{Call, Job, JobId, Module, Portfolio, Work};
use crate::mesh::Place;
use crate::money::Market;
use crate::report::{self, Report};
use crate::sandbox::MODULE_BYTES_MAX;
use crate::watch::Watch;

/// The rate of the option jobs, a year.
const RATE: f64 = 0.02;
/// Dollars in each stock, of the risk job.
const HOLDING: f64 = 10_000.0;
/// Counts 8-mers: data/kmers.wat says how.
pub(crate) const KMERS: &[u8] = include_bytes!("../data/kmers.wasm");
/// The genome of bacteriophage lambda: data/README.md says where from.
pub(crate) const GENOME: &[u8] = include_bytes!("../data/lambda.fa");
/// An input.
const INPUT_BYTES_MAX: u64 = 256 * 1_024 * 1_024;
/// How often it is asked whether others hold what was shared.
const ASK_INTERVAL: Duration = Duration::from_millis(200);
/// How much later than its deadline a job may still be followed, in deadlines.
const LATE: u32 = 4;

/// A job of a module, as a file says it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    module: String,
    input: String,
    fuel: u64,
    memory: u64,
}

/// A job, and the blobs it names.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) job: Job,
    pub(crate) blobs: Vec<Vec<u8>>,
}

pub(crate) async fn run(args: SubmitArgs) -> Result<(), Failure> {
    let Parts { job, blobs } = parts(&args)?;
    job.check()
        .map_err(|why| Failure::Unreadable(format!("the job: {why}")))?;
    let network = args.mesh.network(args.data_dir.clone());
    let place = Place::join(&args.address, &network, &args.mesh).await?;
    let node = place.node.clone();
    let work = async {
        place.meet(args.timeout).await?;
        let mut watch = Watch::start(place, 0, None).await?;
        let id = submit(&watch.place, &job, blobs, args.timeout).await?;
        report::print_id(id, args.json)?;
        if args.follow {
            let report = follow(&mut watch, &job, args.json).await?;
            report.print(args.json)?;
            if let Some(path) = &args.plot {
                report.plot(path)?;
            }
            return report.complaint().map_or(Ok(()), |why| Err(Failure::Other(why)));
        }
        Ok(())
    };
    let outcome = tokio::select! {
        outcome = work => outcome,
        () = stop::requested() => Err(Failure::Interrupted("the job goes on, if it was submitted".to_owned())),
    };
    node.shutdown().await;
    outcome
}

fn parts(args: &SubmitArgs) -> Result<Parts, Failure> {
    let (work, blobs) = match args.job.as_str() {
        "option" => (Work::Option(option(&args.symbol, args.paths)?), vec![]),
        "risk" => (Work::Risk(risk(args.paths)), vec![]),
        "kmers" => module(KMERS.to_vec(), GENOME.to_vec(), 1_000_000_000, 4 * 1_024 * 1_024),
        file => from_file(Path::new(file))?,
    };
    let job = Job {
        work,
        tasks: args.tasks,
        replicas: args.replicas,
        deadline_ms: u64::try_from(args.deadline.as_millis()).unwrap_or(u64::MAX),
        nonce: rand::random(),
    };
    Ok(Parts { job, blobs })
}

/// A call for a year at the last close.
pub(crate) fn option(symbol: &str, paths: u64) -> Result<Call, Failure> {
    let market = Market::of_the_file();
    let known = (market.last(symbol), market.volatility(symbol));
    let (Some(spot), Some(volatility)) = known else {
        let symbols = market.symbols().join(", ");
        return Err(Failure::Usage(format!(
            "there are no prices of {symbol}: take one of {symbols}"
        )));
    };
    let seed = rand::random();
    Ok(Call {
        spot,
        strike: spot,
        rate: RATE,
        volatility,
        years: 1.0,
        paths,
        seed,
    })
}

fn risk(paths: u64) -> Portfolio {
    let market = Market::of_the_file();
    Portfolio {
        holdings: vec![HOLDING; market.symbols().len()],
        covariances: market.covariances(),
        paths,
        seed: rand::random(),
    }
}

fn module(code: Vec<u8>, input: Vec<u8>, fuel: u64, memory: u64) -> (Work, Vec<Vec<u8>>) {
    let work = Work::Module(Module {
        module: BlobId::of(&code),
        input: BlobId::of(&input),
        fuel,
        memory,
    });
    (work, vec![code, input])
}

/// Paths in it are beside it.
fn from_file(path: &Path) -> Result<(Work, Vec<Vec<u8>>), Failure> {
    let named = |path: &Path, what: &dyn std::fmt::Display| Failure::Unreadable(format!("{}: {what}", path.display()));
    let read = |path: &Path, bytes_max: u64| {
        let bytes = std::fs::metadata(path).map_err(|error| named(path, &error))?.len();
        if bytes > bytes_max {
            return Err(named(path, &format!("more than {bytes_max} bytes")));
        }
        std::fs::read(path).map_err(|error| named(path, &error))
    };
    let text = read(path, 65_536)?;
    let file: File = serde_json::from_slice(&text).map_err(|error| named(path, &error))?;
    let beside = |name: &str| path.parent().unwrap_or(Path::new("")).join(name);
    let code = read(&beside(&file.module), MODULE_BYTES_MAX as u64)?;
    let input = read(&beside(&file.input), INPUT_BYTES_MAX)?;
    Ok(module(code, input, file.fuel, file.memory))
}

/// Hands a job to the mesh: returns once a member has it, and its blobs, so that the submitter may go.
pub(crate) async fn submit(place: &Place, job: &Job, blobs: Vec<Vec<u8>>, timeout: Duration) -> Result<JobId, Failure> {
    let id = job.id();
    let handed = async {
        let mut shared = Vec::new();
        for blob in blobs {
            shared.push(place.mesh.share(blob).await.map_err(Failure::other)?);
        }
        let publisher = place.submit().await?;
        publisher.ready(1).await.map_err(Failure::other)?;
        let record = Json(job.clone());
        publisher
            .publish_keyed(Place::key(id), &record)
            .await
            .map_err(Failure::other)?;
        publisher.flush().await.map_err(Failure::other)?;
        for blob in shared {
            while place.mesh.holders(blob).await.is_empty() {
                tokio::time::sleep(ASK_INTERVAL).await;
            }
        }
        Ok(id)
    };
    let late = |_| Failure::Nobody(format!("no worker took the job within {timeout:?}"));
    tokio::time::timeout(timeout, handed).await.map_err(late)?
}

/// Watches until all is settled, or long after the deadline.
pub(crate) async fn follow(watch: &mut Watch, job: &Job, json: bool) -> Result<Report, Failure> {
    let id = job.id();
    watch.submitted(job.clone());
    let end = tokio::time::sleep(job.deadline() * LATE);
    tokio::pin!(end);
    let mut progress = report::Progress::new(json);
    while !watch.state(id).is_some_and(|(_, state)| state.is_settled()) {
        tokio::select! {
            turn = watch.next() => turn?,
            () = &mut end => break,
        }
        progress.show(watch, id)?;
    }
    Report::of(watch, id).await
}
