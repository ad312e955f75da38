//! A mesh over QUIC, from a helper to a refusal.

use maille::Status;
use maille_tests::nodes::{Over, SOON, arrived, credential, helper, member, met, records, until};

const MESH: &str = "market.example";

/// Members meet through a helper, records arrive in order, and who has the wrong password is refused and hears nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mesh_stands_on_quic_alone() {
    const RECORDS: usize = 500;
    let helper = helper(Over::Quic).await;
    let right = credential(MESH, "sulfur-unpaved-cosmic-jogging");
    let mut members = Vec::new();
    for _ in 0..3 {
        members.push(member(Over::Quic, &[&helper], MESH, &right).await);
    }
    let took = met(&members, 2, SOON).await;
    eprintln!("three members stood after {took:?}");
    let quic = |multiaddr: &maille::Multiaddr| multiaddr.to_string().contains("/quic-v1/");
    assert!(members.iter().all(|member| member.node.multiaddrs().iter().all(quic)));

    let stranger = member(
        Over::Quic,
        &[&helper],
        MESH,
        &credential(MESH, "ether-quarry-mumble-frosting"),
    )
    .await;
    let mut overheard = stranger.text("feed").subscribe().start().await.unwrap();
    let (peers, took) = until("the wrong password is refused by all", SOON, || {
        match stranger.mesh.status() {
            Status::Refused { peers } if peers == members.len() => Ok(peers),
            status => Err(status),
        }
    })
    .await;
    eprintln!("refused by {peers} after {took:?}");

    let mut subscribers = Vec::new();
    for member in &members[1..] {
        subscribers.push(member.text("feed").subscribe().start().await.unwrap());
    }
    let publisher = members[0].text("feed").publisher().await.unwrap();
    tokio::time::timeout(SOON, publisher.ready(2)).await.unwrap().unwrap();
    for n in 0..RECORDS {
        publisher.publish(&n.to_string()).await.unwrap();
    }
    assert_eq!(publisher.flush().await.unwrap().neighbours, 2);
    for subscriber in &mut subscribers {
        let heard = records(subscriber, RECORDS, SOON).await;
        assert!(
            heard
                .iter()
                .enumerate()
                .all(|(n, record)| record.value == n.to_string())
        );
        assert!(heard.iter().all(|record| record.author == members[0].node.id()));
        assert!(arrived(subscriber).is_empty());
    }
    assert!(arrived(&mut overheard).is_empty());
    assert_eq!(stranger.neighbours(), 0);
    assert_eq!(stranger.node.metrics().records_delivered, 0);
}
