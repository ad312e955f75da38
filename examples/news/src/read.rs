//! `news read`: a reader on a terminal, lines elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, MissedTickBehavior};

use crate::args::ReadArgs;
use shared::{secret, stop};

use crate::exit::Failure;
use crate::lines;
use crate::mesh::{Address, Heard, Inlet, Member, Note, Standing, default_data_dir};
use crate::reader::marks::Marks;
use crate::reader::screen::{Screen, Wish};
use crate::reader::state::Reader;

/// How often keys are looked at and the reader is drawn.
const TURN: Duration = Duration::from_millis(50);
/// Steps taken before the next drawing, so that a key that is held down is seen to work.
const STEPS_A_TURN_MAX: usize = 16;
/// No deadline: about a lifetime.
const FOREVER: Duration = Duration::from_secs(u32::MAX as u64);

/// Runs the command.
pub(crate) async fn run(args: ReadArgs) -> Result<(), Failure> {
    let mut stopped = std::pin::pin!(stop::requested());
    let address = args.common.place()?;
    let on_screen = std::io::stdout().is_terminal() && !args.json && !args.no_follow && args.count.is_none();
    // Lines need to remember nothing, and several of them may run at once; a reader knows what was read.
    let data_dir = match &args.common.data_dir {
        Some(data_dir) => Some(data_dir.clone()),
        None if on_screen => Some(default_data_dir("read", &address)?),
        None => None,
    };
    let credential = secret::credential(&args.common.mesh, &address)?;
    let network = args.common.mesh.network(data_dir.clone());
    let member = Member::join(&network, &address, credential).await?;
    let outcome = tokio::select! {
        outcome = async {
            // Who wants an end wants what was there before it.
            let everything = args.no_follow.then_some(SystemTime::UNIX_EPOCH);
            let since = args.since.and_then(|since| SystemTime::now().checked_sub(since)).or(everything);
            let inlet = member.subscribe(&args.publisher, since).await?;
            match data_dir.filter(|_| on_screen) {
                Some(data_dir) => {
                    let marks = Marks::open(&data_dir)?;
                    browse(&args, &address, &member, inlet, marks).await
                }
                None => print(&args, &member, inlet).await,
            }
        } => outcome,
        failure = member.refused() => Err(failure),
        () = &mut stopped => Err(Failure::Interrupted(String::new())),
    };
    member.stop().await;
    outcome
}

/// The words that were searched for, as they are compared.
fn words(args: &ReadArgs) -> Vec<String> {
    args.search.iter().map(|word| word.to_lowercase()).collect()
}

async fn print(args: &ReadArgs, member: &Member, mut inlet: Inlet) -> Result<(), Failure> {
    let words = words(args);
    let mut before = lines::Heard::default();
    let mut left = args.count;
    let patience = if args.no_follow { args.wait_timeout } else { FOREVER };
    let mut deadline = Instant::now() + patience;
    loop {
        let heard = tokio::select! {
            heard = inlet.next() => heard,
            () = tokio::time::sleep_until(deadline) => {
                return Err(nobody(member));
            }
        };
        match heard {
            Some(Heard::Item(item)) => {
                deadline = Instant::now() + patience;
                if !item.has_words(&words) || !before.is_new(item.digest()) {
                    continue;
                }
                match args.json {
                    true => lines::print(&lines::json(&item)?)?,
                    false => lines::print(&lines::headline(&item))?,
                }
                left = left.map(|left| left - 1);
                if left == Some(0) {
                    return Ok(());
                }
            }
            Some(Heard::CaughtUp) if args.no_follow => return Ok(()),
            Some(Heard::CaughtUp) => {}
            Some(Heard::Note(Note::Unanswered)) if args.no_follow => return Err(nobody(member)),
            Some(Heard::Note(note)) => lines::warn(&note),
            None => return Err(Failure::Other("the mesh was left".to_owned())),
        }
    }
}

fn nobody(member: &Member) -> Failure {
    member.refusal().unwrap_or_else(|| {
        Failure::Nobody("nobody could be asked for items: no member was found, or none answered".to_owned())
    })
}

async fn browse(
    args: &ReadArgs,
    address: &Address,
    member: &Member,
    mut inlet: Inlet,
    marks: Marks,
) -> Result<(), Failure> {
    let words = words(args);
    let mut reader = Reader::new(address.to_string(), marks);
    let mut screen = Screen::open()?;
    let mut turns = tokio::time::interval(TURN);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            heard = inlet.next() => match heard {
                Some(Heard::Item(item)) if item.has_words(&words) => reader.add(item),
                Some(Heard::Item(_) | Heard::CaughtUp) => {}
                Some(Heard::Note(note)) => reader.notice(lines::note(&note)),
                None => return Err(Failure::Other("the mesh was left".to_owned())),
            },
            _ = turns.tick() => {
                for _ in 0..STEPS_A_TURN_MAX {
                    let Some(wish) = Screen::wish()? else { break };
                    match wish {
                        Wish::Quit => return reader.save(),
                        Wish::Interrupt => {
                            reader.save()?;
                            return Err(Failure::Interrupted(String::new()));
                        }
                        Wish::Step(step) => reader.step(step)?,
                    }
                }
                reader.standing(standing_text(member.standing()));
                screen.draw(&mut reader)?;
            }
        }
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
