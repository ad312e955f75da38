//! Carries the handshake machines of `core/admission` over a stream: bytes in, bytes out, one deadline.

use std::future::Future;
use std::time::{Duration, Instant};

use asynchronous_codec::Framed;
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use libp2p::swarm::Stream;
use maille_proto::admission::Welcome;
use maille_proto::{ACCEPT_FRAME_BYTES_MAX, HANDSHAKE_FRAME_BYTES_MAX};
use tokio::sync::{mpsc, oneshot};
use unsigned_varint::codec::UviBytes;

use super::OpenFailure;
use crate::core::admission::{Acceptor, Action, Admitted, Failure, HANDSHAKE_TIMEOUT, Hello, Input, Opener};

/// A stream of length-prefixed frames; the length is checked before a byte of the frame is read.
pub(super) type Pipe = Framed<Stream, UviBytes<Bytes>>;

/// How long a stranger may take to say hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// How much longer than the machines' own deadline writing may take.
const WRITE_GRACE: Duration = Duration::from_secs(2);

/// Either side's machine.
pub(super) trait Handshake {
    fn handle(&mut self, input: Input, now: Instant, out: &mut Vec<Action>);
    fn next_deadline(&self) -> Option<Instant>;
}

impl Handshake for Opener {
    fn handle(&mut self, input: Input, now: Instant, out: &mut Vec<Action>) {
        Opener::handle(self, input, now, out);
    }
    fn next_deadline(&self) -> Option<Instant> {
        Opener::next_deadline(self)
    }
}

impl Handshake for Acceptor {
    fn handle(&mut self, input: Input, now: Instant, out: &mut Vec<Action>) {
        Acceptor::handle(self, input, now, out);
    }
    fn next_deadline(&self) -> Option<Instant> {
        Acceptor::next_deadline(self)
    }
}

/// Frames a fresh stream; the peer may send frames up to `bytes_max`.
fn pipe(mut stream: Stream, bytes_max: usize) -> Pipe {
    // Admission never keeps a connection alive by itself: strangers idle out, members are kept by the handler.
    stream.ignore_for_keep_alive();
    let mut codec = UviBytes::default();
    codec.set_max_len(bytes_max);
    Framed::new(stream, codec)
}

/// Reads the first frame of an admission that a peer opened; nothing if it is not a hello, whole and in time.
pub(super) async fn hello(stream: Stream) -> Option<(Hello, Pipe)> {
    let mut pipe = pipe(stream, HANDSHAKE_FRAME_BYTES_MAX);
    match tokio::time::timeout(HELLO_TIMEOUT, pipe.next()).await {
        Ok(Some(Ok(frame))) => Some((Hello::parse(frame.to_vec()).ok()?, pipe)),
        _ => None,
    }
}

/// Runs an opener over a fresh stream.
pub(super) async fn open(stream: Stream, mut opener: Opener) -> Result<(Admitted, Pipe), OpenFailure> {
    let mut pipe = pipe(stream, ACCEPT_FRAME_BYTES_MAX);
    match in_time(steps(&mut opener, &mut pipe, Input::Started)).await {
        Ok(Step::Admitted(admitted)) => Ok((admitted, pipe)),
        Err(failure) if failure.is_guess() => Err(OpenFailure::Refused),
        // The peer has had its guess, whatever it says or does not say.
        Ok(Step::Draw) | Err(_) if opener.has_proved() => Err(OpenFailure::Unanswered),
        Ok(Step::Draw) | Err(_) => Err(OpenFailure::Lost),
    }
}

/// What the door says of a hello that was read. When it says no more, the hello is to be dropped.
pub(super) enum Word {
    /// It may proceed.
    Answer(Box<Acceptor>),
    /// Its peer has proved the password and is to be welcomed with this.
    Welcome(Welcome),
}

/// Words for one hello: each of them is said once.
pub(super) const WORDS_MAX: usize = 2;

/// How a hello ended without admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The peer ended its stream, or spoke out of turn, while it waited.
    Abandoned,
    /// The door dropped it.
    Dropped,
    /// Its handshake failed.
    Failed(Failure),
}

/// Lets a hello wait for the door's word, and runs its acceptor. `proved` hears when the peer has proved the password.
pub(super) async fn answer(
    mut pipe: Pipe,
    mut words: mpsc::Receiver<Word>,
    proved: oneshot::Sender<()>,
) -> Result<(Admitted, Pipe), Ending> {
    let mut acceptor = tokio::select! {
        word = words.recv() => match word {
            Some(Word::Answer(acceptor)) => acceptor,
            Some(Word::Welcome(_)) | None => return Err(Ending::Dropped),
        },
        _ = pipe.next() => return Err(Ending::Abandoned),
    };
    let judged = tokio::select! {
        judged = in_time(steps(&mut *acceptor, &mut pipe, Input::Started)) => judged,
        // Nothing else is said before the proof.
        _ = words.recv() => {
            push_out(pipe).await;
            return Err(Ending::Dropped);
        }
    };
    if let Step::Admitted(admitted) = judged.map_err(Ending::Failed)? {
        return Ok((admitted, pipe));
    }
    let _ = proved.send(());
    let Some(Word::Welcome(welcome)) = words.recv().await else {
        return Err(Ending::Dropped);
    };
    match in_time(steps(&mut *acceptor, &mut pipe, Input::Drawn(welcome))).await {
        Ok(Step::Admitted(admitted)) => Ok((admitted, pipe)),
        Ok(Step::Draw) => Err(Ending::Dropped),
        Err(failure) => Err(Ending::Failed(failure)),
    }
}

/// Tells a slow peer that nobody judged it: over QUIC a stream that is merely dropped looks closed, which is a refusal.
async fn push_out(mut pipe: Pipe) {
    let told = async {
        pipe.send(Bytes::new()).await?;
        pipe.close().await
    };
    // A peer that does not read learns nothing either way.
    let _ = tokio::time::timeout(WRITE_GRACE, told).await;
}

/// Where a machine's steps led.
enum Step {
    Admitted(Admitted),
    /// A welcome is to be drawn.
    Draw,
}

/// The machines have a deadline for what the peer says; this one is for a peer that does not read.
async fn in_time(steps: impl Future<Output = Result<Step, Failure>>) -> Result<Step, Failure> {
    let driven = tokio::time::timeout(HANDSHAKE_TIMEOUT + WRITE_GRACE, steps);
    driven.await.unwrap_or(Err(Failure::TimedOut))
}

async fn steps(machine: &mut impl Handshake, pipe: &mut Pipe, mut input: Input) -> Result<Step, Failure> {
    let mut actions = Vec::new();
    loop {
        machine.handle(input, Instant::now(), &mut actions);
        let mut lost = false;
        for action in actions.drain(..) {
            match action {
                Action::Send(frame) => {
                    // The codec's bound is for both directions; what we send is within the protocol's own.
                    let bound = pipe.codec().max_len().max(frame.len());
                    pipe.codec_mut().set_max_len(bound);
                    lost |= pipe.send(frame.into()).await.is_err();
                }
                Action::DrawWelcome => return Ok(Step::Draw),
                Action::Admit(_) if lost => return Err(Failure::Aborted),
                Action::Admit(admitted) => return Ok(Step::Admitted(admitted)),
                Action::Fail(failure) => {
                    // The peer sees the same ending whatever the cause was.
                    let _ = pipe.close().await;
                    return Err(failure);
                }
            }
        }
        input = match lost {
            true => Input::Lost,
            false => next_input(pipe, machine.next_deadline()).await,
        };
    }
}

async fn next_input(pipe: &mut Pipe, deadline: Option<Instant>) -> Input {
    let frame = async {
        match pipe.next().await {
            Some(Ok(frame)) => Input::Received(frame.to_vec()),
            Some(Err(_)) => Input::Lost,
            None => Input::Closed,
        }
    };
    match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline.into(), frame)
            .await
            .unwrap_or(Input::TimedOut),
        None => frame.await,
    }
}
