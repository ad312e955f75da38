//! The past of a topic between processes: late joiners, members that hold it when its publisher is dead, positions that are
//! kept from run to run.

use std::time::Duration;

use maille_tests::processes::{Ended, LOOPBACK, PATIENCE, Running, SOON, User};
use maille_tests::ticks;

use crate::cast::{Helper, LONG, WAIT_TIMEOUT, numbered, numbers, subscriber};

const ADDRESS: &str = "history.example/coins";
/// The symbols whose daily prices are the past here.
const SYMBOLS: [&str; 2] = ["AAPL", "IBM"];
/// So many recorded ticks are, instead: all 98,371 of them by command.
const TICKS_VARIABLE: &str = "MAILLE_HISTORY_TICKS";
/// What the project promises a late joiner.
const LATEST_WITHIN: Duration = Duration::from_secs(2);
/// For many ticks between unoptimised programs on a busy machine.
pub(crate) const TRAVEL: Duration = Duration::from_secs(300);

/// Real prices of two symbols, one a line, the symbol second.
pub(crate) fn prices() -> Vec<String> {
    if let Ok(count) = std::env::var(TICKS_VARIABLE) {
        return ticks::lines(count.parse().unwrap()).expect("a file of recorded ticks, if so many are wanted");
    }
    let days = std::fs::read_to_string(ticks::daily_file()).unwrap();
    let wanted = |line: &&str| SYMBOLS.contains(&line.split(',').nth(1).unwrap_or_default());
    let lines: Vec<String> = days.lines().filter(wanted).map(str::to_owned).collect();
    assert!(lines.len() > 4_000, "{}", lines.len());
    lines
}

/// A publisher that publishes these lines under their second field, to one subscriber at least.
fn publisher(helper: &Helper, lines: &[String]) -> (User, Running) {
    let user = User::new();
    let running = user
        .maille(["pub", ADDRESS, "--key-field", "2"])
        .args(WAIT_TIMEOUT)
        .args(LOOPBACK)
        .args(helper.bootstrap())
        .start();
    running.write(ticks::input(lines));
    (user, running)
}

/// Somebody new who reads the past and ends.
fn read(helper: &Helper, options: &[&str]) -> Ended {
    let user = User::new();
    let reader = user.maille(["sub", ADDRESS, "--no-follow"]).args(LOOPBACK);
    reader.args(helper.bootstrap()).args(options).run(TRAVEL)
}

pub(crate) fn assert_all(got: &[String], expected: &[String]) {
    let odd = got.iter().zip(expected).position(|(got, expected)| got != expected);
    assert_eq!((got.len(), odd), (expected.len(), None), "complete and in order");
}

/// The last line of each symbol.
fn newest(lines: &[String]) -> Vec<String> {
    let symbol = |line: &String| line.split(',').nth(1).unwrap().to_owned();
    let is_last = |(at, line): &(usize, &String)| !lines[at + 1..].iter().any(|later| symbol(later) == symbol(line));
    let last = lines.iter().enumerate().filter(is_last);
    last.map(|(_, line)| line.clone()).collect()
}

#[test]
fn a_late_joiner_has_the_latest_of_two_symbols_though_the_publisher_is_dead() {
    let lines = prices();
    let mut expected = newest(&lines);
    expected.sort_unstable();
    assert_eq!(expected.len(), 2);
    let helper = Helper::start();
    let (_holder, holding) = subscriber(ADDRESS, &helper, &[]);
    let (_user, publisher) = publisher(&helper, &lines);
    holding.stdout_count(lines.len(), TRAVEL);
    publisher.kill();
    let user = User::new();
    let joiner = user.maille(["sub", ADDRESS, "--latest"]).args(LOOPBACK);
    let joiner = joiner.args(helper.bootstrap()).start();
    joiner.stdout_count(2, SOON);
    let took = joiner.age();
    eprintln!("a late joiner had the latest of two symbols after {took:?}");
    assert!(took < LATEST_WITHIN * PATIENCE, "{took:?}");
    let mut latest = joiner.stdout_lines();
    latest.sort_unstable();
    assert_eq!(latest, expected);
    // It goes on with what follows, and with nothing in between.
    joiner.signal("INT");
    assert_eq!(joiner.wait(SOON).expect(130).stdout.len(), 2);
    assert_eq!(
        read(&helper, &["--last", "3"]).expect(0).text(),
        lines[lines.len() - 3..]
    );
}

#[test]
fn all_of_the_past_comes_byte_for_byte_from_an_ordinary_member() {
    let lines = prices();
    let helper = Helper::start();
    let (_holder, holding) = subscriber(ADDRESS, &helper, &[]);
    let (_user, publisher) = publisher(&helper, &lines);
    holding.stdout_count(lines.len(), TRAVEL);
    publisher.kill();
    let ended = read(&helper, &["--all"]).expect(0);
    eprintln!("{} real prices of the past in {:?}", lines.len(), ended.took);
    assert_all(&ended.text(), &lines);
    assert_eq!(ended.last_word(), ended.stderr[0], "only that it is subscribed");
}

#[test]
fn nobody_to_ask_ends_with_code_4() {
    let user = User::new();
    let alone = |options: &[&str]| {
        let sub = user.maille(["sub", ADDRESS]).args(LOOPBACK).args(options);
        sub.run(SOON)
    };
    let ended = alone(&["--all", "--no-follow"]).expect(4);
    assert!(ended.stdout.is_empty(), "{ended}");
    let ended = ended.says(&["no member of history.example was there to ask", "`maille keep`"]);
    eprintln!("alone, and sure of it after {:?}", ended.took);
    let ended = alone(&["--latest", "--no-follow", "--json"]).expect(4);
    let events: Vec<_> = ended
        .text()
        .iter()
        .map(|line| line.split('"').nth(3).unwrap().to_owned())
        .collect();
    assert_eq!(events, ["unanswered", "caught_up"], "{ended}");
    // Whatever makes no sense is told before anything begins.
    for (options, words) in [
        (&["--no-follow"][..], "say where to begin"),
        (&["--all", "--latest"], "cannot be used with"),
        (&["--durable", "x"], "--data-dir"),
        (&["--durable", "../x", "--data-dir", "d"], "a name is"),
        (&["--after", "here"], "cursor 1 of the position"),
        (&["--since", "soon"], "a duration looks like"),
    ] {
        let _ = alone(options).expect(2).says(&[words]);
    }
}

#[test]
fn a_durable_reader_has_every_record_once_over_three_runs() {
    let helper = Helper::start();
    let (_holder, holding) = subscriber(ADDRESS, &helper, &[]);
    let writer = User::new();
    let publish = |records: std::ops::Range<usize>| {
        // One publisher, so that all of it has an order.
        let publisher = writer.maille(["pub", ADDRESS, "--data-dir", "data"]).args(WAIT_TIMEOUT);
        let publisher = publisher.args(LOOPBACK).args(helper.bootstrap());
        let _ = publisher.input(numbered(records.clone())).run(LONG).expect(0);
        holding.stdout_count(records.end, LONG);
    };
    let reader = User::new();
    let read = |options: &[&str]| {
        let sub = reader.maille(["sub", ADDRESS, "--durable", "archive", "--data-dir", "data"]);
        sub.args(LOOPBACK).args(helper.bootstrap()).args(options)
    };
    publish(0..300);
    // Ends in the middle of the past.
    let first = read(&["--all", "--count", "100"]).run(LONG).expect(0);
    assert_all(&first.text(), &numbers(0..100));
    publish(300..400);
    // Reads on, goes live, and is interrupted.
    let second = read(&["--all"]).start();
    second.stdout_count(300, LONG);
    publish(400..500);
    second.stdout_count(400, LONG);
    second.signal("INT");
    assert_all(&second.wait(SOON).expect(130).text(), &numbers(100..500));
    publish(500..600);
    let third = read(&["--no-follow"]).run(LONG).expect(0);
    assert_all(&third.text(), &numbers(500..600));
    assert_eq!(read(&["--no-follow"]).run(LONG).expect(0).stdout.len(), 0);
    // Another name begins anew; a damaged position is not guessed at.
    let other = reader.maille([
        "sub",
        ADDRESS,
        "--no-follow",
        "--all",
        "--durable",
        "b",
        "--data-dir",
        "data",
    ]);
    let other = other.args(LOOPBACK).args(helper.bootstrap()).run(LONG).expect(0);
    assert_all(&other.text(), &numbers(0..600));
    let file = reader.path("data/positions/history.example/coins/archive@position");
    std::fs::write(file, "maille 1 position\n").unwrap();
    let _ = read(&["--no-follow"])
        .run(LONG)
        .expect(1)
        .says(&["is damaged: remove it"]);
}

#[test]
fn a_durable_reader_that_begins_now_is_given_nothing_from_before() {
    let helper = Helper::start();
    let (_holder, holding) = subscriber(ADDRESS, &helper, &[]);
    let publish = |records: std::ops::Range<usize>| {
        let writer = User::new();
        let publisher = writer.maille(["pub", ADDRESS]).args(WAIT_TIMEOUT).args(LOOPBACK);
        let publisher = publisher.args(helper.bootstrap()).input(numbered(records.clone()));
        let _ = publisher.run(LONG).expect(0);
        holding.stdout_count(records.end, LONG);
    };
    let reader = User::new();
    let read = |options: &[&str]| {
        let sub = reader.maille(["sub", ADDRESS, "--durable", "x", "--data-dir", "data"]);
        sub.args(LOOPBACK).args(helper.bootstrap()).args(options)
    };
    publish(0..10);
    let first = read(&[]).start();
    first.stderr_line("subscribed to ", SOON);
    first.signal("INT");
    assert_eq!(first.wait(SOON).expect(130).stdout.len(), 0);
    publish(10..20);
    // Nothing was printed yet, and nothing of what came since is lost.
    assert_all(&read(&["--no-follow"]).run(LONG).expect(0).text(), &numbers(10..20));
    publish(20..30);
    let third = read(&["--no-follow"]).run(LONG).expect(0);
    assert_all(&third.text(), &numbers(20..30));
    let _ = third.says(&["passed over 10 records from before this position began"]);
}
