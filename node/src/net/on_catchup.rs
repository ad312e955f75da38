//! Between members and `core/catchup`: questions and answers about the past, repair of what is missing, digests of heads.

use std::collections::VecDeque;
use std::time::Instant;

use libp2p::PeerId;
use libp2p::request_response::{self, Message, ResponseChannel};
use maille_proto::control::{self, Digest};

use super::inlet::{Delivery, Inlet};
use super::streams::incoming;
use super::task::{Done, Task};
use super::{Slot, aside, history};
use crate::core::catchup::wire::{Request, write_busy, write_topics};
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
            for action in actions.drain(..).collect::<Vec<_>>() {
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

    /// Does one thing; what it makes known at once is returned.
    fn perform_catchup(&mut self, slot: Slot, topic: &TopicName, action: Action) -> Option<Input> {
        match action {
            Action::Ask { request, peer, what } => return self.ask(slot, topic, request, peer, what),
            Action::Deliver {
                session,
                frame,
                from,
                wanted,
            } => {
                let inlet = self.inlet(slot, topic, session)?;
                for delivery in frame
                    .deliveries(from)
                    .filter(|delivery| wanted.contains(&delivery.sequence))
                {
                    inlet.give(&Delivery::Record(incoming(delivery)));
                }
                let open = inlet.has_room();
                self.counters.records_from_history.add(wanted.end - wanted.start);
                return (!open).then_some(Input::Room { session, open });
            }
            Action::Gap {
                session,
                run,
                sequences,
            } => self.inlet(slot, topic, session)?.give(&Delivery::Gap {
                publisher: run.publisher,
                incarnation: run.incarnation,
                from: sequences.start,
                to: sequences.end,
            }),
            Action::Unanswered { session } => self.inlet(slot, topic, session)?.give(&Delivery::Unanswered),
            Action::Compare { session } => {
                let next = self.heads(slot, topic);
                return Some(Input::Live { session, next });
            }
            Action::CaughtUp { session, reached } => self.inlet(slot, topic, session)?.go_live(reached),
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
                let answer = match read.await {
                    Ok(read) => aside::run(move || read.open(&context)).await.ok(),
                    Err(error) => {
                        tracing::warn!(%error, "history cannot be read");
                        None
                    }
                };
                Done::Answered {
                    slot,
                    topic,
                    request,
                    from: me,
                    answer,
                }
            });
        } else if mesh.reached.contains_key(&peer) {
            let question = Request::Topic(topic.clone(), what).write();
            let gate = &mut self.swarm.behaviour_mut().gate;
            let sent = gate.inner_mut(slot)?.catchup.send_request(&peer, question);
            mesh.asked.insert(sent, (topic.clone(), request));
        } else {
            // Left, and the machine will hear of it.
            return Some(Input::Failed { request });
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
        changed.extend(topics);
        self.profile_changed(slot, &changed);
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
        let mut reopened = Vec::new();
        for (slot, mesh) in &self.meshes {
            for (topic, state) in &mesh.topics {
                let sessions = state.inlets.iter().filter(|inlet| inlet.has_room());
                reopened.extend(sessions.filter_map(|inlet| Some((*slot, topic.clone(), inlet.session()?))));
            }
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
                let asked = self
                    .meshes
                    .get_mut(&slot)
                    .and_then(|mesh| mesh.asked.remove(&request_id));
                if let Some((topic, request)) = asked {
                    self.catchup_hears(slot, &topic, Input::Failed { request });
                }
            }
            Event::InboundFailure { peer, error, .. } => tracing::debug!(%peer, %error, "an answer did not arrive"),
            Event::ResponseSent { .. } => {}
        }
    }

    fn on_response(&mut self, slot: Slot, from: PeerId, id: request_response::OutboundRequestId, response: Vec<u8>) {
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        let Some((topic, request)) = mesh.asked.remove(&id) else {
            return;
        };
        let Some(state) = mesh.topics.get(&topic) else { return };
        let context = state.context.clone();
        // Many signatures: not in the loop.
        aside::spawn(&mut self.jobs, move || {
            let answer = Answer::read(&response, &context)
                .inspect_err(|error| tracing::debug!(%from, %error, "an answer about the past cannot be read"));
            Done::Answered {
                slot,
                topic,
                request,
                from,
                answer: answer.ok(),
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
                    let bytes = match read.await {
                        Ok(read) => aside::run(move || read.write(&context)).await.ok(),
                        Err(error) => {
                            tracing::warn!(%error, "history cannot be read");
                            None
                        }
                    };
                    Done::Served { slot, id, bytes }
                });
            }
            Request::Topics(after) => {
                let topics = mesh.history.topics(after);
                self.jobs.spawn(async move {
                    let bytes = topics.await.map(write_topics);
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
