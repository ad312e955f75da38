//! One admission's stream after the handshake: `Ready`, then control frames in both directions.
//!
//! Only bytes and their order live here; what they mean is `maille_proto::control` and the swarm task's business.

use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::{Sink, SinkExt, StreamExt};
use maille_proto::CONTROL_FRAME_BYTES_MAX;

use super::handshake::Pipe;

/// Control frames that wait for a slow peer; a peer that lets more gather has stopped reading.
const QUEUE_FRAMES_MAX: usize = 256;
/// How long a farewell may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What the stream did.
pub(super) enum ControlEvent {
    /// One frame, whole and within its bound.
    Frame(Vec<u8>),
    /// The peer ended its membership, or the stream broke.
    Ended,
}

/// The stream and what waits to be written to it.
pub(super) struct Control {
    pipe: Pipe,
    queue: VecDeque<Bytes>,
    unflushed: bool,
}

impl Control {
    pub(super) fn new(mut pipe: Pipe) -> Self {
        pipe.codec_mut().set_max_len(CONTROL_FRAME_BYTES_MAX);
        Self {
            pipe,
            queue: VecDeque::new(),
            unflushed: false,
        }
    }

    /// Queues one frame; false when the peer has let too many gather.
    pub(super) fn send(&mut self, frame: Vec<u8>) -> bool {
        let room = self.queue.len() < QUEUE_FRAMES_MAX;
        if room {
            self.queue.push_back(frame.into());
        }
        room
    }

    /// Writes what it can, then reads.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ControlEvent> {
        if self.poll_write(cx).is_err() {
            return Poll::Ready(ControlEvent::Ended);
        }
        self.pipe.poll_next_unpin(cx).map(|frame| match frame {
            Some(Ok(frame)) => ControlEvent::Frame(frame.to_vec()),
            Some(Err(_)) | None => ControlEvent::Ended,
        })
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> std::io::Result<()> {
        while !self.queue.is_empty() {
            match self.pipe.poll_ready_unpin(cx)? {
                Poll::Pending => break,
                Poll::Ready(()) => {}
            }
            if let Some(frame) = self.queue.pop_front() {
                self.pipe.start_send_unpin(frame)?;
                self.unflushed = true;
            }
        }
        if self.unflushed && std::pin::Pin::new(&mut self.pipe).poll_flush(cx)?.is_ready() {
            self.unflushed = false;
        }
        Ok(())
    }

    /// Says what is still to be said, and ends the stream.
    pub(super) async fn close(mut self, last: Option<Vec<u8>>) {
        let farewell = async {
            for frame in self.queue.drain(..).chain(last.map(Bytes::from)) {
                self.pipe.feed(frame).await?;
            }
            self.pipe.close().await
        };
        // A peer that does not take the farewell will notice the end of the stream.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, farewell).await;
    }
}
