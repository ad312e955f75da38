//! What a lockstep session tells the application.

use std::time::Duration;

use bytes::Bytes;
use libp2p::PeerId;
use maille_proto::lockstep::LockstepSnapshot;
use prost::Message as _;
use tokio::sync::oneshot;

use crate::core::lockstep::{LOCKSTEP_STATE_BYTES_MAX, Out, Step};

/// What a lockstep session tells. In the order in which it is to be taken.
#[derive(Debug)]
#[non_exhaustive]
pub enum LockstepEvent {
    /// Execute a tick, then tell the hash of the state with `stepped`.
    Tick(Step),
    /// Somebody watches, or comes back, and needs the state as it is now.
    Snapshot(SnapshotWanted),
    /// Take this state in the place of the present one: all ticks up to this one are executed in it.
    Restore {
        /// The last tick that is executed in it.
        tick: u32,
        /// What a player gave for it. Check it as all that comes from others.
        state: Bytes,
    },
    /// After a tick the state of a player was another one than here: one of the two errs, or lies. Told again only after the
    /// two were the same.
    Mismatch {
        /// Which tick.
        tick: u32,
        /// Whose state.
        player: PeerId,
        /// Its hash.
        theirs: u64,
        /// The hash of this node's.
        ours: u64,
    },
    /// Moves have been missing for a second: the others agree to go on without these players, if they are more than half.
    /// Fewer wait until they meet them again.
    Waiting {
        /// The tick that waits.
        tick: u32,
        /// Whose moves are missing; empty while the players agree for another reason.
        players: Vec<PeerId>,
    },
    /// A player signed two moves for one tick, two streams, or two runs of the session. It is dropped.
    Equivocated {
        /// Who.
        player: PeerId,
        /// The tick of two moves; nothing if the stream forked.
        tick: Option<u32>,
        /// The frame that came first, as it travelled, if it is still held.
        first: Option<Bytes>,
        /// The frame that contradicts it.
        second: Option<Bytes>,
    },
    /// Own inputs are now executed so long after they were entered: as long as it takes until everybody has them in time.
    Delay {
        /// In ticks.
        ticks: u32,
        /// And in time.
        time: Duration,
    },
    /// This node plays no more, and nothing follows. It may come back with `LockstepRole::Rejoin`.
    Out(Out),
}

/// A request for the state.
#[derive(Debug)]
pub struct SnapshotWanted {
    pub(super) snapshot: LockstepSnapshot,
    pub(super) reply: oneshot::Sender<Bytes>,
}

impl SnapshotWanted {
    /// The last tick that is executed in the state that is wanted: that of the last [`LockstepEvent::Tick`].
    #[must_use]
    pub fn tick(&self) -> u32 {
        self.snapshot.executed
    }

    /// Gives the state, of at most 983,040 bytes; whether it is not too long. Dropped without it, the member asks somebody
    /// else.
    pub fn give(mut self, state: impl Into<Vec<u8>>) -> bool {
        self.snapshot.state = state.into();
        let fits = self.snapshot.state.len() <= LOCKSTEP_STATE_BYTES_MAX;
        if fits {
            // An error means that it is not waited for any more.
            let _ = self.reply.send(self.snapshot.encode_to_vec().into());
        }
        fits
    }
}
