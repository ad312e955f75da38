//! Who is in a mesh, between processes: listed, watched, killed.

use std::time::Instant;

use maille_tests::processes::{LOOPBACK, PATIENCE, Running, SOON, User};
use serde_json::Value;

use crate::cast::{Helper, LONG};

const MESH: &str = "party.example";

/// Somebody who watches; and the id that they watch as.
fn watcher(user: &User, helper: &Helper, options: &[&str]) -> (Running, String) {
    let watcher = user
        .maille(["members", MESH, "--watch"])
        .args(LOOPBACK)
        .args(helper.bootstrap());
    let watcher = watcher.args(options).start();
    let said = watcher.stderr_line("watching party.example as ", SOON);
    let id = said
        .split_whitespace()
        .find(|word| word.starts_with("12D3KooW"))
        .unwrap();
    let id = id.trim_end_matches(';').to_owned();
    (watcher, id)
}

#[test]
fn who_joins_leaves_and_is_killed_is_told() {
    let helper = Helper::start();
    let (ann, bob, cleo) = (User::new(), User::new(), User::new());
    let (watching, ann_id) = watcher(&ann, &helper, &["--nickname", "Ann"]);
    let (programs, json_id) = watcher(&cleo, &helper, &["--json"]);
    assert!(watching.stdout_line("joined  ", LONG).contains(&json_id));

    let (running, bob_id) = watcher(&bob, &helper, &["--nickname", "Bob"]);
    watching.stdout_line(&format!("joined  {bob_id}  Bob"), LONG);
    let start = format!("{{\"event\":\"joined\",\"mesh\":\"{MESH}\",\"peer\":\"{bob_id}\"");
    let told = format!("{start}{}", programs.stdout_line(&start, LONG));
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["nickname"], "Bob");
    assert!(told["since"].as_str().unwrap().ends_with('Z'), "{told}");

    // Once, for people and for programs.
    let asker = User::new();
    let list = |options: &[&str]| {
        let list = asker.maille(["members", MESH]).args(LOOPBACK).args(helper.bootstrap());
        list.args(options).run(LONG).expect(0).text()
    };
    let deadline = Instant::now() + LONG;
    loop {
        let rows = list(&[]);
        let names = |row: &String| row.split_whitespace().last().map(str::to_owned);
        let mut named: Vec<String> = rows.iter().filter_map(names).collect();
        named.sort_unstable();
        if named == ["-", "Ann", "Bob"] {
            break;
        }
        assert!(Instant::now() < deadline, "{rows:#?}");
    }
    let listed = list(&["--json"]);
    assert!(
        listed
            .iter()
            .any(|line| line.contains(&ann_id) && line.contains("\"event\":\"member\"")),
        "{listed:?}"
    );

    let killed = Instant::now();
    running.kill();
    watching.stdout_line(&format!("failed  {bob_id}  Bob"), SOON * PATIENCE);
    eprintln!("killed: called failed after {:?}", killed.elapsed());
    let (running, again_id) = watcher(&bob, &helper, &["--nickname", "Bob again"]);
    watching.stdout_line(&format!("joined  {again_id}  Bob again"), LONG);
    running.signal("INT");
    let _ = running.wait(SOON).expect(130);
    let left = Instant::now();
    watching.stdout_line(&format!("left  {again_id}  Bob again"), LONG);
    eprintln!("left: told after {:?}", left.elapsed());
    for running in [watching, programs] {
        running.signal("INT");
        let _ = running.wait(SOON).expect(130);
    }
}

#[test]
fn nobody_there_and_bad_nicknames_have_their_codes() {
    let user = User::new();
    let members = user.maille(["members", MESH, "--timeout", "1"]).args(LOOPBACK);
    let _ = members
        .run(SOON)
        .expect(4)
        .says(&["no member of party.example was met in 1 s"]);
    let long = "n".repeat(65);
    for (options, words) in [
        (&["members"][..], "give a MESH"),
        (&["members", MESH, "--nickname", &long], "at most 64 bytes"),
        (&["members", MESH, "--nickname", "a\u{1b}[2J"], "control characters"),
    ] {
        let _ = user.maille(options).run(SOON).expect(2).says(&[words]);
    }
}
