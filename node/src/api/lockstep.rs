//! The handle of a lockstep session: your own game.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use libp2p::PeerId;
use thiserror::Error;
use tokio::sync::mpsc::error::TrySendError;

use super::Mesh;
use crate::core::lockstep::{LOCKSTEP_INPUT_BYTES_MAX, Role};
use crate::net::{LockstepError, LockstepEvent, LockstepLink, open_lockstep};
use crate::types::TopicName;

/// How a session is. All who are in it must say the same, but for their role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockstepOptions {
    /// Who plays: 1 to 8.
    pub players: Vec<PeerId>,
    /// How long a tick is: 5 ms to 1 s.
    pub tick: Duration,
    /// What this node does.
    pub role: Role,
}

impl LockstepOptions {
    /// To play from the beginning, with 20 ticks a second.
    pub fn new(players: impl IntoIterator<Item = PeerId>) -> Self {
        Self {
            players: players.into_iter().collect(),
            tick: Duration::from_millis(50),
            role: Role::Play,
        }
    }
}

impl Mesh {
    /// A session in which up to eight players execute the same ticks, without a host: *your own game*.
    ///
    /// Your game is a state, a function that changes it by one tick, and a hash of it. The same state and the same inputs must
    /// give the same state on every machine: integers only, no clock, no map with a random order, and randomness from a seed
    /// in the state. Players agree beforehand who plays and in which room, in a lobby: any topic will do. Then each opens the
    /// session, and for each [`LockstepEvent::Tick`] applies what every player did and tells the hash. That is all: who is late
    /// is waited for, who cheats is named, who is lost is left behind, who returns is let in.
    ///
    /// **Time.** A tick is executed once every player's input for it is there. Your input is executed a few ticks after you
    /// entered it; how many is measured, and told as [`LockstepEvent::Delay`]. Inputs are repeated until everybody has them, so a
    /// lost record costs nothing. Ticks wait for a game that does not read its events.
    ///
    /// **Loss.** When the inputs of a player are missing for a second, the others agree on its last one and go on without it:
    /// [`Step::left`](crate::Step::left) of the same tick for all. Only a side with more than half of the players goes on, or with
    /// exactly half and the first of them in the order of their [`PeerId`]s in binary. So of two players the first goes on alone,
    /// and the second waits. Who waits gets [`LockstepEvent::Waiting`]; who was left behind gets [`LockstepEvent::Out`] once it
    /// meets the others. Cut off, it may first have executed a few ticks that for the others went differently. A player who
    /// returned has a voice in who goes on only once players agreed again.
    ///
    /// **Return.** With [`LockstepRole::Rejoin`](crate::LockstepRole::Rejoin) a player gets the state from another one, follows, and is
    /// let in a moment later, at the earliest 60 ticks after it was out. Watchers follow the same way. For them answer
    /// [`LockstepEvent::Snapshot`], and take [`LockstepEvent::Restore`].
    ///
    /// **Cheats.** Who moves twice in one tick is named with both signed frames, and dropped; different hashes are told with
    /// tick and player. What a player may do is for your rules to decide. A player who sends what it likes can end a game,
    /// by silence or by disagreement; it cannot move for others. Inputs of a dropped player that nobody else saw come from who
    /// proposes to go on; a wrong claim shows where another player has the true ones.
    ///
    /// # Errors
    /// [`LockstepError`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves no session open.
    ///
    /// ```
    /// use futures::StreamExt;
    /// use maille::{Credential, Lockstep, LockstepEvent, LockstepOptions, Node};
    ///
    /// /// Plays until both have counted.
    /// async fn play(mut session: Lockstep) -> Result<u64, Box<dyn std::error::Error>> {
    ///     let mut score = 0;
    ///     session.input(&b"+"[..])?;
    ///     while let Some(event) = session.next().await {
    ///         match event {
    ///             LockstepEvent::Tick(step) => {
    ///                 for (_player, input) in &step.inputs {
    ///                     score += u64::from(&input[..] == b"+");
    ///                 }
    ///                 session.stepped(step.tick, score);
    ///                 if score == 2 {
    ///                     return Ok(score);
    ///                 }
    ///             }
    ///             LockstepEvent::Snapshot(wanted) => assert!(wanted.give(score.to_be_bytes())),
    ///             LockstepEvent::Restore { state, .. } => score = u64::from_be_bytes(state[..].try_into()?),
    ///             _ => {}
    ///         }
    ///     }
    ///     Err("the mesh was left".into())
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let on_loopback = || Node::builder().listen(["/ip4/127.0.0.1/tcp/0".parse().unwrap()]).mdns(false).run_file(false);
    /// # let alice = on_loopback().spawn().await?;
    /// # let bob = on_loopback().bootstrap(alice.multiaddrs()).spawn().await?;
    /// # let at_alice = alice.join("games.example".parse()?, Credential::open()).await?;
    /// # let at_bob = bob.join("games.example".parse()?, Credential::open()).await?;
    /// let options = LockstepOptions::new([alice.id(), bob.id()]);
    /// let first = at_alice.lockstep("count/1".parse()?, options.clone()).await?;
    /// let second = at_bob.lockstep("count/1".parse()?, options).await?;
    /// assert_eq!(tokio::try_join!(play(first), play(second))?, (2, 2));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn lockstep(&self, room: TopicName, options: LockstepOptions) -> Result<Lockstep, LockstepError> {
        let LockstepOptions { players, tick, role } = options;
        let link = open_lockstep(&self.node, &self.link, &room, players, tick, role).await?;
        Ok(Lockstep {
            mesh: self.clone(),
            room,
            link,
        })
    }
}

/// A lockstep session: a stream of [`LockstepEvent`]s, which ends when this node is out or the mesh is left. Cancel safe: an event
/// that was not returned is not lost.
///
/// Dropping it leaves the session; the others notice within a second. It keeps the mesh joined.
#[derive(Debug)]
pub struct Lockstep {
    mesh: Mesh,
    room: TopicName,
    link: LockstepLink,
}

impl Lockstep {
    /// The room.
    #[must_use]
    pub fn room(&self) -> &TopicName {
        &self.room
    }

    /// The mesh it belongs to.
    #[must_use]
    pub fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// What this node's player does, at most 64 bytes: in the next tick that has no input of it. In ticks without one the player
    /// does nothing, which is an empty input. Who does not play may say what it likes; nobody hears it.
    ///
    /// # Errors
    /// [`InputError`].
    pub fn input(&self, input: impl Into<Bytes>) -> Result<(), InputError> {
        let input = input.into();
        let (bytes, bytes_max) = (input.len(), LOCKSTEP_INPUT_BYTES_MAX);
        if bytes > bytes_max {
            return Err(InputError::TooLong { bytes, bytes_max });
        }
        self.link.inputs.try_send(input).map_err(|error| match error {
            TrySendError::Full(_) => InputError::Full,
            TrySendError::Closed(_) => InputError::Closed,
        })
    }

    /// Tells the hash of the state after a tick: others compare it with theirs.
    pub fn stepped(&self, tick: u32, hash: u64) {
        // There is room for more than can be under way; and after the end nobody compares.
        let _ = self.link.hashes.try_send((tick, hash));
    }
}

impl Stream for Lockstep {
    type Item = LockstepEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<LockstepEvent>> {
        self.link.events.poll_recv(cx)
    }
}

/// Why an input was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InputError {
    /// It is too long.
    #[error("an input of {bytes} bytes is over the limit of {bytes_max}: say what is done, not what becomes of it")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// Eight wait for their ticks already.
    #[error("eight inputs wait for their ticks already; enter one a tick at most")]
    Full,
    /// This node is out, or the mesh was left.
    #[error("this node is out of the session")]
    Closed,
}
