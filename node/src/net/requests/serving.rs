//! One call from the side of the member that is called, from its first byte to its last, in a task of its own. Whatever
//! ends it early, the caller, the membership, the deadline or the service, drops the handler's future.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{AsyncReadExt, AsyncWriteExt, FutureExt};
use libp2p::PeerId;
use libp2p::swarm::Stream;
use maille_proto::requests::{Call, Outcome, Reply};
use maille_proto::{REQUEST_BODY_BYTES_MAX, REQUEST_REASON_BYTES_MAX};
use tokio::time::{Instant, timeout, timeout_at};

use super::conversation::{hung_up, read_body, read_call, write_reply};
use super::services::{Offered, Services, Verdict};
use super::{Incoming, MemberStream, Place, Room, TIME_MAX, dropped};
use crate::metrics::Counters;

/// How long a caller may take to say what it calls.
const CALL_TIME: Duration = Duration::from_secs(10);
/// How long after its deadline a call may still take to be told how it ended.
const REPLY_TIME: Duration = Duration::from_secs(5);
/// How long a caller that was turned away may take to hear of it. Its request is read and thrown away meanwhile: a stream
/// that ends with unread bytes may take the reply with it.
const LINGER: Duration = Duration::from_secs(1);

/// How a call ends: a reply, and the answer behind it.
type Ending = (Reply, Bytes);

/// Serves one call.
pub(super) async fn serve(incoming: Incoming, services: Arc<Services>, room: Room, counters: Arc<Counters>) {
    let MemberStream { stream, admission } = incoming.stream;
    tokio::select! {
        served = converse(incoming.peer, stream, &services, &room, &counters) => {
            if let Err(error) = served {
                tracing::debug!(peer = %incoming.peer, %error, "a call ended early");
            }
        }
        () = dropped(admission) => {}
    }
}

async fn converse(
    peer: PeerId,
    mut stream: Stream,
    services: &Services,
    room: &Room,
    counters: &Counters,
) -> io::Result<()> {
    let turn_away = async |stream, reply: Reply| {
        count(counters, reply.outcome());
        turn_away(stream, reply).await
    };
    let Ok(mut place) = room.take(peer) else {
        return turn_away(stream, outcome(Outcome::Busy)).await;
    };
    let call = timeout(CALL_TIME, read_call(&mut stream)).await??;
    let deadline = Instant::now() + Duration::from_millis(call.time_ms.into()).min(TIME_MAX);
    let bytes = usize::try_from(call.bytes).unwrap_or(usize::MAX);
    if bytes > REQUEST_BODY_BYTES_MAX {
        let reply = Reply {
            bytes: REQUEST_BODY_BYTES_MAX as u32,
            ..outcome(Outcome::TooLarge)
        };
        return turn_away(stream, reply).await;
    }
    let Some(service) = services.find(&call.service) else {
        return turn_away(stream, outcome(Outcome::Unknown)).await;
    };
    let (Ok(permit), Ok(())) = (service.places.clone().try_acquire_owned(), place.hold(bytes)) else {
        return turn_away(stream, outcome(Outcome::Busy)).await;
    };
    let worked = timeout_at(deadline, work(peer, &mut stream, &call, &service)).await;
    // Free before the caller hears of the end, and calls again.
    drop(permit);
    let (reply, answer) = match worked {
        Ok(result) => ending(result?, &mut place),
        Err(_) => (outcome(Outcome::Late), Bytes::new()),
    };
    count(counters, reply.outcome());
    timeout_at(deadline + REPLY_TIME, async {
        write_reply(&mut stream, &reply, &answer).await?;
        stream.close().await
    })
    .await?
}

fn count(counters: &Counters, outcome: Outcome) {
    let counter = match outcome {
        Outcome::Answer => &counters.requests_served,
        Outcome::Busy => &counters.requests_busy,
        Outcome::Unknown => &counters.requests_unknown,
        Outcome::Refused | Outcome::Undecodable => &counters.requests_refused,
        Outcome::TooLarge => &counters.requests_too_large,
        Outcome::Late => &counters.requests_late,
        Outcome::Failed | Outcome::Ready | Outcome::Unspecified => &counters.requests_failed,
    };
    counter.add(1);
}

/// Reads the request and has it answered. An error: the caller went away, or the service did.
async fn work(
    peer: PeerId,
    stream: &mut Stream,
    call: &Call,
    service: &Offered,
) -> io::Result<Result<Bytes, Option<Verdict>>> {
    if call.ask {
        write_reply(stream, &outcome(Outcome::Ready), &[]).await?;
    }
    let request = read_body(stream, call.bytes).await?;
    // A handler that panics, even before its first await, harms its call only.
    let answer = AssertUnwindSafe(async { (service.handler)(peer, request).await }).catch_unwind();
    tokio::select! {
        answer = answer => Ok(match answer {
            Ok(answer) => answer.map_err(Some),
            Err(_) => Err(None),
        }),
        () = hung_up(stream) => Err(io::Error::other("the caller ended it")),
        () = dropped(service.ended.clone()) => Err(io::Error::other("the service ended")),
    }
}

fn ending(answered: Result<Bytes, Option<Verdict>>, place: &mut Place) -> Ending {
    let failed = |why: &str| {
        tracing::warn!(why, "a request was not answered");
        (outcome(Outcome::Failed), Bytes::new())
    };
    match answered {
        Ok(answer) if answer.len() > REQUEST_BODY_BYTES_MAX => failed("the answer is larger than an answer may be"),
        Ok(answer) => match place.hold(answer.len()) {
            Ok(()) => {
                let reply = Reply {
                    bytes: answer.len() as u32,
                    ..outcome(Outcome::Answer)
                };
                (reply, answer)
            }
            Err(_) => failed("too many large answers are under way"),
        },
        Err(Some(Verdict::Undecodable)) => (outcome(Outcome::Undecodable), Bytes::new()),
        Err(Some(Verdict::Refused(reason))) => {
            let reply = Reply {
                reason: cut(reason, REQUEST_REASON_BYTES_MAX),
                ..outcome(Outcome::Refused)
            };
            (reply, Bytes::new())
        }
        Err(Some(Verdict::Unencodable(why))) => failed(&why),
        Err(None) => failed("its handler panicked"),
    }
}

/// The beginning of a text, up to so many bytes and the end of a character.
fn cut(mut text: String, bytes_max: usize) -> String {
    let end = (0..=bytes_max.min(text.len())).rfind(|end| text.is_char_boundary(*end));
    text.truncate(end.unwrap_or(0));
    text
}

/// The last word to a caller whose request is not read.
async fn turn_away(mut stream: Stream, reply: Reply) -> io::Result<()> {
    timeout(LINGER, async {
        write_reply(&mut stream, &reply, &[]).await?;
        stream.close().await?;
        let mut unread = [0; 4_096];
        while stream.read(&mut unread).await? > 0 {}
        Ok(())
    })
    .await?
}

fn outcome(outcome: Outcome) -> Reply {
    Reply {
        outcome: outcome.into(),
        ..Reply::default()
    }
}
