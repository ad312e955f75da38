//! Handshakes on one connection: those this side opens, and the hellos of the peer. Who may be answered is the door's.

use std::sync::Arc;
use std::time::Duration;

use either::Either;
use futures::FutureExt;
use futures::future::{AbortHandle, Abortable};
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::swarm::{ConnectionHandler, ConnectionHandlerEvent, Stream, SubstreamProtocol};
use maille_proto::admission::Welcome;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, oneshot};

use super::{GateHandler, OutboundInfo, Task};
use crate::core::admission::{Acceptor, Admitted, Hello, MeshKey, Opener};
use crate::net::gate::handshake::{self, Ending, Pipe, WORDS_MAX, Word};
use crate::net::gate::messages::{OpenFailure, Out, Outcome};
use crate::net::gate::{ADMISSION_PROTOCOL, Slot};

/// Admissions this side opens at once on one connection; further ones wait their turn.
const OPENING_MAX: usize = 4;
/// Hellos of the peer that are read, wait for an answer or are being answered at once; openers keep within [`OPENING_MAX`].
const HELLOS_MAX: usize = 2 * OPENING_MAX;
/// How long negotiating the admission protocol may take.
const NEGOTIATION_TIMEOUT: Duration = Duration::from_secs(10);
/// A handshake under way.
pub(super) struct Attempt {
    pub(super) generation: u32,
    /// This side opened it, or had opened one that gave way to it: its failure is reported.
    pub(super) ours: bool,
    pub(super) abort: Option<AbortHandle>,
}

/// A hello of the peer.
pub(super) struct Greeting {
    said: Hello,
    /// What it still waits to be told; dropped to drop it.
    words: Option<mpsc::Sender<Word>>,
    /// The attempt that it became.
    place: Option<(Slot, u32)>,
}

impl<H: ConnectionHandler> GateHandler<H> {
    pub(super) fn open(&mut self, slot: Slot, key: Arc<MeshKey>) {
        let state = self.slots.entry(slot).or_default();
        if state.admission.is_some() {
            return; // on its way to being open, which answers this request
        }
        if state.attempt.is_some() {
            // Whatever comes of the attempt under way is the answer to this request too.
            if let Some(attempt) = &mut state.attempt {
                attempt.ours = true;
            }
            return;
        }
        self.keys.insert(slot, key.clone());
        self.to_open.push_back((slot, key));
        self.open_next();
    }

    fn open_next(&mut self) {
        while self.opening < OPENING_MAX {
            let Some((slot, _)) = self.to_open.pop_front() else {
                return;
            };
            let Some(state) = self.slots.get_mut(&slot) else {
                continue;
            };
            if let Some(attempt) = &mut state.attempt {
                attempt.ours = true;
                continue;
            }
            state.generation += 1;
            state.attempt = Some(Attempt {
                generation: state.generation,
                ours: true,
                abort: None,
            });
            self.opening += 1;
            let info = OutboundInfo::Admission(slot, state.generation);
            let protocol = SubstreamProtocol::new(Either::Left(ReadyUpgrade::new(ADMISSION_PROTOCOL)), info);
            self.events.push_back(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: protocol.with_timeout(NEGOTIATION_TIMEOUT),
            });
        }
    }

    pub(super) fn opened(&mut self, slot: Slot, generation: u32, stream: Stream) {
        let key = self.keys.get(&slot).cloned();
        let attempt = self.slots.get_mut(&slot).and_then(|state| state.attempt.as_mut());
        let (Some(key), Some(attempt)) = (key, attempt.filter(|attempt| attempt.generation == generation)) else {
            return self.opening_done();
        };
        let (abort, registration) = AbortHandle::new_pair();
        attempt.abort = Some(abort);
        let opener = Opener::new(key, self.me, self.peer, StdRng::from_rng(&mut rand::rng()));
        let handshake = Abortable::new(handshake::open(stream, opener), registration).map(move |result| {
            let result = result.unwrap_or(Err(OpenFailure::Lost));
            Task::Handshake {
                slot,
                generation,
                result,
            }
        });
        self.tasks.push(handshake.boxed());
    }

    pub(super) fn opening_done(&mut self) {
        self.opening = self.opening.saturating_sub(1);
        self.open_next();
    }

    pub(super) fn open_failed(&mut self, slot: Slot, generation: u32, failure: OpenFailure) {
        let Some(state) = self.slots.get_mut(&slot) else { return };
        if let Some(attempt) = state.attempt.take_if(|attempt| attempt.generation == generation)
            && attempt.ours
        {
            self.tell(Out::Failed(slot, failure));
        }
    }

    /// The peer opened an admission.
    pub(super) fn greeted(&mut self, stream: Stream) {
        if self.reading + self.hellos.len() < HELLOS_MAX {
            self.reading += 1;
            self.tasks.push(handshake::hello(stream).map(Task::Hello).boxed());
        }
    }

    pub(super) fn knocked(&mut self, said: Hello, pipe: Pipe) {
        self.next_hello += 1;
        let hello = self.next_hello;
        let (words, heard) = mpsc::channel(WORDS_MAX);
        let (proved, proof) = oneshot::channel();
        let answering = handshake::answer(pipe, heard, proved);
        self.tasks
            .push(answering.map(move |result| Task::Answered { hello, result }).boxed());
        let proof = proof.map(move |proof| proof.map_or(Task::Done, |()| Task::Proved(hello)));
        self.tasks.push(proof.boxed());
        let greeting = Greeting {
            said: said.clone(),
            words: Some(words),
            place: None,
        };
        self.hellos.insert(hello, greeting);
        self.tell(Out::Knocked {
            hello,
            said: Box::new(said),
        });
    }

    pub(super) fn answer(&mut self, hello: u64, mesh: Option<(Slot, Arc<MeshKey>)>) {
        let Some(greeting) = self.hellos.get_mut(&hello) else {
            return; // the peer ended it meanwhile, which the door was told
        };
        if let Some((slot, _)) = &mesh {
            let state = self.slots.entry(*slot).or_default();
            // Both opened at once: the lower PeerId's stream is the one that counts.
            if state.attempt.as_ref().is_some_and(|attempt| attempt.ours) && self.me < self.peer {
                greeting.words = None;
                return self.tell(Out::Answered {
                    hello,
                    outcome: Outcome::GaveWay,
                });
            }
            let old = state.attempt.take();
            state.generation += 1;
            let ours = old.as_ref().is_some_and(|attempt| attempt.ours);
            if let Some(abort) = old.and_then(|attempt| attempt.abort) {
                abort.abort();
            }
            state.attempt = Some(Attempt {
                generation: state.generation,
                ours,
                abort: None,
            });
            greeting.place = Some((*slot, state.generation));
        }
        let rng = StdRng::from_rng(&mut rand::rng());
        let key = mesh.map(|(_, key)| key);
        let acceptor = Acceptor::new(greeting.said.clone(), key, self.me, self.peer, rng);
        self.say(hello, Word::Answer(Box::new(acceptor)));
    }

    pub(super) fn welcome(&mut self, hello: u64, welcome: Welcome) {
        self.say(hello, Word::Welcome(welcome));
    }

    fn say(&mut self, hello: u64, word: Word) {
        if let Some(words) = self.hellos.get(&hello).and_then(|greeting| greeting.words.as_ref()) {
            // Each word is said once, and there is room for all; a hello that ended does not listen.
            let _ = words.try_send(word);
        }
    }

    pub(super) fn ignore(&mut self, hello: u64) {
        if let Some(greeting) = self.hellos.get_mut(&hello) {
            greeting.words = None;
        }
    }

    pub(super) fn answered(&mut self, hello: u64, result: Result<(Admitted, Pipe), Ending>) {
        let place = self.hellos.remove(&hello).and_then(|greeting| greeting.place);
        let outcome = match &result {
            Ok(_) => Outcome::Admitted,
            Err(Ending::Failed(failure)) if failure.is_guess() => Outcome::WrongPassword,
            Err(Ending::Abandoned) => Outcome::Abandoned,
            Err(_) => Outcome::Lost,
        };
        self.tell(Out::Answered { hello, outcome });
        match (place, result) {
            (Some((slot, generation)), Ok((admitted, pipe))) => self.admitted(slot, generation, admitted, pipe),
            (Some((slot, generation)), Err(_)) => self.open_failed(slot, generation, OpenFailure::Lost),
            (None, _) => {}
        }
    }
}
