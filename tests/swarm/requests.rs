//! Requests between members: answers of every type, and every way to have none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use maille::{Caller, Json, PeerId, Refusal, Request, RequestError, ServeError, ServiceName};
use maille_tests::nodes::{Member, Over, SOON, credential, helper, member, met, until, whether, within};

const MESH: &str = "party.example";
const PASSWORD: &str = "sulfur-unpaved-cosmic-jogging";
/// For what never ends by itself.
const LONG: Duration = Duration::from_secs(300);

pub(crate) async fn members(count: usize) -> Vec<Member> {
    let right = credential(MESH, PASSWORD);
    let first = member(Over::Memory, &[], MESH, &right).await;
    let mut members = vec![first];
    for _ in 1..count {
        members.push(member(Over::Memory, &[&members[0].node], MESH, &right).await);
    }
    met(&members, count - 1, SOON).await;
    members
}

pub(crate) fn name(text: &str) -> ServiceName {
    text.parse().unwrap()
}

/// A text for a text, within [`SOON`].
pub(crate) async fn ask(from: &Member, to: PeerId, service: &str, text: &str) -> Result<String, RequestError> {
    let request: Request<String> = from.mesh.request(to, name(service), &text.to_owned());
    within(
        "an answer, or why there is none",
        SOON * 2,
        request.within(SOON).into_future(),
    )
    .await
}

pub(crate) async fn ask_any(from: &Member, service: &str) -> Result<String, RequestError> {
    let request: Request<String> = from.mesh.request_any(name(service), &String::new());
    within(
        "an answer, or why there is none",
        SOON * 2,
        request.within(SOON).into_future(),
    )
    .await
}

/// How many of these calls are under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls(Arc<AtomicUsize>);

impl Calls {
    /// Never ends, and counts as long as it lives.
    pub(crate) async fn one_for_ever(self) -> Result<String, Refusal> {
        struct Counted(Calls);
        impl Drop for Counted {
            fn drop(&mut self) {
                self.0.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        self.0.fetch_add(1, Ordering::SeqCst);
        let _counted = Counted(self);
        std::future::pending().await
    }

    pub(crate) async fn are(&self, count: usize) {
        let what = format!("{count} calls under way");
        let now = || self.0.load(Ordering::SeqCst);
        until(&what, SOON, || whether(now() == count, now)).await;
    }
}

/// A service that never answers.
pub(crate) fn serve_for_ever(member: &Member, service: &str) -> (maille::Service, Calls) {
    let calls = Calls::default();
    let of_handler = calls.clone();
    let handler = move |_: Caller, _: String| of_handler.clone().one_for_ever();
    (member.mesh.serve(name(service), handler).unwrap(), calls)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_every_type_are_answered_and_the_caller_is_who_it_is() {
    let members = members(2).await;
    let [alice, bob] = &members[..] else { unreachable!() };
    let greet = async |caller: Caller, name: String| Ok(format!("hello {name}, who is {}", caller.peer));
    let _greet = alice.mesh.serve(name("greet"), greet).unwrap();
    let sum = |_: Caller, numbers: Json<Vec<u64>>| async move { Ok(Json(numbers.0.iter().sum::<u64>())) };
    let _sum = alice.mesh.serve(name("numbers/sum"), sum).unwrap();
    let reverse = |_: Caller, bytes: Bytes| async move { Ok(bytes.iter().rev().copied().collect::<Vec<u8>>()) };
    let _reverse = bob.mesh.serve(name("reverse"), reverse).unwrap();

    let (to_alice, to_bob) = (alice.node.id(), bob.node.id());
    let greeting = ask(bob, to_alice, "greet", "Bob").await.unwrap();
    assert_eq!(greeting, format!("hello Bob, who is {to_bob}"));
    let sum: Request<Json<u64>> = bob
        .mesh
        .request(to_alice, name("numbers/sum"), &Json(vec![1_u64, 2, 3]));
    assert_eq!(sum.await.unwrap(), Json(6));
    // The other way at the same time, and the longest that there may be, and the shortest.
    for bytes in [0, 1, 1_048_576] {
        let sent: Bytes = (0..bytes).map(|n| (n % 251) as u8).collect();
        let answer: Request<Bytes> = alice.mesh.request(to_bob, name("reverse"), &sent);
        let answer = answer.await.unwrap();
        assert!(answer.iter().rev().eq(&sent), "{bytes} bytes");
    }
    let started = Instant::now();
    const IN_TURN: u32 = 200;
    for _ in 0..IN_TURN {
        ask(bob, to_alice, "greet", "Bob").await.unwrap();
    }
    eprintln!(
        "{IN_TURN} requests one after the other: {:?} each",
        started.elapsed() / IN_TURN
    );

    // What is not of the type that either side takes.
    let wrong: Request<String> = bob
        .mesh
        .request(to_alice, name("numbers/sum"), &"no numbers".to_owned());
    assert!(matches!(wrong.await, Err(RequestError::NotUnderstood)));
    let wrong: Request<Json<u64>> = bob.mesh.request(to_alice, name("greet"), &"Bob".to_owned());
    assert!(matches!(wrong.await, Err(RequestError::Answer(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_come_and_go_and_say_no_in_their_own_words() {
    let members = members(2).await;
    let [alice, bob] = &members[..] else { unreachable!() };
    let to = alice.node.id();
    assert!(matches!(
        ask(bob, to, "age", "12").await,
        Err(RequestError::NotServed { service }) if service.as_str() == "age"
    ));
    let handler = |_: Caller, age: String| async move {
        match age.parse::<u8>()? {
            0..18 => Err(Refusal::new("é".repeat(1_000))),
            age => Ok(format!("welcome at {age}")),
        }
    };
    let service = alice.mesh.serve(name("age"), handler).unwrap();
    let again = alice.mesh.serve(name("age"), handler);
    assert!(matches!(again, Err(ServeError::AlreadyServed { .. })));
    assert_eq!(ask(bob, to, "age", "40").await.unwrap(), "welcome at 40");
    // Any error says no; and no reason is longer than its bound.
    let no = ask(bob, to, "age", "forty").await.unwrap_err();
    assert!(
        matches!(&no, RequestError::Refused { reason } if reason.contains("invalid digit")),
        "{no}"
    );
    let no = ask(bob, to, "age", "4").await.unwrap_err();
    assert!(
        matches!(&no, RequestError::Refused { reason } if *reason == "é".repeat(512)),
        "{no}"
    );
    // A service that is dropped ends what it is working on.
    let (endless, calls) = serve_for_ever(alice, "endless");
    let (answer, ()) = tokio::join!(ask(bob, to, "endless", ""), async {
        calls.are(1).await;
        drop(endless);
    });
    assert!(matches!(answer, Err(RequestError::Gone)), "{answer:?}");
    calls.are(0).await;
    drop(service);
    assert!(matches!(
        ask(bob, to, "age", "40").await,
        Err(RequestError::NotServed { .. })
    ));
    let _service = alice.mesh.serve(name("age"), handler).unwrap();
    assert_eq!(ask(bob, to, "age", "40").await.unwrap(), "welcome at 40");
    let (served, sent) = (alice.node.metrics(), bob.node.metrics());
    assert_eq!(
        (served.requests_served, served.requests_unknown, served.requests_refused),
        (2, 2, 2)
    );
    assert_eq!((sent.requests_sent, sent.requests_sent_answered), (7, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_handler_stops_when_the_caller_gives_up_or_the_time_is_over() {
    let members = members(2).await;
    let [alice, bob] = &members[..] else { unreachable!() };
    let to = alice.node.id();
    let (_service, calls) = serve_for_ever(alice, "endless");
    let request = || -> Request<String> { bob.mesh.request(to, name("endless"), &String::new()) };

    let started = Instant::now();
    let time = Duration::from_millis(500);
    let late = request().within(time).await.unwrap_err();
    assert!(
        matches!(late, RequestError::Deadline { time: told } if told == time),
        "{late}"
    );
    assert!(started.elapsed() >= time, "{:?}", started.elapsed());
    calls.are(0).await;

    let waiting = tokio::spawn(request().within(LONG).into_future());
    calls.are(1).await;
    let dropped = Instant::now();
    waiting.abort();
    calls.are(0).await;
    eprintln!("the handler was dropped {:?} after its caller", dropped.elapsed());
    // A caller that has no time at all.
    let late = request().within(Duration::ZERO).await.unwrap_err();
    assert!(
        matches!(late, RequestError::Deadline { .. } | RequestError::Unreachable),
        "{late}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_panics_harms_its_own_call_only() {
    let members = members(2).await;
    let [alice, bob] = &members[..] else { unreachable!() };
    let to = alice.node.id();
    let handler = |_: Caller, text: String| {
        assert_ne!(text, "at once", "as the test wants it");
        async move {
            tokio::task::yield_now().await;
            assert_ne!(text, "later", "as the test wants it");
            Ok(text)
        }
    };
    let _service = alice.mesh.serve(name("brittle"), handler).unwrap();
    for text in ["at once", "later"] {
        let (broken, whole) = tokio::join!(ask(bob, to, "brittle", text), ask(bob, to, "brittle", "kindly"));
        assert!(matches!(broken, Err(RequestError::Failed)), "{broken:?}");
        assert_eq!(whole.unwrap(), "kindly");
    }
    assert_eq!((alice.neighbours(), bob.neighbours()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaving_ends_calls_on_either_side() {
    let members = members(3).await;
    let [alice, bob, carol] = &members[..] else {
        unreachable!()
    };
    let (_service, calls) = serve_for_ever(alice, "endless");
    // The caller leaves its mesh; the node and its connections stay.
    let (answer, ()) = tokio::join!(ask(bob, alice.node.id(), "endless", ""), async {
        calls.are(1).await;
        bob.mesh.clone().leave().await;
    });
    assert!(matches!(answer, Err(RequestError::Closed)), "{answer:?}");
    calls.are(0).await;
    let closed = ask(bob, alice.node.id(), "endless", "").await;
    assert!(matches!(closed, Err(RequestError::Closed)), "{closed:?}");
    let closed = bob
        .mesh
        .serve(name("late"), |_: Caller, _: String| async { Ok(String::new()) });
    assert!(matches!(closed, Err(ServeError::Closed)));
    // So does the member that is called.
    let (answer, ()) = tokio::join!(ask(carol, alice.node.id(), "endless", ""), async {
        calls.are(1).await;
        alice.mesh.clone().leave().await;
    });
    assert!(matches!(answer, Err(RequestError::Gone)), "{answer:?}");
    calls.are(0).await;
    let gone = ask(carol, alice.node.id(), "endless", "").await;
    assert!(matches!(gone, Err(RequestError::Unreachable)), "{gone:?}");
    // Nobody of that name was ever there, and nobody calls itself.
    let nobody = maille::Keypair::generate_ed25519().public().to_peer_id();
    for peer in [nobody, carol.node.id()] {
        let unreachable = ask(carol, peer, "greet", "").await;
        assert!(matches!(unreachable, Err(RequestError::Unreachable)), "{unreachable:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anybody_who_serves_it_answers() {
    let members = members(4).await;
    let none = ask_any(&members[0], "who").await;
    assert!(matches!(none, Err(RequestError::NotServed { .. })), "{none:?}");
    let me = |member: &Member| {
        let id = member.node.id().to_string();
        move |_: Caller, _: String| std::future::ready(Ok(id.clone()))
    };
    let first = members[1].mesh.serve(name("who"), me(&members[1])).unwrap();
    let _second = members[2].mesh.serve(name("who"), me(&members[2])).unwrap();
    let mut answered = std::collections::BTreeSet::new();
    for _ in 0..50 {
        answered.insert(ask_any(&members[0], "who").await.unwrap());
    }
    let both: std::collections::BTreeSet<_> = members[1..3].iter().map(|m| m.node.id().to_string()).collect();
    assert_eq!(answered, both);
    // One ends, and then leaves: the other answers.
    drop(first);
    assert_eq!(
        ask_any(&members[0], "who").await.unwrap(),
        members[2].node.id().to_string()
    );
    members[1].mesh.clone().leave().await;
    assert_eq!(
        ask_any(&members[3], "who").await.unwrap(),
        members[2].node.id().to_string()
    );
    // One that is asked by the only other server is served by it, not by itself.
    let none = ask_any(&members[2], "who").await;
    assert!(matches!(none, Err(RequestError::NotServed { .. })), "{none:?}");
    // A refusal is an answer: nobody else is asked.
    let no = |_: Caller, _: String| async { Err::<String, _>(Refusal::new("no")) };
    let _no = members[2].mesh.serve(name("no"), no).unwrap();
    let refused = ask_any(&members[0], "no").await;
    assert!(matches!(refused, Err(RequestError::Refused { .. })), "{refused:?}");
}

/// A member goes away in the middle of its work: another does it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_member_leaves_undone_another_does() {
    let members = members(3).await;
    let (started, mut begun) = tokio::sync::mpsc::channel(1);
    let work = |n: usize| {
        let started = started.clone();
        // Who is asked first never ends.
        move |_: Caller, _: String| {
            let first = started.try_send(n).is_ok();
            async move {
                if first {
                    std::future::pending::<()>().await;
                }
                Ok(n.to_string())
            }
        }
    };
    let mut services = [1, 2].map(|n| Some(members[n].mesh.serve(name("work"), work(n)).unwrap()));
    let (answer, first) = tokio::join!(ask_any(&members[0], "work"), async {
        let first = within("work begins", SOON, begun.recv()).await.unwrap();
        // Nobody is first any more.
        started.try_send(0).unwrap();
        services[first - 1] = None;
        first
    });
    assert_eq!(answer.unwrap(), (3 - first).to_string());
}

/// Asks again while whoever is asked has spent its budgets of handshakes on a crowd that just came.
async fn patiently<F: Future<Output = Result<String, RequestError>>>(ask: impl Fn() -> F) -> String {
    let started = Instant::now();
    loop {
        match ask().await {
            Err(RequestError::Unreachable) if started.elapsed() < SOON * 3 => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            other => return other.unwrap(),
        }
    }
}

/// In a mesh where nobody knows all others, any member is reached.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_no_neighbour_is_met_first() {
    const CROWD: usize = 40;
    let right = credential("crowd.example", PASSWORD);
    let helper = helper(Over::Memory).await;
    let mut members = Vec::new();
    for _ in 0..CROWD {
        members.push(member(Over::Memory, &[&helper], "crowd.example", &right).await);
    }
    let greet = async |_: Caller, name: String| Ok(format!("hello {name}"));
    let server = &members[CROWD - 1];
    let _service = server.mesh.serve(name("greet"), greet).unwrap();
    met(&members, 8, SOON * 3).await;
    let strangers = |members: &[Member]| -> Vec<usize> {
        let known = server.mesh.neighbours();
        let other = |n: &usize| *n != CROWD - 1 && !known.contains(&members[*n].node.id());
        (0..members.len()).filter(other).collect()
    };
    let others = strangers(&members);
    assert!(others.len() >= 4, "all {CROWD} are neighbours of one");
    let mut took = Vec::new();
    for n in &others[..2] {
        let started = Instant::now();
        let hello = patiently(|| ask(&members[*n], server.node.id(), "greet", "from afar")).await;
        took.push(started.elapsed());
        assert_eq!(hello, "hello from afar");
    }
    eprintln!(
        "{} of {CROWD} were no neighbours; met and asked in {took:?}",
        others.len()
    );
}
