//! Keepers between processes: what they hold survives a kill, and everybody who kept none of it. And the list of topics.

use maille_tests::processes::{LOOPBACK, Running, SOON, User};
use maille_tests::ticks;
use serde_json::Value;

use crate::cast::{Helper, LONG, WAIT_TIMEOUT};
use crate::history::{TICKS, assert_all};

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
fn publish(helper: &Helper, address: &str, lines: &[String]) {
    let user = User::new();
    let publisher = user.maille(["pub", address, "--key-field", "2"]).args(WAIT_TIMEOUT);
    let publisher = publisher.args(LOOPBACK).args(helper.bootstrap());
    let published = publisher.input(ticks::input(lines)).run(LONG).expect(0);
    let last = format!("published {} records to 1 neighbour", lines.len());
    assert_eq!(published.last_word(), last, "{published}");
}

#[test]
fn a_keeper_that_was_killed_gives_all_of_it_byte_for_byte() {
    let Some(lines) = ticks::lines(TICKS) else { return };
    let helper = Helper::start();
    let user = User::new();
    let keeper = keep(&user, &helper, &[]);
    publish(&helper, ADDRESS, &lines);
    assert_eq!(keeper.stdout_line("maille://", SOON), ADDRESS);
    // Nobody but the keeper has it any more, and what it acknowledged it may lose no more.
    wait_until_stored(&helper);
    keeper.kill();
    let keeper = keep(&user, &helper, &["--json"]);
    keeper.stdout_line(
        "{\"event\":\"keeping\",\"mesh\":\"kept.example\",\"topic\":\"coins\"}",
        SOON,
    );
    let reader = User::new();
    let read = reader.maille(["sub", ADDRESS, "--all", "--no-follow"]).args(LOOPBACK);
    let ended = read.args(helper.bootstrap()).run(LONG).expect(0);
    eprintln!("{TICKS} ticks from a keeper in {:?}", ended.took);
    assert_all(&ended.text(), &lines);
    keeper.signal("INT");
    let _ = keeper.wait(SOON).expect(130);
    let keeper = keep(&user, &helper, &[]);
    keeper.signal("TERM");
    let _ = keeper.wait(SOON).expect(0);
}

/// Until the list of topics says that a keeper holds all of it.
fn wait_until_stored(helper: &Helper) {
    let topics = list(helper);
    assert_eq!(topics.len(), 1, "{topics:?}");
    let publisher = &topics[0]["publishers"][0];
    assert_eq!(
        (&topics[0]["topic"], &topics[0]["kept"], &publisher["sequence"]),
        (&"coins".into(), &true.into(), &(TICKS - 1).into()),
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
    publish(&helper, ADDRESS, &lines);
    publish(&helper, "kept.example/other", &lines);
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
