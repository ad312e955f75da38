//! A match: what its players agreed on, and the arena as the ticks of its session make it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use maille::{Lockstep, LockstepEvent, LockstepOptions, LockstepRole, PeerId, TopicName};
use serde::{Deserialize, Serialize};
use shared::Failure;

use crate::record::Recorder;
use crate::rules::{Arena, RIDERS_MAX};

/// A tick.
const TICK: Duration = Duration::from_millis(50);
/// Notices kept, the newest.
const NOTICES_MAX: usize = 4;
/// Latencies kept, the newest.
const LATENCIES_MAX: usize = 65_536;
/// Own inputs whose execution is waited for.
const ENTERED_MAX: usize = 64;

/// What players agree on before a match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Match {
    /// The session's room.
    pub(crate) room: String,
    pub(crate) seed: u64,
    pub(crate) players: Vec<Player>,
}

/// A player, as others know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Player {
    pub(crate) id: String,
    pub(crate) name: String,
}

impl Match {
    /// What it takes to open it; nothing if it makes no sense: it comes from somebody else.
    pub(crate) fn plan(&self) -> Option<(TopicName, Vec<PeerId>)> {
        let parsed = |player: &Player| player.id.parse().ok();
        let players = self.players.iter().map(parsed).collect::<Option<Vec<PeerId>>>()?;
        let fits =
            (1..=RIDERS_MAX).contains(&players.len()) && self.players.iter().all(|player| player.name.len() <= 64);
        Some((self.room.parse().ok()?, players)).filter(|_| fits)
    }

    pub(crate) fn includes(&self, player: &PeerId) -> bool {
        let id = player.to_string();
        self.players.iter().any(|one| one.id == id)
    }
}

/// What was counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) ticks: u32,
    pub(crate) mismatches: u64,
    pub(crate) dropped: u64,
    pub(crate) rejoined: u64,
    /// From entering a move to executing it, and when that was.
    pub(crate) latencies: VecDeque<(Instant, Duration)>,
}

/// A match under way.
#[derive(Debug)]
pub(crate) struct Game {
    pub(crate) session: Lockstep,
    pub(crate) info: Match,
    /// In the order of riders.
    pub(crate) players: Vec<PeerId>,
    pub(crate) names: Vec<String>,
    /// This node's rider.
    pub(crate) rider: Option<usize>,
    pub(crate) arena: Arena,
    pub(crate) tally: Tally,
    pub(crate) notices: VecDeque<String>,
    record: Option<Recorder>,
    entered: VecDeque<Instant>,
}

/// What an event was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Took {
    /// A tick was executed.
    Tick { joined: Vec<usize>, left: Vec<usize> },
    /// This node is out.
    Out,
    /// Something to tell.
    Notice(String),
    /// Nothing to tell.
    Nothing,
}

impl Game {
    pub(crate) async fn open(
        mesh: &maille::Mesh,
        me: PeerId,
        info: Match,
        role: LockstepRole,
        record: Option<Recorder>,
    ) -> Result<Self, Failure> {
        let (room, mut players) = info
            .plan()
            .ok_or_else(|| Failure::Other("what the others would play makes no sense here".to_owned()))?;
        let options = LockstepOptions {
            tick: TICK,
            role,
            ..LockstepOptions::new(players.iter().copied())
        };
        let session = mesh.lockstep(room, options).await.map_err(Failure::other)?;
        players.sort_by_key(|player| player.to_bytes());
        let name_of = |player: &PeerId| {
            let id = player.to_string();
            let named = info.players.iter().find(|one| one.id == id);
            named.map_or_else(String::new, |one| crate::words::plain(&one.name, 12))
        };
        let mut game = Self {
            session,
            names: players.iter().map(name_of).collect(),
            rider: players.iter().position(|player| *player == me),
            arena: Arena::new(info.seed, players.len()),
            players,
            tally: Tally::default(),
            notices: VecDeque::new(),
            record,
            entered: VecDeque::new(),
            info,
        };
        if let Some(record) = &mut game.record {
            record.begin(&game.info)?;
        }
        Ok(game)
    }

    /// This node's player steers.
    pub(crate) fn steer(&mut self, heading: crate::rules::Heading) {
        // One that is not taken is one too many, or comes from who only watches.
        if self.session.input(heading.input().to_vec()).is_ok() && self.entered.len() < ENTERED_MAX {
            self.entered.push_back(Instant::now());
        }
    }

    fn numbers(&self, players: &[PeerId]) -> Vec<usize> {
        let number = |player| self.players.iter().position(|one| one == player);
        players.iter().filter_map(number).collect()
    }

    fn name(&self, player: &PeerId) -> &str {
        let known = self.players.iter().position(|one| one == player);
        known.map_or("somebody", |number| &self.names[number])
    }

    pub(crate) fn take(&mut self, event: LockstepEvent) -> Result<Took, Failure> {
        let notice = match event {
            LockstepEvent::Tick(step) => {
                let (joined, left) = (self.numbers(&step.joined), self.numbers(&step.left));
                let number = |player| self.players.iter().position(|one| one == player);
                let inputs: Vec<(usize, &[u8])> = step
                    .inputs
                    .iter()
                    .filter(|(_, input)| !input.is_empty())
                    .filter_map(|(player, input)| Some((number(player)?, &input[..])))
                    .collect();
                self.arena.step(&inputs, &joined, &left);
                let hash = self.arena.hash();
                self.session.stepped(step.tick, hash);
                if let Some(record) = &mut self.record {
                    record.tick(step.tick, &inputs, &joined, &left, hash)?;
                }
                let moved = inputs.iter().any(|(rider, _)| Some(*rider) == self.rider);
                if let Some(entered) = self.entered.front().copied().filter(|_| moved) {
                    self.entered.pop_front();
                    if self.tally.latencies.len() == LATENCIES_MAX {
                        self.tally.latencies.pop_front();
                    }
                    self.tally.latencies.push_back((entered, entered.elapsed()));
                }
                self.tally.ticks = step.tick;
                self.tally.dropped += left.len() as u64;
                self.tally.rejoined += joined.len() as u64;
                for (changed, what) in [(&left, "is gone"), (&joined, "is back")] {
                    for rider in changed {
                        let text = format!("{} {what}", self.names[*rider]);
                        self.note(text);
                    }
                }
                return Ok(Took::Tick { joined, left });
            }
            LockstepEvent::Snapshot(wanted) => {
                wanted.give(self.arena.encode());
                return Ok(Took::Nothing);
            }
            LockstepEvent::Restore { tick, state } => {
                // From somebody else: what is no state is as good as being out.
                let Some(arena) = Arena::decode(&state, self.players.len()) else {
                    return Ok(Took::Out);
                };
                self.arena = arena;
                if let Some(record) = &mut self.record {
                    record.state(tick, &state)?;
                }
                return Ok(Took::Nothing);
            }
            LockstepEvent::Mismatch { tick, player, .. } => {
                self.tally.mismatches += 1;
                format!("{} sees another arena since tick {tick}", self.name(&player))
            }
            LockstepEvent::Waiting { players, .. } => {
                let names: Vec<&str> = players.iter().map(|player| self.name(player)).collect();
                format!("waiting for {}", names.join(", "))
            }
            LockstepEvent::Equivocated {
                player, first, second, ..
            } => {
                let frames = [first, second].iter().flatten().count();
                format!(
                    "{} moved twice at once: {frames} signed frames prove it",
                    self.name(&player)
                )
            }
            LockstepEvent::Out(_) => return Ok(Took::Out),
            _ => return Ok(Took::Nothing),
        };
        self.note(notice.clone());
        Ok(Took::Notice(notice))
    }

    fn note(&mut self, notice: String) {
        if self.notices.len() == NOTICES_MAX {
            self.notices.pop_front();
        }
        self.notices.push_back(notice);
    }

    pub(crate) fn finish(mut self) -> Result<Tally, Failure> {
        if let Some(record) = &mut self.record {
            record.end()?;
        }
        Ok(self.tally)
    }
}
