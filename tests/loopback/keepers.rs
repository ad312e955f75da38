//! Keepers between processes: what they hold survives a kill, and everybody who kept none of it. And the list of topics.

use maille_tests::processes::{LOOPBACK, Running, SOON, User};
use maille_tests::ticks;
use serde_json::Value;

use crate::cast::{Helper, LONG, WAIT_TIMEOUT, subscriber};
use crate::history::{TRAVEL, assert_all, prices};

const MESH: &str = "kept.example";
const ADDRESS: &str = "kept.example/coins";

fn keep(user: &User, helper: &Helper, options: &[&str]) -> Running {
    let keeper = user
        .maille(["keep", MESH, "--data-dir", "kept"])
        .args(LOOPBACK)
        .args(helper.bootstrap())
        .args(options)
        .start();
    keeper.stderr_line("keeping kept.example as ", SOON);
    keeper
}

/// Publishes lines on a topic to their end.
fn publish(helper: &Helper, address: &str, lines: &[String], neighbours: usize) {
    let user = User::new();
    let count = neighbours.to_string();
    let publisher = user.maille(["pub", address, "--key-field", "2", "--wait-for", &count]);
    let publisher = publisher.args(WAIT_TIMEOUT).args(LOOPBACK).args(helper.bootstrap());
    let published = publisher.input(ticks::input(lines)).run(TRAVEL).expect(0);
    let s = if lines.len() == 1 { "" } else { "s" };
    let last = format!("published {} record{s} to {neighbours} neighbour", lines.len());
    assert!(published.last_word().starts_with(&last), "{published}");
}

#[test]
fn a_keeper_that_was_killed_gives_all_of_it_byte_for_byte() {
    let lines = prices();
    let helper = Helper::start();
    let user = User::new();
    let keeper = keep(&user, &helper, &[]);
    // Somebody is interested, so that there is such a topic, and leaves again.
    let (_reader, reading) = subscriber(ADDRESS, &helper, &[]);
    assert_eq!(keeper.stdout_line("maille://", LONG), ADDRESS);
    publish(&helper, ADDRESS, &lines, 2);
    reading.kill();
    // Nobody but the keeper has it any more, and what it acknowledged it may lose no more.
    assert_stored(&helper, lines.len());
    keeper.kill();
    let keeper = keep(&user, &helper, &["--json", "--topic", "coins"]);
    keeper.stdout_line(
        "{\"event\":\"keeping\",\"mesh\":\"kept.example\",\"topic\":\"coins\"}",
        SOON,
    );
    let reader = User::new();
    let read = reader.maille(["sub", ADDRESS, "--all", "--no-follow"]).args(LOOPBACK);
    let ended = read.args(helper.bootstrap()).run(TRAVEL).expect(0);
    eprintln!("{} real prices from a keeper in {:?}", lines.len(), ended.took);
    assert_all(&ended.text(), &lines);
    keeper.signal("INT");
    let _ = keeper.wait(SOON).expect(130);
    let keeper = keep(&user, &helper, &[]);
    keeper.signal("TERM");
    let _ = keeper.wait(SOON).expect(0);
}

#[test]
fn a_keeper_of_all_goes_on_with_what_it_kept() {
    let helper = Helper::start();
    let user = User::new();
    let keeper = keep(&user, &helper, &["--topic", "coins"]);
    publish(&helper, ADDRESS, &["a,BTC,1".to_owned()], 1);
    keeper.kill();
    let keeper = keep(&user, &helper, &[]);
    assert_eq!(keeper.stdout_line("maille://", SOON), ADDRESS);
}

#[test]
fn a_keeper_of_all_is_subscriber_enough_for_a_publisher() {
    let helper = Helper::start();
    let user = User::new();
    let keeper = keep(&user, &helper, &[]);
    publish(&helper, ADDRESS, &["a,BTC,1".to_owned()], 1);
    assert_eq!(keeper.stdout_line("maille://", SOON), ADDRESS);
}

/// The list of topics says that a keeper holds all of it.
fn assert_stored(helper: &Helper, records: usize) {
    let topics = list(helper);
    assert_eq!(topics.len(), 1, "{topics:?}");
    let publisher = &topics[0]["publishers"][0];
    assert_eq!(
        (&topics[0]["topic"], &topics[0]["kept"], &publisher["sequence"]),
        (&"coins".into(), &true.into(), &(records - 1).into()),
        "{topics:?}"
    );
}

fn list(helper: &Helper) -> Vec<Value> {
    let user = User::new();
    let topics = user
        .maille(["topics", MESH, "--json"])
        .args(LOOPBACK)
        .args(helper.bootstrap());
    let lines = topics.run(SOON).expect(0).text();
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn topics_are_listed_with_who_publishes_and_whether_they_are_kept() {
    let helper = Helper::start();
    let user = User::new();
    let _keeper = keep(&user, &helper, &["--topic", "coins"]);
    let reader = User::new();
    let other = reader.maille(["sub", "kept.example/other"]).args(LOOPBACK);
    let other = other.args(helper.bootstrap()).start();
    other.stderr_line("subscribed to ", SOON);
    let lines = ["a,BTC,1", "b,ETH,2"].map(str::to_owned);
    publish(&helper, ADDRESS, &lines, 1);
    publish(&helper, "kept.example/other", &lines, 1);
    other.stdout_count(2, LONG);
    let asker = User::new();
    let topics = || asker.maille(["topics", MESH]).args(LOOPBACK).args(helper.bootstrap());
    // Whom it meets first is chance; both tell what they know.
    let deadline = std::time::Instant::now() + LONG;
    let text = loop {
        let text = topics().run(SOON).expect(0).text();
        if text.len() == 2 || std::time::Instant::now() > deadline {
            break text;
        }
    };
    let rows: Vec<Vec<&str>> = text.iter().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows.len(), 2, "{text:#?}");
    assert_eq!(
        (rows[0][0], rows[0][2], rows[0][4]),
        ("coins", "1", "kept"),
        "{text:#?}"
    );
    assert_eq!((rows[1][0], rows[1][2], rows[1][4]), ("other", "1", "-"), "{text:#?}");
    assert!(rows.iter().all(|row| row[1].starts_with("12D3KooW")), "{text:#?}");
    assert_eq!(text[0].find("12D3"), text[1].find("12D3"), "columns are aligned");
    assert!(rows.iter().all(|row| row[3].ends_with('Z')), "{text:#?}");
}

#[test]
fn nobody_there_and_bad_bounds_have_their_codes() {
    let user = User::new();
    let topics = user.maille(["topics", MESH, "--timeout", "1"]).args(LOOPBACK);
    let _ = topics
        .run(SOON)
        .expect(4)
        .says(&["no member of kept.example was met in 1 s"]);
    for (options, words) in [
        (&["keep"][..], "give a MESH"),
        (&["keep", MESH, "--retain", "soon"], "a duration looks like"),
        (&["keep", MESH, "--max-size", "2 apples"], "a size looks like"),
        (&["keep", MESH, "--max-size", "1"], "at least 64MiB"),
        (&["topics"], "give a MESH"),
    ] {
        let _ = user.maille(options).run(SOON).expect(2).says(&[words]);
    }
}
