//! Nodes inside the test's process: started, joined, read from; and conditions with a deadline instead of sleeps.

use std::collections::HashMap;
use std::fmt::Debug;
use std::future::Future;
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use maille::{Credential, Event, Mesh, Multiaddr, Node, NodeBuilder, Password, Payload, Received, Subscriber, Topic};

/// gossipsub's heartbeat in tests: what takes it seconds takes tests a tenth of that.
pub const HEARTBEAT: Duration = Duration::from_millis(100);
/// For what should take a moment, on a machine that is busy with other tests.
pub const SOON: Duration = Duration::from_secs(30);
/// How often a condition is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// What connections run over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Channels inside the process, with Noise and Yamux on them.
    Memory,
    /// TCP on loopback.
    Tcp,
    /// QUIC on loopback.
    Quic,
}

impl Over {
    /// Any free port.
    #[must_use]
    pub fn listen(self) -> Multiaddr {
        let text = match self {
            Over::Memory => "/memory/0",
            Over::Tcp => "/ip4/127.0.0.1/tcp/0",
            Over::Quic => "/ip4/127.0.0.1/udp/0/quic-v1",
        };
        text.parse().unwrap()
    }
}

/// A node as tests want it: it meets only whom it is told to, and gossips fast. Spawn it, or describe it further.
pub fn builder(over: Over) -> NodeBuilder {
    Node::builder()
        .listen([over.listen()])
        .mdns(false)
        .run_file(false)
        .heartbeat(HEARTBEAT)
}

/// A helper: in no mesh, serves Kademlia.
pub async fn helper(over: Over) -> Node {
    builder(over).helper(true).spawn().await.unwrap()
}

/// A node that knows these others to begin with.
pub async fn node(over: Over, bootstrap: &[&Node]) -> Node {
    let known = bootstrap.iter().flat_map(|node| node.multiaddrs());
    builder(over).bootstrap(known).spawn().await.unwrap()
}

/// A node and the mesh it joined.
#[derive(Clone, Debug)]
pub struct Member {
    /// The node.
    pub node: Node,
    /// Its mesh.
    pub mesh: Mesh,
}

impl Member {
    /// A topic of the mesh, with text records.
    #[must_use]
    pub fn text(&self, topic: &str) -> Topic<String> {
        self.mesh.topic(topic.parse().unwrap())
    }

    /// How many neighbours it has.
    #[must_use]
    pub fn neighbours(&self) -> usize {
        self.mesh.neighbours().len()
    }
}

/// Starts a node that knows these others, and joins a mesh with it. Returns before it met anybody.
pub async fn member(over: Over, bootstrap: &[&Node], mesh: &str, credential: &Credential) -> Member {
    join(node(over, bootstrap).await, mesh, credential).await
}

/// Joins a mesh with a node.
pub async fn join(node: Node, mesh: &str, credential: &Credential) -> Member {
    let mesh = node.join(mesh.parse().unwrap(), credential.clone()).await.unwrap();
    Member { node, mesh }
}

/// The credential of a mesh's password. All tests of a process share the work of stretching it.
#[must_use]
pub fn credential(mesh: &str, password: &str) -> Credential {
    static SHARED: LazyLock<Mutex<HashMap<(String, String), Credential>>> = LazyLock::new(Mutex::default);
    let mut shared = SHARED.lock().unwrap();
    let fresh = || Credential::password(Password::parse(password).unwrap());
    shared
        .entry((mesh.to_owned(), password.to_owned()))
        .or_insert_with(fresh)
        .clone()
}

/// Waits until a condition gives `Ok`, and returns that and how long it took. After the deadline it fails with what was
/// waited for and the state of things, the condition's last `Err`.
///
/// # Panics
/// When the deadline passes.
pub async fn until<T, S: Debug>(
    what: &str,
    deadline: Duration,
    mut condition: impl FnMut() -> Result<T, S>,
) -> (T, Duration) {
    let started = Instant::now();
    loop {
        match condition() {
            Ok(reached) => return (reached, started.elapsed()),
            Err(state) if started.elapsed() > deadline => panic!("not within {deadline:?}: {what}; now: {state:#?}"),
            Err(_) => tokio::time::sleep(LOOK_INTERVAL).await,
        }
    }
}

/// `Ok` if a condition holds, else a state to show: what [`until`] asks for.
///
/// # Errors
/// The state, if the condition does not hold.
pub fn whether<S>(holds: bool, state: impl FnOnce() -> S) -> Result<(), S> {
    if holds { Ok(()) } else { Err(state()) }
}

/// Waits for a future, for no longer than this.
///
/// # Panics
/// When the deadline passes.
pub async fn within<F: Future>(what: &str, deadline: Duration, future: F) -> F::Output {
    match tokio::time::timeout(deadline, future).await {
        Ok(output) => output,
        Err(_) => panic!("not within {deadline:?}: {what}"),
    }
}

/// Waits until each member has at least so many neighbours.
pub async fn met<'a>(members: impl IntoIterator<Item = &'a Member>, neighbours: usize, deadline: Duration) -> Duration {
    let members: Vec<&Member> = members.into_iter().collect();
    let what = format!("{} members have {neighbours} neighbours each", members.len());
    let all = || {
        let enough = |member: &&Member| member.neighbours() >= neighbours;
        whether(members.iter().all(enough), || {
            members.iter().map(|member| standing(member)).collect::<Vec<_>>()
        })
    };
    until(&what, deadline, all).await.1
}

/// How a member stands, in one line.
fn standing(member: &Member) -> String {
    let metrics = member.node.metrics();
    format!(
        "{}: {:?}, {} connections, admitted {}, refused {}, refusals met {}, look-ups {}, strangers dropped {}",
        member.node.id(),
        member.mesh.status(),
        metrics.connections_established - metrics.connections_closed,
        metrics.admissions_granted,
        metrics.admissions_refused,
        metrics.refusals_met,
        metrics.lookups,
        metrics.strangers_dropped,
    )
}

/// The next record; any other event is a failure.
///
/// # Panics
/// When none comes in time, or something else does.
pub async fn next<T: Payload>(subscriber: &mut Subscriber<T>, deadline: Duration) -> Received<T> {
    within("the next record", deadline, subscriber.next_record())
        .await
        .unwrap()
}

/// The next `count` records; any other event is a failure.
///
/// # Panics
/// When they do not come in time, or something else does.
pub async fn records<T: Payload>(subscriber: &mut Subscriber<T>, count: usize, deadline: Duration) -> Vec<Received<T>> {
    let started = Instant::now();
    let mut records = Vec::with_capacity(count);
    while records.len() < count {
        let left = deadline.saturating_sub(started.elapsed());
        match tokio::time::timeout(left, subscriber.next_record()).await {
            Ok(record) => records.push(record.unwrap()),
            Err(_) => panic!("{} of {count} records within {deadline:?}", records.len()),
        }
    }
    records
}

/// Every event that has arrived, without waiting; but not whether publishers are heard, which on a busy machine varies.
pub fn arrived<T: Payload>(subscriber: &mut Subscriber<T>) -> Vec<Event<T>> {
    use futures::{FutureExt, StreamExt};
    let events = std::iter::from_fn(|| subscriber.next().now_or_never().flatten());
    events
        .filter(|event| !matches!(event, Event::Silent { .. } | Event::Resumed { .. }))
        .collect()
}
