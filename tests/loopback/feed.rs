//! Ten thousand real ticks from `maille pub` to several `maille sub`, all of which know one bootstrap multiaddr.

use std::time::{Duration, Instant};

use maille_tests::processes::{LOOPBACK, PATIENCE, Running, SOON, User};
use maille_tests::ticks;

use crate::cast::{Helper, LONG, WAIT_TIMEOUT, subscriber};

const ADDRESS: &str = "market.example/coins";
const TICKS: usize = 10_000;
/// What the project promises for a bootstrap node that starts last.
const FOUND_WITHIN: Duration = Duration::from_secs(30);
/// For ten thousand ticks between unoptimised programs on a busy machine.
const TRAVEL: Duration = Duration::from_secs(300);

fn publisher(helper: &Helper) -> (User, Running) {
    let user = User::new();
    let running = user
        .maille(["pub", ADDRESS, "--wait-for", "3", "--key-field", "2"])
        .args(WAIT_TIMEOUT)
        .args(LOOPBACK)
        .args(helper.bootstrap())
        .start();
    running.stderr_line("publishing on ", SOON);
    (user, running)
}

/// Ends a subscriber, and gives all it printed. It has to have been told of nothing missing.
fn end(subscriber: Running) -> Vec<String> {
    subscriber.signal("INT");
    let ended = subscriber.wait(SOON).expect(130);
    let trouble = |line: &&String| line.starts_with("gap") || line.starts_with("lagged") || line.contains("WARN");
    assert_eq!(ended.stderr.iter().find(trouble), None, "{ended}");
    ended.text()
}

fn assert_all(got: &[String], expected: &[String]) {
    let odd = got.iter().zip(expected).position(|(got, expected)| got != expected);
    assert_eq!((got.len(), odd), (expected.len(), None), "complete and in order");
}

#[test]
fn ten_thousand_ticks_reach_three_subscribers_and_all_that_follow_a_fourth() {
    let Some(lines) = ticks::lines(TICKS) else { return };
    let helper = Helper::start();
    let subscribers: Vec<_> = (0..3).map(|_| subscriber(ADDRESS, &helper, &[])).collect();
    let (_user, mut publisher) = publisher(&helper);
    let began = Instant::now();
    let (before, after) = lines.split_at(TICKS * 4 / 10);
    publisher.write(ticks::input(before));
    for (_, subscriber) in &subscribers {
        subscriber.stdout_count(1, LONG);
    }
    // Joins while ticks flow: they go on until it has some.
    let late = subscriber(ADDRESS, &helper, &[]);
    let mut batches = after.chunks(200).peekable();
    while late.1.stdout_lines().is_empty() && batches.len() > 10 {
        let Some(batch) = batches.next() else { break };
        publisher.write(ticks::input(batch));
        let published = TICKS - batches.clone().map(<[String]>::len).sum::<usize>();
        for (_, subscriber) in &subscribers {
            subscriber.stdout_count(published, TRAVEL);
        }
    }
    batches.for_each(|batch| publisher.write(ticks::input(batch)));
    publisher.close_input();

    let published = publisher.wait(TRAVEL).expect(0);
    // The fourth may hear it from another subscriber.
    let last = [
        "published 10000 records to 3 neighbours",
        "published 10000 records to 4 neighbours",
    ];
    assert!(last.contains(&published.last_word()), "{published}");
    for (_, subscriber) in subscribers {
        subscriber.stdout_count(TICKS, TRAVEL);
        assert_all(&end(subscriber), &lines);
    }
    eprintln!("{TICKS} ticks reached three subscribers in {:?}", began.elapsed());
    late.1.stdout_line(&lines[TICKS - 1], SOON);
    let suffix = end(late.1);
    eprintln!("one that joined in mid-stream has the last {} of {TICKS}", suffix.len());
    assert!((2_000..TICKS).contains(&suffix.len()), "{}", suffix.len());
    assert_all(&suffix, &lines[TICKS - suffix.len()..]);
}

#[test]
fn a_bootstrap_node_that_starts_last_is_found_and_nothing_stops_when_it_is_killed() {
    let Some(lines) = ticks::lines(TICKS) else { return };
    let mut helper = Helper::start();
    helper.stop();
    let subscribers: Vec<_> = (0..3).map(|_| subscriber(ADDRESS, &helper, &[])).collect();
    let (_user, mut publisher) = publisher(&helper);
    // All have tried it in vain.
    for running in subscribers.iter().map(|(_, running)| running).chain([&publisher]) {
        running.stderr_line("bootstrap peer ", SOON);
    }
    helper.start_again();
    let began = Instant::now();
    let (before, after) = lines.split_at(1_000);
    publisher.write(ticks::input(before));
    for (_, subscriber) in &subscribers {
        subscriber.stdout_count(1, LONG);
    }
    let found = began.elapsed();
    eprintln!("a bootstrap node that starts last: three subscribers had the first tick after {found:?}");
    assert!(found < FOUND_WITHIN * PATIENCE, "{found:?}");
    for (_, subscriber) in &subscribers {
        subscriber.stdout_count(before.len(), TRAVEL);
    }

    helper.kill();
    publisher.write(ticks::input(after));
    publisher.close_input();
    let published = publisher.wait(TRAVEL).expect(0);
    assert_eq!(
        published.last_word(),
        "published 10000 records to 3 neighbours",
        "{published}"
    );
    for (_, subscriber) in subscribers {
        subscriber.stdout_count(TICKS, TRAVEL);
        assert_all(&end(subscriber), &lines);
    }
}
