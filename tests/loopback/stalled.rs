//! T18: a subscriber's reader that does not read for long. Nobody else notices, its memory stays flat, and then it hears what it
//! missed.

use std::time::{Duration, Instant};

use maille_tests::processes::{LOOPBACK, SOON, User};
use serde_json::Value;

use crate::cast::{Helper, LONG, WAIT_TIMEOUT, subscriber};

const ADDRESS: &str = "stalled.example/x";
/// How long it does not read: a minute by command, less in every run of the tests.
const STALL_VARIABLE: &str = "MAILLE_STALL";
const STALL: u64 = 20;
/// While everybody reads.
const BEFORE: Duration = Duration::from_secs(5);
/// So fast that the inbox of a subscriber, 64 MiB, and the memory of each node, as much, are full in 10 s.
const INTERVAL: Duration = Duration::from_millis(5);
const RECORD_BYTES: usize = 32 * 1_024;
const FULL_AFTER: Duration = Duration::from_secs(12);
/// What may come and go in a process whose queues are full.
const FLAT_BYTES: u64 = 16 * 1_024 * 1_024;

/// How long each record took, from the publisher's clock to this machine's other process, in milliseconds.
fn latencies(records: &[Value]) -> Vec<i64> {
    const DAY: i64 = 86_400_000;
    let took = |record: &Value| {
        let took = time_of_day(&record["received_at"]) - time_of_day(&record["sent_at"]);
        // Over midnight.
        if took < -DAY / 2 { took + DAY } else { took }
    };
    let mut took: Vec<i64> = records.iter().map(took).collect();
    took.sort_unstable();
    took
}

/// Milliseconds since midnight of a time as RFC 3339 writes it.
fn time_of_day(time: &Value) -> i64 {
    let (_, time) = time.as_str().unwrap().split_once('T').unwrap();
    let parts = time.trim_end_matches('Z').split([':', '.']);
    let [hours, minutes, seconds, ms] = parts.map(|part| part.parse().unwrap()).collect::<Vec<i64>>()[..] else {
        panic!("{time}");
    };
    ((hours * 60 + minutes) * 60 + seconds) * 1_000 + ms
}

fn p99(latencies: &[i64]) -> i64 {
    latencies[(latencies.len() - 1) * 99 / 100]
}

#[test]
fn t18_who_does_not_read_slows_nobody_and_stays_small() {
    let stall = std::env::var(STALL_VARIABLE).map_or(STALL, |seconds| seconds.parse().unwrap());
    let stall = Duration::from_secs(stall);
    let helper = Helper::start();
    let (_reader, reading) = subscriber(ADDRESS, &helper, &["--json"]);
    let (_sleeper, stalled) = subscriber(ADDRESS, &helper, &["--json"]);
    let writer = User::new();
    let publisher = writer.maille(["pub", ADDRESS, "--wait-for", "2"]);
    let publisher = publisher.args(WAIT_TIMEOUT).args(LOOPBACK);
    let mut publisher = publisher.args(helper.bootstrap()).start();
    publisher.stderr_line("publishing ", SOON);

    let (began, padding) = (Instant::now(), ".".repeat(RECORD_BYTES));
    let (mut published, mut is_stalled, mut first, mut memory) = (0_usize, false, 0, vec![]);
    while began.elapsed() < BEFORE + stall {
        publisher.write(format!("{published} {padding}\n"));
        published += 1;
        if !is_stalled && began.elapsed() > BEFORE {
            (is_stalled, first) = (true, published);
            stalled.pause_reading(true);
        }
        if began.elapsed() > BEFORE + FULL_AFTER && published % 100 == 0 {
            memory.push(stalled.memory());
        }
        std::thread::sleep(INTERVAL.saturating_sub(began.elapsed().saturating_sub(INTERVAL * published as u32)));
    }
    publisher.close_input();
    let _ = publisher.wait(LONG).expect(0);
    reading.stdout_count(published, LONG);
    let parse = |line: &String| serde_json::from_str::<Value>(line).unwrap();
    let heard: Vec<Value> = reading.stdout_lines().iter().map(parse).collect();
    assert_eq!(heard.len(), published, "nothing but records");
    for (number, record) in heard.iter().enumerate() {
        assert_eq!(record["sequence"], number, "complete and in order");
    }
    let (before, meanwhile) = (p99(&latencies(&heard[..first])), p99(&latencies(&heard[first..])));
    let (least, most) = (memory.iter().min().unwrap(), memory.iter().max().unwrap());
    eprintln!(
        "{published} records of {RECORD_BYTES} bytes; p99 beside a reader {before} ms, beside one that is stalled for {stall:?} \
         {meanwhile} ms; its process {} to {} MiB",
        least >> 20,
        most >> 20
    );
    assert!(most - least <= FLAT_BYTES, "{memory:?}");

    stalled.pause_reading(false);
    // It hears what it missed, and goes on with what is new.
    let (mut next, mut missed) = (0, 0);
    stalled.stdout_line("{\"event\":\"lagged\"", LONG);
    for event in stalled.stdout_lines().iter().map(parse) {
        match event["event"].as_str().unwrap() {
            "record" => {
                assert_eq!(event["sequence"], next);
                next += 1;
            }
            "lagged" => {
                missed += event["missed"].as_u64().unwrap();
                next += event["missed"].as_u64().unwrap();
            }
            other => panic!("{other}"),
        }
    }
    assert!(missed > 0);
    assert_eq!(next, published as u64, "what it did not hear it was told of");
}
