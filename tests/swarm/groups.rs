//! Groups that share nodes, a name, or a helper, and yet hear nothing of each other.

use std::collections::BTreeSet;
use std::time::Instant;

use maille::{PeerId, Received};
use maille_tests::nodes::{
    Member, Over, SOON, arrived, credential, helper, join, member, met, next, node, records, until, whether,
};

const MARKET: &str = "market.example";
const NEWS: &str = "news.example";

fn values(records: &[Received<String>]) -> Vec<&str> {
    records.iter().map(|record| record.value.as_str()).collect()
}

/// Publishes `count` records and returns what they say.
async fn publish(member: &Member, topic: &str, prefix: &str, count: usize) -> Vec<String> {
    let publisher = member.text(topic).publisher().await.unwrap();
    tokio::time::timeout(SOON, publisher.ready(1)).await.unwrap().unwrap();
    let said: Vec<String> = (0..count).map(|n| format!("{prefix} {n}")).collect();
    for text in &said {
        publisher.publish(text).await.unwrap();
    }
    assert!(publisher.flush().await.unwrap().neighbours >= 1);
    said
}

/// Two nodes, both in two meshes, on one connection: the same topic name in both, and nothing crosses. One leaves one
/// mesh and joins it again, three times, and the other mesh goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_in_two_meshes_and_leaves_and_rejoins_one_of_them() {
    let (market, news) = (
        credential(MARKET, "sulfur-unpaved-cosmic-jogging"),
        credential(NEWS, "ether-quarry-mumble-frosting"),
    );
    let anna = node(Over::Memory, &[]).await;
    let ben = node(Over::Memory, &[&anna]).await;
    let anna_market = join(anna.clone(), MARKET, &market).await;
    let anna_news = join(anna.clone(), NEWS, &news).await;
    let ben_news = join(ben.clone(), NEWS, &news).await;
    let mut ben_market = join(ben.clone(), MARKET, &market).await;
    met([&anna_market, &anna_news, &ben_market, &ben_news], 1, SOON).await;

    let mut in_market = ben_market.text("feed").subscribe().start().await.unwrap();
    let mut in_news = ben_news.text("feed").subscribe().start().await.unwrap();
    let (market_said, news_said) = tokio::join!(
        publish(&anna_market, "feed", "market", 100),
        publish(&anna_news, "feed", "news", 100)
    );
    assert_eq!(values(&records(&mut in_market, 100, SOON).await), market_said);
    assert_eq!(values(&records(&mut in_news, 100, SOON).await), news_said);
    assert!(arrived(&mut in_market).is_empty() && arrived(&mut in_news).is_empty());

    let connections = || {
        (
            anna.metrics().connections_established,
            ben.metrics().connections_established,
        )
    };
    let connections_before = connections();
    for round in 0..3 {
        let started = Instant::now();
        ben_market.mesh.clone().leave().await;
        until("the other side sees that we left", SOON, || {
            whether(anna_market.neighbours() == 0, || anna_market.mesh.neighbours())
        })
        .await;
        // What is left ends: no subscriber is left waiting.
        assert!(
            tokio::time::timeout(SOON, in_market.next_record())
                .await
                .unwrap()
                .is_err()
        );
        let alone = anna_market.text("feed").publisher().await.unwrap();
        alone.publish(&"to nobody".to_owned()).await.unwrap();
        let said = publish(&anna_news, "feed", &format!("news, round {round}"), 20).await;
        assert_eq!(values(&records(&mut in_news, 20, SOON).await), said);

        ben_market = join(ben.clone(), MARKET, &market).await;
        let took = met([&anna_market, &ben_market], 1, SOON).await;
        in_market = ben_market.text("feed").subscribe().start().await.unwrap();
        let said = publish(&anna_market, "feed", &format!("market, round {round}"), 20).await;
        assert_eq!(values(&records(&mut in_market, 20, SOON).await), said);
        assert!(arrived(&mut in_market).is_empty() && arrived(&mut in_news).is_empty());
        eprintln!(
            "round {round}: met again after {took:?}, all of it took {:?}",
            started.elapsed()
        );
    }
    assert_eq!(
        connections(),
        connections_before,
        "the meshes came and went over the same connection"
    );
    assert_eq!(anna.metrics().admissions_refused + ben.metrics().admissions_refused, 0);
}

/// Two groups took the same mesh name and different passwords, and meet through one helper.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_groups_with_one_name_on_one_helper_do_not_hear_each_other() {
    const SIZE: usize = 4;
    let helper = helper(Over::Memory).await;
    let passwords = ["sulfur-unpaved-cosmic-jogging", "ether-quarry-mumble-frosting"];
    let mut groups: [Vec<Member>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..SIZE {
        for (group, password) in groups.iter_mut().zip(passwords) {
            group.push(member(Over::Memory, &[&helper], MARKET, &credential(MARKET, password)).await);
        }
    }
    let took = met(groups.iter().flatten(), SIZE - 1, SOON).await;
    eprintln!("two groups of {SIZE} stood after {took:?}");

    let mut subscribers = Vec::new();
    for (number, group) in groups.iter().enumerate() {
        for member in group {
            subscribers.push((
                number,
                member.node.id(),
                member.text("feed").subscribe().start().await.unwrap(),
            ));
        }
    }
    let ids = groups.each_ref().map(|group| {
        group
            .iter()
            .map(|member| member.node.id())
            .collect::<BTreeSet<PeerId>>()
    });
    let mut publishers = Vec::new();
    for (number, group) in groups.iter().enumerate() {
        for member in group {
            publishers.push((number, member.text("feed").publisher().await.unwrap()));
        }
    }
    for (number, publisher) in &publishers {
        tokio::time::timeout(SOON, publisher.ready(SIZE - 1))
            .await
            .unwrap()
            .unwrap();
        for n in 0..50 {
            publisher.publish(&format!("group {number}, {n}")).await.unwrap();
        }
        assert_eq!(publisher.flush().await.unwrap().neighbours, SIZE - 1);
    }
    for (number, me, subscriber) in &mut subscribers {
        let heard = records(subscriber, SIZE * 50, SOON).await;
        let authors: BTreeSet<PeerId> = heard.iter().map(|record| record.author).collect();
        assert_eq!(authors, ids[*number], "all of its own group, and {me} itself");
        assert!(
            heard
                .iter()
                .all(|record| record.value.starts_with(&format!("group {number},")))
        );
        assert!(arrived(subscriber).is_empty());
    }
    let mut refused = 0;
    for (number, group) in groups.iter().enumerate() {
        for member in group {
            let neighbours: BTreeSet<PeerId> = member.mesh.neighbours().into_iter().collect();
            assert!(neighbours.is_subset(&ids[number]), "a neighbour of the other group");
            refused += member.node.metrics().admissions_refused;
        }
    }
    assert!(refused > 0, "the groups did try each other's doors");
    eprintln!("handshakes across the groups: {refused}, all refused");
}

/// A third mesh on the same nodes starts late and works at once: joining is for run time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mesh_is_joined_over_a_connection_that_stands() {
    let anna = node(Over::Memory, &[]).await;
    let ben = node(Over::Memory, &[&anna]).await;
    let first = credential(MARKET, "sulfur-unpaved-cosmic-jogging");
    let members = [
        join(anna.clone(), MARKET, &first).await,
        join(ben.clone(), MARKET, &first).await,
    ];
    met(&members, 1, SOON).await;
    let before = ben.metrics().connections_established;
    for number in 0..5 {
        let name = format!("late-{number}.example");
        let late = credential(&name, "ether-quarry-mumble-frosting");
        let anna = join(anna.clone(), &name, &late).await;
        let ben = join(ben.clone(), &name, &late).await;
        met([&anna, &ben], 1, SOON).await;
        let mut subscriber = ben.text("feed").subscribe().start().await.unwrap();
        let said = publish(&anna, "feed", &name, 1).await;
        assert_eq!(next(&mut subscriber, SOON).await.value, said[0]);
        assert!(arrived(&mut subscriber).is_empty());
    }
    assert_eq!(ben.metrics().connections_established, before);
}
