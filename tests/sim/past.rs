//! What nodes ask and tell each other about the past, and what they hold of it, as the runtime wires it. Lies included.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use bytes::Bytes;
use maille::{
    PeerId,
    core::{
        catchup::{
            Action, Answer, Claim, InboundId, Input, Question, RequestId, ResponderAction, ResponderInput, Run,
            SessionId,
        },
        stream::{Inbox, inbox},
    },
    store::{Held, RingLimits, Store},
};

use super::{
    gossip::kept,
    node::{Honesty, Serving},
    reader::{Heard, Reader},
    world::{Event, World},
};

impl World {
    // ---- asking ------------------------------------------------------------------------------------------------------

    /// Hands a fact to a node's catch-up, if there is one, and does what it asks for.
    pub(crate) fn catchup_hears(&mut self, node: usize, input: Input) {
        let mut inputs = VecDeque::from([input]);
        let mut actions = vec![];
        while let Some(input) = inputs.pop_front() {
            let now = self.instant();
            let Some(catchup) = &mut self.nodes[node].catchup else {
                return;
            };
            catchup.handle(input, now, &mut actions);
            for action in std::mem::take(&mut actions) {
                inputs.extend(self.perform(node, action));
            }
        }
        self.rearm(node);
    }

    fn reader(&mut self, node: usize, session: SessionId) -> Option<&mut Reader> {
        let mut readers = self.nodes[node].readers.iter_mut();
        readers.find(|reader| reader.session() == Some(session))
    }

    fn perform(&mut self, node: usize, action: Action) -> Option<Input> {
        match action {
            Action::Ask { request, peer, what } => return self.ask(node, request, peer, what),
            Action::Deliver {
                session,
                frame,
                from,
                wanted,
                hold,
            } => {
                let is_old = RingLimits::default().forgets(frame.sent_us, self.clock(node));
                if hold && from != self.nodes[node].id && !is_old {
                    self.keep(node, &kept(&frame));
                }
                let reader = self.reader(node, session)?;
                let wanted = frame
                    .deliveries(from)
                    .filter(|delivery| wanted.contains(&delivery.sequence));
                for delivery in wanted {
                    let run = Run {
                        publisher: delivery.author,
                        incarnation: delivery.incarnation,
                    };
                    let (sequence, payload) = (delivery.sequence, delivery.payload);
                    reader.give(Heard::Record { run, sequence, payload });
                }
                let open = reader.has_room();
                return (!open).then_some(Input::Room { session, open });
            }
            Action::Gap {
                session,
                run,
                sequences,
            } => {
                let (from, to) = (sequences.start, sequences.end);
                self.gap(node, run, from..to);
                self.reader(node, session)?.give(Heard::Gap { run, from, to });
            }
            Action::Unanswered { session } => self.reader(node, session)?.give(Heard::Unanswered),
            Action::Compare { session } => {
                let next = self.heads(node);
                return Some(Input::Live { session, next });
            }
            Action::CaughtUp {
                session,
                reached,
                claimed,
                others_are_new,
                since_us,
            } => {
                let place = |(run, next): &(Run, u64)| (run.publisher, run.incarnation, *next);
                let input = inbox::Input::Reached {
                    reached: reached.iter().map(place).collect(),
                    claimed: claimed.iter().map(place).collect(),
                    others_are_new,
                };
                let state = &mut self.nodes[node];
                state.since_us = since_us.map_or(state.since_us, |since_us| since_us.min(state.since_us));
                if let Some(reader) = self.reader(node, session) {
                    reader.go_live(reached);
                }
                self.inbox_hears(node, input);
            }
            Action::Hand { frame, from } => {
                let held = kept(&frame);
                self.keep(node, &held);
                self.inbox_hears(node, inbox::Input::Received { frame, deliverer: from });
            }
            Action::Hopeless { run, sequences } => {
                let Run { publisher, incarnation } = run;
                let lost = inbox::Input::Lost {
                    publisher,
                    incarnation,
                    sequences,
                };
                self.inbox_hears(node, lost);
            }
            Action::OfferDigest { peer } => {
                let digest = self.digest(node);
                if let Some(to) = self.neighbour(node, peer) {
                    for time in self.network.carry(node, to, &mut self.rng) {
                        let from = node;
                        self.queue.plan(self.now + time, Event::Digest { from, to, digest });
                    }
                }
            }
            Action::CompareHeads => return Some(Input::Heads(self.heads(node))),
            Action::HoldsLess { peer, .. } => drop(self.nodes[node].lacking.insert(peer)),
            Action::Penalise { peer, .. } => drop(self.nodes[node].blamed.insert(peer)),
        }
        None
    }

    fn neighbour(&self, node: usize, peer: PeerId) -> Option<usize> {
        let at = self.at.get(&peer).copied();
        at.filter(|at| self.nodes[node].neighbours.contains(at))
    }

    fn ask(&mut self, node: usize, request: RequestId, peer: PeerId, what: Question) -> Option<Input> {
        if peer == self.nodes[node].id {
            self.read_later(node, request, what);
        } else if let Some(to) = self.neighbour(node, peer) {
            if let Some(time) = self.network.carry(node, to, &mut self.rng).next() {
                let from = node;
                let event = Event::Asked {
                    from,
                    to,
                    request,
                    what,
                };
                self.queue.plan(self.now + time, event);
            }
        } else {
            return Some(Input::Failed { request });
        }
        None
    }

    pub(crate) fn members_changed(&mut self, node: usize) {
        let members = self.nodes[node]
            .neighbours
            .iter()
            .map(|neighbour| &self.nodes[*neighbour]);
        let members = members.filter(|member| member.is_subscribed() || member.outbox.is_some());
        let mut members: Vec<PeerId> = members.map(|member| member.id).collect();
        members.sort_unstable();
        self.catchup_hears(node, Input::Members(members));
    }

    /// A reader that read has room again.
    pub(crate) fn room(&mut self, node: usize) {
        let sessions = self.nodes[node].readers.iter().filter(|reader| reader.has_room());
        let sessions: Vec<SessionId> = sessions.filter_map(Reader::session).collect();
        for session in sessions {
            self.catchup_hears(node, Input::Room { session, open: true });
        }
    }

    // ---- heads -------------------------------------------------------------------------------------------------------

    /// Where a node's live inbox stands.
    pub(crate) fn heads(&self, node: usize) -> Vec<(Run, u64)> {
        let positions = self.nodes[node].inbox.iter().flat_map(Inbox::positions);
        let run = |(publisher, incarnation, next)| (Run { publisher, incarnation }, next);
        let mut heads: Vec<_> = positions.map(run).collect();
        heads.sort_unstable();
        heads
    }

    fn digest(&self, node: usize) -> [u8; 8] {
        let mut hasher = DefaultHasher::new();
        self.heads(node).hash(&mut hasher);
        hasher.finish().to_be_bytes()
    }

    pub(crate) fn compare_digests(&mut self, from: usize, to: usize, theirs: [u8; 8]) {
        if !self.nodes[to].is_subscribed() {
            return;
        }
        let ours = self.digest(to);
        let input = Input::Digest {
            from: self.nodes[from].id,
            theirs,
            ours,
            since_us: self.nodes[to].since_us,
        };
        self.catchup_hears(to, input);
    }

    // ---- answering ---------------------------------------------------------------------------------------------------

    pub(crate) fn asked(&mut self, asker: usize, node: usize, request: RequestId, what: Question) {
        if !self.nodes[node].here {
            return;
        }
        let (peer, now) = (self.nodes[asker].id, self.instant());
        let state = &mut self.nodes[node];
        state.questions += 1;
        let id = InboundId(state.questions);
        state.serving.insert(id, Serving { asker, request, what });
        let mut actions = vec![];
        let asked = ResponderInput::Asked { request: id, peer };
        state.responder.handle(asked, now, &mut actions);
        for action in actions {
            match action {
                ResponderAction::Serve { request } => self.serve_later(node, request),
                ResponderAction::Refuse { request } => self.respond(node, request, Answer::Busy),
            }
        }
    }

    pub(crate) fn served(&mut self, node: usize, id: InboundId) {
        let Some(serving) = self.nodes[node].serving.get(&id) else {
            return;
        };
        let what = serving.what.clone();
        let answer = self.read(node, &what);
        let answer = self.lie(node, &what, answer);
        let bytes = match &answer {
            Answer::Frames { frames, .. } => frames.iter().map(|frame| frame.wire.len()).sum(),
            _ => 0,
        };
        self.respond(node, id, answer);
        let (now, mut actions) = (self.instant(), vec![]);
        let served = ResponderInput::Served { request: id, bytes };
        self.nodes[node].responder.handle(served, now, &mut actions);
    }

    fn respond(&mut self, node: usize, id: InboundId, answer: Answer) {
        let Some(Serving { asker, request, .. }) = self.nodes[node].serving.remove(&id) else {
            return;
        };
        if !self.nodes[node].here {
            return;
        }
        if let Some(time) = self.network.carry(node, asker, &mut self.rng).next() {
            let event = Event::Answered {
                from: node,
                to: asker,
                request,
                answer,
            };
            self.queue.plan(self.now + time, event);
        }
    }

    /// What a node's store says.
    pub(crate) fn read(&mut self, node: usize, what: &Question) -> Answer {
        let (ring, topic, bytes_max) = (&self.nodes[node].ring, &self.topic, self.fill_bytes);
        match what {
            Question::Runs { selector, from } => {
                let held = ring.runs(topic, *selector).expect("memory does not fail");
                let claims = held.into_iter().filter(|held| !held.spans.is_empty());
                let claims: Vec<Claim> = claims.map(|held| self.claim(held)).collect();
                let claims = claims
                    .into_iter()
                    .filter(|claim| from.is_none_or(|from| claim.run >= from));
                Answer::Runs {
                    claims: claims.collect(),
                    more: false,
                }
            }
            Question::Range { run, sequences } => {
                let Run { publisher, incarnation } = run;
                let range = |sequences, bytes_max| ring.range(topic, publisher, *incarnation, sequences, bytes_max);
                let frames = range(sequences.clone(), bytes_max).expect("memory does not fail");
                let rest = range(sequences.clone(), usize::MAX).expect("memory does not fail");
                self.frames(&frames, frames.len() < rest.len())
            }
            Question::Latest { skip } => {
                let latest = ring.latest(topic, *skip as usize, bytes_max);
                let (frames, more) = latest.expect("memory does not fail");
                self.frames(&frames, more)
            }
        }
    }

    fn frames(&mut self, frames: &[Bytes], more: bool) -> Answer {
        let opened = frames.iter().filter_map(|wire| self.open(wire).frame.clone());
        Answer::Frames {
            frames: opened.collect(),
            more,
            rejected: 0,
        }
    }

    fn claim(&mut self, held: Held) -> Claim {
        let head = held.head.and_then(|head| self.open(&head).frame.clone());
        Claim {
            run: Run {
                publisher: held.publisher,
                incarnation: held.incarnation,
            },
            held: held.spans,
            from: held.from,
            newest_us: held.newest_us,
            proved: head.map(|head| head.sequences().start),
        }
    }

    fn lie(&mut self, node: usize, what: &Question, answer: Answer) -> Answer {
        let honesty = self.nodes[node].honesty;
        let first = self.published.keys().next().map(|run| run.publisher);
        let third = |run: &Run| self.published.get(run).map_or(0, |run| run.times.len() as u64 / 3);
        let hidden = |run: &Run| match honesty {
            Honesty::HidesRange => third(run)..2 * third(run),
            Honesty::OldHead => third(run)..u64::MAX,
            Honesty::HidesPublisher if Some(run.publisher) == first => 0..u64::MAX,
            _ => 0..0,
        };
        match (what, answer) {
            (_, Answer::Runs { claims, more }) => {
                let claims = claims.into_iter().filter_map(|mut claim| {
                    let hidden = hidden(&claim.run);
                    let parts = claim.held.iter().flat_map(|span| {
                        let below = span.start..span.end.min(hidden.start.max(span.start));
                        let above = span.start.max(hidden.end)..span.end;
                        if hidden.is_empty() {
                            vec![span.clone()]
                        } else {
                            vec![below, above]
                        }
                    });
                    claim.held = parts.filter(|part| !part.is_empty()).collect();
                    if !hidden.is_empty() {
                        claim.proved = None;
                    }
                    if honesty == Honesty::Boasts
                        && let Some(last) = claim.held.last_mut()
                    {
                        last.end += 50;
                    }
                    (!claim.held.is_empty()).then_some(claim)
                });
                Answer::Runs {
                    claims: claims.collect(),
                    more,
                }
            }
            (
                Question::Range { .. } | Question::Latest { .. },
                Answer::Frames {
                    mut frames,
                    more,
                    rejected,
                },
            ) => {
                frames.retain(|frame| {
                    let run = Run {
                        publisher: frame.publisher,
                        incarnation: frame.incarnation,
                    };
                    let (hidden, held) = (hidden(&run), frame.sequences());
                    held.end <= hidden.start || held.start >= hidden.end
                });
                let more = more && !frames.is_empty();
                Answer::Frames { frames, more, rejected }
            }
            (_, answer) => answer,
        }
    }
}
