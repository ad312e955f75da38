//! `maille fetch MESH ID`: a blob of a mesh, into a file or to standard output.

use std::io::{self, ErrorKind, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use maille::{BlobId, BlobStoreError, Fetch, FetchError};

use super::common::{Member, MeshOptions, NetworkOptions, counted, shutdown};
use super::exit::Failure;
use super::output::{BlobLine, json_line, print_now};
use super::parse;
use super::place::{MeshOrTicket, Place};
use super::signals::Stop;

const EXAMPLES: &str = "\
Examples:
  Fetch a picture that somebody shared, by the id that `maille share` printed:
    maille fetch party.example blob1… --out beach.jpg
  Unpack an archive as it is, once it is whole; give up after two minutes:
    maille fetch party.example blob1… --timeout 2m | tar x

It comes from all members that hold some of it, each piece checked, and has its name only once it is whole. With --data-dir,
what was fetched stays there, up to 8 GiB, and is not fetched again; without, it is held in memory, up to 256 MiB.
It ends with 4 if not all of it was there in time.";

/// Fetch a file that a member of a mesh shares
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct FetchArgs {
    /// The mesh, such as party.example, or a ticket
    #[arg(value_name = "MESH")]
    mesh_or_ticket: MeshOrTicket,
    /// Which blob: blob1…
    #[arg(value_name = "ID")]
    id: BlobId,
    /// Where to write it; `-`, or nothing where standard output is not a terminal: to standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Give up after this: seconds, or 30s, 2m; else it waits for a holder for ever
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    timeout: Option<Duration>,
    /// Print a JSON object once it is written to --out
    #[arg(long, requires = "out")]
    json: bool,
    #[command(flatten)]
    mesh: MeshOptions,
    #[command(flatten)]
    network: NetworkOptions,
}

impl FetchArgs {
    /// Where to write; nothing: to standard output.
    fn file(&self) -> Result<Option<PathBuf>, Failure> {
        let is_standard = |path: &PathBuf| path.as_os_str() == "-";
        match self.out.clone() {
            Some(path) if is_standard(&path) && self.json => Err(Failure::Usage(
                "--json tells of a file, and standard output gets the blob itself: leave one of them out".to_owned(),
            )),
            None if io::stdout().is_terminal() => Err(Failure::Usage(
                "a blob is not for a terminal: say where to write it with --out FILE, or --out - all the same"
                    .to_owned(),
            )),
            out => Ok(out.filter(|path| !is_standard(path))),
        }
    }
}

/// Runs `maille fetch`.
pub(crate) async fn run(args: FetchArgs, stop: Stop) -> Result<(), Failure> {
    let file = args.file()?;
    let place = Place::of_mesh(Some(args.mesh_or_ticket.clone()), args.mesh.ticket.clone())?;
    let member = Member::join(&place, &args.network, &args.mesh, &stop).await?;
    let outcome = match fetched(&args, &member, &stop).await {
        Ok(fetch) => stop.or(write(&args, &fetch, file)).await.and_then(|written| written),
        Err(failure) => Err(failure),
    };
    shutdown(member.node).await;
    outcome
}

/// Waits until all of it is held here.
async fn fetched(args: &FetchArgs, member: &Member, stop: &Stop) -> Result<Fetch, Failure> {
    let fetch = member.mesh.fetch(args.id).await.map_err(failed)?;
    let progress = bar();
    let mut watch = member.watch(progress.clone());
    let shown = {
        let (progress, mut changes) = (progress.clone(), fetch.progress_changes());
        async move {
            while let Some(now) = changes.next().await {
                progress.set_length(now.bytes_total.unwrap_or(0));
                progress.set_position(now.bytes);
                progress.set_message(counted(now.holders, "holder"));
            }
        }
    };
    let shown = tokio::spawn(shown);
    let ended = tokio::select! {
        biased;
        _ = stop.requested() => Err(Failure::Interrupted(String::new())),
        done = fetch.done() => done.map_err(failed),
        failure = watch.given_up() => Err(failure),
        () = after(args.timeout) => Err(late(args, member, &fetch)),
    };
    shown.abort();
    progress.finish_and_clear();
    match (ended, watch.refused_so_far()) {
        (Err(Failure::NobodyThere(_)), Some(refused)) => Err(refused),
        (ended, _) => ended.map(|()| fetch),
    }
}

async fn after(timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => tokio::time::sleep(timeout).await,
        None => std::future::pending().await,
    }
}

fn late(args: &FetchArgs, member: &Member, fetch: &Fetch) -> Failure {
    let (progress, mesh) = (fetch.progress(), member.mesh.name());
    let seconds = args.timeout.unwrap_or_default().as_secs_f64();
    let neighbours = member.mesh.neighbours().len();
    Failure::NobodyThere(match (progress.bytes_total, neighbours) {
        (Some(total), _) => format!(
            "{} of {total} bytes came in {seconds} s, and {} hold some of it; take a longer --timeout, and a --data-dir to go on \
             from there",
            progress.bytes,
            counted(progress.holders, "neighbour")
        ),
        (None, 0) => format!("no member of {mesh} was met in {seconds} s: is one running with the same password?"),
        (None, met) => format!(
            "{} of {mesh} were asked for {seconds} s, and none holds it: is whoever shared it there?",
            counted(met, "member")
        ),
    })
}

async fn write(args: &FetchArgs, fetch: &Fetch, file: Option<PathBuf>) -> Result<(), Failure> {
    let Some(file) = file else {
        return fetch.write_to(io::stdout()).await.map(drop).map_err(failed);
    };
    let bytes = fetch.to_file(&file).await.map_err(failed)?;
    if !args.json {
        return Ok(());
    }
    print_now(&json_line(&BlobLine {
        event: "fetched",
        mesh: fetch.mesh().name().as_str(),
        blob: fetch.id().to_string(),
        bytes,
        file: file.display().to_string(),
    }))
}

fn failed(error: FetchError) -> Failure {
    match &error {
        FetchError::Store(store) => match &**store {
            BlobStoreError::Sink(sink) if sink.kind() == ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Failure::Other(error.into()),
        },
        _ => Failure::Other(error.into()),
    }
}

fn bar() -> ProgressBar {
    let template = "{spinner} {bar:30} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {msg}";
    let style = ProgressStyle::with_template(template);
    let style = style.expect("this template is well formed, as a test shows");
    let progress = ProgressBar::new(0).with_style(style);
    progress.enable_steady_tick(Duration::from_millis(100));
    progress
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: FetchArgs,
    }

    fn parse(line: &str) -> Result<FetchArgs, clap::Error> {
        Command::try_parse_from(format!("fetch {line}").split_whitespace()).map(|command| command.args)
    }

    #[test]
    fn ids_are_checked_and_files_told_from_standard_output() {
        let id = BlobId::of(b"x");
        assert_eq!(parse(&format!("m.example {id}")).unwrap().id, id);
        assert!(parse("m.example ../../etc/passwd").is_err() && parse("m.example").is_err());
        let file = |line: &str| parse(&format!("m.example {id} {line}")).unwrap().file();
        assert!(matches!(file("--out -"), Ok(None)));
        assert!(matches!(file("--out a/b"), Ok(Some(path)) if path.as_os_str() == "a/b"));
        assert!(matches!(file("--out - --json"), Err(Failure::Usage(_))));
        assert!(parse(&format!("m.example {id} --json")).is_err());
    }

    #[test]
    fn the_template_of_the_bar_is_well_formed() {
        bar().finish_and_clear();
    }
}
