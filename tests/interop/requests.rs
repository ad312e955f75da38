//! Calls by hand: from strangers, who get nothing, and from members that do not keep to the protocol, who harm themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use libp2p::StreamProtocol;
use maille::{Caller, Request};
use maille_proto::requests::{Call, Outcome, Reply};
use maille_proto::{decode_request_reply, with_length};
use maille_tests::nodes::{Member, Over, SOON, credential, member, met, until, whether, within};
use maille_tests::stranger::{End, NoStream, Speaks, Stranger, Wire};
use prost::Message;

use crate::by_hand::{GOSSIP, Insider, key};

const MESH: &str = "party.example";
const PASSWORD: &str = "sulfur-unpaved-cosmic-jogging-evolve";
const REQUESTS: &str = "/requests/1";
/// For one answer.
const ANSWER: Duration = Duration::from_secs(20);
/// Calls of one caller that are served at once.
const PLACES: usize = 40;

/// A member that serves `echo`, and `endless`, which never answers; how many of these are under way; and an insider.
struct Stage {
    server: Member,
    honest: Member,
    insider: Insider,
    protocol: StreamProtocol,
    endless: Arc<AtomicUsize>,
    _services: [maille::Service; 2],
}

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Stage {
    async fn new() -> Self {
        let right = credential(MESH, PASSWORD);
        let server = member(Over::Tcp, &[], MESH, &right).await;
        let honest = member(Over::Tcp, &[&server.node], MESH, &right).await;
        met([&server, &honest], 1, SOON).await;
        let echo = async |_: Caller, text: String| Ok(text);
        let echo = server.mesh.serve("echo".parse().unwrap(), echo).unwrap();
        let endless = Arc::new(AtomicUsize::new(0));
        let count = endless.clone();
        let handler = move |_: Caller, _: String| {
            count.fetch_add(1, Ordering::SeqCst);
            let counted = Counted(count.clone());
            async move {
                let _counted = counted;
                std::future::pending::<()>().await;
                Ok(String::new())
            }
        };
        let endless_service = server.mesh.serve("endless".parse().unwrap(), handler).unwrap();
        let stranger = Stranger::start(Over::Tcp, Speaks::NoGossip).await;
        let peer = stranger.dial(&server.node.multiaddrs()[0]).await;
        let insider = Insider::enter(stranger, peer, &key(MESH, PASSWORD)).await;
        let prefix = insider.gossip.as_ref().strip_suffix(GOSSIP).unwrap();
        let protocol = StreamProtocol::try_from_owned(format!("{prefix}{REQUESTS}")).unwrap();
        Self {
            server,
            honest,
            insider,
            protocol,
            endless,
            _services: [echo, endless_service],
        }
    }

    async fn open(&self) -> Wire {
        let opened = self.insider.stranger.open(self.insider.peer, self.protocol.clone());
        opened.await.unwrap()
    }

    /// Begins a call, with these bytes after it.
    async fn call(&self, call: &Call, rest: &[u8]) -> Wire {
        let mut wire = self.open().await;
        let bytes = [with_length(&call.encode_to_vec()), rest.to_vec()].concat();
        // It may hang up before it has read all.
        let _ = wire.send_bytes(&bytes).await;
        wire
    }

    async fn endless_are(&self, count: usize) {
        let now = || self.endless.load(Ordering::SeqCst);
        until("calls that never end", SOON, || whether(now() == count, now)).await;
    }

    async fn an_honest_member_is_served(&self) {
        let request: Request<String> =
            self.honest
                .mesh
                .request(self.server.node.id(), "echo".parse().unwrap(), &"hello".to_owned());
        assert_eq!(within("an answer", SOON, request.into_future()).await.unwrap(), "hello");
    }
}

fn call(service: &str, bytes: usize) -> Call {
    Call {
        service: service.into(),
        bytes: u32::try_from(bytes).unwrap(),
        time_ms: 600_000,
        ask: false,
    }
}

async fn reply(wire: &mut Wire) -> Option<Reply> {
    let frame = wire.receive(ANSWER).await?;
    Some(decode_request_reply(&frame).unwrap())
}

async fn outcome(wire: &mut Wire) -> Option<Outcome> {
    reply(wire).await.map(|reply| reply.outcome())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_open_no_stream_for_requests() {
    let stage = Stage::new().await;
    let stranger = Stranger::start(Over::Tcp, Speaks::NoGossip).await;
    let peer = stranger.dial(&stage.server.node.multiaddrs()[0]).await;
    for name in [
        stage.protocol.as_ref(),
        REQUESTS,
        "/maille/m/0000000000000000/requests/1",
        "/maille/requests/1",
    ] {
        let protocol = StreamProtocol::try_from_owned(name.to_owned()).unwrap();
        let opened = stranger.open(peer, protocol).await;
        assert_eq!(
            opened.err(),
            Some(NoStream::NotSpoken),
            "{name} was opened to a stranger"
        );
    }
    // The name is the insider's, and on its own connection it is good.
    let mut wire = stage.call(&call("echo", 5), b"hello").await;
    let answer = reply(&mut wire).await.unwrap();
    assert_eq!((answer.outcome(), answer.bytes), (Outcome::Answer, 5));
    assert_eq!(wire.hear(ANSWER).await.rest, 5);
    stage.an_honest_member_is_served().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_break_the_rules_end_and_harm_nobody_else() {
    let stage = Stage::new().await;
    for nonsense in [
        &[][..],
        &[0],
        &[0xff; 12],
        &[3, 0xff, 0xff, 0xff],
        &[0x81, 0x08],
        &[0x82, 0x04, 0x0a],
    ] {
        let mut wire = stage.open().await;
        wire.send_bytes(nonsense).await.unwrap();
        wire.close().await;
        let heard = wire.hear(ANSWER).await;
        assert!(
            heard.frames.is_empty() && heard.end != End::Open,
            "{nonsense:?}: {heard:?}"
        );
    }
    let mut too_large = stage.call(&call("echo", 1_048_577), &[0; 100_000]).await;
    let said = reply(&mut too_large).await.unwrap();
    assert_eq!((said.outcome(), said.bytes), (Outcome::TooLarge, 1_048_576));
    let mut huge = stage.call(&call("echo", u32::MAX as usize), &[]).await;
    assert_eq!(outcome(&mut huge).await, Some(Outcome::TooLarge));
    for name in ["nothing", "../echo", "echo\0", "é"] {
        let mut unknown = stage.call(&call(name, 0), &[]).await;
        assert_eq!(outcome(&mut unknown).await, Some(Outcome::Unknown), "{name:?}");
    }
    let mut not_text = stage.call(&call("echo", 2), &[0xff, 0xff]).await;
    assert_eq!(outcome(&mut not_text).await, Some(Outcome::Undecodable));
    let mut late = stage
        .call(
            &Call {
                time_ms: 50,
                ..call("endless", 0)
            },
            &[],
        )
        .await;
    assert_eq!(outcome(&mut late).await, Some(Outcome::Late));
    // Less than was announced, and an end.
    let mut short = stage.call(&call("echo", 6), b"hello").await;
    short.close().await;
    let heard = short.hear(ANSWER).await;
    assert!(heard.frames.is_empty() && heard.end != End::Open, "{heard:?}");
    // More than was announced ends the call.
    stage.endless_are(0).await;
    let mut more = stage.call(&call("endless", 0), &[]).await;
    stage.endless_are(1).await;
    more.send_bytes(&[1]).await.unwrap();
    stage.endless_are(0).await;
    stage.an_honest_member_is_served().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_hoards_calls_is_told_so_and_others_are_served() {
    const STREAMS: usize = 200;
    let stage = Stage::new().await;
    // Calls that never say what they call; beyond its places the member is told at once.
    let mut silent = Vec::new();
    for _ in 0..STREAMS {
        let mut wire = stage.open().await;
        if silent.len() >= PLACES {
            assert_eq!(outcome(&mut wire).await, Some(Outcome::Busy));
        }
        silent.push(wire);
    }
    stage.an_honest_member_is_served().await;
    // They are hung up after a while, and their places are free again.
    for mut wire in silent.drain(..PLACES) {
        let heard = wire.hear(ANSWER).await;
        assert!(heard.frames.is_empty() && heard.end != End::Open, "{heard:?}");
    }
    drop(silent);
    // Announced and never sent: memory is set aside for 16 MiB of one caller, and no more.
    let mut held = Vec::new();
    for n in 0..20 {
        let mut wire = stage.call(&call("echo", 1_048_576), &[]).await;
        if n >= 16 {
            assert_eq!(outcome(&mut wire).await, Some(Outcome::Busy), "{n}");
        }
        held.push(wire);
    }
    stage.an_honest_member_is_served().await;
}

/// Its connection stays, and so would streams that were taken out of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_end_with_the_membership_though_the_connection_stays() {
    let mut stage = Stage::new().await;
    let mut calls = Vec::new();
    for _ in 0..3 {
        calls.push(stage.call(&call("endless", 0), &[]).await);
    }
    stage.endless_are(3).await;
    stage.insider.control.close().await;
    stage.endless_are(0).await;
    let gone = || whether(stage.server.neighbours() == 1, || stage.server.mesh.neighbours());
    until("it is no neighbour any more", SOON, gone).await;
    for mut wire in calls {
        let heard = wire.hear(ANSWER).await;
        assert!(heard.frames.is_empty() && heard.end != End::Open, "{heard:?}");
    }
    let opened = stage.insider.stranger.open(stage.insider.peer, stage.protocol.clone());
    assert_eq!(opened.await.err(), Some(NoStream::NotSpoken));
    assert!(stage.insider.stranger.seen().is_connected(&stage.insider.peer));
    stage.an_honest_member_is_served().await;
}
