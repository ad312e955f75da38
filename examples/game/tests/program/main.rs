//! The program as its users meet it: real processes, killed and back, a terminal, a recorded match.

mod processes;
mod terminal;

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::processes::{Playing, program};

/// For what should take a moment, on a machine that is busy with other tests.
const SOON: Duration = Duration::from_secs(60);
/// Within which the others go on, and within which one is back; a busy machine may take longer.
const GO_ON: Duration = Duration::from_secs(3);
const RETURN: Duration = Duration::from_secs(2);
const PATIENCE: u32 = 4;

fn last_line(output: &std::process::Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.lines().last().unwrap_or_default()).unwrap_or_else(|_| panic!("{output:?}"))
}

#[test]
fn a_demo_plays_records_and_its_record_is_checked() {
    let dir = tempfile::tempdir().unwrap();
    let record = dir.path().join("match");
    let mut demo = program(dir.path());
    demo.args([
        "demo",
        "--headless",
        "--players",
        "4",
        "--ticks",
        "400",
        "--json",
        "--record",
    ])
    .arg(&record);
    let output = demo.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let line = last_line(&output);
    assert!(line["ticks"].as_u64().unwrap() >= 400 && line["players"] == 4, "{line}");
    assert_eq!(
        (&line["hash_mismatches"], &line["dropped"], &line["rejoined"]),
        (&0.into(), &1.into(), &1.into()),
        "{line}"
    );

    let replay = |file: &std::path::Path| {
        program(dir.path())
            .args(["replay", "--check"])
            .arg(file)
            .output()
            .unwrap()
    };
    let checked = replay(&record);
    assert!(
        checked.status.success() && String::from_utf8_lossy(&checked.stdout).contains("of 4 players"),
        "{checked:?}"
    );
    let text = std::fs::read_to_string(&record).unwrap();
    let changed = dir.path().join("changed");
    std::fs::write(&changed, text.replacen("[1,\"0", "[2,\"0", 1)).unwrap();
    let refused = replay(&changed);
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("one of them was changed"),
        "{refused:?}"
    );
}

#[test]
fn one_is_killed_the_others_go_on_and_it_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut players: Vec<Playing> = Vec::new();
    for name in ["ann", "bob", "cid", "dan"] {
        players.push(Playing::start(dir.path(), name, 4));
    }
    for player in &players {
        player.event("tick", SOON, |event| event["tick"].as_u64() >= Some(60));
    }
    let mut killed = players.pop().unwrap();
    killed.kill();
    let at = Instant::now();
    let mut went_on = Duration::ZERO;
    for player in &players {
        player.event("left", SOON, |event| event["player"] == "dan");
        went_on = went_on.max(at.elapsed());
    }
    assert!(went_on < GO_ON * PATIENCE, "{went_on:?}");
    let ticks = players[0].event("left", SOON, |_| true)["tick"].as_u64().unwrap();
    // Back at the earliest 60 ticks later.
    players[0].event("tick", SOON, |event| event["tick"].as_u64() > Some(ticks + 60));

    let at = Instant::now();
    let back = Playing::start(dir.path(), "dan", 4);
    back.event("match", SOON, |event| event["role"] == "rejoin");
    let found = at.elapsed();
    back.event("joined", SOON, |event| event["player"] == "dan");
    let returned = at.elapsed();
    eprintln!(
        "the others went on {went_on:?} after SIGKILL; back {returned:?} after the start, of which {found:?} to find the match"
    );
    assert!(returned < RETURN * PATIENCE, "{returned:?}");
    let tick = back.event("joined", SOON, |_| true)["tick"].as_u64().unwrap();
    // The same state after the same tick.
    let later = |event: &Value| event["tick"].as_u64() > Some(tick + 40);
    let at_back = back.event("tick", SOON, later);
    let same = players[0].event("tick", SOON, |event| event["tick"] == at_back["tick"]);
    assert_eq!(at_back["hash"], same["hash"]);
}

#[test]
fn what_makes_no_sense_is_said() {
    let dir = tempfile::tempdir().unwrap();
    for (arguments, code, words) in [
        (&["join"][..], 2, "give an ADDRESS such as"),
        (&["join", "maille1nonsense"], 2, "maille1nonsense"),
        (&["host", "--headless", "--players", "9"], 2, "9 is not in 1..=8"),
        (&["host"], 2, "use --headless"),
        (&["replay", "/nowhere"], 5, "No such file"),
        (
            &["rooms", "none.example", "--no-mdns", "--wait", "1"],
            4,
            "open one with game host",
        ),
    ] {
        let mut command: Command = program(dir.path());
        let output = command.args(arguments).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(code) && stderr.contains(words),
            "{arguments:?}: {output:?}"
        );
    }
}
