//! The limits of requests: too many, too large, too slow. Each is met with a clear error, and memory stays bounded.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use futures::future::join_all;
use maille::{Caller, Request, RequestError, Serve};
use maille_tests::nodes::{Member, SOON, within};

use crate::requests::{Calls, ask, ask_any, members, name, serve_for_ever};

/// One member's requests to another at once.
const AT_ONCE: usize = 32;

/// How requests ended.
async fn tally(
    from: &Member,
    to: &Member,
    service: &str,
    count: usize,
    request: &Bytes,
) -> BTreeMap<&'static str, usize> {
    let calls = (0..count).map(|_| async {
        let call: Request<Bytes> = from.mesh.request(to.node.id(), name(service), request);
        match call.within(SOON).await {
            Ok(answer) => {
                assert_eq!(answer.len(), request.len());
                "answered"
            }
            Err(RequestError::Busy { here: true }) => "busy here",
            Err(RequestError::Busy { here: false }) => "busy there",
            Err(error) => panic!("{error}"),
        }
    });
    let mut tally = BTreeMap::new();
    for ending in within("all requests", SOON * 2, join_all(calls)).await {
        *tally.entry(ending).or_default() += 1;
    }
    tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_at_once_are_answered_or_told_that_somebody_is_busy() {
    const COUNT: usize = 1_000;
    let members = members(3).await;
    let [server, one, other] = &members[..] else {
        unreachable!()
    };
    let echo = |_: Caller, bytes: Bytes| async move { Ok(bytes) };
    let _service = server.mesh.serve(name("echo"), echo).unwrap();
    let _slow = {
        let slow = |_: Caller, bytes: Bytes| async move {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            Ok(bytes)
        };
        server.mesh.serve(name("slow"), slow).unwrap()
    };
    for (service, bytes) in [("echo", 100), ("slow", 100), ("slow", 200_000)] {
        let request = Bytes::from(vec![7; bytes]);
        let started = Instant::now();
        let (of_one, of_other) = tokio::join!(
            tally(one, server, service, COUNT, &request),
            tally(other, server, service, COUNT, &request)
        );
        eprintln!(
            "{service}, {bytes} bytes, {COUNT} each: {of_one:?}, {of_other:?} in {:?}",
            started.elapsed()
        );
        for tally in [&of_one, &of_other] {
            assert_eq!(tally.values().sum::<usize>(), COUNT);
            // What this node does not send it says at once.
            assert!(tally["busy here"] <= COUNT - AT_ONCE, "{tally:?}");
            // Neither crowds out the other.
            assert!(tally["answered"] >= AT_ONCE, "{tally:?}");
        }
        // All is as before: nothing waits, nothing is left.
        let after = tally(one, server, service, AT_ONCE / 2, &request).await;
        assert_eq!(after, BTreeMap::from([("answered", AT_ONCE / 2)]));
    }
    assert_eq!((server.neighbours(), one.neighbours()), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_does_so_many_at_once_and_others_go_on() {
    let members = members(2).await;
    let [server, caller] = &members[..] else { unreachable!() };
    let to = server.node.id();
    let calls = Calls::default();
    let of_handler = calls.clone();
    let endless = move |_: Caller, _: String| of_handler.clone().one_for_ever();
    let _endless = server
        .mesh
        .serve_with(name("endless"), Serve { at_once: 2 }, endless)
        .unwrap();
    let echo = |_: Caller, text: String| async move { Ok(text) };
    let _echo = server.mesh.serve(name("echo"), echo).unwrap();
    let call = || -> Request<String> { caller.mesh.request(to, name("endless"), &String::new()) };
    let held: Vec<_> = (0..2)
        .map(|_| tokio::spawn(call().within(SOON * 10).into_future()))
        .collect();
    calls.are(2).await;
    let busy = ask(caller, to, "endless", "").await;
    assert!(matches!(busy, Err(RequestError::Busy { here: false })), "{busy:?}");
    let busy = ask_any(caller, "endless").await;
    assert!(matches!(busy, Err(RequestError::Busy { here: false })), "{busy:?}");
    assert_eq!(ask(caller, to, "echo", "still here").await.unwrap(), "still here");
    held[0].abort();
    calls.are(1).await;
    let next = tokio::spawn(call().within(SOON * 10).into_future());
    calls.are(2).await;
    held[1].abort();
    next.abort();
    calls.are(0).await;
}

/// All places of a caller are taken by calls that never end: the rest hears it at once, and other callers do not suffer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_caller_leaves_room_for_others() {
    let members = members(3).await;
    let [server, greedy, modest] = &members[..] else {
        unreachable!()
    };
    let to = server.node.id();
    let (_a, calls) = serve_for_ever(server, "endless");
    let echo = |_: Caller, text: String| async move { Ok(text) };
    let _echo = server.mesh.serve(name("echo"), echo).unwrap();
    let call = || -> Request<String> { greedy.mesh.request(to, name("endless"), &String::new()) };
    let held: Vec<_> = (0..AT_ONCE)
        .map(|_| tokio::spawn(call().within(SOON * 10).into_future()))
        .collect();
    calls.are(AT_ONCE).await;
    let busy = ask(greedy, to, "echo", "").await;
    assert!(matches!(busy, Err(RequestError::Busy { here: true })), "{busy:?}");
    assert_eq!(ask(modest, to, "echo", "my turn").await.unwrap(), "my turn");
    held.iter().for_each(|call| call.abort());
    calls.are(0).await;
    assert_eq!(ask(greedy, to, "echo", "mine again").await.unwrap(), "mine again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_is_said_before_it_is_sent() {
    const BYTES_MAX: usize = 1_048_576;
    let members = members(2).await;
    let [server, caller] = &members[..] else { unreachable!() };
    let blow_up = |_: Caller, bytes: Bytes| async move { Ok(Bytes::from([&bytes[..], &[1]].concat())) };
    let _service = server.mesh.serve(name("one-more"), blow_up).unwrap();
    let call = |bytes: usize| -> Request<Bytes> {
        let request = Bytes::from(vec![0; bytes]);
        caller.mesh.request(server.node.id(), name("one-more"), &request)
    };
    assert_eq!(call(BYTES_MAX - 1).await.unwrap().len(), BYTES_MAX);
    // The request may be that long; the answer may not.
    assert!(matches!(call(BYTES_MAX).await, Err(RequestError::Failed)));
    let too_large = call(BYTES_MAX + 1).await.unwrap_err();
    assert!(
        matches!(too_large, RequestError::TooLarge { bytes, bytes_max } if (bytes, bytes_max) == (BYTES_MAX + 1, BYTES_MAX)),
        "{too_large}"
    );
}
