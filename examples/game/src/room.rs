//! A room from entering to leaving: its lobby, its matches, its chat, and whoever sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use maille::{LockstepEvent, LockstepRole, Mesh, PeerId, TopicName};
use rand::RngExt;
use serde_json::json;
use shared::{Failure, stop};

use crate::chat::Chat;
use crate::face::Face;
use crate::lobby::{Lobby, Present};
use crate::record::Recorder;
use crate::rules::whim;
use crate::screen::{View, Wish};
use crate::session::{Game, Match, Tally, Took};

/// How often a screen is drawn, keys are read, and the lobby is looked at.
const FRAME: Duration = Duration::from_millis(40);
/// Ticks that a match goes on after its end was reached here, so that others reach it.
const LINGER_TICKS: u32 = 30;
/// How long the end may take where others do not go on.
const LINGER: Duration = Duration::from_secs(3);
/// Every so many ticks a program is told.
const TOLD_TICKS: u32 = 20;
/// How long who was dropped waits before it comes back.
const RETURN_PAUSE: Duration = Duration::from_secs(1);

/// What somebody wants in a room.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) room: TopicName,
    pub(crate) name: String,
    pub(crate) watches: bool,
    /// Begin once so many are ready; 0: as others say.
    pub(crate) wanted: u8,
    /// End after so many ticks of a match.
    pub(crate) ticks: Option<u32>,
    pub(crate) record: Option<std::path::PathBuf>,
    /// Ready without being asked.
    pub(crate) ready: bool,
    /// A bot that steers all the time, to measure how long that takes.
    pub(crate) busy: bool,
    /// Goes at its last tick without a word to anybody.
    pub(crate) abrupt: bool,
    /// The tick it is at, for who looks on.
    pub(crate) progress: Arc<AtomicU32>,
}

/// Somebody in a room.
pub(crate) struct Room {
    mesh: Mesh,
    me: PeerId,
    plan: Plan,
    face: Face,
    lobby: Lobby,
    chat: Chat,
    ready: bool,
    game: Option<Game>,
    /// When a match may be entered again.
    again_at: Instant,
    /// When this node reached the end.
    reached: Option<Instant>,
    tally: Tally,
}

impl Room {
    pub(crate) async fn enter(mesh: &Mesh, me: PeerId, plan: Plan, face: Face) -> Result<Self, Failure> {
        Ok(Self {
            lobby: Lobby::enter(mesh, me, &plan.room).await?,
            chat: Chat::enter(mesh, &plan.room).await?,
            ready: plan.ready && !plan.watches,
            mesh: mesh.clone(),
            me,
            plan,
            face,
            game: None,
            again_at: Instant::now(),
            reached: None,
            tally: Tally::default(),
        })
    }

    /// Until it is left, or the match has had its ticks.
    pub(crate) async fn stay(mut self) -> Result<Tally, Failure> {
        let mut frames = tokio::time::interval(FRAME);
        frames.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut stopped = std::pin::pin!(stop::requested());
        loop {
            let event = async {
                match &mut self.game {
                    Some(game) => game.session.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = event => self.on_event(event)?,
                _ = frames.tick() => if self.on_frame().await? {
                    break;
                },
                () = &mut stopped => return Err(Failure::Interrupted(String::new())),
            }
        }
        if let Some(game) = self.game {
            self.tally = game.finish()?;
        }
        let Tally {
            ticks,
            mismatches,
            dropped,
            rejoined,
            ..
        } = self.tally;
        let ended = json!({ "ticks": ticks, "hash_mismatches": mismatches, "dropped": dropped, "rejoined": rejoined });
        self.face.tell("ended", &ended)?;
        Ok(self.tally)
    }

    fn on_event(&mut self, event: Option<LockstepEvent>) -> Result<(), Failure> {
        let (Some(game), Some(event)) = (&mut self.game, event) else {
            return Err(Failure::Other("the mesh was left".to_owned()));
        };
        let restored = matches!(event, LockstepEvent::Restore { .. });
        match game.take(event)? {
            Took::Tick { joined, left } => {
                if let Some(rider) = game.rider.filter(|_| self.face.is_bot()) {
                    let turn = whim(&game.arena, rider, rand::rng().random());
                    let straight = game.arena.riders[rider].heading;
                    let busy = self.plan.busy && game.tally.ticks.is_multiple_of(2);
                    if let Some(heading) = turn.or(busy.then_some(straight)) {
                        game.steer(heading);
                    }
                }
                let tick = game.tally.ticks;
                self.plan.progress.store(tick, Ordering::Relaxed);
                for (riders, what) in [(left, "left"), (joined, "joined")] {
                    for rider in riders {
                        self.face
                            .tell(what, &json!({ "player": game.names[rider], "tick": tick }))?;
                    }
                }
                if tick == 1 || tick.is_multiple_of(TOLD_TICKS) {
                    let told = json!({ "tick": tick, "round": game.arena.round, "hash": format!("{:016x}", game.arena.hash()), "chat": self.chat.count() });
                    self.face.tell("tick", &told)?;
                }
                if self.plan.ticks.is_some_and(|ticks| tick >= ticks) {
                    self.reached.get_or_insert_with(Instant::now);
                }
            }
            Took::Notice(notice) => self.face.tell("notice", &json!({ "text": notice }))?,
            Took::Out => {
                self.face.tell("out", &json!({ "tick": game.tally.ticks }))?;
                self.game = None;
                self.again_at = Instant::now() + RETURN_PAUSE;
            }
            Took::Nothing if restored => self.face.tell("restored", &json!({ "tick": game.tally.ticks }))?,
            Took::Nothing => {}
        }
        Ok(())
    }

    /// Whether it is over.
    async fn on_frame(&mut self) -> Result<bool, Failure> {
        if let Face::Screen(_) = self.face
            && self.on_wishes().await?
        {
            return Ok(true);
        }
        let plays = self.game.as_ref().map(|game| (game.info.clone(), game.tally.ticks));
        let present = Present {
            name: self.plan.name.clone(),
            ready: self.ready,
            watches: self.plan.watches,
            wanted: self.plan.wanted,
            plays,
        };
        self.lobby.say(present).await?;
        if self.game.is_none()
            && Instant::now() >= self.again_at
            && let Some((info, tick)) = self.lobby.a_match(self.plan.watches)
            && (self.ready || self.plan.watches)
        {
            self.begin(info, tick).await?;
        }
        self.draw()?;
        let goal = self.plan.ticks.unwrap_or(u32::MAX).saturating_add(LINGER_TICKS);
        let others_reached = self.game.as_ref().is_some_and(|game| game.tally.ticks >= goal);
        Ok(self
            .reached
            .is_some_and(|at| self.plan.abrupt || others_reached || at.elapsed() > LINGER))
    }

    async fn begin(&mut self, info: Match, tick: u32) -> Result<(), Failure> {
        let role = match (self.plan.watches || !info.includes(&self.me), tick) {
            (true, _) => LockstepRole::Watch,
            (false, 0) => LockstepRole::Play,
            (false, _) => LockstepRole::Rejoin,
        };
        let record = self.plan.record.as_deref().map(Recorder::create).transpose()?;
        let game = Game::open(&self.mesh, self.me, info, role, record).await?;
        let told = json!({ "players": game.names, "role": format!("{role:?}").to_lowercase() });
        self.face.tell("match", &told)?;
        self.game = Some(game);
        Ok(())
    }

    /// What the person at the terminal wants; whether that is to leave.
    async fn on_wishes(&mut self) -> Result<bool, Failure> {
        loop {
            let Face::Screen(screen) = &mut self.face else {
                return Ok(false);
            };
            match screen.wish()? {
                None => return Ok(false),
                Some(Wish::Quit) => return Ok(true),
                Some(Wish::Interrupt) => return Err(Failure::Interrupted(String::new())),
                Some(Wish::Ready) => self.ready = !self.plan.watches && (self.game.is_some() || !self.ready),
                Some(Wish::Steer(heading)) => {
                    if let Some(game) = &mut self.game {
                        game.steer(heading);
                    }
                }
                Some(Wish::Say(text)) => {
                    self.chat.say(&self.plan.name, &text).await?;
                }
            }
        }
    }

    fn draw(&mut self) -> Result<(), Failure> {
        let Face::Screen(screen) = &mut self.face else {
            return Ok(());
        };
        let view = View {
            title: format!("{}/{}", self.mesh.name(), self.plan.room),
            people: &self.lobby.people(),
            me: self.me,
            game: self.game.as_ref(),
            watches: self.plan.watches,
            neighbours: self.mesh.neighbours().len(),
            chat: &self.chat.newest(3),
        };
        Ok(screen.draw(&view)?)
    }
}
