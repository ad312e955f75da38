//! Between members and `core/catchup`: questions and answers about the past, repair of what is missing, digests of heads.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use libp2p::PeerId;
use libp2p::request_response::{self, Message, ResponseChannel};
use maille_proto::control::{self, Digest};

use super::inlet::{Inlet, Notice};
use super::listing::Asker;
use super::streams::incoming;
use super::task::{Done, Task};
use super::{Slot, aside, history};
use crate::core::catchup::wire::{Request, TopicHeld, write_busy, write_topics};
use crate::core::catchup::{
    Action, Answer, Catchup, Fault, InboundId, Input, Question, RequestId, ResponderAction, ResponderInput, Run,
    SessionId,
};
use crate::core::stream::inbox;
use crate::types::{TopicHint, TopicName};

/// What a request-response behaviour reports.
type Event = request_response::Event<Vec<u8>, Vec<u8>>;

/// A question of a member that waits for its answer.
pub(super) struct Serving {
    request: Request,
    channel: ResponseChannel<Vec<u8>>,
}

impl Task {
    // ---- asking --------------------------------------------------------------------------------------------------

    /// Hands facts to a topic's catch-up, if there is one, and does what it asks for.
    pub(super) fn catchup_hears(&mut self, slot: Slot, topic: &TopicName, input: Input) {
        let mut inputs = VecDeque::from([input]);
        let mut actions = Vec::new();
        while let Some(input) = inputs.pop_front() {
            let Some(catchup) = self.catchup(slot, topic) else {
                return;
            };
            catchup.handle(input, Instant::now(), &mut actions);
            for action in std::mem::take(&mut actions) {
                inputs.extend(self.perform_catchup(slot, topic, action));
            }
        }
    }

    fn catchup(&mut self, slot: Slot, topic: &TopicName) -> Option<&mut Catchup> {
        self.meshes.get_mut(&slot)?.topics.get_mut(topic)?.catchup.as_mut()
    }

    fn inlet(&mut self, slot: Slot, topic: &TopicName, session: SessionId) -> Option<&mut Inlet> {
        let state = self.meshes.get_mut(&slot)?.topics.get_mut(topic)?;
        state.inlets.iter_mut().find(|inlet| inlet.session() == Some(session))
    }

    fn is_backfill(&self, slot: Slot, topic: &TopicName, session: SessionId) -> bool {
        let state = self.meshes.get(&slot).and_then(|mesh| mesh.topics.get(topic));
        state.is_some_and(|state| state.backfill == Some(session))
    }

    /// Does one thing; what it makes known at once is returned.
    fn perform_catchup(&mut self, slot: Slot, topic: &TopicName, action: Action) -> Option<Input> {
        match action {
            Action::Ask { request, peer, what } => return self.ask(slot, topic, request, peer, what),
            Action::Deliver {
                session,
                frame,
                from,
                wanted,
                hold,
            } => {
                if self.is_backfill(slot, topic, session) {
                    return self.backfill(slot, topic, session, &frame);
                }
                let inlet = self.inlet(slot, topic, session)?;
                for delivery in frame
                    .deliveries(from)
                    .filter(|delivery| wanted.contains(&delivery.sequence))
                {
                    inlet.give_past(incoming(delivery));
                }
                let open = inlet.has_room();
                if hold && from != *self.swarm.local_peer_id() {
                    self.meshes.get_mut(&slot)?.history.remember(topic, &frame);
                }
                self.counters.records_from_history.add(wanted.end - wanted.start);
                return (!open).then_some(Input::Room { session, open });
            }
            Action::Gap {
                session,
                run,
                sequences,
            } => self.inlet(slot, topic, session)?.give(&Notice::Gap {
                publisher: run.publisher,
                incarnation: run.incarnation,
                from: sequences.start,
                to: sequences.end,
            }),
            Action::Unanswered { session } => self.inlet(slot, topic, session)?.give(&Notice::Unanswered),
            Action::Compare { session } => {
                let next = self.heads(slot, topic);
                return Some(Input::Live { session, next });
            }
            Action::CaughtUp { session, .. } if self.is_backfill(slot, topic, session) => {
                self.backfilled(slot, topic);
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
                let state = self.meshes.get_mut(&slot)?.topics.get_mut(topic)?;
                state.since_us = since_us.map_or(state.since_us, |since_us| since_us.min(state.since_us));
                // First, for the inbox may have what comes next. Who begins now is not kept waiting, and has no session.
                if let Some(inlet) = self.inlet(slot, topic, session) {
                    inlet.go_live(reached);
                }
                self.inbox_hears(slot, topic, input);
            }
            Action::Hand { frame, from } => {
                self.counters.frames_repaired.add(1);
                self.keep(slot, topic, history::kept(&frame));
                self.inbox_hears(slot, topic, inbox::Input::Received { frame, deliverer: from });
            }
            Action::Hopeless { run, sequences } => {
                let Run { publisher, incarnation } = run;
                let lost = inbox::Input::Lost {
                    publisher,
                    incarnation,
                    sequences,
                };
                self.inbox_hears(slot, topic, lost);
            }
            Action::OfferDigest { peer } => {
                let digest = Digest {
                    topic: topic.to_string(),
                    heads: self.digest(slot, topic),
                };
                self.send_control(slot, peer, control::Message::Digest(digest));
            }
            Action::CompareHeads => return Some(Input::Heads(self.heads(slot, topic))),
            Action::HoldsLess { peer, run, sequences } => {
                tracing::info!(%peer, %topic, publisher = %run.publisher, ?sequences, "a member told of less than others gave");
                let (topic, publisher) = (topic.clone(), run.publisher);
                self.meshes
                    .get(&slot)?
                    .tell(super::MeshEvent::HoldsLess { peer, topic, publisher });
            }
            Action::Penalise { peer, why } => self.penalise(slot, topic, peer, why),
        }
        None
    }

    fn ask(
        &mut self,
        slot: Slot,
        topic: &TopicName,
        request: RequestId,
        peer: PeerId,
        what: Question,
    ) -> Option<Input> {
        let me = *self.swarm.local_peer_id();
        let mesh = self.meshes.get_mut(&slot)?;
        if peer == me {
            let context = mesh.topics.get(topic)?.context.clone();
            let read = mesh.history.read(topic, what);
            let topic = topic.clone();
            self.jobs.spawn(async move {
                let answer = history::made(read, move |read| read.open(&context)).await;
                Done::Answered {
                    slot,
                    topic,
                    request,
                    from: me,
                    answer,
                }
            });
        } else {
            let question = Request::Topic(topic.clone(), what);
            let asker = Asker::Catchup(topic.clone(), request);
            if !self.ask_member(slot, peer, &question, asker) {
                // Left, and the machine will hear of it.
                return Some(Input::Failed { request });
            }
        }
        None
    }

    /// An answer was read, or could not be.
    pub(super) fn on_answer(
        &mut self,
        slot: Slot,
        topic: &TopicName,
        request: RequestId,
        from: PeerId,
        answer: Option<Answer>,
    ) {
        let input = match answer {
            Some(answer) => Input::Answered { request, from, answer },
            None => Input::Failed { request },
        };
        self.catchup_hears(slot, topic, input);
    }

    fn penalise(&mut self, slot: Slot, topic: &TopicName, peer: PeerId, why: Fault) {
        tracing::warn!(%peer, %topic, ?why, "a member answers wrongly about the past, and is not asked again");
        self.counters.members_penalised.add(1);
        if let Some(mesh) = self.meshes.get(&slot) {
            mesh.tell(super::MeshEvent::Unreliable { peer, why: words(why) });
        }
    }

    /// Who can be asked changed.
    pub(super) fn members_changed(&mut self, slot: Slot, topic: &TopicName) {
        let Some(mesh) = self.meshes.get(&slot) else { return };
        let Some(state) = mesh.topics.get(topic).filter(|state| state.catchup.is_some()) else {
            return;
        };
        let hint = mesh.hint(topic);
        let publishing = mesh.profiles.iter().filter(|(_, topics)| topics.contains(&hint));
        let publishing = publishing.map(|(peer, _)| *peer);
        let mut members: Vec<PeerId> = state.subscribed.iter().copied().chain(publishing).collect();
        members.sort_unstable();
        members.dedup();
        self.catchup_hears(slot, topic, Input::Members(members));
    }

    /// A neighbour told what it is on.
    pub(super) fn profiled(&mut self, slot: Slot, peer: PeerId, topics: &[TopicHint]) {
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        let mut changed = mesh.profiles.insert(peer, topics.to_vec()).unwrap_or_default();
        let is_known = |hint: &TopicHint| mesh.topics.keys().any(|topic| mesh.hint(topic) == *hint);
        let is_news = topics.iter().any(|hint| !is_known(hint));
        changed.extend(topics);
        self.profile_changed(slot, &changed);
        if is_news {
            self.look_for_topics(slot, peer);
        }
    }

    /// Neighbours came to these topics, or left them.
    pub(super) fn profile_changed(&mut self, slot: Slot, topics: &[TopicHint]) {
        let Some(mesh) = self.meshes.get(&slot) else { return };
        let ours = mesh.topics.keys().filter(|topic| topics.contains(&mesh.hint(topic)));
        for topic in ours.cloned().collect::<Vec<_>>() {
            self.members_changed(slot, &topic);
        }
    }

    /// Subscribers have room again.
    pub(super) fn on_room(&mut self) {
        let (mut reopened, mut released) = (Vec::new(), Vec::new());
        for (slot, mesh) in &self.meshes {
            for (topic, state) in &mesh.topics {
                if state.held_until.is_some() {
                    released.push((*slot, topic.clone()));
                }
                let sessions = state.inlets.iter().filter(|inlet| inlet.has_room());
                reopened.extend(sessions.filter_map(|inlet| Some((*slot, topic.clone(), inlet.session()?))));
            }
        }
        for (slot, topic) in released {
            self.release_acks(slot, &topic, Instant::now());
        }
        for (slot, topic, session) in reopened {
            self.catchup_hears(slot, &topic, Input::Room { session, open: true });
        }
    }

    // ---- heads ---------------------------------------------------------------------------------------------------

    /// Where the live inbox stands.
    fn heads(&self, slot: Slot, topic: &TopicName) -> Vec<(Run, u64)> {
        let state = self.meshes.get(&slot).and_then(|mesh| mesh.topics.get(topic));
        let inbox = state.and_then(|state| state.inbox.as_ref());
        let run = |(publisher, incarnation, next)| (Run { publisher, incarnation }, next);
        let mut heads: Vec<_> = inbox.into_iter().flat_map(inbox::Inbox::positions).map(run).collect();
        heads.sort_unstable();
        heads
    }

    fn digest(&self, slot: Slot, topic: &TopicName) -> u64 {
        let mut hasher = blake3::Hasher::new_derive_key("maille 1 digest of heads");
        for (run, next) in self.heads(slot, topic) {
            hasher.update(&run.publisher.to_bytes());
            hasher.update(&run.incarnation.to_be_bytes());
            hasher.update(&next.to_be_bytes());
        }
        let mut digest = [0; 8];
        hasher.finalize_xof().fill(&mut digest);
        u64::from_be_bytes(digest)
    }

    pub(super) fn on_digest(&mut self, slot: Slot, from: PeerId, digest: Digest) {
        let Ok(topic) = digest.topic.parse::<TopicName>() else {
            return;
        };
        let Some(state) = self.meshes.get(&slot).and_then(|mesh| mesh.topics.get(&topic)) else {
            return;
        };
        let since_us = state.since_us;
        let ours = self.digest(slot, &topic).to_be_bytes();
        let theirs = digest.heads.to_be_bytes();
        let input = Input::Digest {
            from,
            theirs,
            ours,
            since_us,
        };
        self.catchup_hears(slot, &topic, input);
    }

    // ---- answering -----------------------------------------------------------------------------------------------

    pub(super) fn on_catchup_event(&mut self, slot: Slot, event: Event) {
        match event {
            Event::Message {
                peer,
                message: Message::Request { request, channel, .. },
                ..
            } => self.on_question(slot, peer, &request, channel),
            Event::Message {
                peer,
                message: Message::Response { request_id, response },
                ..
            } => self.on_response(slot, peer, request_id, response),
            Event::OutboundFailure {
                request_id,
                error,
                peer,
                ..
            } => {
                tracing::debug!(%peer, %error, "a question about the past was not answered");
                let mesh = self.meshes.get_mut(&slot);
                match mesh.and_then(|mesh| mesh.asked.remove(&request_id)) {
                    Some(Asker::Catchup(topic, request)) => {
                        self.catchup_hears(slot, &topic, Input::Failed { request });
                    }
                    Some(Asker::Listing(id)) => self.on_topics(slot, peer, None, Some(id)),
                    Some(Asker::Publishers(id, topic)) => self.listed_publishers(slot, id, &topic, None),
                    Some(Asker::Keeper) | None => {}
                }
            }
            Event::InboundFailure { peer, error, .. } => tracing::debug!(%peer, %error, "an answer did not arrive"),
            Event::ResponseSent { .. } => {}
        }
    }

    fn on_response(&mut self, slot: Slot, from: PeerId, id: request_response::OutboundRequestId, response: Vec<u8>) {
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        let Some(asker) = mesh.asked.remove(&id) else { return };
        let topic = match &asker {
            Asker::Keeper => return self.on_topics(slot, from, Some(&response), None),
            Asker::Listing(id) => return self.on_topics(slot, from, Some(&response), Some(*id)),
            Asker::Catchup(topic, _) | Asker::Publishers(_, topic) => topic.clone(),
        };
        let context = mesh.context(&topic);
        // Many signatures: not in the loop.
        aside::spawn(&mut self.jobs, move || {
            let answer = Answer::read(&response, &context)
                .inspect_err(|error| tracing::debug!(%from, %error, "an answer about the past cannot be read"));
            let answer = answer.ok();
            match asker {
                Asker::Publishers(id, _) => Done::ListedPublishers {
                    slot,
                    id,
                    topic,
                    answer,
                },
                Asker::Catchup(_, request) => Done::Answered {
                    slot,
                    topic,
                    request,
                    from,
                    answer,
                },
                Asker::Keeper | Asker::Listing(_) => Done::Written,
            }
        });
    }

    fn on_question(&mut self, slot: Slot, peer: PeerId, question: &[u8], channel: ResponseChannel<Vec<u8>>) {
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        let request = match Request::read(question) {
            Ok(request) => request,
            Err(error) => {
                // The channel is dropped, and with it the stream.
                return tracing::debug!(%peer, %error, "a question about the past cannot be read");
            }
        };
        mesh.next_question += 1;
        let id = InboundId(mesh.next_question);
        mesh.serving.insert(id, Serving { request, channel });
        self.responder_hears(slot, ResponderInput::Asked { request: id, peer });
    }

    fn responder_hears(&mut self, slot: Slot, input: ResponderInput) {
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        let mut actions = Vec::new();
        mesh.responder.handle(input, Instant::now(), &mut actions);
        for action in actions {
            match action {
                ResponderAction::Serve { request } => self.serve(slot, request),
                ResponderAction::Refuse { request } => {
                    self.counters.questions_refused.add(1);
                    self.respond(slot, request, write_busy());
                }
            }
        }
    }

    fn serve(&mut self, slot: Slot, id: InboundId) {
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        let Some(serving) = mesh.serving.get(&id) else { return };
        self.counters.questions_answered.add(1);
        match serving.request.clone() {
            Request::Topic(topic, what) => {
                let context = mesh.context(&topic);
                let read = mesh.history.read(&topic, what);
                self.jobs.spawn(async move {
                    let bytes = history::made(read, move |read| read.write(&context)).await;
                    Done::Served { slot, id, bytes }
                });
            }
            Request::Topics(after) => {
                let names: Vec<TopicName> = mesh.topics.keys().cloned().collect();
                let topics = mesh.history.topics(after.clone());
                self.jobs.spawn(async move {
                    let bytes = topics
                        .await
                        .map(|held| write_topics(with_names(held, names, after.as_ref())));
                    let bytes = bytes.inspect_err(|error| tracing::warn!(%error, "history cannot be read"));
                    Done::Served {
                        slot,
                        id,
                        bytes: bytes.ok(),
                    }
                });
            }
        }
    }

    /// An answer is ready, or there is none.
    pub(super) fn on_served(&mut self, slot: Slot, id: InboundId, bytes: Option<Vec<u8>>) {
        let bytes = bytes.unwrap_or_else(write_busy);
        let length = bytes.len();
        self.respond(slot, id, bytes);
        let served = ResponderInput::Served {
            request: id,
            bytes: length,
        };
        self.responder_hears(slot, served);
    }

    fn respond(&mut self, slot: Slot, id: InboundId, bytes: Vec<u8>) {
        let Some(serving) = self.meshes.get_mut(&slot).and_then(|mesh| mesh.serving.remove(&id)) else {
            return;
        };
        if let Some(inner) = self.swarm.behaviour_mut().gate.inner_mut(slot) {
            // An error: the member left meanwhile.
            let _ = inner.catchup.send_response(serving.channel, bytes);
        }
    }
}

fn words(fault: Fault) -> &'static str {
    match fault {
        Fault::Unfounded => "it claims records that it does not give",
        Fault::BesideTheQuestion => "it answers another question than was asked",
        Fault::Forged => "it gives frames that their publisher did not sign",
        Fault::Endless => "it says without end that there is more",
    }
}

/// Topics of which something is held, and those this node is on: a publisher has some before it holds anything.
fn with_names(held: Vec<TopicHeld>, names: Vec<TopicName>, after: Option<&TopicName>) -> Vec<TopicHeld> {
    let empty = |name: TopicName| TopicHeld {
        name,
        publishers: 0,
        newest_us: 0,
        kept: false,
    };
    let names = names.into_iter().filter(|name| after.is_none_or(|after| name > after));
    let all = names.map(empty).chain(held).map(|held| (held.name.clone(), held));
    // What is held comes later, and counts.
    all.collect::<BTreeMap<_, _>>().into_values().collect()
}
