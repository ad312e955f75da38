//! The demo: real stock prices from one publisher to several subscribers, each a node of its own on 127.0.0.1, in a mesh
//! with a password, found through Kademlia, and a stranger who must hear nothing. Runs the play; the parts are beside it.

mod cast;
mod viewer;

use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use self::cast::Cast;
use self::viewer::{PublishTimes, Viewer};
use crate::args::DemoArgs;
use crate::board::screen::Wish;
use shared::stop;

use crate::exit::Failure;
use crate::mesh::{Arrival, Heard, Outlet, Start};
use crate::pace::{Pace, Speed};
use crate::show::{Show, print};
use crate::source::Source;
use crate::summary::Summary;
use crate::tick::Tick;

/// How often the board is drawn and the end is looked for.
const TURN: Duration = Duration::from_millis(100);
/// Percentiles are worked out anew every so many turns.
const TURNS_A_PERCENTILE: u32 = 5;
/// How long after the last tick, and the last arrival, what is missing counts as lost.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the bell rings until everybody heard it.
const BELL_INTERVAL: Duration = Duration::from_millis(200);

/// Runs the demo.
pub(crate) async fn run(args: &DemoArgs) -> Result<(), Failure> {
    let mut stopped = std::pin::pin!(stop::requested());
    let ticks = newest(args.ticks)?;
    if ticks.is_empty() {
        return Err(Failure::Other(
            "the file that comes with the program has no ticks".to_owned(),
        ));
    }
    let began = Instant::now();
    progress("starting a helper, a publisher, the subscribers and a stranger on 127.0.0.1");
    let cast = tokio::select! {
        cast = Cast::start(args.subscribers) => cast?,
        () = &mut stopped => return Err(Failure::Interrupted(String::new())),
    };
    let outcome = tokio::select! {
        outcome = play(args, &cast, ticks, began) => outcome,
        () = &mut stopped => Err(Failure::Interrupted("the demo did not end".to_owned())),
    };
    cast.stop().await;
    let summary = outcome?;
    if args.json {
        print(&summary.json().to_string())?;
    } else {
        print(summary.text().trim_end())?;
    }
    summary
        .complaint()
        .map_or(Ok(()), |complaint| Err(Failure::Other(complaint)))
}

/// From the first subscription to the last tick.
async fn play(args: &DemoArgs, cast: &Cast, ticks: Arc<[Tick]>, began: Instant) -> Result<Summary, Failure> {
    let times = PublishTimes::new(ticks.len());
    // Room for every tick and the bells before: the show never makes a subscriber wait, even if a reader of our output does.
    let (to_show, mut arrivals) = mpsc::channel(ticks.len());
    let mut to_show = Some(to_show);
    let mut viewers = Vec::with_capacity(cast.subscribers.len());
    for (index, member) in cast.subscribers.iter().enumerate() {
        let inlet = member.subscribe(Start::Now, &[], &[]).await?;
        let name = format!("subscriber {}", index + 1);
        viewers.push(Viewer::start(name, inlet, ticks.clone(), times.clone(), to_show.take()));
    }
    let stranger = Viewer::start(
        "stranger".to_owned(),
        cast.stranger.subscribe(Start::Now, &[], &[]).await?,
        ticks.clone(),
        times.clone(),
        None,
    );
    let outlet = cast.publisher.publisher().await?;
    tokio::time::timeout(cast::meet_timeout(args.subscribers), ring(&outlet, &viewers))
        .await
        .map_err(|_| {
            let heard = viewers.iter().filter(|viewer| viewer.heard_bell()).count();
            Failure::Nobody(format!(
                "only {heard} of {} subscribers found the publisher in time",
                viewers.len()
            ))
        })??;
    let met_after = began.elapsed();
    progress(&format!(
        "all met after {:.1} s: the market opens",
        met_after.as_secs_f64()
    ));

    let mut show = Show::open("ticker: the demo", cast::TOPIC, args.json)?;
    let upload_before = cast.publisher.bytes_sent();
    let opened = Instant::now();
    let mut publishing = tokio::spawn(publish(outlet, ticks.clone(), times.clone(), args.speed));
    let mut published_in = None;
    let mut upload_bytes = 0;
    let mut last_arrival = (0, Instant::now());
    let mut turns = tokio::time::interval(TURN);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut turn: u32 = 0;
    loop {
        tokio::select! {
            Some(heard) = arrivals.recv() => shown(&mut show, &heard)?,
            ended = &mut publishing, if published_in.is_none() => {
                ended.map_err(|error| Failure::Other(format!("the publisher broke off: {error}")))??;
                published_in = Some(opened.elapsed());
                upload_bytes = cast.publisher.bytes_sent() - upload_before;
            }
            _ = turns.tick() => {
                let arrived: u64 = viewers.iter().map(Viewer::arrived).sum();
                if arrived != last_arrival.0 || published_in.is_none() {
                    last_arrival = (arrived, Instant::now());
                }
                let complete = arrived >= (ticks.len() * viewers.len()) as u64;
                if published_in.is_some() && (complete || last_arrival.1.elapsed() > SETTLE_TIMEOUT) {
                    break;
                }
                if show.is_board() {
                    if turn.is_multiple_of(TURNS_A_PERCENTILE) {
                        let seats = viewers.iter().map(|viewer| viewer.seat(None)).collect();
                        show.audience(seats, format!("{} ticks", stranger.everything()));
                    }
                    turn = turn.wrapping_add(1);
                    match show.turn()? {
                        Some(Wish::Interrupt | Wish::Quit) => {
                            return Err(Failure::Interrupted("the demo did not end".to_owned()));
                        }
                        None => {}
                    }
                }
            }
        }
    }
    while let Ok(heard) = arrivals.try_recv() {
        shown(&mut show, &heard)?;
    }
    let published = ticks.len() as u64;
    Ok(Summary {
        published,
        seats: viewers.iter().map(|viewer| viewer.seat(Some(published))).collect(),
        strange: viewers.iter().map(Viewer::strange).sum(),
        stranger_delivered: stranger.everything(),
        stranger_refused_by: cast.stranger_refused_by(),
        upload_bytes,
        met_after,
        published_in: published_in.unwrap_or_default(),
    })
}

/// Rings until every subscriber heard the publisher. From then on each must hear everything.
async fn ring(outlet: &Outlet, viewers: &[Viewer]) -> Result<(), Failure> {
    // One neighbour is enough to begin with: in a large audience most subscribers are never the publisher's neighbours.
    outlet.ready(1).await?;
    let mut rings = tokio::time::interval(BELL_INTERVAL);
    while !viewers.iter().all(Viewer::heard_bell) {
        rings.tick().await;
        outlet.publish(&Tick::bell()).await?;
    }
    outlet.flush().await.map(drop)
}

async fn publish(outlet: Outlet, ticks: Arc<[Tick]>, times: PublishTimes, speed: Speed) -> Result<(), Failure> {
    let mut pace = Pace::new(speed);
    let start = tokio::time::Instant::now();
    for (place, tick) in ticks.iter().enumerate() {
        let due = pace.due(tick);
        if !due.is_zero() {
            tokio::time::sleep_until(start + due).await;
        }
        times.set(place, Instant::now());
        outlet.publish(tick).await?;
    }
    outlet.flush().await.map(drop)
}

fn shown(show: &mut Show, heard: &Heard) -> Result<(), Failure> {
    match heard {
        Heard::Tick(arrival @ Arrival { .. }) => show.arrival(arrival),
        Heard::Note(note) => show.note(note),
    }
}

/// The newest ticks of the file that comes with the program, at most so many.
fn newest(count: u64) -> Result<Arc<[Tick]>, Failure> {
    let mut source = Source::built_in()?;
    let mut ticks = VecDeque::new();
    while let Some(tick) = source.next_tick()? {
        if ticks.len() as u64 == count {
            ticks.pop_front();
        }
        ticks.push_back(tick);
    }
    Ok(ticks.into_iter().collect())
}

/// What takes a while is said, but only to somebody who watches.
fn progress(text: &str) {
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        // Whoever closed it does not want to know.
        let _ = writeln!(stderr, "{text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_ticks_end_with_the_file() {
        let ticks = newest(2_400).unwrap();
        assert_eq!(ticks.len(), 2_400);
        assert_eq!(
            (ticks[2_399].symbol.as_str(), ticks[2_399].price.as_str()),
            ("MSFT", "27.95")
        );
        assert_eq!(ticks[2_399].time().to_string(), "2013-03-01");
        let days: std::collections::BTreeSet<i64> = ticks.iter().map(|tick| tick.time_ns).collect();
        let symbols: std::collections::BTreeSet<&str> = ticks.iter().map(|tick| tick.symbol.as_str()).collect();
        assert_eq!(
            (days.len(), symbols.len()),
            (160, 5),
            "160 days of five symbols: 8 s at 20 days a second"
        );
        assert_eq!(newest(1_000_000).unwrap().len(), 36_462);
    }
}
