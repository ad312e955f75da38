//! The command line. Parses, and decides nothing else.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use maille::Address;
use shared::network::place;
use shared::{Failure, MeshArgs};

use crate::job::JobId;

const EXAMPLES: &str = "\
Examples:
  compute                                    the demo: four workers on this machine, one killed, one liar
  compute work compute.example/jobs          work, for whoever submits there
  compute submit compute.example/jobs option --deadline 30s --replicas 3 --follow
  compute submit compute.example/jobs count.json
  compute status compute.example/jobs
  compute result compute.example/jobs 0123456789abcdef";

const EXIT_CODES_HELP: &str = "\
Exit codes:
  0    done
  1    anything else: no quorum, a job that nobody can do, a port in use
  2    usage: a wrong option, address, multiaddr or password source
  3    refused: every peer met refused the password, and no member was found
  4    nobody there in time
  5    input unreadable: a missing file, a bad job
  130  interrupted (Ctrl-C)";

/// Compute without a master.
///
/// Without a command: the demo. Four workers, each a process and a node of its own on 127.0.0.1, price an option; one is killed on
/// the way and one lies.
#[derive(Debug, Parser)]
#[command(name = "compute", version, args_conflicts_with_subcommands = true)]
#[command(after_help = format!("{EXAMPLES}\n\n{EXIT_CODES_HELP}"))]
pub(crate) struct Cli {
    /// What to do instead of the demo.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Options of the demo.
    #[command(flatten)]
    pub(crate) demo: DemoArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Work on what is submitted at ADDRESS
    Work(WorkArgs),
    /// Submit a job, and leave; the result stays with the workers
    #[command(after_help = format!(
        "JOB is one of\n  option     the price of a European call on a stock, by Monte Carlo\n  risk       what a portfolio of five \
         stocks loses at most on 99 days of 100\n  kmers      counts of 8-mers in the genome of phage lambda, by a WebAssembly module\n  \
         FILE.json  a module of yours: {{\"module\": \"count.wasm\", \"input\": \"genome.txt\", \"fuel\": 1000000000, \"memory\": \
         16777216}}\n\n{EXIT_CODES_HELP}"
    ))]
    Submit(SubmitArgs),
    /// Who works on what, and who cannot and why
    Status(PlaceArgs),
    /// The result of a job, to standard output
    Result(ResultArgs),
}

/// Options of the demo.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// The last line is one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Tasks of the job
    #[arg(long, value_name = "N", default_value_t = 48, value_parser = clap::value_parser!(u32).range(4..=1_024))]
    pub(crate) tasks: u32,
    /// Paths that each of them simulates
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=10_000_000))]
    pub(crate) paths: u64,
    /// Where to draw how the result converged
    #[arg(long, value_name = "F")]
    pub(crate) plot: Option<PathBuf>,
}

/// Where, and who with.
#[derive(Debug, Args)]
pub(crate) struct PlaceArgs {
    /// Mesh and topic, such as compute.example/jobs
    pub(crate) address: Option<Address>,
    /// How to find the mesh and get in.
    #[command(flatten)]
    pub(crate) mesh: MeshArgs,
    /// Identity, jobs and votes are kept in this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// How long to look for members
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
    /// JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl PlaceArgs {
    pub(crate) fn place(&self) -> Result<Address, Failure> {
        place(self.address.clone(), self.mesh.ticket.as_ref(), "compute.example/jobs")
    }
}

/// Options of `work`.
#[derive(Debug, Args)]
pub(crate) struct WorkArgs {
    /// Where, and who with.
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Tasks worked on at a time; the machine's processors, unless told otherwise
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=64))]
    pub(crate) slots: Option<u64>,
    /// What a module may take of this machine's memory, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=1_024))]
    pub(crate) memory: u64,
    /// What a module's task may burn, in units of fuel, about an instruction each
    #[arg(long, value_name = "N", default_value_t = 20_000_000_000)]
    pub(crate) fuel: u64,
    /// Give wrong results: for demos and tests
    #[arg(long, hide = true)]
    pub(crate) lie: bool,
    /// Take so many times as long: for demos and tests
    #[arg(long, hide = true, value_name = "TIMES", default_value_t = 1)]
    pub(crate) slow: u32,
}

/// Options of `submit`.
#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    /// Mesh and topic, such as compute.example/jobs
    pub(crate) address: Address,
    /// option, risk, kmers, or a file
    pub(crate) job: String,
    /// When it is to be done
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub(crate) deadline: Duration,
    /// How many workers do each task, to compare their results
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=15))]
    pub(crate) replicas: u32,
    /// How many tasks it is split into
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    pub(crate) tasks: u32,
    /// Paths a task, of option and risk
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) paths: u64,
    /// The stock, of option
    #[arg(long, value_name = "SYMBOL", default_value = "AAPL")]
    pub(crate) symbol: String,
    /// Stay until it is done, and print the result
    #[arg(long)]
    pub(crate) follow: bool,
    /// Draw how the result converged; only with --follow
    #[arg(long, value_name = "F", requires = "follow")]
    pub(crate) plot: Option<PathBuf>,
    /// How to find the mesh and get in.
    #[command(flatten)]
    pub(crate) mesh: MeshArgs,
    /// Identity, jobs and votes are kept in this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// How long to look for workers
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
    /// JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `result`.
#[derive(Debug, Args)]
pub(crate) struct ResultArgs {
    /// Mesh and topic, such as compute.example/jobs
    pub(crate) address: Address,
    /// What `submit` printed
    pub(crate) id: JobId,
    /// How to find the mesh and get in.
    #[command(flatten)]
    pub(crate) mesh: MeshArgs,
    /// Identity, jobs and votes are kept in this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// How long to wait for members, and for the result
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
    /// JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `30s`, `500ms`, `2m`, or a plain number of seconds.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let say = || "give a duration such as 500ms, 30s or 2m".to_owned();
    let digits = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.');
    let (number, unit) = text.split_at(digits.count());
    let unit_s = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err(say()),
    };
    let seconds: f64 = number.parse().map_err(|_| say())?;
    match Duration::try_from_secs_f64(seconds * unit_s) {
        Ok(duration) if !duration.is_zero() && duration <= crate::job::DEADLINE_MAX => Ok(duration),
        _ => Err("give more than nothing, and at most a day".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1_500)));
        for wrong in ["", "s", "0s", "25h", "-1s", "1x", "1e9"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
