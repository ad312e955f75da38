//! A subscriber that does not read: it learns what it missed, and nobody else notices.

use std::time::Instant;

use futures::StreamExt;
use maille::{Event, Subscriber};
use maille_tests::nodes::{Over, SOON, arrived, credential, member, met, until, whether, within};

const MESH: &str = "market.example";
/// Events that a subscriber's inbox holds.
const INBOX_EVENTS_MAX: u64 = 65_536;
/// Bytes that it holds.
const INBOX_BYTES_MAX: usize = 64 * 1_024 * 1_024;
/// The largest record.
const RECORD_BYTES_MAX: usize = 256 * 1_024;

/// Reads `count` records that must follow each other from 0 on.
async fn read(subscriber: &mut Subscriber<String>, count: u64) {
    for n in 0..count {
        let record = within("the next record", SOON, subscriber.next_record()).await.unwrap();
        assert_eq!(record.cursor.sequence, n);
    }
}

/// WCF's receive queues had no end. More records than an inbox holds: of the two subscribers of one node, one reads and gets all of them, the other does
/// not, keeps the oldest, and hears how many it missed; then it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wcf_a_receive_queue_has_an_end_and_who_does_not_read_hears_what_it_missed() {
    const OVER: u64 = 464;
    const RECORDS: u64 = INBOX_EVENTS_MAX + OVER;
    let right = credential(MESH, "sulfur-unpaved-cosmic-jogging");
    let lone = member(Over::Memory, &[], MESH, &right).await;
    let mut stalled = lone.text("feed").subscribe().start().await.unwrap();
    let mut reading = lone.text("feed").subscribe().start().await.unwrap();
    let publisher = lone.text("feed").publisher().await.unwrap();
    let started = Instant::now();
    let publish = async {
        for _ in 0..RECORDS {
            publisher.publish(&"x".to_owned()).await.unwrap();
        }
        publisher.flush().await.unwrap();
    };
    tokio::join!(publish, read(&mut reading, RECORDS));
    eprintln!(
        "{RECORDS} records to a reader beside a stalled one in {:?}",
        started.elapsed()
    );
    assert_eq!(lone.node.metrics().records_delivered, RECORDS);
    read(&mut stalled, INBOX_EVENTS_MAX).await;
    let event = within("the notice", SOON, stalled.next()).await.unwrap();
    assert!(matches!(event, Event::Lagged { missed: OVER }), "{event:?}");
    publisher.publish(&"x".to_owned()).await.unwrap();
    let record = within("the next record", SOON, stalled.next_record()).await.unwrap();
    assert_eq!(record.cursor.sequence, RECORDS);
    assert!(arrived(&mut stalled).is_empty());
}

/// The same in bytes, between nodes: one node's only subscriber stalls on large records, and neither the publisher nor the
/// other node waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_subscriber_stalls_slows_nobody() {
    const FIT: u64 = (INBOX_BYTES_MAX / RECORD_BYTES_MAX) as u64;
    const OVER: u64 = 24;
    let right = credential(MESH, "sulfur-unpaved-cosmic-jogging");
    let publishing = member(Over::Memory, &[], MESH, &right).await;
    let mut members = Vec::new();
    for _ in 0..2 {
        members.push(member(Over::Memory, &[&publishing.node], MESH, &right).await);
    }
    met(&members, 2, SOON).await;
    let mut stalled = members[0].text("feed").subscribe().start().await.unwrap();
    let mut reading = members[1].text("feed").subscribe().start().await.unwrap();
    let publisher = publishing.text("feed").publisher().await.unwrap();
    within("two subscribers", SOON, publisher.ready(2)).await.unwrap();
    let large = "x".repeat(RECORD_BYTES_MAX);
    let started = Instant::now();
    let publish = async {
        for _ in 0..FIT + OVER {
            publisher.publish(&large).await.unwrap();
        }
        publisher.flush().await.unwrap()
    };
    let (flushed, ()) = tokio::join!(publish, read(&mut reading, FIT + OVER));
    // The stalled subscriber's node has received, acknowledged and forwarded all the same.
    assert_eq!(flushed.neighbours, 2);
    eprintln!(
        "{} MiB past a stalled subscriber in {:?}",
        (FIT + OVER) / 4,
        started.elapsed()
    );
    until("all is counted", SOON, || {
        let metrics = members[0].node.metrics();
        whether(metrics.records_delivered == FIT + OVER, || Box::new(metrics))
    })
    .await;
    read(&mut stalled, FIT).await;
    let event = within("the notice", SOON, stalled.next()).await.unwrap();
    assert!(matches!(event, Event::Lagged { missed: OVER }), "{event:?}");
    assert!(arrived(&mut stalled).is_empty());
}
