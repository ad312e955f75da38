//! Lockstep: players exchange what they do in each tick, and everybody executes a tick once all of its moves are there. Who
//! is in (`seat`), what is executed when (`machine`, `pace`), what is said (`saying`), who goes on without whom (`agree`), who
//! watches and comes back (`follow`), whether all have the same state (`hashes`). Not the game, and not the streams that carry
//! it.
//!
//! No player may execute what another will not. A tick needs the moves of all who are in, and a player who stops is out only
//! by agreement: those who go on have promised to execute nothing more before, told what they have of its moves, and more than
//! half of them (of exactly half, those with the lowest seat) accepted one proposal of who goes on, and of the last moves of
//! who does not. That is Paxos (Lamport, "Paxos Made Simple", 2001), once for each view.

mod agree;
mod follow;
mod hashes;
mod machine;
mod pace;
mod saying;
mod seat;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use libp2p::PeerId;
use maille_proto::lockstep::LockstepSnapshot;
pub use maille_proto::{LOCKSTEP_INPUT_BYTES_MAX, LOCKSTEP_PLAYERS_MAX, LOCKSTEP_STATE_BYTES_MAX};

pub use self::machine::Machine;
use crate::types::TopicName;

/// The longest and shortest input delay, in ticks.
pub const DELAY_MAX: u32 = 30;
/// See [`DELAY_MAX`].
pub const DELAY_MIN: u32 = 1;
/// The input delay to begin with, in ticks.
pub const DELAY_FIRST: u32 = 3;
/// Moves of anybody that are kept after they were executed, in ticks: more than players are apart, which is two delays.
pub const BEHIND_MAX: u32 = 64;
/// Moves of anybody that are kept before they are executed, in ticks.
pub const AHEAD_MAX: u32 = 256;
/// Own moves that every record repeats, in ticks: for watchers, whom nobody waits for.
pub const REPEATED: u32 = 32;
/// Own inputs that wait for their ticks.
pub const PENDING_MAX: usize = 4;
/// How long the moves of a player may be missing until the others go on without it.
pub const SUSPECT_AFTER: Duration = Duration::from_millis(1_000);
/// How long everybody is waited for in the beginning.
pub const START_WAIT: Duration = Duration::from_secs(10);
/// A player who has not moved for so long may be left out by who proposes; one who has, may not.
pub const HEARD_WITHIN: Duration = Duration::from_millis(500);
/// How long a proposer waits for those who may be slow.
pub const GATHER: Duration = Duration::from_millis(250);
/// Between the proposals of two players, by rank.
pub const STAGGER: Duration = Duration::from_millis(300);
/// How long a proposer is given before another one proposes.
pub const ROUND: Duration = Duration::from_millis(900);
/// Rounds that a proposer may be ahead of others, so that nobody uses them up.
pub const ROUNDS_AHEAD_MAX: u32 = 64;
/// How often one repeats itself while nothing happens.
pub const RESEND: Duration = Duration::from_millis(50);
/// At most so often is anything said.
pub const SEND_INTERVAL_MIN: Duration = Duration::from_millis(10);
/// How long the admission of who comes back is announced: time for it to hear of it.
pub const LEAD: Duration = Duration::from_millis(400);
/// The same in ticks, at most.
pub const LEAD_MAX: u32 = 64;
/// How long who asked to be let in is remembered.
pub const JOINING_KEPT: Duration = Duration::from_secs(2);
/// How long a snapshot may take until another player is asked.
pub const FETCH_WAIT: Duration = Duration::from_secs(1);
/// How long a watcher misses moves until it asks for a snapshot again.
pub const FOLLOW_STALL: Duration = Duration::from_secs(2);
/// Hashes that are kept, of oneself and of each other: of so many ticks.
pub const HASHES_KEPT: usize = 64;
/// Ticks that are executed in one turn, by who is behind.
pub const BURST_MAX: usize = 32;

/// How a session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What makes it this session.
    pub session: u64,
    /// A random number that is not 0.
    pub run: u64,
    /// All who play, in the order of their seats; at most [`LOCKSTEP_PLAYERS_MAX`].
    pub players: Vec<PeerId>,
    /// This node.
    pub me: PeerId,
    /// What this node does.
    pub role: Role,
    /// How long a tick is.
    pub tick: Duration,
}

/// What a node does in a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// Plays from the beginning.
    #[default]
    Play,
    /// Was dropped, or was away, and comes back: it gets the state from another player, follows, and is let in.
    Rejoin,
    /// Watches.
    Watch,
}

/// Where a move was said: the incarnation and the sequence number of its record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Of the stream.
    pub incarnation: u64,
    /// In it.
    pub sequence: u64,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A record came.
    Received {
        /// Whose.
        author: PeerId,
        /// Where in its stream.
        place: Place,
        /// The payload.
        record: Bytes,
    },
    /// A stream forked.
    Forked {
        /// Whose.
        author: PeerId,
    },
    /// This node's player does something: in the next tick that it has not moved in. One more than [`PENDING_MAX`] is left out.
    Entered {
        /// What.
        input: Bytes,
    },
    /// The application executed a tick.
    Stepped {
        /// Which.
        tick: u32,
        /// The hash of its state after it.
        hash: u64,
    },
    /// A snapshot came that was asked for; without the application's state.
    Fetched {
        /// It.
        snapshot: Box<LockstepSnapshot>,
    },
    /// None came.
    NotFetched,
    /// The deadline passed. Only then ticks are executed: who is not ready for more does not hand this in.
    TimedOut,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Publish this record. The newest says all.
    Send(Bytes),
    /// Execute a tick. `Stepped` follows.
    Advance(Step),
    /// Ask this player for a snapshot. `Fetched` or `NotFetched` follows.
    Fetch(PeerId),
    /// Take the application's state of the snapshot that was fetched last.
    Restore {
        /// After which tick it is.
        tick: u32,
    },
    /// Somebody's state is another one.
    Mismatch {
        /// After which tick.
        tick: u32,
        /// Whose.
        player: PeerId,
        /// The hash of its state.
        theirs: u64,
        /// The hash of this node's.
        ours: u64,
    },
    /// Moves are missing for long.
    Waiting {
        /// Of which tick.
        tick: u32,
        /// Whose.
        players: Vec<PeerId>,
    },
    /// A player said two moves for one tick, or played twice.
    Accuse {
        /// Who.
        player: PeerId,
        /// For which.
        tick: u32,
        /// Where it said the first.
        first: Place,
        /// Where it said the second.
        second: Place,
    },
    /// Own inputs are executed so many ticks after they were entered.
    Delay(u32),
    /// This node plays no more.
    Out(Out),
}

/// Why a player is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Out {
    /// The others went on without it.
    Dropped,
    /// It executed what the others did not: somebody moved twice, and each believed another move.
    Diverged,
}

/// What makes a session this one: lockstep.proto.
#[must_use]
pub fn session(room: &TopicName, players: &[PeerId], tick: Duration) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key("maille 1 lockstep session");
    hasher.update(room.as_str().as_bytes());
    hasher.update(&[0]);
    hasher.update(&u64::try_from(tick.as_micros()).unwrap_or(u64::MAX).to_be_bytes());
    for player in players {
        let id = player.to_bytes();
        hasher.update(&[u8::try_from(id.len()).unwrap_or(u8::MAX)]);
        hasher.update(&id);
    }
    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    u64::from_be_bytes(first)
}

/// A tick, for the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its number, from 1.
    pub tick: u32,
    /// What each player does who is in, in the order of their seats; empty for nothing.
    pub inputs: Vec<(PeerId, Bytes)>,
    /// Players who are in again from this tick on.
    pub joined: Vec<PeerId>,
    /// Players who are out from this tick on.
    pub left: Vec<PeerId>,
}
