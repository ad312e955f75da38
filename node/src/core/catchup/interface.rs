//! The words of the machine: its inputs, its actions, and the questions members ask each other. No behaviour.

use std::{ops::Range, sync::Arc};

use libp2p::PeerId;

use crate::{
    core::stream::Frame,
    types::{Selector, Start},
};

/// A subscriber with history. The caller numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// A question that waits for its answer. The machine numbers them; a number is used once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// One incarnation of one publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Run {
    /// Who publishes.
    pub publisher: PeerId,
    /// Which of its runs.
    pub incarnation: u64,
}

/// What a member says it holds of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Of which run.
    pub run: Run,
    /// Which sequence numbers: ascending, neither empty nor touching, at least one range.
    pub held: Vec<Range<u64>>,
    /// Where the selector of the question begins in this run.
    pub from: u64,
    /// When the newest frame held was sent, in microseconds since the Unix epoch.
    pub newest_us: u64,
    /// The next sequence number that the run's newest signed head names; `net/` checked the signature.
    pub proved: Option<u64>,
}

/// What a member is asked about the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Which runs hold something selected.
    Runs {
        /// What is selected.
        selector: Selector,
        /// From this run on, it included.
        from: Option<Run>,
    },
    /// Frames that hold any of these, ascending.
    Range {
        /// Of which run.
        run: Run,
        /// Which sequence numbers; never empty.
        sequences: Range<u64>,
    },
    /// Frames that hold the newest record of a publisher and key.
    Latest {
        /// How many of them to pass over.
        skip: u32,
    },
}

/// What a member answered, as far as it could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`Question::Runs`].
    Runs {
        /// Ascending by run.
        claims: Vec<Claim>,
        /// There are more after the last one.
        more: bool,
    },
    /// To [`Question::Range`] and [`Question::Latest`].
    Frames {
        /// Frames whose signature holds for this topic.
        frames: Vec<Frame>,
        /// There are more after the last one.
        more: bool,
        /// How many were left out because they are not frames of this topic.
        rejected: usize,
    },
    /// Not now.
    Busy,
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// Who can be asked, this node left out: neighbours on this topic, and keepers.
    Members(Vec<PeerId>),
    /// A subscriber wants history. At most [`SESSIONS_MAX`](super::SESSIONS_MAX) at once; one more is answered
    /// [`Action::Unanswered`] and [`Action::CaughtUp`] at once.
    Begin {
        /// Which one.
        session: SessionId,
        /// From where on.
        start: Start,
    },
    /// A subscriber went away.
    End {
        /// Which one.
        session: SessionId,
    },
    /// Whether a subscriber has room for more. It has, when it begins.
    Room {
        /// Which one.
        session: SessionId,
        /// Whether there is room.
        open: bool,
    },
    /// The answer to [`Action::Ask`].
    Answered {
        /// To which question.
        request: RequestId,
        /// From whom; this node for the local store.
        from: PeerId,
        /// What it says.
        answer: Answer,
    },
    /// There will be no answer to [`Action::Ask`]: the peer is gone, refused, or sent what cannot be read.
    Failed {
        /// To which question.
        request: RequestId,
    },
    /// The live inbox waits for these.
    Missing {
        /// Of which run.
        run: Run,
        /// Which ones.
        sequences: Range<u64>,
    },
    /// The live inbox waits no longer for these: they came, or were given up.
    Withdrawn {
        /// Of which run.
        run: Run,
        /// Which ones.
        sequences: Range<u64>,
    },
    /// The answer to [`Action::Compare`]: per run, the next sequence number that the live inbox would deliver.
    Live {
        /// For whom.
        session: SessionId,
        /// Every run that the live inbox knows.
        next: Vec<(Run, u64)>,
    },
    /// A neighbour's digest of the heads it knows.
    Digest {
        /// Whose.
        from: PeerId,
        /// What it says.
        theirs: [u8; 8],
        /// What this node's own would be now.
        ours: [u8; 8],
        /// When this node began to listen on the topic, in microseconds since the Unix epoch: what was sent before is
        /// not missed live.
        since_us: u64,
    },
    /// The answer to [`Action::CompareHeads`]: per run, the next sequence number that the live inbox would deliver.
    Heads(Vec<(Run, u64)>),
    /// [`Catchup::next_deadline`](super::Catchup::next_deadline) has passed.
    TimedOut,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Ask a member, or the local store if it is this node. Answer with [`Input::Answered`] or [`Input::Failed`].
    Ask {
        /// The number of the question.
        request: RequestId,
        /// Whom.
        peer: PeerId,
        /// What.
        what: Question,
    },
    /// Hand records to a subscriber: in order within a run, the runs of a publisher ascending, every record once.
    Deliver {
        /// To whom.
        session: SessionId,
        /// The frame that holds them.
        frame: Arc<Frame>,
        /// Who gave it.
        from: PeerId,
        /// Which of its records; none of the others.
        wanted: Range<u64>,
        /// To be held for others too: nothing is left out between what this session delivers of a run.
        hold: bool,
    },
    /// Tell a subscriber that these are missing: nobody who can be asked has them.
    Gap {
        /// Whom.
        session: SessionId,
        /// Of which run.
        run: Run,
        /// Which ones.
        sequences: Range<u64>,
    },
    /// Nobody but the local store could be asked. The session goes on with what that holds.
    Unanswered {
        /// For whom.
        session: SessionId,
    },
    /// Say how far the live inbox is, with [`Input::Live`], before any other input about this session.
    Compare {
        /// For whom.
        session: SessionId,
    },
    /// The subscriber has all that the live inbox has delivered: from now on it hears the live inbox. The session is over.
    CaughtUp {
        /// Which one.
        session: SessionId,
        /// Per run, the next sequence number it should hear; records below were delivered or reported. Records of earlier
        /// runs of the publisher were too.
        reached: Vec<(Run, u64)>,
        /// Where runs end of which nothing was chosen. Only claims: no record is to be lost for them.
        claimed: Vec<(Run, u64)>,
        /// Runs that are met later and named nowhere here are not older ones that nobody told of.
        others_are_new: bool,
        /// Runs of which something was sent since then are missed if they are not heard: microseconds since the Unix epoch.
        since_us: Option<u64>,
    },
    /// Put a repaired frame into the live inbox, as if received.
    Hand {
        /// The frame.
        frame: Frame,
        /// Who gave it.
        from: PeerId,
    },
    /// Nobody who can be asked has these: the live inbox need not wait.
    Hopeless {
        /// Of which run.
        run: Run,
        /// Which ones.
        sequences: Range<u64>,
    },
    /// Send a neighbour this node's digest of heads.
    OfferDigest {
        /// Whom.
        peer: PeerId,
    },
    /// Say which heads the live inbox knows, with [`Input::Heads`].
    CompareHeads,
    /// A member told of less than others gave, of a time in which it had something: it hides this, lost it, or has room for
    /// little. Nothing is held against it.
    HoldsLess {
        /// Which one.
        peer: PeerId,
        /// A run of which it lacks something.
        run: Run,
        /// The first of that.
        sequences: Range<u64>,
    },
    /// Hold something against a member. It is not asked again.
    Penalise {
        /// Which one.
        peer: PeerId,
        /// What it did.
        why: Fault,
    },
}

/// What a member did that an honest one does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Fault {
    /// It claims records that it does not give, and went on claiming them.
    Unfounded,
    /// It answered another question than was asked: frames of another run or range, or in the wrong order.
    BesideTheQuestion,
    /// It sent frames that their publisher did not sign for this topic.
    Forged,
    /// It says that there is more without end.
    Endless,
}
