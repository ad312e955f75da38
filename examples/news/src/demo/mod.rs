//! The demo: feeds on a web server of its own, good and broken ones, a publisher that asks them, two readers and a keeper,
//! each a node of its own on 127.0.0.1, in a mesh with a password that they find through a helper. Runs the play; the parts
//! are beside it.

mod audience;
mod cast;
mod papers;
mod stage;
mod summary;

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use self::audience::Audience;
use self::cast::Cast;
use self::papers::{Paper, Site};
use self::stage::Stage;
use self::summary::Summary;
use crate::args::DemoArgs;
use crate::desk::{Desk, Report, Tally, Until};
use shared::stop;

use crate::exit::Failure;
use crate::feed::fetch::Fetcher;
use crate::feed::source::Source;
use crate::item::Item;
use crate::lines;
use crate::mesh::{Address, Outlet};
use crate::say::progress;

/// How long the nodes may take to meet.
const MEET_TIMEOUT: Duration = Duration::from_secs(90);
/// How long the last items may take to everybody.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How often the end is looked for.
const TURN: Duration = Duration::from_millis(50);
/// A desk's interval; the demo asks when the play says so.
const INTERVAL: Duration = Duration::from_secs(300);
/// How long the publisher waits for somebody who holds the items: all are there by then.
const HOLD_PATIENCE: Duration = Duration::from_secs(60);
/// Items on their way to the screen.
const TO_SHOW_MAX: usize = 1_024;

/// Runs the demo.
pub(crate) async fn run(args: &DemoArgs) -> Result<(), Failure> {
    let mut stopped = std::pin::pin!(stop::requested());
    let began = Instant::now();
    let folder = tempfile::tempdir().map_err(|error| Failure::Other(format!("no folder for the demo: {error}")))?;
    let site = Site::open().await?;
    progress("starting a helper, a publisher, two readers and a keeper on 127.0.0.1");
    let cast = tokio::select! {
        cast = Cast::start() => cast?,
        () = &mut stopped => return Err(Failure::Interrupted(String::new())),
    };
    let outcome = tokio::select! {
        outcome = play(args, &cast, &site, folder.path(), began) => outcome,
        () = &mut stopped => Err(Failure::Interrupted("the demo did not end".to_owned())),
    };
    cast.stop().await;
    let summary = outcome?;
    match args.json {
        true => lines::print(&summary.json().to_string())?,
        false => lines::print(summary.text().trim_end())?,
    }
    summary
        .complaint()
        .map_or(Ok(()), |complaint| Err(Failure::Other(complaint)))
}

/// From the first subscription to the last item.
async fn play(args: &DemoArgs, cast: &Cast, site: &Site, folder: &Path, began: Instant) -> Result<Summary, Failure> {
    let (to_show, arrivals) = mpsc::channel(TO_SHOW_MAX);
    let mut audience = Vec::new();
    for (index, (name, member)) in cast.audience().enumerate() {
        let inlet = member.subscribe(&[], None).await?;
        // One of them is enough to look at.
        audience.push(Audience::start(name, inlet, (index == 0).then(|| to_show.clone())));
    }
    drop(to_show);
    let outlet = cast.publisher.publisher().await?;
    tokio::time::timeout(MEET_TIMEOUT, outlet.ready(audience.len()))
        .await
        .map_err(|_| {
            Failure::Nobody(format!(
                "only {} of {} members found the publisher in time",
                outlet.subscribed(),
                audience.len()
            ))
        })??;
    let met_after = began.elapsed();
    progress(&format!("all met after {:.1} s", met_after.as_secs_f64()));

    let mut stage = Stage::open(args.json, cast.address.clone(), arrivals);
    let sources: Vec<Source> = Paper::ALL
        .iter()
        .map(|paper| site.address_of(*paper).parse().map_err(Failure::Other))
        .collect::<Result<_, _>>()?;
    let mut tallies = Vec::new();

    stage.scene("every feed is asked for the first time")?;
    let mut desk = open(&sources, folder)?;
    round(&mut desk, &outlet, &mut stage, &audience).await?;

    stage.scene("a new item appears in one feed; all are asked again")?;
    site.next_edition();
    round(&mut desk, &outlet, &mut stage, &audience).await?;
    tallies.push(desk.tally());

    stage.scene("the publisher forgets all but its data directory, and asks once more")?;
    let mut desk = open(&sources, folder)?;
    round(&mut desk, &outlet, &mut stage, &audience).await?;
    tallies.push(desk.tally());

    let sum = |of: fn(&Tally) -> u64| tallies.iter().map(of).sum();
    Ok(Summary {
        expected: papers::ITEMS,
        published: sum(|tally| tally.published),
        polls: sum(|tally| tally.polls),
        not_modified: sum(|tally| tally.not_modified),
        failed: stage.failed(),
        expected_failures: Paper::ALL.iter().filter(|paper| paper.is_broken()).count(),
        seats: audience.iter().map(Audience::seat).collect(),
        met_after,
        took: began.elapsed(),
    })
}

fn open(sources: &[Source], folder: &Path) -> Result<Desk, Failure> {
    Desk::open(sources, INTERVAL, folder, Fetcher::new(true)?)
}

/// Asks every feed once, and waits until everybody heard what is new.
async fn round(desk: &mut Desk, outlet: &Outlet, stage: &mut Stage, audience: &[Audience]) -> Result<(), Failure> {
    let before = desk.tally().published;
    let distinct = |seat: &Audience| seat.seat().distinct();
    let heard_before: Vec<u64> = audience.iter().map(distinct).collect();
    // Room for what a round reports: a line or two a feed.
    let (report, mut reports) = mpsc::channel(TO_SHOW_MAX);
    let mut tell = move |told: Report| {
        // What does not fit is only not shown.
        let _ = report.try_send(told);
    };
    {
        let mut asking = std::pin::pin!(desk.run(outlet, Until::Once(HOLD_PATIENCE), &mut tell));
        loop {
            tokio::select! {
                biased;
                Some(told) = reports.recv() => stage.report(&told)?,
                Some(item) = stage.arrival() => stage.item(&item)?,
                outcome = &mut asking => break outcome?,
            }
        }
    }
    let new = desk.tally().published - before;
    let deadline = Instant::now() + SETTLE_TIMEOUT;
    let complete = || {
        audience
            .iter()
            .zip(&heard_before)
            .all(|(seat, before)| distinct(seat) >= before + new)
    };
    while !complete() && Instant::now() < deadline {
        tokio::time::sleep(TURN).await;
    }
    while let Ok(told) = reports.try_recv() {
        stage.report(&told)?;
    }
    while let Some(item) = stage.arrived() {
        stage.item(&item)?;
    }
    Ok(())
}

/// What the audience passes on to be shown.
type Arrivals = mpsc::Receiver<Item>;

/// The demo's own address: a name of its own for every process, so that two demos on one machine are two meshes.
fn address() -> Result<Address, Failure> {
    crate::mesh::own_address(&format!("demo-{}.news.example/all", std::process::id()))
}
