//! The program as a person runs it: the demo, publish and watch between processes, and what bad input gives. Needs only
//! loopback.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// A strong password of these tests and one that differs in a letter.
const PASSWORD: &str = "shrine-wobbly-cane-deduct-plural";
const WRONG_PASSWORD: &str = "shrine-wobbly-cane-deduct-rural";
/// How long a line of a running program may take.
const LINE_TIMEOUT: Duration = Duration::from_secs(60);

fn ticker(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ticker"));
    command
        .args(arguments)
        .env("MAILLE_PASSWORD", PASSWORD)
        .stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (
        status.code(),
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    )
}

/// Kills its process when a test fails half-way.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The rest of the first line that begins so.
fn line_after(stream: impl Read + Send + 'static, start: &'static str) -> String {
    let (found, wait) = mpsc::channel();
    std::thread::spawn(move || {
        // Reads on to the end, so that the program never finds its standard error closed.
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if let Some(rest) = line.strip_prefix(start) {
                let _ = found.send(rest.to_owned());
            }
        }
    });
    wait.recv_timeout(LINE_TIMEOUT)
        .unwrap_or_else(|_| panic!("no line {start:?}"))
}

#[test]
fn the_demo_loses_nothing_and_tells_strangers_nothing() {
    let (code, stdout, stderr) = run(&mut ticker(&["--speed", "max", "--ticks", "3000", "--json"]));
    assert_eq!(code, Some(0), "{stderr}");
    let summary: serde_json::Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    assert_eq!(summary["published"], 3_000, "{summary}");
    assert_eq!(summary["stranger_delivered"], 0, "{summary}");
    assert!(summary["upload_bytes_per_tick"].as_f64().unwrap() > 1.0, "{summary}");
    let subscribers = summary["subscribers"].as_array().unwrap();
    assert_eq!(subscribers.len(), 3);
    for subscriber in subscribers {
        assert_eq!(
            (&subscriber["delivered"], &subscriber["lost"]),
            (&3_000.into(), &0.into()),
            "{summary}"
        );
        assert!(
            subscriber["p50_ms"].as_f64().unwrap() <= subscriber["p99_ms"].as_f64().unwrap(),
            "{summary}"
        );
    }
    assert_eq!(stdout.lines().count(), 3_001, "every tick is a line, and the summary");
}

#[test]
fn a_pipe_gets_plain_lines_and_a_summary_in_words() {
    let (code, stdout, stderr) = run(&mut ticker(&["--speed", "max", "--ticks", "15", "--subscribers", "1"]));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.starts_with("2013-03-01 AAPL open 438\n"), "{stdout}");
    assert!(stdout.contains("\n2013-03-01 MSFT close 27.95 ▼ -0.03"), "{stdout}");
    assert!(stdout.contains("published 15 ticks"), "{stdout}");
    assert!(!stdout.contains('\u{1b}'), "no colours in a pipe");
    assert_eq!(stderr, "", "no progress in a pipe");
}

#[test]
fn publish_and_watch_meet_between_processes() {
    let port = free_port();
    let listen = format!("/ip4/127.0.0.1/tcp/{port}");
    let address = "loopback.example/equities/us";
    let publish = [
        "publish",
        address,
        "--no-mdns",
        "--listen",
        &listen,
        "--file",
        "-",
        "--speed",
        "max",
        "--skip-bad",
    ];
    let mut publisher = Running(
        ticker(&publish)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let rows: String = (0..500)
        .map(|number| {
            format!(
                "{},BTCUSDT,trade,,,,,616{number:03}.50,0.00017\n",
                1_723_161_600_000_000_000_i64 + number
            )
        })
        .collect();
    let text = format!("ts_ns,symbol,kind,bid,bid_size,ask,ask_size,price,size\n{rows}no row\n");
    let mut stdin = publisher.0.stdin.take().unwrap();
    std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let id = line_after(publisher.0.stderr.take().unwrap(), "publishing as ");

    let bootstrap = format!("{listen}/p2p/{id}");
    let listen = [
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
        "--no-mdns",
        "--bootstrap",
        &bootstrap,
    ];
    let watch = [
        "watch",
        address,
        "--json",
        "--from",
        "all",
        "--count",
        "500",
        "--timeout",
        "60s",
        "--publisher",
        &id,
    ];
    let (code, stdout, stderr) = run(ticker(&watch).args(listen));
    assert_eq!(code, Some(0), "{stderr}");
    let prices: Vec<String> = stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|record| record["event"] != "caught_up")
        .inspect(|record| {
            assert_eq!(
                (&record["event"], &record["author"]),
                (&"record".into(), &id.as_str().into())
            )
        })
        .map(|record| record["payload"]["price"].as_str().unwrap().to_owned())
        .collect();
    let expected: Vec<String> = (0..500).map(|number| format!("616{number:03}.50")).collect();
    assert_eq!(prices, expected, "all of them, in order, to the digit");
    assert_eq!(publisher.0.wait().unwrap().code(), Some(0));
}

#[test]
fn a_wrong_password_ends_with_code_3() {
    let port = free_port();
    let listen = format!("/ip4/127.0.0.1/tcp/{port}");
    let address = "refusal.example/equities/us";
    let publish = [
        "publish",
        address,
        "--no-mdns",
        "--listen",
        &listen,
        "--wait-timeout",
        "5m",
    ];
    let mut publisher = Running(ticker(&publish).stderr(Stdio::piped()).spawn().unwrap());
    let id = line_after(publisher.0.stderr.take().unwrap(), "publishing as ");
    let bootstrap = format!("{listen}/p2p/{id}");
    let listen = [
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
        "--no-mdns",
        "--bootstrap",
        &bootstrap,
    ];
    let began = std::time::Instant::now();
    let (code, stdout, stderr) = run(ticker(&["watch", address])
        .args(listen)
        .env("MAILLE_PASSWORD", WRONG_PASSWORD));
    assert_eq!((code, stdout.as_str()), (Some(3), ""), "{stderr}");
    assert!(stderr.contains("accepted this password: it may be wrong"), "{stderr}");
    assert!(!stderr.contains(WRONG_PASSWORD));
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn nobody_there_ends_with_code_4() {
    let alone = ["--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0"];
    let (code, _, stderr) = run(ticker(&["publish", "nobody.example/x", "--wait-timeout", "1s"]).args(alone));
    assert_eq!(code, Some(4), "{stderr}");
    assert!(stderr.contains("0 of 1 members were subscribed in time"), "{stderr}");
    let (code, _, stderr) = run(ticker(&["watch", "nobody.example/x", "--timeout", "1s"]).args(alone));
    assert_eq!(code, Some(4), "{stderr}");
}

#[test]
fn input_that_cannot_be_read_ends_with_code_5_before_anybody_waits() {
    let directory = std::env::temp_dir().join(format!("ticker-program-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("odd.csv");
    let file = file.to_str().unwrap();
    std::fs::write(file, "a,b,c\n1,2,3\n").unwrap();
    for (arguments, message) in [
        (
            vec!["--file", "no/such/file.csv"],
            "no/such/file.csv: No such file".to_owned(),
        ),
        (
            vec!["--file", file],
            format!("{file}:1: neither the daily nor the quote/trade layout"),
        ),
        (
            vec!["--file", file, "--time", "a", "--key", "b", "--value", "z"],
            format!("{file}:1: no column \"z\""),
        ),
    ] {
        let (code, stdout, stderr) = run(ticker(&["publish", "input.example/x"]).args(arguments));
        assert_eq!((code, stdout.as_str()), (Some(5), ""), "{stderr}");
        assert!(stderr.contains(&message), "{stderr}");
    }
    // A bad row further on: what came before it is published, and the line is named.
    std::fs::write(file, "time,team,points\n1,A,1\n2,B,two\n").unwrap();
    let columns = ["--file", file, "--time", "time", "--key", "team", "--value", "points"];
    let alone = [
        "--wait-for",
        "0",
        "--no-mdns",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
        "--speed",
        "max",
    ];
    let (code, _, stderr) = run(ticker(&["publish", "input.example/x"]).args(columns).args(alone));
    assert_eq!(code, Some(5), "{stderr}");
    assert!(
        stderr.contains(&format!("{file}:3: points is not a number: \"two\"")),
        "{stderr}"
    );
    assert!(stderr.contains("published 1 record "), "{stderr}");
    let (code, _, stderr) = run(ticker(&["publish", "input.example/x", "--skip-bad"])
        .args(columns)
        .args(alone));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("skipped 1 bad row"), "{stderr}");
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn wrong_usage_ends_with_code_2() {
    for arguments in [
        &["watch", "not an address"][..],
        &["watch", "a.example/x", "--bootstrap", "not a multiaddr"],
        &["watch", "a.example/x", "--publisher", "not an id"],
        &["watch", "a.example/x", "--password-file", "no/such/file"],
        &["watch", "--ticket", "maille1damaged"],
        &["publish", "a.example/x", "--speed", "warp"],
    ] {
        let (code, stdout, stderr) = run(&mut ticker(arguments));
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{arguments:?}: {stderr}");
        assert!(stderr.starts_with("error: "), "{stderr}");
    }
    let (code, _, stderr) = run(ticker(&["watch", "a.example/x"]).env("MAILLE_PASSWORD", ""));
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("MAILLE_PASSWORD"), "{stderr}");
}
