//! The past: those who come late get it from any member that holds it.

use std::collections::BTreeMap;

use futures::StreamExt;
use maille::{Event, Keep, PeerId, Start, Subscriber};
use maille_tests::nodes::{Over, SOON, builder, credential, helper, join, member, met, until, whether, within};

const MESH: &str = "archive.example";
const PASSWORD: &str = "sulfur-unpaved-cosmic-jogging";

/// What a subscriber hears until it has caught up: the records of each author, and how often something else.
async fn caught_up(subscriber: &mut Subscriber<String>) -> (BTreeMap<PeerId, Vec<String>>, usize) {
    let (mut records, mut others) = (BTreeMap::<_, Vec<_>>::new(), 0);
    let all = async {
        loop {
            match subscriber.next().await.unwrap() {
                Event::Record(record) => records.entry(record.author).or_default().push(record.value),
                Event::CaughtUp => break,
                Event::Silent { .. } | Event::Resumed { .. } => {}
                other => {
                    eprintln!("{other:?}");
                    others += 1;
                }
            }
        }
    };
    within("it catches up", SOON, all).await;
    (records, others)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_comes_late_gets_all_of_it_although_the_publisher_is_gone() {
    const RECORDS: usize = 5_000;
    let helper = helper(Over::Memory).await;
    let right = credential(MESH, PASSWORD);
    let publishing = member(Over::Memory, &[&helper], MESH, &right).await;
    let mut members = Vec::new();
    for _ in 0..2 {
        members.push(member(Over::Memory, &[&helper], MESH, &right).await);
    }
    met([&publishing, &members[0], &members[1]], 2, SOON).await;
    let mut subscribers = Vec::new();
    for member in &members {
        subscribers.push(member.text("feed").subscribe().start().await.unwrap());
    }
    let publisher = publishing.text("feed").publisher().await.unwrap();
    within("subscribers", SOON, publisher.ready(2)).await.unwrap();
    for number in 0..RECORDS {
        let key = format!("k{}", number % 7);
        publisher.publish_keyed(key, &number.to_string()).await.unwrap();
    }
    assert_eq!(publisher.flush().await.unwrap().neighbours, 2);
    let author = publisher.id();
    drop(publisher);
    publishing.node.shutdown().await;

    let late = member(Over::Memory, &[&helper], MESH, &right).await;
    met([&late], 2, SOON).await;
    let expected: Vec<String> = (0..RECORDS).map(|number| number.to_string()).collect();
    for (start, expected) in [
        (Start::All, &expected[..]),
        (Start::Last(100), &expected[RECORDS - 100..]),
        (Start::Latest, &expected[RECORDS - 7..]),
        (Start::Now, &[]),
    ] {
        let from = format!("{start:?}");
        let began = std::time::Instant::now();
        let is_now = start == Start::Now;
        let mut subscriber = late.text("feed").subscribe().from(start).start().await.unwrap();
        if is_now {
            continue;
        }
        let (records, others) = caught_up(&mut subscriber).await;
        eprintln!("{from}: {} records in {:?}", expected.len(), began.elapsed());
        assert_eq!(others, 0, "{from}");
        assert_eq!(records.keys().copied().collect::<Vec<_>>(), [author]);
        assert!(
            records[&author] == expected,
            "{from}: {} records",
            records[&author].len()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_read_the_past_gives_it_to_the_next() {
    const RECORDS: usize = 200;
    let helper = helper(Over::Memory).await;
    let right = credential(MESH, PASSWORD);
    let publishing = member(Over::Memory, &[&helper], MESH, &right).await;
    let publisher = publishing.text("feed").publisher().await.unwrap();
    for number in 0..RECORDS {
        publisher.publish(&number.to_string()).await.unwrap();
    }
    let author = publisher.id();
    let expected: Vec<String> = (0..RECORDS).map(|number| number.to_string()).collect();
    let mut before = Some((publishing, publisher));
    let mut holding = None;
    for _ in 0..3 {
        let late = member(Over::Memory, &[&helper], MESH, &right).await;
        met([&late], 1, SOON).await;
        let mut subscriber = late.text("feed").subscribe().from(Start::All).start().await.unwrap();
        let (records, others) = caught_up(&mut subscriber).await;
        assert_eq!((records.get(&author), others), (Some(&expected), 0));
        // Whoever gave it is gone before the next one comes.
        if let Some((member, publisher)) = before.take() {
            drop(publisher);
            member.node.shutdown().await;
        }
        if let Some((member, subscriber)) = holding.replace((late, subscriber)) {
            drop::<Subscriber<String>>(subscriber);
            member.node.shutdown().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_publisher_stored_outlives_it_and_its_new_run_links_to_it() {
    const RECORDS: usize = 300;
    let dir = tempfile::tempdir().unwrap();
    let right = credential(MESH, PASSWORD);
    let helper = helper(Over::Memory).await;
    let reader = member(Over::Memory, &[&helper], MESH, &right).await;
    let publish = async |from: usize| {
        let node = builder(Over::Memory)
            .bootstrap(helper.multiaddrs())
            .data_dir(dir.path())
            .spawn()
            .await
            .unwrap();
        let member = join(node, MESH, &right).await;
        let publisher = member.text("feed").publisher().await.unwrap();
        for number in from..from + RECORDS {
            let receipt = publisher.publish(&number.to_string()).await.unwrap();
            if number % 100 == 7 {
                within("it is stored", SOON, receipt.stored()).await.unwrap();
            }
        }
        publisher.flush().await.unwrap();
        let id = publisher.id();
        drop(publisher);
        member.node.shutdown().await;
        id
    };
    // Nobody hears the first two runs.
    let author = publish(0).await;
    assert_eq!(publish(RECORDS).await, author);

    let node = builder(Over::Memory)
        .bootstrap(helper.multiaddrs())
        .data_dir(dir.path())
        .spawn()
        .await
        .unwrap();
    let again = join(node, MESH, &right).await;
    met([&again, &reader], 1, SOON).await;
    let publisher = again.text("feed").publisher().await.unwrap();
    let receipt = publisher.publish(&(2 * RECORDS).to_string()).await.unwrap();
    within("it is stored", SOON, receipt.stored()).await.unwrap();
    let mut subscriber = reader.text("feed").subscribe().from(Start::All).start().await.unwrap();
    let (records, others) = caught_up(&mut subscriber).await;
    let expected: Vec<String> = (0..=2 * RECORDS).map(|number| number.to_string()).collect();
    assert!(records[&author] == expected, "{} records", records[&author].len());
    assert_eq!(others, 2, "two restarts");
    within(
        "it is spread",
        SOON,
        publisher.publish(&"more".to_owned()).await.unwrap().spread(),
    )
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keeper_stores_all_topics_and_gives_them_after_a_restart() {
    const RECORDS: usize = 1_000;
    let dir = tempfile::tempdir().unwrap();
    let right = credential(MESH, PASSWORD);
    let helper = helper(Over::Memory).await;
    let keeping = async || {
        let node = builder(Over::Memory)
            .bootstrap(helper.multiaddrs())
            .data_dir(dir.path())
            .spawn()
            .await
            .unwrap();
        let member = join(node, MESH, &right).await;
        let keeper = member.mesh.keep(Keep::default()).await.unwrap();
        (member, keeper)
    };
    let publishing = member(Over::Memory, &[&helper], MESH, &right).await;
    let expected: Vec<String> = (0..RECORDS).map(|number| number.to_string()).collect();
    let publish = async |topic: &str| {
        let publisher = publishing.text(topic).publisher().await.unwrap();
        for record in &expected[..RECORDS / 2] {
            publisher.publish(record).await.unwrap();
        }
        publisher
    };
    // Half of it before there is a keeper, and nobody else listens.
    let publishers = [publish("a").await, publish("b/c").await];
    let (member_keeping, keeper) = keeping().await;
    until("both topics are kept", SOON, || {
        whether(keeper.topics().len() == 2, || keeper.topics())
    })
    .await;
    for publisher in &publishers {
        within("the keeper subscribes", SOON, publisher.ready(1)).await.unwrap();
        for record in &expected[RECORDS / 2..] {
            publisher.publish(record).await.unwrap();
        }
        assert_eq!(publisher.flush().await.unwrap().neighbours, 1);
    }
    within("the keeper has what was before it", SOON, keeper.caught_up()).await;
    let author = publishers[0].id();
    drop(publishers);
    publishing.node.shutdown().await;
    drop(keeper);
    member_keeping.node.shutdown().await;

    let (again, _keeper) = keeping().await;
    let late = member(Over::Memory, &[&helper], MESH, &right).await;
    met([&again, &late], 1, SOON).await;
    for topic in ["a", "b/c"] {
        let mut subscriber = late.text(topic).subscribe().from(Start::All).start().await.unwrap();
        let (records, others) = caught_up(&mut subscriber).await;
        assert_eq!(others, 0);
        let (first, last) = (records[&author].first(), records[&author].last());
        assert!(
            records[&author] == expected,
            "{topic}: {} records, {first:?} to {last:?}",
            records[&author].len()
        );
    }
    let topics = within("a list", SOON, late.mesh.topics()).await;
    assert_eq!(topics.len(), 2);
    for topic in topics {
        assert!(topic.kept, "{topic:?}");
        let [publisher] = &topic.publishers[..] else {
            panic!("{topic:?}");
        };
        assert_eq!((publisher.publisher, publisher.next_sequence), (author, RECORDS as u64));
    }
}
