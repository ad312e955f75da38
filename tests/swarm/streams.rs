//! What a stream promises: every record, in order, once; from where a subscriber began; said by whom, brought by whom.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use maille::{Event, Node, PeerId, PublishError, Received};
use maille_tests::nodes::{
    HEARTBEAT, Member, Over, SOON, arrived, builder, credential, helper, join, member, met, next, records, until,
    whether, within,
};

const MESH: &str = "market.example";
const PASSWORD: &str = "sulfur-unpaved-cosmic-jogging";

async fn mesh_of(size: usize) -> Vec<Member> {
    let helper = helper(Over::Memory).await;
    let mut members = Vec::new();
    for _ in 0..size {
        members.push(member(Over::Memory, &[&helper], MESH, &credential(MESH, PASSWORD)).await);
    }
    met(&members, size - 1, SOON).await;
    members
}

/// Each publisher's records are the numbers from `first` on, without a gap and with sequence numbers to match.
fn complete_from(first: u64, heard: &[&Received<String>]) {
    for (number, record) in (first..).zip(heard) {
        assert_eq!(
            (record.value.as_str(), record.cursor.sequence),
            (number.to_string().as_str(), number)
        );
    }
}

fn by_author(heard: &[Received<String>]) -> BTreeMap<PeerId, Vec<&Received<String>>> {
    let mut streams: BTreeMap<PeerId, Vec<&Received<String>>> = BTreeMap::new();
    for record in heard {
        streams.entry(record.author).or_default().push(record);
    }
    streams
}

/// Four publish at once, 10,000 records together; three of the four and two others subscribe.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_records_of_several_publishers_arrive_complete_and_in_order() {
    const PUBLISHERS: usize = 4;
    const EACH: u64 = 2_500;
    let members = mesh_of(6).await;
    let mut subscribers = Vec::new();
    for member in &members[1..] {
        subscribers.push(member.text("feed").subscribe().start().await.unwrap());
    }
    let started = Instant::now();
    let publishing = members[..PUBLISHERS].iter().map(|member| async {
        let publisher = member.text("feed").publisher().await.unwrap();
        within("subscribers", SOON, publisher.ready(4)).await.unwrap();
        for n in 0..EACH {
            publisher.publish(&n.to_string()).await.unwrap();
        }
        publisher.flush().await.unwrap()
    });
    let reading = subscribers.iter_mut().map(|subscriber| async {
        let heard = records(subscriber, PUBLISHERS * EACH as usize, 4 * SOON).await;
        let streams = by_author(&heard);
        assert_eq!(streams.len(), PUBLISHERS);
        for stream in streams.values() {
            assert_eq!(stream.len() as u64, EACH);
            complete_from(0, stream);
        }
        assert!(arrived(subscriber).is_empty(), "each record once");
    });
    let (flushed, _) = tokio::join!(
        futures::future::join_all(publishing),
        futures::future::join_all(reading)
    );
    let took = started.elapsed();
    // The first publisher does not subscribe, so it has five neighbours that do; the others have four.
    let neighbours: Vec<usize> = flushed.iter().map(|flushed| flushed.neighbours).collect();
    assert_eq!(neighbours, [5, 4, 4, 4]);
    let total = PUBLISHERS as u64 * EACH;
    eprintln!(
        "{total} records to 5 subscribers in {took:?}: {:.0} records/s",
        total as f64 / took.as_secs_f64()
    );
    let metrics: Vec<_> = members.iter().map(|member| member.node.metrics()).collect();
    assert_eq!(
        metrics
            .iter()
            .map(|metrics| metrics.records_missing + metrics.frames_rejected)
            .sum::<u64>(),
        0
    );
}

/// A subscriber that starts while records flow misses none from its first one on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_starts_in_mid_stream_is_complete_from_there_on() {
    const RECORDS: u64 = 3_000;
    const LATE_AT: u64 = 1_000;
    let helper = helper(Over::Memory).await;
    let right = credential(MESH, PASSWORD);
    let publishing = member(Over::Memory, &[&helper], MESH, &right).await;
    let early = member(Over::Memory, &[&helper], MESH, &right).await;
    // In the mesh from the start, but without a subscriber until mid-stream.
    let waiting = member(Over::Memory, &[&helper], MESH, &right).await;
    met([&publishing, &early, &waiting], 2, SOON).await;
    let mut from_the_start = early.text("feed").subscribe().start().await.unwrap();
    let publisher = publishing.text("feed").publisher().await.unwrap();
    within("a subscriber", SOON, publisher.ready(1)).await.unwrap();

    let (at_late, mut late_at) = tokio::sync::watch::channel(0);
    let (last_may_go, mut may_go) = tokio::sync::watch::channel(false);
    let publish = async {
        for n in 0..RECORDS {
            // The second half waits for the late ones, so that the test does not depend on how fast nodes start.
            if n == RECORDS / 2 {
                may_go.wait_for(|go| *go).await.unwrap();
            }
            publisher.publish(&n.to_string()).await.unwrap();
            at_late.send_replace(n);
        }
        publisher.flush().await.unwrap()
    };
    let join_late = async {
        late_at.wait_for(|n| *n >= LATE_AT).await.unwrap();
        let mut of_member = waiting.text("feed").subscribe().start().await.unwrap();
        let newcomer = member(Over::Memory, &[&helper], MESH, &right).await;
        let mut of_newcomer = newcomer.text("feed").subscribe().start().await.unwrap();
        met([&newcomer], 3, SOON).await;
        until("three are subscribed", SOON, || {
            whether(publisher.subscribed() == 3, || publisher.subscribed())
        })
        .await;
        last_may_go.send_replace(true);
        for (who, subscriber) in [("member", &mut of_member), ("newcomer", &mut of_newcomer)] {
            let first = next(subscriber, SOON).await;
            let left = (RECORDS - 1 - first.cursor.sequence) as usize;
            assert!(left as u64 >= RECORDS / 2 - 1, "{who} began at {}", first.cursor);
            let rest = records(subscriber, left, 2 * SOON).await;
            complete_from(
                first.cursor.sequence,
                &std::iter::once(&first).chain(&rest).collect::<Vec<_>>(),
            );
            assert!(arrived(subscriber).is_empty());
            eprintln!("the {who} began at {} of {RECORDS}", first.cursor.sequence);
        }
    };
    tokio::join!(publish, join_late);
    let all = records(&mut from_the_start, RECORDS as usize, SOON).await;
    complete_from(0, &all.iter().collect::<Vec<_>>());
}

/// Filters by author and by key choose exactly what was asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_choose_by_author_and_by_key() {
    let members = mesh_of(3).await;
    let [first, second] = [members[0].node.id(), members[1].node.id()];
    let topic = members[2].text("feed");
    let mut all = topic.subscribe().start().await.unwrap();
    let mut of_first = topic.subscribe().publishers([first]).start().await.unwrap();
    let mut of_keys = topic.subscribe().keys(["IBM", "FB"]).start().await.unwrap();
    let mut of_both = topic
        .subscribe()
        .publishers([second])
        .keys(["IBM"])
        .start()
        .await
        .unwrap();
    for member in &members[..2] {
        let publisher = member.text("feed").publisher().await.unwrap();
        within("a subscriber", SOON, publisher.ready(1)).await.unwrap();
        for key in ["IBM", "AAPL", "FB"] {
            publisher
                .publish_keyed(key, &format!("{key} of {}", member.node.id()))
                .await
                .unwrap();
        }
        publisher
            .publish(&format!("no key of {}", member.node.id()))
            .await
            .unwrap();
        publisher.flush().await.unwrap();
    }
    assert_eq!(records(&mut all, 8, SOON).await.len(), 8);
    let said = |key: &str, author: PeerId| format!("{key} of {author}");
    let values = |heard: Vec<Received<String>>| heard.into_iter().map(|record| record.value).collect::<BTreeSet<_>>();
    let expected = ["IBM", "AAPL", "FB", "no key"].map(|key| said(key, first));
    assert_eq!(values(records(&mut of_first, 4, SOON).await), expected.into());
    let expected = [
        said("IBM", first),
        said("FB", first),
        said("IBM", second),
        said("FB", second),
    ];
    assert_eq!(values(records(&mut of_keys, 4, SOON).await), expected.into());
    assert_eq!(
        values(records(&mut of_both, 1, SOON).await),
        [said("IBM", second)].into()
    );
    for subscriber in [&mut all, &mut of_first, &mut of_keys, &mut of_both] {
        assert!(arrived(subscriber).is_empty());
    }
}

/// A and C listen nowhere, so they can only meet B: what A says reaches C through B, and C knows who said it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_author_is_told_apart_from_the_neighbour_that_delivered() {
    let right = credential(MESH, PASSWORD);
    let middle = join(builder(Over::Memory).spawn().await.unwrap(), MESH, &right).await;
    let mut ends = Vec::new();
    for _ in 0..2 {
        let node = Node::builder()
            .listen([])
            .mdns(false)
            .run_file(false)
            .heartbeat(HEARTBEAT)
            .bootstrap(middle.node.multiaddrs());
        ends.push(join(node.spawn().await.unwrap(), MESH, &right).await);
    }
    met(ends.iter(), 1, SOON).await;
    met([&middle], 2, SOON).await;
    let mut at_middle = middle.text("feed").subscribe().start().await.unwrap();
    let mut at_end = ends[1].text("feed").subscribe().start().await.unwrap();
    until("the end's subscription is known in the middle", SOON, || {
        let publisher = futures::executor::block_on(middle.text("feed").publisher()).unwrap();
        whether(publisher.subscribed() == 1, || publisher.subscribed())
    })
    .await;
    let publisher = ends[0].text("feed").publisher().await.unwrap();
    within("the middle subscribes", SOON, publisher.ready(1)).await.unwrap();
    for n in 0..200 {
        publisher.publish(&n.to_string()).await.unwrap();
    }
    assert_eq!(publisher.flush().await.unwrap().neighbours, 1);
    let [author, via] = [ends[0].node.id(), middle.node.id()];
    let heard = records(&mut at_end, 200, SOON).await;
    complete_from(0, &heard.iter().collect::<Vec<_>>());
    assert!(
        heard
            .iter()
            .all(|record| (record.author, record.delivered_by) == (author, via))
    );
    let heard = records(&mut at_middle, 200, SOON).await;
    assert!(
        heard
            .iter()
            .all(|record| (record.author, record.delivered_by) == (author, author))
    );
    assert_eq!(
        (ends[0].mesh.neighbours(), ends[1].mesh.neighbours()),
        (vec![via], vec![via])
    );
}

/// A publisher that ends and begins again says so, and counts from 0.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_incarnation_is_told_before_its_first_record() {
    let members = mesh_of(2).await;
    let mut subscriber = members[1].text("feed").subscribe().start().await.unwrap();
    let mut incarnations = Vec::new();
    for run in 0..3 {
        let publisher = members[0].text("feed").publisher().await.unwrap();
        // Asked for while one lives, it is the same stream.
        assert_eq!(
            members[0].text("feed").publisher().await.unwrap().incarnation(),
            publisher.incarnation()
        );
        within("a subscriber", SOON, publisher.ready(1)).await.unwrap();
        if run > 0 {
            publisher.publish(&"0".to_owned()).await.unwrap();
            let event = within("an event", SOON, futures::StreamExt::next(&mut subscriber))
                .await
                .unwrap();
            let Event::Restarted {
                publisher: who,
                incarnation,
            } = event
            else {
                panic!("{event:?} instead of Restarted");
            };
            assert_eq!((who, incarnation), (members[0].node.id(), publisher.incarnation()));
        } else {
            publisher.publish(&"0".to_owned()).await.unwrap();
        }
        publisher.publish(&"1".to_owned()).await.unwrap();
        complete_from(0, &records(&mut subscriber, 2, SOON).await.iter().collect::<Vec<_>>());
        publisher.flush().await.unwrap();
        incarnations.push(publisher.incarnation());
        drop(publisher);
        until("the publisher's end was noticed", SOON, || {
            let next = futures::executor::block_on(members[0].text("feed").publisher())
                .unwrap()
                .incarnation();
            whether(Some(&next) != incarnations.last(), || next)
        })
        .await;
    }
    assert!(incarnations.is_sorted_by(|a, b| a < b), "{incarnations:?}");
}

/// What cannot be sent is refused before anything is sent; what is as large as allowed arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_is_refused_and_takes_no_sequence_number() {
    const RECORD_MAX: usize = 256 * 1024;
    const KEY_MAX: usize = 256;
    let members = mesh_of(2).await;
    let mut subscriber = members[1].text("feed").subscribe().start().await.unwrap();
    let publisher = members[0].text("feed").publisher().await.unwrap();
    within("a subscriber", SOON, publisher.ready(1)).await.unwrap();
    let error = publisher.publish(&"x".repeat(RECORD_MAX + 1)).await.unwrap_err();
    assert!(
        matches!(error, PublishError::RecordTooLarge { bytes, bytes_max } if (bytes, bytes_max) == (RECORD_MAX + 1, RECORD_MAX)),
        "{error:?}"
    );
    let error = publisher
        .publish_keyed("k".repeat(KEY_MAX + 1), &String::new())
        .await
        .unwrap_err();
    assert!(
        matches!(error, PublishError::KeyTooLarge { bytes, bytes_max } if (bytes, bytes_max) == (KEY_MAX + 1, KEY_MAX)),
        "{error:?}"
    );
    let receipt = publisher
        .publish_keyed("k".repeat(KEY_MAX), &"x".repeat(RECORD_MAX))
        .await
        .unwrap();
    assert_eq!(
        (receipt.cursor().sequence, receipt.cursor().publisher),
        (0, members[0].node.id())
    );
    let record = next(&mut subscriber, SOON).await;
    assert_eq!((record.value.len(), record.key.unwrap().len()), (RECORD_MAX, KEY_MAX));
    assert_eq!(&record.cursor, receipt.cursor());
    assert!(arrived(&mut subscriber).is_empty());
}

/// WCF reported success when it had sent to nobody. Without anybody there, publishing works and says that nobody was there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wcf_publishing_to_nobody_is_neither_an_error_nor_silent() {
    let lone = mesh_of(1).await.remove(0);
    let publisher = lone.text("feed").publisher().await.unwrap();
    for n in 0..1_000 {
        publisher.publish(&n.to_string()).await.unwrap();
    }
    let flushed = within("a flush to nobody", SOON, publisher.flush()).await.unwrap();
    assert_eq!((flushed.neighbours, publisher.subscribed()), (0, 0));
    // A member that subscribes to something else is nobody too.
    let other = member(Over::Memory, &[&lone.node], MESH, &credential(MESH, PASSWORD)).await;
    met([&lone, &other], 1, SOON).await;
    let _elsewhere = other.text("other").subscribe().start().await.unwrap();
    publisher.publish(&"still nobody".to_owned()).await.unwrap();
    assert_eq!(publisher.flush().await.unwrap().neighbours, 0);
    // And who comes later is counted only for what was sent since.
    let mut subscriber = other.text("feed").subscribe().start().await.unwrap();
    within("a subscriber", SOON, publisher.ready(1)).await.unwrap();
    assert_eq!(publisher.flush().await.unwrap().neighbours, 0);
    publisher.publish(&"somebody".to_owned()).await.unwrap();
    assert_eq!(publisher.flush().await.unwrap().neighbours, 1);
    let heard = next(&mut subscriber, SOON).await;
    assert_eq!((heard.value.as_str(), heard.cursor.sequence), ("somebody", 1_001));
}
