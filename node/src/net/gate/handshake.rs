//! Carries the handshake machines of `core/admission` over a stream: bytes in, bytes out, one deadline.

use std::time::{Duration, Instant};

use asynchronous_codec::Framed;
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use libp2p::swarm::Stream;
use maille_proto::{ACCEPT_FRAME_BYTES_MAX, HANDSHAKE_FRAME_BYTES_MAX};
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
pub(super) async fn open(stream: Stream, opener: Opener) -> Result<(Admitted, Pipe), OpenFailure> {
    let mut sent = 0;
    let opened = drive(opener, pipe(stream, ACCEPT_FRAME_BYTES_MAX), &mut sent).await;
    opened.map_err(|failure| match failure.is_guess() {
        true => OpenFailure::Refused,
        // Hello, then Proof: from then on the peer has had its guess, whatever it says or does not say.
        false if sent > 1 => OpenFailure::Unanswered,
        false => OpenFailure::Lost,
    })
}

/// Runs an acceptor over the stream its hello came on.
pub(super) async fn accept(pipe: Pipe, acceptor: Acceptor) -> Result<(Admitted, Pipe), Failure> {
    drive(acceptor, pipe, &mut 0).await
}

async fn drive(machine: impl Handshake, pipe: Pipe, sent: &mut usize) -> Result<(Admitted, Pipe), Failure> {
    // The machines have a deadline for what the peer says; this one is for a peer that does not read.
    let driven = tokio::time::timeout(HANDSHAKE_TIMEOUT + WRITE_GRACE, steps(machine, pipe, sent));
    driven.await.unwrap_or(Err(Failure::TimedOut))
}

async fn steps(mut machine: impl Handshake, mut pipe: Pipe, sent: &mut usize) -> Result<(Admitted, Pipe), Failure> {
    let mut input = Input::Started;
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
                    *sent += 1;
                    lost |= pipe.send(frame.into()).await.is_err();
                }
                Action::Admit(_) if lost => return Err(Failure::Aborted),
                Action::Admit(admitted) => return Ok((admitted, pipe)),
                Action::Fail(failure) => {
                    // The peer sees the same ending whatever the cause was.
                    let _ = pipe.close().await;
                    return Err(failure);
                }
            }
        }
        input = match lost {
            true => Input::Lost,
            false => next_input(&mut pipe, machine.next_deadline()).await,
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
