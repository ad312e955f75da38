//! Between members, the store, and `core/blobs`: what is asked and checked, what is told, who waits for what. Hashing and files
//! are beside the loop.

use std::io;
use std::time::Instant;

use libp2p::PeerId;
use libp2p::request_response::{self, Message, OutboundFailure, OutboundRequestId, ResponseChannel};
use rand::seq::IteratorRandom as _;
use tokio::sync::{oneshot, watch};

use super::blobs::{Asker, BlobDone, CENSUSES_MAX, Census, Checked, FetchState, Looked, Wanted};
use super::event::MeshEvent;
use super::task::{Done, Task};
use super::{Slot, aside};
use crate::core::blobs::wire::{Answer, Request};
use crate::core::blobs::{Action, Claim, FETCHES_MAX, Input, Question, Reply, Served, ServingAction, ServingInput};
use crate::core::neighbours;
use crate::store::{BlobStore, BlobStoreError, Found, Opened, Put};
use crate::types::BlobId;

/// What a request-response behaviour reports.
type Event = request_response::Event<Vec<u8>, Vec<u8>>;

/// Blobs that were found damaged and are fetched again at the same time; nobody else may hold them.
const REPAIRS_MAX: usize = 8;
/// Members that are met at a time because no neighbour holds what is wanted.
const MET_MAX: usize = 4;

impl Task {
    // ---- asking --------------------------------------------------------------------------------------------------

    /// Fetches a blob for a handle, or shows it the fetch that is under way; nothing if there are too many.
    pub(super) fn fetch_blob(&mut self, slot: Slot, blob: BlobId) -> Option<watch::Receiver<FetchState>> {
        let mesh = self.meshes.get_mut(&slot)?;
        if let Some(wanted) = mesh.blobs.wanted.get(&blob) {
            return Some(wanted.watch());
        }
        self.want_blob(slot, blob, false)
    }

    fn want_blob(&mut self, slot: Slot, blob: BlobId, is_repair: bool) -> Option<watch::Receiver<FetchState>> {
        let blobs = &mut self.meshes.get_mut(&slot)?.blobs;
        let repairs = blobs.wanted.values().filter(|wanted| wanted.is_repair).count();
        if blobs.wanted.len() >= FETCHES_MAX
            || blobs.wanted.contains_key(&blob)
            || (is_repair && repairs >= REPAIRS_MAX)
        {
            return None;
        }
        let wanted = Wanted::new(is_repair);
        let watched = wanted.watch();
        blobs.wanted.insert(blob, wanted);
        let store = blobs.store.clone();
        aside::spawn(&mut self.jobs, move || {
            let look = || {
                let hold = store.hold(blob)?;
                let held = store.holding(&blob)?;
                Ok(Looked { hold, held })
            };
            let done = BlobDone::Looked { blob, found: look() };
            Done::Blobs { slot, done }
        });
        Some(watched)
    }

    /// Hands a fact to the fetcher and does what it asks for.
    pub(super) fn blobs_hear(&mut self, slot: Slot, input: Input) {
        let mut actions = Vec::new();
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        mesh.blobs.fetcher.handle(input, Instant::now(), &mut actions);
        for action in actions {
            match action {
                Action::Ask { blob, peer, question } => {
                    self.ask_about_blob(slot, peer, Request { blob, question }, Asker::Fetch(blob, question));
                }
                Action::Blame { blob, peer } => {
                    tracing::warn!(%peer, %blob, "a member gave wrong bytes of a blob, and is asked for none again");
                    self.counters.members_penalised.add(1);
                    if let Some(mesh) = self.meshes.get(&slot) {
                        mesh.tell(MeshEvent::BadHolder { peer, blob });
                    }
                }
                Action::Finished { blob } => self.end_fetch(slot, blob, Ok(())),
                Action::LookUp { blob } => {
                    tracing::debug!(%blob, "no neighbour holds it: others are met");
                    self.meet_others(slot);
                }
            }
        }
        self.tell_fetches(slot);
    }

    /// Approaches some members that are no neighbours, at random: once met, they are asked.
    fn meet_others(&mut self, slot: Slot) {
        let Some(mesh) = self.meshes.get(&slot) else { return };
        let others = mesh.presence.members().filter(|peer| !mesh.reached.contains_key(peer));
        for peer in others.sample(&mut rand::rng(), MET_MAX) {
            self.neighbours_hear(slot, neighbours::Input::Wanted { peer });
        }
    }

    fn tell_fetches(&mut self, slot: Slot) {
        let Some(mesh) = self.meshes.get(&slot) else { return };
        for (blob, wanted) in &mesh.blobs.wanted {
            if let Some(progress) = mesh.blobs.fetcher.progress(blob) {
                wanted.tell(progress);
            }
        }
    }

    pub(super) fn on_blobs_deadline(&mut self, slot: Slot, now: Instant) {
        let deadline = self.meshes.get(&slot).and_then(|mesh| mesh.blobs.next_deadline());
        if deadline.is_some_and(|at| at <= now) {
            self.blobs_hear(slot, Input::TimedOut);
        }
    }

    /// Whether the member could be asked.
    fn ask_about_blob(&mut self, slot: Slot, peer: PeerId, request: Request, asker: Asker) -> bool {
        let inner = self.swarm.behaviour_mut().gate.inner_mut(slot);
        let (Some(mesh), Some(inner)) = (self.meshes.get_mut(&slot), inner) else {
            return false;
        };
        // Who has just left is heard of in a moment.
        let is_here = mesh.reached.contains_key(&peer);
        if is_here {
            let id = inner.blobs.send_request(&peer, request.write());
            mesh.blobs.asked.insert(id, asker);
        }
        is_here
    }

    /// Asks all neighbours who holds all of a blob.
    pub(super) fn ask_holders(&mut self, slot: Slot, blob: BlobId, reply: oneshot::Sender<Vec<PeerId>>) {
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        if mesh.blobs.censuses.len() >= CENSUSES_MAX {
            return;
        }
        let peers: Vec<PeerId> = mesh.reached.keys().copied().collect();
        let number = mesh.blobs.next_number();
        let question = Question::Have;
        let asked = peers
            .into_iter()
            .filter(|peer| self.ask_about_blob(slot, *peer, Request { blob, question }, Asker::Census(number)));
        let census = Census {
            waiting: asked.count(),
            holders: Vec::new(),
            reply,
        };
        if let Some(mesh) = self.meshes.get_mut(&slot) {
            mesh.blobs.censuses.insert(number, census);
        }
        self.go_on_census(slot, number);
    }

    fn go_on_census(&mut self, slot: Slot, number: u64) {
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        let ended = mesh
            .blobs
            .censuses
            .extract_if(|known, census| *known == number && census.waiting == 0);
        for (_, census) in ended {
            // An error: nobody waits for it any more.
            let _ = census.reply.send(census.holders);
        }
    }

    fn on_blob_answer(&mut self, slot: Slot, peer: PeerId, id: OutboundRequestId, answer: Result<Vec<u8>, Reply>) {
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        let (blob, question) = match mesh.blobs.asked.remove(&id) {
            Some(Asker::Fetch(blob, question)) => (blob, question),
            Some(Asker::Census(number)) => {
                let holds_all = answer.is_ok_and(|bytes| Answer::read(&bytes) == Ok(Answer::Holding(Claim::All)));
                if let Some(census) = mesh.blobs.censuses.get_mut(&number) {
                    census.waiting -= 1;
                    census.holders.extend(holds_all.then_some(peer));
                }
                return self.go_on_census(slot, number);
            }
            None => return,
        };
        match answer {
            Ok(bytes) => {
                let store = mesh.blobs.store();
                aside::spawn(&mut self.jobs, move || {
                    let checked = check(&store, &blob, question, &bytes);
                    let done = BlobDone::Checked {
                        blob,
                        peer,
                        question,
                        checked,
                    };
                    Done::Blobs { slot, done }
                });
            }
            Err(reply) => self.blob_answered(slot, blob, peer, question, reply),
        }
    }

    fn blob_answered(&mut self, slot: Slot, blob: BlobId, peer: PeerId, question: Question, reply: Reply) {
        let answered = Input::Answered {
            blob,
            peer,
            question,
            reply,
        };
        self.blobs_hear(slot, answered);
    }

    pub(super) fn on_blobs_done(&mut self, slot: Slot, done: BlobDone) {
        match done {
            BlobDone::Looked { blob, found } => self.on_looked(slot, blob, found),
            BlobDone::Checked {
                blob,
                peer,
                question,
                checked,
            } => self.on_checked(slot, blob, peer, question, checked),
            BlobDone::Read {
                number,
                answer,
                is_damaged,
            } => self.on_blob_read(slot, number, answer, is_damaged),
        }
    }

    fn on_looked(&mut self, slot: Slot, blob: BlobId, found: Result<Looked, BlobStoreError>) {
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        // Dropped already, and so is the hold.
        let Some(wanted) = mesh.blobs.wanted.get_mut(&blob) else {
            return;
        };
        match found {
            Ok(Looked { hold, held }) => {
                let (outline, held) = held.unzip();
                wanted.found(hold, outline);
                self.blobs_hear(slot, Input::Wanted { blob, held });
            }
            Err(error) => self.end_fetch(slot, blob, Err(error)),
        }
    }

    fn on_checked(
        &mut self,
        slot: Slot,
        blob: BlobId,
        peer: PeerId,
        question: Question,
        checked: Result<Checked, BlobStoreError>,
    ) {
        let reply = match checked {
            Ok(Checked {
                reply,
                outline,
                new,
                again,
            }) => {
                self.counters.blob_bytes_fetched.add(new as u64);
                self.counters.blob_bytes_again.add(again as u64);
                let mesh = self.meshes.get_mut(&slot);
                if let Some(wanted) = mesh.and_then(|mesh| mesh.blobs.wanted.get_mut(&blob)) {
                    wanted.outlined(outline);
                }
                reply
            }
            Err(error) => {
                // The next chunk would fail as well; what is stored stays.
                self.end_fetch(slot, blob, Err(error));
                Reply::Failed
            }
        };
        self.blob_answered(slot, blob, peer, question, reply);
    }

    fn end_fetch(&mut self, slot: Slot, blob: BlobId, ended: Result<(), BlobStoreError>) {
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        let Some(wanted) = mesh.blobs.wanted.remove(&blob) else {
            return;
        };
        let is_failure = ended.is_err();
        if let Err(error) = &ended {
            tracing::warn!(%error, %blob, "a blob cannot be stored");
        }
        wanted.end(ended);
        if is_failure {
            self.blobs_hear(slot, Input::Unwanted { blob });
        }
    }

    /// Ends fetches that nobody waits for.
    pub(super) fn sweep_blobs(&mut self, slot: Slot) {
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        let dropped: Vec<BlobId> = mesh
            .blobs
            .wanted
            .extract_if(|_, wanted| wanted.is_dropped())
            .map(|(blob, _)| blob)
            .collect();
        for blob in dropped {
            self.blobs_hear(slot, Input::Unwanted { blob });
        }
    }

    // ---- answering -----------------------------------------------------------------------------------------------

    pub(super) fn on_blobs_event(&mut self, slot: Slot, event: Event) {
        match event {
            Event::Message {
                peer,
                message:
                    Message::Request {
                        request_id,
                        request,
                        channel,
                    },
                ..
            } => self.on_blob_question(slot, peer, request_id, &request, channel),
            Event::Message {
                peer,
                message: Message::Response { request_id, response },
                ..
            } => self.on_blob_answer(slot, peer, request_id, Ok(response)),
            Event::OutboundFailure {
                peer,
                request_id,
                error,
                ..
            } => {
                tracing::debug!(%peer, %error, "a question about a blob was not answered");
                let reply = match error {
                    // Longer than allowed, or behind no length: nobody honest writes that.
                    OutboundFailure::Io(error) if error.kind() == io::ErrorKind::InvalidData => Reply::Wrong,
                    _ => Reply::Failed,
                };
                self.on_blob_answer(slot, peer, request_id, Err(reply));
            }
            Event::InboundFailure { request_id, .. } | Event::ResponseSent { request_id, .. } => {
                let mesh = self.meshes.get_mut(&slot);
                if let Some(request) = mesh.and_then(|mesh| mesh.blobs.leaving.remove(&request_id)) {
                    self.serving_hears(slot, ServingInput::Ended { request });
                }
            }
        }
    }

    fn on_blob_question(
        &mut self,
        slot: Slot,
        peer: PeerId,
        id: request_response::InboundRequestId,
        bytes: &[u8],
        channel: ResponseChannel<Vec<u8>>,
    ) {
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        // The channel is dropped, and with it the stream.
        let question = match Request::read(bytes) {
            Ok(question) => question,
            Err(error) => return tracing::debug!(%peer, %error, "a question about a blob cannot be read"),
        };
        let request = Served(mesh.blobs.next_number());
        mesh.blobs.reading.insert(request, (question, id, channel));
        self.serving_hears(slot, ServingInput::Asked { request, peer });
    }

    fn serving_hears(&mut self, slot: Slot, input: ServingInput) {
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        let mut actions = Vec::new();
        mesh.blobs.serving.handle(input, Instant::now(), &mut actions);
        for action in actions {
            match action {
                ServingAction::Serve { request } => self.read_blob(slot, request),
                ServingAction::Refuse { request } => {
                    self.counters.blob_questions_refused.add(1);
                    self.answer_about_blob(slot, request, Answer::Busy.write());
                }
            }
        }
    }

    fn read_blob(&mut self, slot: Slot, number: Served) {
        let Some(mesh) = self.meshes.get(&slot) else { return };
        let Some((Request { blob, question }, ..)) = mesh.blobs.reading.get(&number) else {
            return;
        };
        let (store, blob, question) = (mesh.blobs.store(), *blob, *question);
        aside::spawn(&mut self.jobs, move || {
            let (answer, is_damaged) = read(&store, &blob, question).unwrap_or_else(|error| {
                tracing::warn!(%error, %blob, "a blob cannot be read");
                (Answer::Missing, false)
            });
            let done = BlobDone::Read {
                number,
                answer: answer.write(),
                is_damaged,
            };
            Done::Blobs { slot, done }
        });
    }

    fn on_blob_read(&mut self, slot: Slot, number: Served, answer: Vec<u8>, is_damaged: bool) {
        let mesh = self.meshes.get(&slot);
        let asked = mesh.and_then(|mesh| mesh.blobs.reading.get(&number));
        if let (Some((Request { blob, .. }, ..)), true) = (asked, is_damaged) {
            let blob = *blob;
            tracing::warn!(%blob, "a blob was found damaged; what is wrong of it is fetched again");
            self.want_blob(slot, blob, true);
        }
        self.counters.blob_bytes_served.add(answer.len() as u64);
        self.answer_about_blob(slot, number, answer);
    }

    fn answer_about_blob(&mut self, slot: Slot, number: Served, answer: Vec<u8>) {
        let inner = self.swarm.behaviour_mut().gate.inner_mut(slot);
        let (Some(mesh), Some(inner)) = (self.meshes.get_mut(&slot), inner) else {
            return;
        };
        let Some((_, id, channel)) = mesh.blobs.reading.remove(&number) else {
            return;
        };
        match inner.blobs.send_response(channel, answer) {
            Ok(()) => drop(mesh.blobs.leaving.insert(id, number)),
            // The member left meanwhile.
            Err(_) => self.serving_hears(slot, ServingInput::Ended { request: number }),
        }
    }

    /// A member left; its questions and the answers to it did, too.
    pub(super) fn blob_member_left(&mut self, slot: Slot, peer: PeerId) {
        self.serving_hears(slot, ServingInput::Left { peer });
        self.blobs_hear(slot, Input::Left { peer });
    }
}

/// Checks what a member answered, and stores it if it is right.
fn check(store: &BlobStore, blob: &BlobId, question: Question, bytes: &[u8]) -> Result<Checked, BlobStoreError> {
    let mut checked = Checked {
        reply: Reply::Wrong,
        outline: None,
        new: 0,
        again: 0,
    };
    checked.reply = match (question, Answer::read(bytes)) {
        (_, Ok(Answer::Missing)) => Reply::Missing,
        (_, Ok(Answer::Busy)) => Reply::Busy,
        (Question::Have, Ok(Answer::Holding(claim))) => Reply::Holding(claim),
        (Question::Outline, Ok(Answer::Outline { hashes, last })) => match store.open(blob, &hashes, &last)? {
            Opened::Held(held) => {
                checked.outline = store.holding(blob)?.map(|(outline, _)| outline);
                checked.new = last.len();
                Reply::Opened(held)
            }
            Opened::Wrong => Reply::Wrong,
        },
        (Question::Chunk(index), Ok(Answer::Chunk(chunk))) => match store.put(blob, index, &chunk)? {
            Put::New => {
                checked.new = chunk.len();
                Reply::Stored
            }
            Put::Again => {
                checked.again = chunk.len();
                Reply::Stored
            }
            Put::Wrong => Reply::Wrong,
            Put::NotOpen => Reply::Failed,
        },
        _ => Reply::Wrong,
    };
    Ok(checked)
}

/// What is told about a blob, and whether it was found damaged.
fn read(store: &BlobStore, blob: &BlobId, question: Question) -> Result<(Answer, bool), BlobStoreError> {
    let told = |found: Found<Answer>| match found {
        Found::Proved(answer) => (answer, false),
        Found::Missing => (Answer::Missing, false),
        Found::Damaged => (Answer::Missing, true),
    };
    Ok(match question {
        Question::Have => {
            let held = store.holding(blob)?;
            let claim = held.map(|(_, held)| Answer::Holding(held.to_claim()));
            (claim.unwrap_or(Answer::Missing), false)
        }
        Question::Outline => told(
            store
                .outline(blob)?
                .map(|(hashes, last)| Answer::Outline { hashes, last }),
        ),
        Question::Chunk(index) => told(store.chunk(blob, index)?.map(Answer::Chunk)),
    })
}
