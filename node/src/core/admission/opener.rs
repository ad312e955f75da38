//! The side that opens the stream and asks to be admitted. It confirms first: whoever guesses must show its guess before
//! it learns anything. Not the decision to open, which is `guesses` and the neighbourhood.

use std::{fmt, mem, sync::Arc, time::Instant};

use libp2p::PeerId;
use rand::{Rng, rngs::StdRng};

use super::{
    handshake::{Action, Admitted, Deadline, Failure, Input},
    key::MeshKey,
    pake::{Context, Cpace, Pake},
    transcript::{Keys, Transcript, channel, session_id},
    welcome,
    wire::{Accept, Challenge, Hello, Proof, exact},
};

/// One handshake from the opener's side.
pub struct Opener {
    key: Arc<MeshKey>,
    me: PeerId,
    peer: PeerId,
    rng: StdRng,
    deadline: Deadline,
    state: State,
    proved: bool,
}

enum State {
    Idle,
    /// Hello is out.
    AwaitChallenge(Hello),
    /// Proof is out: from here on the peer can judge us.
    AwaitAccept(Keys),
    Done,
}

impl Opener {
    /// A handshake that begins with [`Input::Started`]. `peer` is whom the connection authenticated.
    #[must_use]
    pub fn new(key: Arc<MeshKey>, me: PeerId, peer: PeerId, rng: StdRng) -> Self {
        Opener {
            key,
            me,
            peer,
            rng,
            deadline: Deadline::default(),
            state: State::Idle,
            proved: false,
        }
    }

    /// Whether our proof is out. From then on the peer has had one guess at our password, whatever becomes of the stream.
    #[must_use]
    pub fn has_proved(&self) -> bool {
        self.proved
    }

    /// Takes one input; what is to be done is appended to `out`. After the end everything is ignored.
    pub fn handle(&mut self, input: Input, now: Instant, out: &mut Vec<Action>) {
        match self.step(input, now) {
            Ok(action) => {
                if matches!(action, Some(Action::Admit(_))) {
                    self.end();
                }
                out.extend(action);
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

    fn step(&mut self, input: Input, now: Instant) -> Result<Option<Action>, Failure> {
        if self.deadline.has_passed(now) {
            return Err(Failure::TimedOut);
        }
        match (mem::replace(&mut self.state, State::Done), input) {
            (State::Done, _) => Ok(None),
            (State::Idle, Input::Started) => self.greet(now).map(Some),
            (State::AwaitChallenge(hello), Input::Received(frame)) => self.prove(&hello, frame).map(Some),
            (State::AwaitAccept(keys), Input::Received(frame)) => self.admit(&keys, &frame).map(Some),
            // Nobody judged us yet: a busy peer, an older one, or one that went.
            (State::Idle | State::AwaitChallenge(_), Input::Closed) | (_, Input::Lost) => Err(Failure::Aborted),
            (State::AwaitAccept(_), Input::Closed) => Err(Failure::Refused),
            // Too early, or twice: the deadline above decides, not the messenger.
            (state, Input::Started | Input::Drawn(_) | Input::TimedOut) => {
                self.state = state;
                Ok(None)
            }
            (State::Idle, Input::Received(_)) => Err(Failure::Malformed),
        }
    }

    fn greet(&mut self, now: Instant) -> Result<Action, Failure> {
        if self.me == self.peer {
            return Err(Failure::OwnPeer);
        }
        self.deadline.start(now);
        let mut nonce = [0; 32];
        self.rng.fill_bytes(&mut nonce);
        let hello = Hello::new(self.key.tag(&nonce, &self.me, &self.peer), self.key.session(), nonce);
        let frame = hello.frame().to_vec();
        self.state = State::AwaitChallenge(hello);
        Ok(Action::Send(frame))
    }

    fn prove(&mut self, hello: &Hello, frame: Vec<u8>) -> Result<Action, Failure> {
        let challenge = Challenge::parse(frame)?;
        if challenge.nonce == hello.nonce {
            return Err(Failure::Malformed); // Our own bytes, sent back.
        }
        let channel = channel(self.key.name().as_str(), self.key.epoch(), &self.me, &self.peer);
        let session = session_id(&hello.nonce, &challenge.nonce);
        let context = Context {
            secret: self.key.secret().expose(),
            channel: &channel,
            session: &session,
        };
        let (share, exchange) =
            Cpace::respond(&context, &challenge.share, &mut self.rng).map_err(|_| Failure::Malformed)?;
        let keys = Keys::derive(&exchange, &session, &Transcript::new(hello, &challenge, &share));
        let proof = Proof {
            share,
            mac: keys.opener_mac,
        };
        self.state = State::AwaitAccept(keys);
        self.proved = true;
        Ok(Action::Send(proof.to_frame()))
    }

    fn admit(&self, keys: &Keys, frame: &[u8]) -> Result<Action, Failure> {
        let accept = Accept::parse(frame)?;
        if !keys.acceptor_confirmed(&accept.mac) {
            return Err(Failure::Refused);
        }
        let welcome = welcome::open(&keys.welcome, &accept.mac, &accept.sealed).ok_or(Failure::Malformed)?;
        Ok(Action::Admit(Admitted {
            peer: self.peer,
            protocol_prefix: keys.protocol_prefix(),
            peer_session: exact(&welcome.session)?,
            welcome: Some(welcome),
        }))
    }

    fn end(&mut self) {
        self.state = State::Done;
        self.deadline.clear();
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Idle => "idle",
            State::AwaitChallenge(_) => "awaits challenge",
            State::AwaitAccept(_) => "awaits accept",
            State::Done => "done",
        };
        f.debug_struct("Opener")
            .field("peer", &self.peer)
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
