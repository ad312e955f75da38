//! One subscriber's history: who holds what, then what is wanted of it, then reading, until the live inbox takes over. Not
//! how frames are fetched: that is the reader's.

mod comparing;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    time::{Duration, Instant},
};

use libp2p::PeerId;
use rand::rngs::StdRng;

use super::{
    ASKED_MEMBERS, Action, Claim, Fault, Question, RequestId, Run, SessionId,
    asker::{Asker, Owner},
    claims::Claims,
    inquiry::{GIVEN_MAX, Inquiry},
    newest::{NewestOfKeys, NewestRecords, run_of},
    piece::{TROUBLE_BUSY, TROUBLE_FAILED},
    reader::{Around, Links, Read, Reader, has_begun},
    shortfall::Shortfalls,
    spans::Spans,
    wanted::Wanted,
};
use crate::{
    core::stream::Frame,
    types::{Selector, Start},
};

/// How long a session waits for the first member that can be asked.
pub const MEMBERS_WAIT: Duration = Duration::from_secs(10);
/// How long it waits for others beside the first.
pub const MEMBERS_SETTLE: Duration = Duration::from_millis(500);
/// For how long after it began to read a session asks again for what no member has, but some may still be repairing; for
/// [`UNSETTLED`](super::UNSETTLED) more while the neighbourhood is unsettled.
pub const HOLES_WAIT: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(super) struct Session {
    id: SessionId,
    start: Wanted,
    room: bool,
    phase: Phase,
    claims: Claims,
    shortfalls: Shortfalls,
    reader: Reader,
    /// Per run, the next to be delivered: it has begun.
    reached: BTreeMap<Run, u64>,
    /// Per run, what frames or the subscriber itself vouch for: nobody can make this up.
    proven: BTreeMap<Run, u64>,
    /// Where what is wanted of each run begins, whoever may have claimed it and left since.
    planned: BTreeMap<Run, u64>,
    /// Ends of runs as first heard of; what lies behind is new. Only claims.
    ends: BTreeMap<Run, u64>,
    live: BTreeMap<Run, u64>,
    answered: BTreeSet<PeerId>,
    /// Nobody but the local store answered.
    is_unanswered: bool,
    /// The missing start of a run of which nothing was read yet.
    unproven: Option<(Run, Range<u64>)>,
    /// There is more to let out at once.
    again: bool,
    /// Until then all are asked again for what nobody had.
    patience: Instant,
}

#[derive(Debug)]
enum Phase {
    /// Waits for members to ask, until then at the latest.
    Gathering {
        until: Instant,
        settled: Option<Instant>,
    },
    /// Which runs there are, and where they end.
    Asking(Inquiry),
    /// Which of them hold the newest records.
    AskingLast(Inquiry),
    AskingLatest(Inquiry, NewestOfKeys),
    Surveying(NewestRecords),
    Reading,
    Comparing,
    Over,
}

/// What a session needs of the world.
#[derive(Debug)]
pub(super) struct World<'a> {
    pub(super) asker: &'a mut Asker,
    pub(super) rng: &'a mut StdRng,
    pub(super) now: Instant,
    pub(super) may_look_ahead: bool,
    pub(super) doubted: &'a BTreeSet<PeerId>,
    pub(super) out: &'a mut Vec<Action>,
}

impl Session {
    pub(super) fn new(id: SessionId, start: Start, now: Instant) -> Self {
        let start = Wanted::from(start);
        Self {
            id,
            start,
            room: true,
            phase: Phase::Gathering {
                until: now + MEMBERS_WAIT,
                settled: None,
            },
            claims: Claims::default(),
            shortfalls: Shortfalls::default(),
            reader: Reader::default(),
            reached: BTreeMap::new(),
            proven: BTreeMap::new(),
            planned: BTreeMap::new(),
            ends: BTreeMap::new(),
            live: BTreeMap::new(),
            answered: BTreeSet::new(),
            is_unanswered: true,
            patience: now + HOLES_WAIT,
            unproven: None,
            again: false,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Bytes of the frames that it holds.
    pub(super) fn bytes(&self) -> usize {
        self.reader.bytes()
    }

    pub(super) fn set_room(&mut self, open: bool) {
        self.room = open;
    }

    pub(super) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        match self.phase {
            Phase::Gathering { until, settled } => Some(settled.map_or(until, |settled| settled.min(until))),
            _ if self.again && self.room => Some(now),
            // Later than now: what is due was looked at with the last input.
            Phase::Reading | Phase::Surveying(_) if self.room => self.reader.next_deadline(now),
            _ => None,
        }
    }

    /// Does what can be done now.
    pub(super) fn step(&mut self, world: &mut World<'_>) {
        loop {
            match &mut self.phase {
                Phase::Gathering { until, settled } => {
                    let members = world.asker.members().take(ASKED_MEMBERS).count();
                    if members > 0 && settled.is_none() {
                        *settled = Some(world.now + MEMBERS_SETTLE);
                    }
                    let due = settled.map_or(*until, |settled| settled.min(*until));
                    if members < ASKED_MEMBERS && world.now < due {
                        return;
                    }
                    self.phase = self.ask_around(world.asker.me());
                }
                Phase::Asking(inquiry) | Phase::AskingLast(inquiry) | Phase::AskingLatest(inquiry, _) => {
                    let owner = Owner::Session(self.id);
                    if !inquiry.step(&owner, world.asker, world.rng, world.now, world.out) {
                        return;
                    }
                    let answered = inquiry.who_answered().clone();
                    self.asked(answered, world);
                }
                Phase::Surveying(_) | Phase::Reading => {
                    if !self.read(world) {
                        return;
                    }
                }
                Phase::Comparing | Phase::Over => return,
            }
        }
    }

    fn ask_around(&self, me: PeerId) -> Phase {
        let selector = match self.start {
            Wanted::Since(us) => Selector::Since(us),
            // The two that choose ask twice: what they do not choose has an end too.
            _ => Selector::All,
        };
        Phase::Asking(Inquiry::new(me, Question::Runs { selector, from: None }))
    }

    /// All have answered who will.
    fn asked(&mut self, answered: BTreeSet<PeerId>, world: &mut World<'_>) {
        let me = world.asker.me();
        if matches!(self.phase, Phase::Asking(_)) {
            self.is_unanswered = answered.iter().all(|peer| *peer == me);
            if self.is_unanswered {
                world.out.push(Action::Unanswered { session: self.id });
            }
            self.answered = answered;
            // What the local store lacks is no news.
            self.shortfalls.drop_peer(&me);
            for (run, _) in self.claims.selected() {
                self.ends.insert(run, self.claims.agreed_end(run));
            }
            match self.start {
                Wanted::Last(records) => {
                    let selector = Selector::Last(records);
                    self.claims = Claims::default();
                    self.phase = Phase::AskingLast(Inquiry::new(me, Question::Runs { selector, from: None }));
                    return;
                }
                Wanted::Latest => {
                    let inquiry = Inquiry::new(me, Question::Latest { skip: 0 });
                    self.phase = Phase::AskingLatest(inquiry, NewestOfKeys::default());
                    return;
                }
                // It was only to know what is history.
                Wanted::Nothing => return self.end(world.out),
                _ => {}
            }
        }
        self.plan(world.now, world.out);
    }

    /// All have answered: says what is wanted.
    fn plan(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.patience = now + HOLES_WAIT;
        let selected: Vec<(Run, Range<u64>)> = self.claims.selected().collect();
        let phase = std::mem::replace(&mut self.phase, Phase::Reading);
        if let Phase::AskingLatest(_, newest) = phase {
            let (chosen, left_out) = newest.chosen();
            for (run, spans) in chosen {
                spans.iter().for_each(|span| self.reader.want(run, span.clone()));
            }
            for (run, spans) in left_out {
                for sequences in spans.iter().cloned() {
                    out.push(self.gap(run, sequences));
                }
            }
            return;
        }
        if let Wanted::Last(records) = self.start {
            self.phase = Phase::Surveying(NewestRecords::new(records));
        }
        let mut begun: Option<PeerId> = None;
        for (run, range) in selected {
            // What was published after something that is wanted is wanted too.
            let selected = if begun == Some(run.publisher) { 0 } else { range.start };
            if let Some(from) = self.start.first_of(run, selected) {
                begun = Some(run.publisher);
                if self.start.resumes(run) {
                    self.proven.insert(run, from);
                }
                // A survey chooses among it first.
                if !matches!(self.phase, Phase::Surveying(_)) {
                    self.planned.insert(run, from);
                }
                self.reader.want(run, from..range.end);
            }
        }
    }

    /// Lets out what came, and asks for more. Whether a phase ended.
    fn read(&mut self, world: &mut World<'_>) -> bool {
        self.again = false;
        let surveying = matches!(self.phase, Phase::Surveying(_));
        if !self.room && !surveying {
            return false;
        }
        let mut read = vec![];
        let mut around = Around {
            asker: world.asker,
            rng: world.rng,
            now: world.now,
            may_look_ahead: world.may_look_ahead,
            answered: &self.answered,
            doubted: world.doubted,
            reached: &self.reached,
            resumed: match &self.start {
                Wanted::After(position) => Some(position),
                _ => None,
            },
            live: &self.live,
            patience: self.patience,
            links: match self.start {
                _ if surveying => Links::Ignored,
                Wanted::Latest | Wanted::Nothing => Links::Ignored,
                Wanted::All => Links::FollowedBack,
                Wanted::Since(_) | Wanted::Last(_) | Wanted::After(_) => Links::Followed,
            },
        };
        let owner = Owner::Session(self.id);
        self.again = self
            .reader
            .step(&owner, &self.claims, &mut around, &mut read, world.out);
        for read in read {
            self.take(read, world.out);
        }
        if !self.reader.is_done() {
            // A survey hands nothing to anybody who could be full.
            return surveying && self.again;
        }
        match std::mem::replace(&mut self.phase, Phase::Comparing) {
            Phase::Surveying(newest) => {
                let chosen = newest.chosen();
                let mut begun: Option<PeerId> = None;
                for (run, range) in self.claims.selected() {
                    // What comes after a record that was chosen is newer, whether or not anybody showed it.
                    let follows = begun == Some(run.publisher);
                    let from = if follows { Some(0) } else { chosen.get(&run).copied() };
                    if let Some(from) = from {
                        begun = Some(run.publisher);
                        self.reader.want(run, from..range.end);
                    }
                }
                self.phase = Phase::Reading;
                self.patience = world.now + HOLES_WAIT;
                true
            }
            _ => {
                world.out.push(Action::Compare { session: self.id });
                false
            }
        }
    }

    fn take(&mut self, read: Read, out: &mut Vec<Action>) {
        let session = self.id;
        match (&mut self.phase, read) {
            (Phase::Surveying(newest), Read::Frame { frame, from, wanted }) => {
                self.reader.keep(frame.clone(), from);
                for (run, first) in newest.show(&frame, wanted) {
                    self.reader.unkeep(run, first);
                }
            }
            (Phase::Surveying(_), Read::Hole { .. }) => {}
            (_, Read::Frame { frame, from, wanted }) => {
                let run = run_of(&frame);
                // A member may say that the time asked for begins earlier than it does.
                let early = matches!(self.start, Wanted::Since(us) if frame.sent_us < us);
                if early && !self.reached.contains_key(&run) {
                    return;
                }
                if let Some((_, sequences)) = self.unproven.take_if(|(hole, _)| *hole == run) {
                    out.push(self.gap(run, sequences));
                }
                self.reached.insert(run, wanted.end);
                self.proven.insert(run, wanted.end);
                let has = |peer: &PeerId| !self.claims.of(peer, run, &wanted).is_empty();
                for peer in self.shortfalls.given(&frame, has) {
                    let sequences = wanted.clone();
                    out.push(Action::HoldsLess { peer, run, sequences });
                }
                out.push(Action::Deliver {
                    session,
                    frame,
                    from,
                    wanted,
                    hold: !matches!(self.start, Wanted::Latest),
                });
            }
            (_, Read::Hole { run, sequences }) => {
                let claimed = self.claims.next_from(run, sequences.start, |_| true);
                let is_claimed = claimed.is_some_and(|next| next < sequences.end);
                // Older than what anybody has: history begins later.
                let is_known = self.reached.contains_key(&run) || self.reader.is_linked(run);
                if is_claimed || is_known || self.start.resumes(run) {
                    out.push(self.gap(run, sequences));
                } else if has_begun(&self.reached, &run) {
                    // The publisher was heard before, so this is missing: if the run is none that somebody made up.
                    let before = self.unproven.take();
                    let before = before.filter(|(hole, before)| *hole == run && before.end == sequences.start);
                    let start = before.map_or(sequences.start, |(_, before)| before.start);
                    self.unproven = Some((run, start..sequences.end));
                }
            }
        }
    }

    fn gap(&mut self, run: Run, sequences: Range<u64>) -> Action {
        let reached = self.reached.entry(run).or_default();
        *reached = sequences.end.max(*reached);
        Action::Gap {
            session: self.id,
            run,
            sequences,
        }
    }

    /// An answer to the question which runs there are. What is wrong with it, if anything.
    pub(super) fn runs(
        &mut self,
        request: RequestId,
        peer: PeerId,
        claims: &[Claim],
        next: Option<Question>,
    ) -> Option<Fault> {
        let (Phase::Asking(inquiry) | Phase::AskingLast(inquiry)) = &mut self.phase else {
            return None;
        };
        if !inquiry.owns(request) {
            return None;
        }
        for claim in claims {
            if claim.run.publisher != peer {
                inquiry.tells_of_others(peer);
            }
            self.claims.add(peer, claim);
            // Those who choose are told of a choice.
            if !matches!(self.start, Wanted::Last(_) | Wanted::Latest) {
                self.shortfalls.told(peer, claim);
            }
        }
        let has_end = inquiry.answered(request, next);
        if has_end { None } else { Some(Fault::Endless) }
    }

    /// Frames that hold the newest records of keys. What is wrong with them, if anything.
    pub(super) fn latest(
        &mut self,
        request: RequestId,
        peer: PeerId,
        frames: Vec<Frame>,
        next: Option<Question>,
    ) -> Option<Fault> {
        let Phase::AskingLatest(inquiry, newest) = &mut self.phase else {
            return None;
        };
        if !inquiry.owns(request) {
            return None;
        }
        let known = inquiry.given.len();
        for frame in frames.iter().filter(|_| known < GIVEN_MAX) {
            inquiry.given.insert((peer, run_of(frame), frame.sequences().start));
        }
        let repeats = !frames.is_empty() && known < GIVEN_MAX && inquiry.given.len() == known;
        for frame in frames {
            if frame.publisher != peer {
                inquiry.tells_of_others(peer);
            }
            let newest = newest.show(&frame);
            self.claims.add_frame(peer, run_of(&frame), frame.sequences());
            if newest {
                self.reader.keep(frame.into(), peer);
            }
        }
        let next = next.filter(|_| inquiry.has_pages_left(&peer));
        let has_end = inquiry.answered(request, next) && !(repeats && inquiry.repeated(peer));
        if has_end { None } else { Some(Fault::Endless) }
    }

    /// Frames of a range. What of it the peer claims and did not give.
    pub(super) fn range(
        &mut self,
        request: RequestId,
        peer: PeerId,
        run: Run,
        sequences: &Range<u64>,
        frames: Vec<Frame>,
    ) -> Option<Range<u64>> {
        let mut unmet = self.claims.of(&peer, run, sequences);
        frames.iter().for_each(|frame| unmet.remove(&frame.sequences()));
        unmet.iter().for_each(|span| self.claims.cut(&peer, run, span));
        self.reader.answered(request, peer, frames);
        unmet.first().cloned()
    }

    /// A member has not more than these of a run.
    pub(super) fn limit(&mut self, peer: &PeerId, run: Run, held: &Spans) {
        self.claims.limit(peer, run, held);
    }

    /// No answer, or not now.
    pub(super) fn failed(&mut self, request: RequestId, peer: PeerId, what: Question, busy: bool) {
        match &mut self.phase {
            Phase::Asking(inquiry) | Phase::AskingLast(inquiry) | Phase::AskingLatest(inquiry, _)
                if inquiry.owns(request) =>
            {
                if busy {
                    inquiry.busy(request, what);
                } else {
                    inquiry.failed(request);
                }
            }
            _ => {
                let trouble = if busy { TROUBLE_BUSY } else { TROUBLE_FAILED };
                self.reader.failed(request, peer, trouble);
            }
        }
    }

    /// Nothing that this peer says counts any more; what it gave was signed by others.
    pub(super) fn drop_peer(&mut self, peer: &PeerId) {
        self.claims.drop_peer(peer);
        self.shortfalls.drop_peer(peer);
        if let Phase::Asking(inquiry) | Phase::AskingLast(inquiry) | Phase::AskingLatest(inquiry, _) = &mut self.phase {
            inquiry.drop_peer(peer);
        }
        self.answered.remove(peer);
    }
}
