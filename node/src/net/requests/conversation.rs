//! What is said on the stream of a call, as `requests.proto` has it: messages behind their lengths, and bodies whose
//! lengths the messages say. Lengths are checked before a byte is read.

use std::io;

use bytes::Bytes;
use futures::future::{Either, select};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use maille_proto::requests::{Call, Outcome, Reply};
use maille_proto::{
    REQUEST_BODY_BYTES_MAX, REQUEST_CALL_BYTES_MAX, REQUEST_REPLY_BYTES_MAX, decode_request_call, decode_request_reply,
    with_length,
};
use prost::Message;

use crate::net::inner;

/// What a member said to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Answer(Bytes),
    Other(Outcome, Reply),
}

pub(super) async fn write_call(stream: &mut (impl AsyncWrite + Unpin), call: &Call) -> io::Result<()> {
    stream.write_all(&with_length(&call.encode_to_vec())).await?;
    stream.flush().await
}

pub(super) async fn read_call(stream: &mut (impl AsyncRead + Unpin + Send)) -> io::Result<Call> {
    let bytes = inner::read(stream, REQUEST_CALL_BYTES_MAX).await?;
    decode_request_call(&bytes).map_err(invalid)
}

/// Writes a reply that may be the last word, and what follows it.
pub(super) async fn write_reply(stream: &mut (impl AsyncWrite + Unpin), reply: &Reply, body: &[u8]) -> io::Result<()> {
    stream.write_all(&with_length(&reply.encode_to_vec())).await?;
    stream.write_all(body).await?;
    stream.flush().await
}

/// Reads a reply, and the answer if it is one.
pub(super) async fn read_reply(stream: &mut (impl AsyncRead + Unpin + Send)) -> io::Result<Said> {
    let bytes = inner::read(stream, REQUEST_REPLY_BYTES_MAX).await?;
    let reply = decode_request_reply(&bytes).map_err(invalid)?;
    match reply.outcome() {
        Outcome::Answer => read_body(stream, reply.bytes).await.map(Said::Answer),
        Outcome::Unspecified => Err(invalid("a reply without a known outcome")),
        outcome => Ok(Said::Other(outcome, reply)),
    }
}

/// Reads a request or an answer of the length that was announced.
pub(super) async fn read_body(stream: &mut (impl AsyncRead + Unpin), bytes: u32) -> io::Result<Bytes> {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    if bytes > REQUEST_BODY_BYTES_MAX {
        return Err(invalid("longer than a request or an answer may be"));
    }
    // Grows with what comes, not with what was announced.
    let mut body = Vec::new();
    stream.take(bytes as u64).read_to_end(&mut body).await?;
    match body.len() == bytes {
        true => Ok(body.into()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Says all of a call and hears what the member says to it, at the same time: it may reply before it has read all.
pub(super) async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin + Send),
    call: Option<&Call>,
    request: &[u8],
) -> io::Result<Said> {
    let (mut reader, mut writer) = stream.split();
    let say = async {
        if let Some(call) = call {
            write_call(&mut writer, call).await?;
        }
        writer.write_all(request).await?;
        writer.flush().await
    };
    let hear = read_reply(&mut reader);
    match select(std::pin::pin!(hear), std::pin::pin!(say)).await {
        Either::Left((said, _)) => said,
        // Also where it could not be written: the member may have said why.
        Either::Right((_, hear)) => hear.await,
    }
}

/// Resolves when the caller ends the call, or says what it must not.
pub(super) async fn hung_up(stream: &mut (impl AsyncRead + Unpin)) {
    // Whatever comes of it: a byte, an end, an error.
    let _ = stream.read(&mut [0]).await;
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::io::Cursor;

    use super::*;

    fn said(reply: &Reply, body: &[u8]) -> io::Result<Said> {
        let mut wire = Cursor::new(Vec::new());
        block_on(write_reply(&mut wire, reply, body))?;
        block_on(read_reply(&mut Cursor::new(wire.into_inner())))
    }

    fn reply(outcome: Outcome, bytes: usize) -> Reply {
        Reply {
            outcome: outcome.into(),
            bytes: bytes.try_into().unwrap(),
            reason: String::new(),
        }
    }

    #[test]
    fn answers_come_whole_or_not_at_all() {
        for bytes in [0, 1, 70_000, REQUEST_BODY_BYTES_MAX] {
            let body = vec![7; bytes];
            let answer = said(&reply(Outcome::Answer, bytes), &body).unwrap();
            assert_eq!(answer, Said::Answer(body.into()));
        }
        assert!(said(&reply(Outcome::Answer, 8), &[1; 7]).is_err());
        let bytes = REQUEST_BODY_BYTES_MAX + 1;
        assert!(said(&reply(Outcome::Answer, bytes), &vec![1; bytes]).is_err());
        assert!(said(&reply(Outcome::Answer, u32::MAX as usize), &[]).is_err());
    }

    #[test]
    fn other_replies_are_told_and_nonsense_is_an_error() {
        let busy = reply(Outcome::Busy, 0);
        assert_eq!(said(&busy, &[]).unwrap(), Said::Other(Outcome::Busy, busy));
        assert!(said(&reply(Outcome::Unspecified, 0), &[]).is_err());
        let later = Reply {
            outcome: 99,
            ..Reply::default()
        };
        assert!(said(&later, &[]).is_err());
        for wire in [&[][..], &[0xff; 12], &[3, 0xff, 0xff, 0xff], &[0x81, 0x09]] {
            assert!(block_on(read_reply(&mut Cursor::new(wire))).is_err(), "{wire:?}");
            assert!(block_on(read_call(&mut Cursor::new(wire))).is_err(), "{wire:?}");
        }
    }
}
