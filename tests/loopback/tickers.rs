//! The ticker: its demo, and publish and watch between separate processes with real market data.

use std::collections::BTreeSet;

use maille_tests::processes::{Ended, LOOPBACK, SOON, User};
use maille_tests::ticks;
use serde_json::Value;

use crate::cast::{Helper, LONG, WAIT_TIMEOUT};

const ADDRESS: &str = "ticker.example/equities/us";
/// Rows of the daily file that are replayed: each is three ticks.
const DAYS: usize = 500;
const TICKS: usize = 2_000;

#[test]
fn the_demo_loses_nothing_and_its_stranger_gets_nothing() {
    let user = User::new();
    let demo = user
        .ticker(["--json", "--speed", "max", "--ticks", "3000"])
        .no_password()
        .run(LONG)
        .expect(0);
    let summary = json_of(demo.text().last().unwrap());
    assert_eq!(
        (&summary["published"], &summary["stranger_delivered"]),
        (&3_000.into(), &0.into()),
        "{summary}"
    );
    let subscribers = summary["subscribers"].as_array().unwrap();
    assert_eq!(subscribers.len(), 3);
    for subscriber in subscribers {
        assert_eq!(
            (&subscriber["delivered"], &subscriber["lost"]),
            (&3_000.into(), &0.into()),
            "{summary}"
        );
        let (p50, p99) = (
            subscriber["p50_ms"].as_f64().unwrap(),
            subscriber["p99_ms"].as_f64().unwrap(),
        );
        assert!(0.0 <= p50 && p50 <= p99, "{summary}");
    }
    assert!(summary["upload_bytes_per_tick"].as_f64().unwrap() > 1.0, "{summary}");
    eprintln!("demo of 3,000 ticks in {:?}: {summary}", demo.took);
}

/// Publishes a file to two watchers, and gives what they and the publisher said.
fn between_processes(file: &str, ticks: usize, options: &[&str]) -> (Ended, [Vec<Value>; 2]) {
    let helper = Helper::start();
    let users: [User; 3] = std::array::from_fn(|_| User::new());
    let watchers: [_; 2] = std::array::from_fn(|who| {
        let watch = users[who].ticker(["watch", ADDRESS, "--json", "--timeout", "150s", "--from", "now"]);
        watch.args(LOOPBACK).args(helper.bootstrap()).start()
    });
    let publish = users[2].ticker(["publish", ADDRESS, "--speed", "max", "--wait-for", "2", "--file", file]);
    let publish = publish
        .args(LOOPBACK)
        .args(helper.bootstrap())
        .args(WAIT_TIMEOUT)
        .args(options);
    let published = publish.run(LONG).expect(0);
    let watched = watchers.map(|watcher| {
        // They stay to the end: the last word counts who acknowledged everything, not who left just before.
        watcher.stdout_count(ticks, LONG);
        watcher.signal("INT");
        let ended = watcher.wait(SOON).expect(130);
        let records: Vec<Value> = ended.text().iter().map(|line| json_of(line)).collect();
        assert!(records.iter().all(|record| record["event"] == "record"), "{ended}");
        assert_eq!(records.len(), ticks);
        records
    });
    let plural = if ticks == 1 { "" } else { "s" };
    let last = format!("published {ticks} record{plural} to 2 neighbours");
    assert_eq!(published.last_word(), last, "{published}");
    (published, watched)
}

#[test]
fn the_daily_file_goes_from_process_to_process() {
    let user = User::new();
    let all = std::fs::read_to_string(ticks::daily_file()).unwrap();
    let rows: Vec<&str> = all.lines().take(DAYS + 1).collect();
    let file = user.file("stocks.csv", rows.join("\n"));
    let (published, watched) = between_processes(&file, DAYS * 3, &[]);
    assert_eq!(
        watched[0].iter().map(payload).collect::<Vec<_>>(),
        watched[1].iter().map(payload).collect::<Vec<_>>()
    );
    // Each row's open, low or high, and close, to the digit; and days in their order.
    let part = |record: &Value, name: &str| record["payload"][name].as_str().unwrap().to_owned();
    let times: Vec<String> = watched[0].iter().map(|record| part(record, "time")).collect();
    assert!(times.is_sorted(), "days are in order");
    let told = |record: &Value| ["time", "symbol", "kind", "price"].map(|name| part(record, name));
    let told: BTreeSet<[String; 4]> = watched[0].iter().map(told).collect();
    assert_eq!(told.len(), DAYS * 3);
    for row in &rows[1..] {
        let fields: Vec<&str> = row.split(',').collect();
        let has = |kind: &str, price: &str| told.contains(&[fields[0], fields[1], kind, price].map(ToOwned::to_owned));
        assert!(has("open", fields[2]) && has("close", fields[5]), "{row}");
        assert!(has("high", fields[3]) != has("low", fields[4]), "{row}");
    }
    eprintln!("{} daily ticks between processes: {:?}", DAYS * 3, published.took);
}

#[test]
fn recorded_quotes_and_trades_go_from_process_to_process_gzipped_or_plain() {
    let Some(lines) = ticks::lines(TICKS) else { return };
    let user = User::new();
    let text = format!(
        "ts_ns,symbol,kind,bid,bid_size,ask,ask_size,price,size\n{}\n",
        lines.join("\n")
    );
    let plain = user.file("ticks.csv", &text);
    let mut gzipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzipped, text.as_bytes()).unwrap();
    let gzipped = user.file("ticks", gzipped.finish().unwrap());
    for file in [plain, gzipped] {
        let (_, watched) = between_processes(&file, TICKS, &[]);
        for records in watched {
            for (record, line) in records.iter().zip(&lines) {
                let fields: Vec<&str> = line.split(',').collect();
                let payload = &record["payload"];
                assert_eq!(payload["symbol"], fields[1], "{line}");
                let (name, text) = if fields[2] == "trade" {
                    ("price", fields[7])
                } else {
                    ("bid", fields[3])
                };
                assert_eq!(payload[name], text, "{line}: {payload}");
            }
        }
    }
}

#[test]
fn a_bad_row_stops_with_its_place_and_can_be_skipped() {
    let user = User::new();
    let text = "date,symbol,open,high,low,close,volume\n2013-03-01,AAPL,438,438.18,430.06,430.47,20000\n\
                2013-03-04,AAPL,427,428,419,420,20000\n2013-03-05,IBM,200,x,197,202,30000\n2013-03-06,MSFT,27,28,26,27.5,1\n";
    let file = user.file("stocks.csv", text);
    let publish = ["publish", ADDRESS, "--file", &file, "--speed", "max", "--wait-for", "0"];
    let stopped = user
        .ticker(publish)
        .args(LOOPBACK)
        .run(SOON)
        .expect(5)
        .says(&[&format!("{file}:4: high is not a number")]);
    // Whole days before it: the second one may have had more rows.
    assert!(
        stopped
            .stderr
            .iter()
            .any(|line| line == "published 3 records to 0 neighbours"),
        "{stopped}"
    );
    let went_on = user
        .ticker(publish)
        .args(LOOPBACK)
        .args(["--skip-bad"])
        .run(SOON)
        .expect(0);
    let went_on = went_on.says(&["skipped 1 bad row"]);
    assert_eq!(went_on.last_word(), "published 9 records to 0 neighbours", "{went_on}");
    let missing = user
        .ticker(["publish", ADDRESS, "--file", "missing.csv"])
        .args(LOOPBACK);
    let _ = missing.run(SOON).expect(5).says(&["missing.csv", "No such file"]);
}

#[test]
fn other_columns_and_json_lines_can_be_named() {
    let user = User::new();
    let csv = user.file(
        "scores.csv",
        "when,team,points\n2024-08-09T10:00:00Z,A,1\n2024-08-09T10:00:01Z,B,2.50\n",
    );
    let names = ["--time", "when", "--key", "team", "--value", "points"];
    let (_, watched) = between_processes(&csv, 2, &names);
    assert_eq!(
        watched[0]
            .iter()
            .map(|record| record["key"].as_str().unwrap())
            .collect::<Vec<_>>(),
        ["A", "B"]
    );
    assert_eq!(watched[0][1]["payload"]["price"], "2.50");
    let json = user.file(
        "oslo.jsonl",
        "{\"when\":1723161600,\"station\":\"Oslo\",\"main\":{\"temp\":21.5}}\n",
    );
    let names = ["--time", "when", "--key", "station", "--value", "/main/temp"];
    let (_, watched) = between_processes(&json, 1, &names);
    assert_eq!(
        (&watched[0][0]["key"], &watched[0][0]["payload"]["price"]),
        (&"Oslo".into(), &"21.5".into())
    );
}

#[test]
fn a_second_author_for_a_symbol_is_shown_and_warned_about() {
    let user = User::new();
    let file = user.file("one.csv", "time,team,points\n1,A,1\n");
    let watcher = user.ticker(["watch", ADDRESS, "--count", "2"]).args(LOOPBACK).start();
    for _ in 0..2 {
        let publish = [
            "publish", ADDRESS, "--file", &file, "--time", "time", "--key", "team", "--value", "points",
        ];
        let _ = user
            .ticker(publish)
            .args(LOOPBACK)
            .args(WAIT_TIMEOUT)
            .run(LONG)
            .expect(0);
    }
    let ended = watcher.wait(LONG).expect(0);
    assert_eq!(ended.stdout.len(), 2, "{ended}");
    assert!(
        ended
            .stderr
            .iter()
            .any(|line| line.contains("author") && line.contains('A')),
        "{ended}"
    );
}

fn payload(record: &Value) -> &Value {
    &record["payload"]
}

fn json_of(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}
