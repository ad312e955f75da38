//! `ticker watch`: a live board, or lines in a pipe.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use crate::args::{Beginning, WatchArgs};
use crate::board::screen::Wish;
use shared::{secret, stop};

use crate::exit::Failure;
use crate::mesh::{Address, Heard, Inlet, Member, Standing, Start};
use crate::show::Show;

/// How often the board is drawn.
const TURN: Duration = Duration::from_millis(100);
/// How long no tick may come without `--timeout`: about a lifetime.
const FOREVER: Duration = Duration::from_secs(u32::MAX as u64);

/// Runs the command.
pub(crate) async fn run(args: WatchArgs) -> Result<(), Failure> {
    let mut stopped = std::pin::pin!(stop::requested());
    let address = args.common.place()?;
    let credential = secret::credential(&args.common.mesh, &address)?;
    let network = args.common.mesh.network(None);
    let member = Member::join(&network, &address, credential).await?;
    let inlet = member
        .subscribe(start(args.from), &args.publisher, &args.symbols)
        .await?;
    let outcome = tokio::select! {
        outcome = watch(&args, &address, &member, inlet) => outcome,
        failure = member.refused() => Err(failure),
        () = &mut stopped => Err(Failure::Interrupted(String::new())),
    };
    member.stop().await;
    outcome
}

async fn watch(args: &WatchArgs, address: &Address, member: &Member, mut inlet: Inlet) -> Result<(), Failure> {
    let mut show = Show::open(&address.to_string(), address.topic().as_ref(), args.common.json)?;
    let mut left = args.count;
    let timeout = args.timeout.unwrap_or(FOREVER);
    let mut deadline = Instant::now() + timeout;
    let mut turns = tokio::time::interval(TURN);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            heard = inlet.next() => match heard {
                Some(Heard::Tick(arrival)) => {
                    show.arrival(&arrival)?;
                    deadline = Instant::now() + timeout;
                    left = left.map(|left| left - 1);
                    if left == Some(0) {
                        return Ok(());
                    }
                }
                Some(Heard::Note(note)) => show.note(&note)?,
                None => return Err(Failure::Other("the mesh was left".to_owned())),
            },
            _ = turns.tick(), if show.is_board() => {
                show.title(format!("{address} · {}", standing_text(member.standing())));
                match show.turn()? {
                    Some(Wish::Quit) => return Ok(()),
                    Some(Wish::Interrupt) => return Err(Failure::Interrupted(String::new())),
                    None => {}
                }
            }
            () = tokio::time::sleep_until(deadline) => {
                return Err(match member.standing() {
                    Standing::Refused(peers) => Failure::Refused(format!("all {peers} peers met refused this password: it may be wrong")),
                    standing => Failure::Nobody(format!("no tick came for {timeout:?} ({})", standing_text(standing))),
                });
            }
        }
    }
}

fn start(beginning: Beginning) -> Start {
    match beginning {
        Beginning::Latest => Start::Latest,
        Beginning::All => Start::All,
        Beginning::Now => Start::Now,
    }
}

fn standing_text(standing: Standing) -> String {
    match standing {
        Standing::Alone => "alone, looking for members".to_owned(),
        Standing::Refused(1) => "refused by the only peer met".to_owned(),
        Standing::Refused(peers) => format!("refused by all {peers} peers met"),
        Standing::Joined(1) => "1 neighbour".to_owned(),
        Standing::Joined(neighbours) => format!("{neighbours} neighbours"),
    }
}
