//! Frames on a raw stream: sent as one likes, whole or not; and what came back, to the last byte.

use std::io::{self, ErrorKind};
use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::swarm::Stream;
use maille_proto::{read_length, with_length};

/// No frame of any of maille's streams is longer.
const FRAME_BYTES_MAX: usize = 1_024 * 1_024;

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// The peer closed it properly.
    Closed,
    /// It was reset, or its connection broke.
    Broken,
    /// It did not end for as long as one waited.
    Open,
}

/// All that came back on a stream: the lengths of the frames, and its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Heard {
    /// Bytes of each frame, without the length before it.
    pub frames: Vec<usize>,
    /// Bytes after the last whole frame.
    pub rest: usize,
    /// How it ended.
    pub end: End,
}

/// A stream of frames behind their lengths.
#[derive(Debug)]
pub struct Wire {
    stream: Stream,
    buffer: Vec<u8>,
    end: End,
}

impl Wire {
    /// Frames a stream.
    #[must_use]
    pub fn new(mut stream: Stream) -> Self {
        stream.ignore_for_keep_alive();
        Self {
            stream,
            buffer: Vec::new(),
            end: End::Open,
        }
    }

    /// Sends one frame behind its length.
    ///
    /// # Errors
    /// When the peer ended the stream.
    pub async fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        self.send_bytes(&with_length(frame)).await
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the peer ended the stream.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Ends this side properly.
    pub async fn close(&mut self) {
        // The peer may have been first.
        let _ = self.stream.close().await;
    }

    /// The next whole frame; nothing when the stream ended, or after `wait`.
    pub async fn receive(&mut self, wait: Duration) -> Option<Vec<u8>> {
        tokio::time::timeout(wait, self.next_frame()).await.ok().flatten()
    }

    /// Reads to the end, for at most `wait` after each piece.
    pub async fn hear(&mut self, wait: Duration) -> Heard {
        let mut frames = Vec::new();
        while let Some(frame) = self.receive(wait).await {
            frames.push(frame.len());
        }
        Heard {
            frames,
            rest: self.buffer.len(),
            end: self.end,
        }
    }

    async fn next_frame(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Ok(Some((bytes, prefix))) = read_length(&self.buffer, "frame", FRAME_BYTES_MAX)
                && self.buffer.len() >= prefix + bytes
            {
                let rest = self.buffer.split_off(prefix + bytes);
                let frame = std::mem::replace(&mut self.buffer, rest).split_off(prefix);
                return Some(frame);
            }
            let mut piece = [0; 4_096];
            match self.stream.read(&mut piece).await {
                Ok(0) => {
                    self.end = End::Closed;
                    return None;
                }
                Ok(bytes) => self.buffer.extend_from_slice(&piece[..bytes]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.end = End::Broken;
                    return None;
                }
            }
        }
    }
}
