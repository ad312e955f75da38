//! Checking a recorded match, and showing it.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use shared::{Failure, stop};

use crate::args::ReplayArgs;
use crate::record::Replay;
use crate::screen::{Screen, Wish};
use crate::words::plain;

/// A tick, when it is shown.
const TICK: Duration = Duration::from_millis(50);

pub(crate) async fn run(args: &ReplayArgs) -> Result<(), Failure> {
    // All of it first: nobody wants to watch what is not true.
    let mut replay = Replay::open(&args.file)?;
    while replay.step()? {}
    let (ticks, riders) = (replay.ticks, replay.info.players.len());
    if !args.check && std::io::stdout().is_terminal() {
        show(Replay::open(&args.file)?).await?;
    }
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{}: {ticks} ticks of {riders} players, each with the state that was recorded",
        args.file.display()
    )?;
    Ok(out.flush()?)
}

async fn show(mut replay: Replay) -> Result<(), Failure> {
    let mut screen = Screen::open()?;
    let mut players = replay.info.players.clone();
    players.sort_by_key(|player| {
        player
            .id
            .parse()
            .map(|id: maille::PeerId| id.to_bytes())
            .unwrap_or_default()
    });
    let names: Vec<String> = players.iter().map(|player| plain(&player.name, 12)).collect();
    let mut ticks = tokio::time::interval(TICK);
    let mut stopped = std::pin::pin!(stop::requested());
    while replay.step()? {
        let title = format!(" replay · round {} · tick {}", replay.arena.round, replay.ticks);
        screen.draw_arena(&title, &replay.arena, &names)?;
        if let Some(Wish::Quit | Wish::Interrupt) = screen.wish()? {
            break;
        }
        tokio::select! {
            _ = ticks.tick() => {}
            () = &mut stopped => return Err(Failure::Interrupted(String::new())),
        }
    }
    Ok(())
}
