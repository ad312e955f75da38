//! A publisher with a data directory that is killed in mid-stream and started again, over and over: its subscribers end with
//! every acknowledged record exactly once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use maille_tests::processes::{LOOPBACK, SOON, User};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::cast::{Helper, LONG, WAIT_TIMEOUT, numbered, subscriber};

const ADDRESS: &str = "kills.example/x";
/// How often it is killed: 3 times in every run of the tests, 20 and more by command.
const KILLS: usize = 3;
const KILLS_VARIABLE: &str = "MAILLE_KILLS";
const SEED_VARIABLE: &str = "MAILLE_SEED";
/// Records of a life; it dies before all of them are acknowledged.
const RECORDS: usize = 2_000;
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn a_publisher_killed_in_mid_stream_loses_nothing_that_was_acknowledged() {
    let kills = variable(KILLS_VARIABLE).unwrap_or(KILLS);
    let seed = variable(SEED_VARIABLE).unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("{kills} kills; {SEED_VARIABLE}={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let helper = Helper::start();
    let subscribers: [_; 2] = std::array::from_fn(|_| subscriber(ADDRESS, &helper, &[]));
    let writer = User::new();
    let publisher = || {
        let publisher = writer.maille(["pub", ADDRESS, "--receipts", "--data-dir", "data"]);
        let publisher = publisher.args(WAIT_TIMEOUT).args(LOOPBACK).args(helper.bootstrap());
        publisher.start()
    };
    // Records of each life are acknowledged in order: the first so many.
    let mut acknowledged: Vec<String> = Vec::new();
    for life in 0..kills {
        let first = life * RECORDS;
        let running = publisher();
        running.write(numbered(first..first + RECORDS));
        running.stdout_count(rng.random_range(1..RECORDS / 2), LONG);
        let told = running.kill_and_read();
        assert!(told.len() < RECORDS, "it died in mid-stream, not after {}", told.len());
        acknowledged.extend((first..first + told.len()).map(|number| format!("record {number}")));
    }
    let mut last = publisher();
    let first = kills * RECORDS;
    last.write(numbered(first..first + RECORDS));
    last.close_input();
    let ended = last.wait(LONG).expect(0);
    assert_eq!(ended.stdout.len(), RECORDS, "{ended}");
    acknowledged.extend((first..first + RECORDS).map(|number| format!("record {number}")));

    for (who, (_, running)) in subscribers.iter().enumerate() {
        let deadline = Instant::now() + LONG;
        let (missing, twice) = loop {
            let lines = running.stdout_lines();
            let mut count: HashMap<&str, usize> = HashMap::with_capacity(lines.len());
            lines
                .iter()
                .for_each(|line| *count.entry(line.as_str()).or_default() += 1);
            let missing = acknowledged
                .iter()
                .filter(|record| !count.contains_key(record.as_str()))
                .count();
            let twice = count.values().filter(|times| **times > 1).count();
            if missing == 0 || Instant::now() > deadline {
                break (missing, twice);
            }
            std::thread::sleep(LOOK_INTERVAL);
        };
        eprintln!(
            "subscriber {who}: {} acknowledged, {missing} missing, {twice} twice",
            acknowledged.len()
        );
        assert_eq!((missing, twice), (0, 0), "subscriber {who}, {SEED_VARIABLE}={seed}");
        assert!(!running.has_said("gap: "), "nothing is given up");
    }
    for (_, running) in subscribers {
        running.signal("INT");
        let _ = running.wait(SOON).expect(130);
    }
}
