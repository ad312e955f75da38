//! Leases between nodes: one holder, the next after a release and after a crash, both sides of a partition; and what a hostile
//! member publishes there.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use maille::{AcquireError, Credential, Leases, LeasesError, Lost, Topic};
use maille_tests::nodes::{Member, Over, SOON, helper, member, met, until, whether, within};

const MESH: &str = "compute.example";
const LEASE: Duration = Duration::from_secs(2);

async fn jobs(member: &Member) -> Leases {
    let joined = member.mesh.leases("jobs".parse().unwrap(), LEASE);
    within("it joins", SOON, joined).await.unwrap()
}

async fn members<const N: usize>() -> [Member; N] {
    let helper = helper(Over::Memory).await;
    let right = Credential::open();
    let mut members = Vec::new();
    for _ in 0..N {
        members.push(member(Over::Memory, &[&helper], MESH, &right).await);
    }
    met(&members, N - 1, SOON).await;
    members
        .try_into()
        .unwrap_or_else(|_| unreachable!("as many as were asked for"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_all_that_want_a_key_one_has_it_at_a_time() {
    let members = members::<3>().await;
    let mut work = Vec::new();
    for member in &members {
        let leases = jobs(member).await;
        work.push(async move {
            let lease = within("it is granted", SOON, leases.acquire("once")).await.unwrap();
            let (token, from) = (lease.token(), Instant::now());
            tokio::task::yield_now().await;
            assert!(lease.is_held());
            let to = Instant::now();
            lease.release().await;
            (token, from, to)
        });
    }
    let mut turns = futures::future::join_all(work).await;
    turns.sort_unstable_by_key(|(_, from, _)| *from);
    for pair in turns.windows(2) {
        assert!(pair[0].2 <= pair[1].1, "two had it at once: {turns:?}");
        assert!(pair[0].0 < pair[1].0, "tokens grow: {turns:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_goes_to_another_when_its_holder_stops() {
    let [first, second] = members::<2>().await;
    let (at_first, at_second) = (jobs(&first).await, jobs(&second).await);
    at_first.offer().await;
    at_second.offer().await;
    let lease = within("it is granted", SOON, at_first.acquire("a")).await.unwrap();
    until("both know who holds it", SOON, || {
        let known = at_second.held();
        whether(known.len() == 1 && known[0].token == lease.token(), || known)
    })
    .await;
    assert!(at_second.try_acquire("a").await.unwrap().is_none());
    assert!(matches!(at_first.acquire("a").await, Err(AcquireError::Own)));
    until("both rank the same", SOON, || {
        let ranked = (at_first.ranked("a"), at_second.ranked("a"));
        whether(ranked.0.len() == 2 && ranked.0 == ranked.1, || ranked)
    })
    .await;
    // Its node goes without a release: the handle of the lease outlives it.
    first.node.shutdown().await;
    let stopped = Instant::now();
    let next = within("it is taken over", SOON, at_second.acquire("a")).await.unwrap();
    eprintln!(
        "taken over {:?} after its holder's node stopped, with leases of {LEASE:?}",
        stopped.elapsed()
    );
    assert!(next.token() > lease.token());
    assert_eq!(within("the first knows", SOON, lease.lost()).await, Lost::Closed);
    assert!(matches!(at_first.acquire("b").await, Err(AcquireError::Closed)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gives_up_waiting_or_drops_a_lease_frees_the_key() {
    let [first, second] = members::<2>().await;
    let (at_first, at_second) = (jobs(&first).await, jobs(&second).await);
    let lease = within("it is granted", SOON, at_first.acquire("a")).await.unwrap();
    let mut waiting = Box::pin(at_second.acquire("a"));
    assert!(
        tokio::time::timeout(LEASE, &mut waiting).await.is_err(),
        "held: it is renewed"
    );
    assert!(matches!(at_second.acquire("a").await, Err(AcquireError::Own)));
    drop(waiting);
    drop(lease);
    let mut changes = at_second.changes();
    let free = async {
        while at_second.holder("a").is_some() {
            changes.next().await;
        }
    };
    within("all hear that it is free", SOON, free).await;
    drop(within("it can be had", SOON, at_first.acquire("a")).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_arguments_are_told() {
    let [alone] = members::<1>().await;
    let name = || "jobs".parse().unwrap();
    for length in [Duration::from_millis(499), Duration::from_secs(61)] {
        assert!(matches!(
            alone.mesh.leases(name(), length).await,
            Err(LeasesError::Length(_))
        ));
    }
    let long = "x".repeat(250).parse().unwrap();
    assert!(matches!(alone.mesh.leases(long, LEASE).await, Err(LeasesError::Name)));
    let leases = jobs(&alone).await;
    for key in ["", &"k".repeat(129)] {
        let refused = leases.acquire(key.to_owned()).await;
        assert!(matches!(refused, Err(AcquireError::Key { bytes }) if bytes == key.len()));
    }
    // Alone, one has all that it wants.
    drop(within("it is granted", SOON, leases.acquire("a")).await.unwrap());
    alone.mesh.leave().await;
    assert!(matches!(leases.acquire("b").await, Err(AcquireError::Closed)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_statement_disturbs_nobody() {
    let [honest, other, hostile] = members::<3>().await;
    let (at_honest, at_other) = (jobs(&honest).await, jobs(&other).await);
    let topic: Topic<Bytes> = hostile.mesh.topic(".leases/jobs".parse().unwrap());
    let publisher = topic.publisher().await.unwrap();
    within("it is heard", SOON, publisher.ready(2)).await.unwrap();
    let lease = within("it is granted", SOON, at_honest.acquire("a")).await.unwrap();
    for bytes in [vec![], vec![0xff; 300], vec![8, 1], vec![0; 200_000], b"{}".to_vec()] {
        publisher.publish_keyed("a", &Bytes::from(bytes)).await.unwrap();
    }
    let others = within("others work on", SOON, at_other.acquire("b")).await.unwrap();
    assert!(lease.is_held() && others.is_held());
    assert_eq!(at_other.held().len(), 2);
}
