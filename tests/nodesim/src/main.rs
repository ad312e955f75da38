//! Whole nodes, simulated: the real library on the real libp2p stack, many nodes on one thread, in virtual time, over a network of
//! hardships. What happens follows from the seed alone; every run is done twice, and the two must be the same to the byte.
//!
//! `cargo run --release --manifest-path tests/nodesim/Cargo.toml --target-dir target --locked -- [--nodes 100] [--seed 7 | --seeds 20]`

mod cast;
mod ledger;
mod network;
mod pipe;
mod plan;
mod run;
mod world;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::plan::Plan;

const USAGE: &str = "nodesim [--nodes N] [--publishers N] [--calm] [--seed N | --seeds COUNT [--first N]]";

/// What the command line asks for.
#[derive(Debug)]
struct Arguments {
    plan: Plan,
    seeds: u64,
    /// A run in this very process: where its journal goes.
    alone: Option<PathBuf>,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let plan = Plan {
            seed: 1,
            nodes: 100,
            publishers: 5,
            calm: false,
        };
        let (mut plan, mut seeds, mut alone) = (plan, 1, None);
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value: {USAGE}"));
            match word.as_str() {
                "--nodes" => plan.nodes = value()?.parse()?,
                "--publishers" => plan.publishers = value()?.parse()?,
                "--calm" => plan.calm = true,
                "--seed" | "--first" => plan.seed = value()?.parse()?,
                "--seeds" => seeds = value()?.parse()?,
                "--alone" => alone = Some(value()?.into()),
                _ => bail!("{word} is not known: {USAGE}"),
            }
        }
        ensure!(plan.publishers < plan.nodes, "somebody must listen");
        Ok(Self { plan, seeds, alone })
    }
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    match &arguments.alone {
        Some(journal) => alone(arguments.plan, journal),
        None => twice_each(&arguments),
    }
}

/// One run in this process.
fn alone(plan: Plan, journal: &Path) -> Result<ExitCode> {
    world::begin(plan.seed);
    // On a fresh thread: this one may have drawn numbers before the world began.
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let outcome = runtime.block_on(run::run(plan));
        // What still runs goes with the process.
        runtime.shutdown_background();
        outcome
    });
    let outcome = thread.join().map_err(|_| anyhow::anyhow!("the run panicked"))??;
    std::fs::write(journal, &outcome.journal)?;
    println!("digest {}; {outcome}", outcome.digest);
    Ok(ExitCode::from(u8::from(!outcome.faults.is_empty())))
}

/// Every seed in two processes at the same time.
fn twice_each(arguments: &Arguments) -> Result<ExitCode> {
    let Arguments { plan, seeds, .. } = *arguments;
    let folder = std::env::temp_dir().join(format!("maille-nodesim-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let mut bad = Vec::new();
    for seed in plan.seed..plan.seed + seeds {
        let began = world::real_time();
        let journals = ["first", "second"].map(|run| folder.join(format!("seed-{seed}-{run}.txt")));
        let plan = Plan { seed, ..plan };
        let runs = journals.clone().map(|journal| start(&plan, &journal));
        let mut outputs = Vec::new();
        for run in runs {
            outputs.push(run?.wait_with_output()?);
        }
        let says = |output: &Output| String::from_utf8_lossy(&output.stdout).trim().to_owned();
        println!("seed {seed}, {:.0?}: {}", world::real_time() - began, says(&outputs[0]));
        // A run that broke off left no journal.
        let difference = difference(&journals).unwrap_or_else(|error| Some(error.to_string()));
        if let Some(difference) = &difference {
            println!(
                "seed {seed}: the second run was another one: {difference}\n  {}",
                says(&outputs[1])
            );
        }
        if difference.is_some() || outputs.iter().any(|output| !output.status.success()) {
            println!(
                "seed {seed} again, with its journals in {}: {}",
                folder.display(),
                replay(&plan)
            );
            bad.push(seed);
        } else {
            journals.iter().try_for_each(std::fs::remove_file)?;
        }
    }
    println!("{} of {seeds} seeds are good, each run twice", seeds - bad.len() as u64);
    if bad.is_empty() {
        std::fs::remove_dir(&folder)?;
    }
    Ok(ExitCode::from(u8::from(!bad.is_empty())))
}

fn options(plan: &Plan) -> Vec<String> {
    let mut options = Vec::new();
    for (name, value) in [
        ("--nodes", plan.nodes as u64),
        ("--publishers", plan.publishers as u64),
        ("--seed", plan.seed),
    ] {
        options.extend([name.to_owned(), value.to_string()]);
    }
    options.extend(plan.calm.then(|| "--calm".to_owned()));
    options
}

fn start(plan: &Plan, journal: &Path) -> Result<std::process::Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(options(plan)).arg("--alone").arg(journal);
    Ok(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?)
}

/// The command that does it again.
fn replay(plan: &Plan) -> String {
    let manifest = "tests/nodesim/Cargo.toml";
    let options = options(plan).join(" ");
    format!("cargo run --release --manifest-path {manifest} --target-dir target --locked -- {options}")
}

/// The first line in which two journals differ.
fn difference(journals: &[PathBuf; 2]) -> Result<Option<String>> {
    let read = |path: &PathBuf| std::fs::read_to_string(path).with_context(|| format!("no journal {}", path.display()));
    let (first, second) = (read(&journals[0])?, read(&journals[1])?);
    if first == second {
        return Ok(None);
    }
    let same = first
        .lines()
        .zip(second.lines())
        .take_while(|(one, other)| one == other)
        .count();
    let line = |journal: &str| journal.lines().nth(same).unwrap_or("its end").to_owned();
    Ok(Some(format!(
        "line {}: {:?}, then {:?}",
        same + 1,
        line(&first),
        line(&second)
    )))
}
