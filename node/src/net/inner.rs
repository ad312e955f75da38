//! What each mesh has behind its gate: gossip for what is new, catch-up for what is past, requests between members, blobs for
//! what is large.

use std::io;
use std::time::Duration;

use futures::prelude::*;
use libp2p::StreamProtocol;
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::NetworkBehaviour;
use maille_proto::{
    BLOB_ANSWER_BYTES_MAX, BLOB_REQUEST_BYTES_MAX, CATCHUP_ANSWER_BYTES_MAX, CATCHUP_REQUEST_BYTES_MAX,
};
use unsigned_varint::aio::read_usize;

use super::gossip::{self, Gossip};
use super::requests::Streams;
use crate::core::catchup::REQUEST_TIMEOUT;

const CATCHUP_PROTOCOL: StreamProtocol = StreamProtocol::new("/catchup/1");
/// Questions and answers under way with one neighbour, both ways; members keep below it.
const CATCHUP_STREAMS_MAX: usize = 8;
const BLOBS_PROTOCOL: StreamProtocol = StreamProtocol::new("/blobs/1");
/// As above; and chunks are small.
const BLOBS_STREAMS_MAX: usize = 48;
/// A chunk may take this long: one of 128 KiB, of eight at once, over 50 KiB a second.
const BLOBS_TIMEOUT: Duration = Duration::from_secs(20);
/// How much longer than a member waits the stream may live.
const STREAM_GRACE: Duration = Duration::from_secs(2);

/// The protocols of one mesh.
#[derive(NetworkBehaviour)]
pub(crate) struct MeshBehaviour {
    /// Frames as they are published.
    pub(super) gossip: Gossip,
    /// Questions about frames of the past, and their answers, as bytes.
    pub(super) catchup: request_response::Behaviour<Lengths>,
    /// Streams for calls of services.
    pub(super) requests: Streams,
    /// Questions about blobs, and their answers, as bytes.
    pub(super) blobs: request_response::Behaviour<Lengths>,
}

impl MeshBehaviour {
    pub(super) fn new(heartbeat: Duration) -> Self {
        let catchup = request_response::Config::default()
            .with_request_timeout(REQUEST_TIMEOUT + STREAM_GRACE)
            .with_max_concurrent_streams(CATCHUP_STREAMS_MAX);
        let blobs = request_response::Config::default()
            .with_request_timeout(BLOBS_TIMEOUT)
            .with_max_concurrent_streams(BLOBS_STREAMS_MAX);
        let ask = |protocol, lengths, config| {
            request_response::Behaviour::with_codec(lengths, [(protocol, ProtocolSupport::Full)], config)
        };
        Self {
            gossip: gossip::new(heartbeat),
            catchup: ask(CATCHUP_PROTOCOL, CATCHUP, catchup),
            requests: Streams::default(),
            blobs: ask(BLOBS_PROTOCOL, BLOBS, blobs),
        }
    }
}

/// Messages behind their lengths, which are checked before a byte of the message is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lengths {
    request_bytes_max: usize,
    answer_bytes_max: usize,
}

const CATCHUP: Lengths = Lengths {
    request_bytes_max: CATCHUP_REQUEST_BYTES_MAX,
    answer_bytes_max: CATCHUP_ANSWER_BYTES_MAX,
};
const BLOBS: Lengths = Lengths {
    request_bytes_max: BLOB_REQUEST_BYTES_MAX,
    answer_bytes_max: BLOB_ANSWER_BYTES_MAX,
};

impl request_response::Codec for Lengths {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, stream: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(stream, self.request_bytes_max).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, stream: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(stream, self.answer_bytes_max).await
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, stream: &mut T, message: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(stream, &message).await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, stream: &mut T, message: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(stream, &message).await
    }
}

pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin + Send), bytes_max: usize) -> io::Result<Vec<u8>> {
    let bytes = read_usize(&mut *stream).await.map_err(io::Error::other)?;
    if bytes > bytes_max {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "longer than allowed"));
    }
    // Grows with what comes, not with what was announced.
    let mut message = Vec::new();
    stream.take(bytes as u64).read_to_end(&mut message).await?;
    match message.len() == bytes {
        true => Ok(message),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

async fn write(stream: &mut (impl AsyncWrite + Unpin + Send), message: &[u8]) -> io::Result<()> {
    let mut length = unsigned_varint::encode::usize_buffer();
    stream
        .write_all(unsigned_varint::encode::usize(message.len(), &mut length))
        .await?;
    stream.write_all(message).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use futures::io::Cursor;

    #[test]
    fn messages_come_back_and_their_lengths_are_checked_first() {
        for message in [vec![], vec![7; 127], vec![8; 128], vec![9; CATCHUP_ANSWER_BYTES_MAX]] {
            let mut wire = Cursor::new(Vec::new());
            block_on(write(&mut wire, &message)).unwrap();
            let mut wire = Cursor::new(wire.into_inner());
            assert_eq!(block_on(read(&mut wire, CATCHUP_ANSWER_BYTES_MAX)).unwrap(), message);
        }
        for (wire, bytes_max) in [
            (&[3, 1, 2][..], 512),
            (&[3, 1, 2, 3], 2),
            (&[0x80, 0], 512),
            (&[0xff; 12], usize::MAX),
            (&[], 512),
        ] {
            assert!(block_on(read(&mut Cursor::new(wire), bytes_max)).is_err(), "{wire:?}");
        }
    }
}
