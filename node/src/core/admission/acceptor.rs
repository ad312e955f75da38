//! The side that is asked to admit. It shows nothing to whoever has not proved the password: unknown mesh, wrong password,
//! malformed share look the same from outside. Not the decision to answer at all, which is the doorman's.

use std::{fmt, mem, sync::Arc, time::Instant};

use libp2p::PeerId;
use maille_proto::admission::Welcome;
use rand::{Rng, rngs::StdRng};

use super::{
    handshake::{Action, Admitted, Deadline, Failure, Input},
    key::MeshKey,
    pake::{Context, Cpace, CpaceStarted, Pake},
    secret::Secret,
    transcript::{Keys, SessionId, Transcript, channel, session_id},
    welcome,
    wire::{Accept, Challenge, Hello, Proof},
};

/// One handshake from the acceptor's side, from the hello on.
pub struct Acceptor {
    hello: Hello,
    key: Option<Arc<MeshKey>>,
    me: PeerId,
    peer: PeerId,
    rng: StdRng,
    deadline: Deadline,
    state: State,
}

enum State {
    Idle,
    /// Challenge is out.
    AwaitProof(Box<AwaitProof>),
    /// The peer has proved the password; what to welcome it with is asked for.
    AwaitWelcome(Box<Keys>),
    Done,
}

struct AwaitProof {
    session: SessionId,
    challenge: Challenge,
    started: CpaceStarted,
}

impl Acceptor {
    /// A handshake that begins with [`Input::Started`], once the doorman lets it proceed. `key` is the mesh that
    /// [recognises](MeshKey::recognises) the hello; without one the same handshake takes place and fails. `peer` is whom
    /// the connection authenticated.
    #[must_use]
    pub fn new(hello: Hello, key: Option<Arc<MeshKey>>, me: PeerId, peer: PeerId, rng: StdRng) -> Self {
        // Our own id is refused like an unknown mesh: the same bytes, the same ending.
        let key = key.filter(|_| me != peer);
        Acceptor {
            hello,
            key,
            me,
            peer,
            rng,
            deadline: Deadline::default(),
            state: State::Idle,
        }
    }

    /// Takes one input; what is to be done is appended to `out`. After the end everything is ignored.
    pub fn handle(&mut self, input: Input, now: Instant, out: &mut Vec<Action>) {
        match self.step(input, now) {
            Ok(Step::Wait) => {}
            Ok(Step::DrawWelcome) => out.push(Action::DrawWelcome),
            Ok(Step::Challenge(frame)) => out.push(Action::Send(frame)),
            Ok(Step::Accept(frame, admitted)) => {
                self.end();
                out.push(Action::Send(frame));
                out.push(Action::Admit(admitted));
            }
            Err(failure) => {
                self.end();
                out.push(Action::Fail(failure));
            }
        }
    }

    /// When to come back with [`Input::TimedOut`].
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadline.get()
    }

    fn step(&mut self, input: Input, now: Instant) -> Result<Step, Failure> {
        if self.deadline.has_passed(now) {
            return Err(Failure::TimedOut);
        }
        match (mem::replace(&mut self.state, State::Done), input) {
            (State::Done, _) => Ok(Step::Wait),
            (State::Idle, Input::Started) => self.challenge(now),
            (State::AwaitProof(waiting), Input::Received(frame)) => self.judge(*waiting, &frame),
            (State::AwaitWelcome(keys), Input::Drawn(welcome)) => self.admit(&keys, welcome),
            (_, Input::Closed | Input::Lost) => Err(Failure::Aborted),
            (state, Input::Started | Input::Drawn(_) | Input::TimedOut) => {
                self.state = state;
                Ok(Step::Wait)
            }
            (State::Idle | State::AwaitWelcome(_), Input::Received(_)) => Err(Failure::Malformed),
        }
    }

    fn challenge(&mut self, now: Instant) -> Result<Step, Failure> {
        self.deadline.start(now);
        let mut nonce = [0; 32];
        self.rng.fill_bytes(&mut nonce);
        // Drawn also when it is not needed: known and unknown meshes take the same way.
        let nobodys = Secret::random(&mut self.rng);
        let (mesh, epoch, secret) = match &self.key {
            Some(key) => (key.name().as_str(), key.epoch(), key.secret()),
            None => ("", 0, &nobodys),
        };
        let channel = channel(mesh, epoch, &self.peer, &self.me);
        let session = session_id(&self.hello.nonce, &nonce);
        let context = Context {
            secret: secret.expose(),
            channel: &channel,
            session: &session,
        };
        let (share, started) = Cpace::start(&context, &mut self.rng).map_err(|_| Failure::Aborted)?;
        let challenge = Challenge::new(nonce, share);
        let frame = challenge.frame().to_vec();
        self.state = State::AwaitProof(Box::new(AwaitProof {
            session,
            challenge,
            started,
        }));
        Ok(Step::Challenge(frame))
    }

    fn judge(&mut self, waiting: AwaitProof, frame: &[u8]) -> Result<Step, Failure> {
        let AwaitProof {
            session,
            challenge,
            started,
        } = waiting;
        let proof = Proof::parse(frame)?;
        let exchange = Cpace::finish(started, &proof.share).map_err(|_| Failure::Malformed)?;
        let keys = Keys::derive(
            &exchange,
            &session,
            &Transcript::new(&self.hello, &challenge, &proof.share),
        );
        let confirmed = keys.opener_confirmed(&proof.mac);
        if self.key.is_none() || !confirmed {
            return Err(Failure::Refused);
        }
        self.state = State::AwaitWelcome(Box::new(keys));
        Ok(Step::DrawWelcome)
    }

    fn admit(&mut self, keys: &Keys, welcome: Welcome) -> Result<Step, Failure> {
        let key = self.key.as_ref().ok_or(Failure::Refused)?;
        let mac = keys.acceptor_mac;
        let sealed = welcome::seal(&keys.welcome, &mac, &key.session(), welcome);
        let admitted = Admitted {
            peer: self.peer,
            protocol_prefix: keys.protocol_prefix(),
            peer_session: self.hello.session,
            welcome: None,
        };
        Ok(Step::Accept(Accept { mac, sealed }.into_frame(), admitted))
    }

    fn end(&mut self) {
        self.state = State::Done;
        self.deadline.clear();
    }
}

enum Step {
    Wait,
    Challenge(Vec<u8>),
    DrawWelcome,
    Accept(Vec<u8>, Admitted),
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Idle => "idle",
            State::AwaitProof(_) => "awaits proof",
            State::AwaitWelcome(_) => "awaits welcome",
            State::Done => "done",
        };
        f.debug_struct("Acceptor")
            .field("peer", &self.peer)
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
