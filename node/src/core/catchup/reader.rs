//! Reads wanted ranges of many runs from whoever holds them: several at once, and what comes leaves in order per publisher.
//! Not which ranges are wanted, and not what becomes of the frames.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use libp2p::PeerId;
use rand::{rngs::StdRng, seq::IteratorRandom as _};

use super::{
    Action, Question, RequestId, Run,
    asker::{Asker, Owner, UNSETTLED},
    claims::Claims,
    newest::run_of,
    piece::{Held, Piece, Round},
    repair::rounds_max,
};
use crate::{core::stream::Frame, types::Position};

/// Sequence numbers that are asked of one member at once.
pub const PIECE_SEQUENCES: u64 = 4_096;
/// Pieces that are fetched at the same time.
pub const PIECES_MAX: usize = 16;
/// Bytes of frames that one session holds, but for one answer that is on its way for each member asked.
pub const SESSION_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of frames kept from a survey, within those.
pub const SPARE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Frames that leave at once; the next ones with the next input.
pub const RELEASED_MAX: usize = 64;
/// Records of a frame, which bounds how far before a sequence number its frame may begin.
const FRAME_RECORDS_MAX: u64 = maille_proto::FRAME_RECORDS_MAX as u64;

/// What leaves, in order.
#[derive(Debug)]
pub(super) enum Read {
    Frame {
        frame: Arc<Frame>,
        from: PeerId,
        wanted: Range<u64>,
    },
    /// Nobody has these.
    Hole { run: Run, sequences: Range<u64> },
}

impl Read {
    /// Whose records these are, if there are any.
    fn publisher(&self) -> Option<PeerId> {
        match self {
            Read::Frame { frame, .. } => Some(frame.publisher),
            Read::Hole { .. } => None,
        }
    }
}

/// What a reader needs of the world.
#[derive(Debug)]
pub(super) struct Around<'a> {
    pub(super) asker: &'a mut Asker,
    pub(super) rng: &'a mut StdRng,
    pub(super) now: Instant,
    /// Bytes may be held beyond what the head of the line needs.
    pub(super) may_look_ahead: bool,
    /// Who was asked which runs there are, and answered: it has nothing beyond what it claims.
    pub(super) answered: &'a BTreeSet<PeerId>,
    /// Who is being asked whether it lied.
    pub(super) doubted: &'a BTreeSet<PeerId>,
    /// Runs that have begun to leave: what is missing in them is a gap.
    pub(super) reached: &'a BTreeMap<Run, u64>,
    /// Where the subscriber was before: what is missing after it is a gap as well.
    pub(super) resumed: Option<&'a Position>,
    /// Ends of runs that the live inbox knows.
    pub(super) live: &'a BTreeMap<Run, u64>,
    /// What the first frame of a run says of the run before.
    pub(super) links: Links,
    /// Until then what no member has may still come to one of them.
    pub(super) patience: Instant,
}

/// Whether what a run says of the one before is looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    /// Single records are wanted.
    Ignored,
    /// If something of the publisher was read before.
    Followed,
    /// In any case.
    FollowedBack,
}

impl Around<'_> {
    fn has_begun(&self, run: &Run) -> bool {
        let resumed = |position: &Position| position.next(&run.publisher).is_some();
        has_begun(self.reached, run) || self.resumed.is_some_and(resumed)
    }

    /// Takes back that nobody has the beginning of a run of which nothing else was read: now it is known to exist, and all
    /// are asked. Where that began.
    fn take_back(&self, run: Run, read: &mut Vec<Read>) -> Option<u64> {
        let is_frame = |read: &Read| matches!(read, Read::Frame { frame, .. } if run_of(frame) == run);
        if self.reached.contains_key(&run) || read.iter().any(is_frame) {
            return None;
        }
        let is_hole = |read: &mut Read| matches!(read, Read::Hole { run: hole, .. } if *hole == run);
        let holes = read.extract_if(.., is_hole).filter_map(|read| match read {
            Read::Hole { sequences, .. } => Some(sequences.start),
            Read::Frame { .. } => None,
        });
        holes.min()
    }

    /// Where the run before another is to be read from, by what was read and `read`.
    fn wanted_from(&self, before: Run, read: &[Read]) -> Option<u64> {
        let ends = read.iter().map(|read| match read {
            Read::Frame { frame, wanted, .. } => (run_of(frame), wanted.end),
            Read::Hole { run, sequences } => (*run, sequences.end),
        });
        let mut read = ends.filter(|(run, _)| run.publisher == before.publisher && *run <= before);
        let reached = self.reached.get(&before).copied();
        if let Some(end) = read.clone().filter(|(run, _)| *run == before).map(|(_, end)| end).max() {
            return Some(reached.unwrap_or(0).max(end));
        }
        if reached.is_some() {
            return reached;
        }
        if let Some(next) = self.resumed.and_then(|position| position.next(&before.publisher)) {
            return match next.incarnation.cmp(&before.incarnation) {
                Ordering::Less => Some(0),
                Ordering::Equal => Some(next.sequence),
                Ordering::Greater => None,
            };
        }
        let follows = has_begun(self.reached, &before) || read.next().is_some() || self.links == Links::FollowedBack;
        follows.then_some(0)
    }
}

/// Whether anything of a run or of an earlier one of its publisher was read.
pub(super) fn has_begun(reached: &BTreeMap<Run, u64>, run: &Run) -> bool {
    let last = reached.range(..=*run).next_back();
    last.is_some_and(|(last, _)| last.publisher == run.publisher)
}

#[derive(Debug, Default)]
pub(super) struct Reader {
    todo: VecDeque<(Run, Range<u64>)>,
    pieces: VecDeque<Piece>,
    /// Frames kept from a survey, by run and first sequence number.
    spare: BTreeMap<(Run, u64), Held>,
    bytes: usize,
    /// Where runs end by what the first frame of the next one says: that was signed.
    linked: BTreeMap<Run, u64>,
}

impl Reader {
    /// Wants more: ascending by run and sequence number, after all that was wanted before of the same publisher.
    pub(super) fn want(&mut self, run: Run, sequences: Range<u64>) {
        if !sequences.is_empty() {
            self.todo.push_back((run, sequences));
        }
    }

    /// Keeps a frame that will be wanted, if there is room.
    pub(super) fn keep(&mut self, frame: Arc<Frame>, from: PeerId) {
        let bytes = frame.wire.len();
        if self.bytes + bytes > SPARE_BYTES_MAX {
            return;
        }
        let run = run_of(&frame);
        let at = (run, frame.sequences().start);
        if self.spare.insert(at, Held { frame, from }).is_none() {
            self.bytes += bytes;
        }
    }

    /// Forgets the frame that was kept for this sequence number.
    pub(super) fn unkeep(&mut self, run: Run, sequence: u64) {
        let first = find(&self.spare, run, sequence).map(|held| held.frame.sequences().start);
        if let Some(held) = first.and_then(|first| self.spare.remove(&(run, first))) {
            self.bytes -= held.frame.wire.len();
        }
    }

    /// Whether a later run named this one.
    pub(super) fn is_linked(&self, run: Run) -> bool {
        self.linked.contains_key(&run)
    }

    pub(super) fn is_done(&self) -> bool {
        self.todo.is_empty() && self.pieces.is_empty()
    }

    /// When members are asked once more for what none had.
    pub(super) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let pieces = self.pieces.iter().filter(|piece| !piece.is_asking());
        // One that is due and was not begun waits for something else.
        let rounds = pieces.filter_map(|piece| piece.round_at);
        rounds.filter(|at| *at > now).min()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Frames came that were asked for.
    pub(super) fn answered(&mut self, request: RequestId, peer: PeerId, frames: Vec<Frame>) {
        let Some(piece) = self.pieces.iter_mut().find(|piece| piece.asked_as(request).is_some()) else {
            return;
        };
        self.bytes += piece.answered(peer, frames);
    }

    /// Nothing came; `trouble` says how much worse the peer became to ask again.
    pub(super) fn failed(&mut self, request: RequestId, peer: PeerId, trouble: u32) {
        let piece = self.pieces.iter_mut().find(|piece| piece.asked_as(request).is_some());
        if let Some(piece) = piece {
            piece.failed(peer, trouble);
        }
    }

    /// Lets out what is next, and asks for what is missing. Whether there is more to let out at once.
    pub(super) fn step(
        &mut self,
        owner: &Owner,
        claims: &Claims,
        around: &mut Around<'_>,
        read: &mut Vec<Read>,
        out: &mut Vec<Action>,
    ) -> bool {
        loop {
            self.cut_pieces(claims, around.live);
            let before = (read.len(), self.pieces.len());
            let full = self.release(claims, around, read);
            if full {
                return true;
            }
            let given_up = self.fetch(owner, claims, around, read, out);
            if !given_up && before == (read.len(), self.pieces.len()) {
                return false;
            }
        }
    }

    fn cut_pieces(&mut self, claims: &Claims, live: &BTreeMap<Run, u64>) {
        while self.pieces.len() < PIECES_MAX
            && let Some((run, wanted)) = self.todo.front_mut()
        {
            // What was claimed may have turned out not to be.
            let end = wanted.end.min(end_of(*run, claims, live, &self.linked));
            let piece = wanted.start..end.min(wanted.start.saturating_add(PIECE_SEQUENCES));
            if piece.is_empty() {
                self.todo.pop_front();
                continue;
            }
            wanted.start = piece.end;
            self.pieces.push_back(Piece::new(*run, piece));
        }
    }

    fn release(&mut self, claims: &Claims, around: &Around<'_>, read: &mut Vec<Read>) -> bool {
        let mut blocked = BTreeSet::new();
        let (mut full, mut linked) = (false, vec![]);
        for (place, piece) in self.pieces.iter_mut().enumerate() {
            let run = piece.run;
            if full || blocked.contains(&run.publisher) {
                continue;
            }
            piece.cut(end_of(run, claims, around.live, &self.linked));
            let link = if around.links == Links::Ignored || piece.cursor > 0 {
                None
            } else {
                let first = piece.next_frame(find(&self.spare, run, 0));
                first.and_then(|frame| frame.predecessor)
            };
            if let Some(end) = link {
                let before = Run {
                    incarnation: end.incarnation,
                    ..run
                };
                let from = around
                    .wanted_from(before, read)
                    .filter(|from| *from < end.next_sequence);
                if let Some(from) = from
                    && self.linked.insert(before, end.next_sequence).is_none()
                {
                    let from = around.take_back(before, read).map_or(from, |start| from.min(start));
                    linked.push((place, before, from..end.next_sequence));
                    blocked.insert(run.publisher);
                    continue;
                }
            }
            while !piece.is_done() {
                if read.len() >= RELEASED_MAX {
                    full = true;
                    break;
                }
                let spare = find(&self.spare, run, piece.cursor);
                let Some((next, freed)) = piece.release(spare) else {
                    break;
                };
                self.bytes -= freed;
                read.push(next);
            }
            if !piece.is_done() {
                blocked.insert(run.publisher);
                continue;
            }
            self.bytes -= piece.clear();
            // What lies before is not wanted again: the ranges of a run ascend.
            let past = self
                .spare
                .range((run, 0)..(run, piece.cursor))
                .map(|(at, held)| (*at, held.end()));
            let past: Vec<_> = past.filter(|(_, end)| *end <= piece.cursor).map(|(at, _)| at).collect();
            for at in past {
                self.bytes -= self.spare.remove(&at).map_or(0, |held| held.frame.wire.len());
            }
        }
        let found = !linked.is_empty();
        for (place, run, sequences) in linked.into_iter().rev() {
            // All of it in one piece: more is asked for in turn.
            self.pieces.insert(place, Piece::new(run, sequences));
        }
        self.pieces.retain(|piece| !piece.is_done());
        full || found
    }

    /// Whether something was given up, so that more may leave.
    fn fetch(
        &mut self,
        owner: &Owner,
        claims: &Claims,
        around: &mut Around<'_>,
        read: &[Read],
        out: &mut Vec<Action>,
    ) -> bool {
        let mut given_up = false;
        // Publishers of which something earlier just left, or is still on its way.
        let mut under_way: BTreeSet<PeerId> = read.iter().filter_map(Read::publisher).collect();
        for (place, piece) in self.pieces.iter_mut().enumerate() {
            let follows = !under_way.insert(piece.run.publisher);
            if piece.is_asking() || piece.is_done() {
                continue;
            }
            if place > 0 && (!around.may_look_ahead || self.bytes >= SESSION_BYTES_MAX) {
                break;
            }
            while let Some(hole) = piece.hole(|from, to| next_spare(&self.spare, piece.run, from, to)) {
                let linked = self.linked.get(&piece.run).is_some_and(|end| hole.start < *end);
                let mut kept = self.spare.range((piece.run, 0)..(piece.run, hole.start));
                let follows = follows || piece.holds_before(hole.start) || kept.next().is_some();
                match choose(piece, &hole, Known { linked, follows }, claims, around) {
                    Choice::Ask(peer, sequences) => {
                        let what = Question::Range {
                            run: piece.run,
                            sequences: sequences.clone(),
                        };
                        let request = around.asker.ask(peer, owner.clone(), what, around.now, out);
                        piece.asking(request, peer);
                        break;
                    }
                    Choice::Wait => break,
                    Choice::Again => {}
                    Choice::GiveUp(sequences) => {
                        piece.give_up(sequences);
                        given_up = true;
                    }
                }
            }
        }
        given_up
    }
}

enum Choice {
    Ask(PeerId, Range<u64>),
    /// Somebody may have it who is not free now.
    Wait,
    /// All may be asked once more.
    Again,
    GiveUp(Range<u64>),
}

/// What tells that a hole is one, and not just where history begins.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// A later run named this one.
    linked: bool,
    /// Something earlier of its publisher was just read, is held, or is to be read first.
    follows: bool,
}

/// Whom to ask for the beginning of a hole: those who claim it, then those who were not asked what they have.
fn choose(piece: &mut Piece, hole: &Range<u64>, known: Known, claims: &Claims, around: &mut Around<'_>) -> Choice {
    let Known { linked, follows } = known;
    let (run, at, me) = (piece.run, hole.start, around.asker.me());
    let asker = &*around.asker;
    piece.look_for(at);
    let live = linked || around.live.get(&run).is_some_and(|end| at < *end);
    // One that was asked for this and never claimed it still has what it claims.
    let claims_this: BTreeSet<PeerId> = claims.holders(run, at).collect();
    let gives = |peer: &PeerId| asker.usable(peer) && !(piece.is_tried(peer) && claims_this.contains(peer));
    let to = claims
        .next_from(run, at + 1, gives)
        .map_or(hole.end, |next| next.min(hole.end));
    // Older than all that anybody has: history begins later.
    let is_oldest = claims.next_from(run, 0, |_| true).is_none_or(|first| first > at);
    if is_oldest && !live && !follows && !around.has_begun(&run) {
        return Choice::GiveUp(at..to);
    }
    let mut able: Vec<PeerId> = claims_this
        .into_iter()
        .filter(|peer| asker.usable(peer) && !piece.is_tried(peer))
        .collect();
    if !piece.is_tried(&me) && (live || able.contains(&me)) {
        able = vec![me];
    }
    let in_doubt = able.len();
    able.retain(|peer| !around.doubted.contains(peer));
    if able.is_empty() && in_doubt > 0 {
        return Choice::Wait;
    }
    let (mut end, mut tier) = (hole.end, able);
    if tier.is_empty() {
        // Who answered before somebody told of the run may have it now.
        let may_have = |peer: &PeerId| linked || piece.is_asked_again() || !around.answered.contains(peer);
        let others = asker.members().filter(may_have);
        tier = others.filter(|peer| !piece.is_tried(peer)).collect();
        // A member that answered may have got it since, but then the live inbox has it too.
        end = to;
    }
    if tier.is_empty() {
        // It exists, so somebody who is not a neighbour yet may have it, or a neighbour may be repairing it.
        let unsettled = asker.is_unsettled(around.now) || claims.may_come(run, piece.sent_after(at));
        let longer = if unsettled { UNSETTLED } else { Duration::ZERO };
        let may_come = around.now < around.patience + longer && !asker.is_alone();
        let round = if linked || may_come {
            piece.next_round(rounds_max(unsettled), around.now)
        } else {
            Round::Never
        };
        return match round {
            Round::Later => Choice::Wait,
            Round::Now => Choice::Again,
            Round::Never => Choice::GiveUp(at..to),
        };
    }
    let free = tier.iter().filter(|peer| asker.free(peer, around.now));
    let least = free.clone().map(|peer| (piece.trouble(peer), asker.load(peer))).min();
    let best = free.filter(|peer| Some((piece.trouble(peer), asker.load(peer))) == least);
    match best.choose(around.rng) {
        Some(peer) => Choice::Ask(*peer, at..end),
        None => Choice::Wait,
    }
}

/// Where a run ends, as far as anybody knows now.
fn end_of(run: Run, claims: &Claims, live: &BTreeMap<Run, u64>, linked: &BTreeMap<Run, u64>) -> u64 {
    let known = live.get(&run).max(linked.get(&run)).copied();
    claims.end(run).max(known.unwrap_or(0))
}

/// The frame that holds this sequence number.
fn find(spare: &BTreeMap<(Run, u64), Held>, run: Run, sequence: u64) -> Option<&Held> {
    let from = sequence.saturating_sub(FRAME_RECORDS_MAX - 1);
    let mut before = spare.range((run, from)..=(run, sequence)).rev();
    before.find(|(_, held)| held.end() > sequence).map(|(_, held)| held)
}

/// The lowest sequence number in `from..to` of which a frame was kept.
fn next_spare(spare: &BTreeMap<(Run, u64), Held>, run: Run, from: u64, to: u64) -> Option<Range<u64>> {
    if let Some(held) = find(spare, run, from) {
        return Some(from..held.end());
    }
    let (at, held) = spare.range((run, from)..(run, to)).next()?;
    Some(at.1..held.end())
}
