//! `ticker publish`: a file, or standard input, as a stream on a topic.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::args::PublishArgs;
use shared::{secret, stop};

use crate::exit::Failure;
use crate::mesh::{Member, Outlet, Standing};
use crate::pace::Pace;
use crate::source::{Options, Source, Supply, supply};

/// How often a terminal is told how far the replay is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// Runs the command.
pub(crate) async fn run(args: PublishArgs) -> Result<(), Failure> {
    let mut stopped = std::pin::pin!(stop::requested());
    let address = args.common.place()?;
    let options = Options {
        columns: args.columns(),
        skip_bad: args.skip_bad,
    };
    // A file that cannot be read ends the command before anybody is asked to wait; standard input is not touched yet.
    let source = match args.file.as_deref() {
        Some("-") => None,
        Some(file) => Some(Source::open(file, &options)?),
        None => Some(Source::built_in()?),
    };
    let credential = secret::credential(&args.common.mesh, &address)?;
    let network = args.common.mesh.network(None);
    let member = Member::join(&network, &address, credential).await?;
    say(&format!("publishing as {}", member.id()));
    say(&format!(
        "to hear only this publisher: ticker watch {address} --publisher {}",
        member.id()
    ));
    let outlet = member.publisher().await?;
    let outcome = tokio::select! {
        outcome = publish(&args, &member, &outlet, source, options) => outcome,
        failure = member.refused() => Err(failure),
        () = &mut stopped => Err(Failure::Interrupted(String::new())),
    };
    member.stop().await;
    outcome
}

async fn publish(
    args: &PublishArgs,
    member: &Member,
    outlet: &Outlet,
    source: Option<Source>,
    options: Options,
) -> Result<(), Failure> {
    wait_for_members(args, member, outlet).await?;
    let supply = match source {
        Some(source) => supply(move || Ok(source)),
        None => supply(move || Source::open("-", &options)),
    };
    let (published, ended) = replay(args, outlet, supply).await;
    // What was taken is delivered, also when a bad row ends the file.
    let neighbours = outlet.flush().await?;
    let records = if published == 1 { "record" } else { "records" };
    let plural = if neighbours == 1 { "" } else { "s" };
    say(&format!(
        "published {published} {records} to {neighbours} neighbour{plural}"
    ));
    ended
}

async fn wait_for_members(args: &PublishArgs, member: &Member, outlet: &Outlet) -> Result<(), Failure> {
    let wanted = usize::from(args.wait_for);
    match tokio::time::timeout(args.wait_timeout, outlet.ready(wanted)).await {
        Ok(ready) => ready,
        Err(_) => Err(match member.standing() {
            Standing::Refused(peers) => {
                Failure::Refused(format!("all {peers} peers met refused this password: it may be wrong"))
            }
            _ => Failure::Nobody(format!(
                "{} of {wanted} members were subscribed in time; start `ticker watch` first, wait longer with --wait-timeout, or \
                 do not wait with --wait-for 0",
                outlet.subscribed()
            )),
        }),
    }
}

/// Gives how many ticks were published, and how the input ended.
async fn replay(args: &PublishArgs, outlet: &Outlet, mut ticks: mpsc::Receiver<Supply>) -> (u64, Result<(), Failure>) {
    let mut pace = Pace::new(args.speed);
    let mut published = 0;
    let mut start = None;
    let mut told = Instant::now();
    let on_terminal = std::io::stderr().is_terminal();
    loop {
        let tick = match ticks.recv().await {
            Some(Supply::Tick(tick)) => tick,
            Some(Supply::End { skipped }) => {
                if args.skip_bad {
                    say(&format!(
                        "skipped {skipped} bad {}",
                        if skipped == 1 { "row" } else { "rows" }
                    ));
                }
                return (published, Ok(()));
            }
            Some(Supply::Failed(error)) => return (published, Err(error.into())),
            None => {
                return (
                    published,
                    Err(Failure::Other("the reading thread ended early".to_owned())),
                );
            }
        };
        // The clock starts with the first tick, not with the wait for it.
        let start = *start.get_or_insert_with(tokio::time::Instant::now);
        let due = pace.due(&tick);
        if !due.is_zero() {
            // Far beyond any replay; `sleep_until` takes the farthest time it knows.
            let due = start
                .checked_add(due)
                .unwrap_or_else(|| start + Duration::from_secs(u64::from(u32::MAX)));
            tokio::time::sleep_until(due).await;
        }
        if let Err(failure) = outlet.publish(&tick).await {
            return (published, Err(failure));
        }
        published += 1;
        if on_terminal && told.elapsed() >= PROGRESS_INTERVAL {
            told = Instant::now();
            say(&format!("{} · {published} published", tick.time()));
        }
    }
}

/// Standard error is where people read; standard output stays empty.
fn say(text: &str) {
    // Whoever closed it does not want to know.
    let _ = writeln!(std::io::stderr(), "{text}");
}
