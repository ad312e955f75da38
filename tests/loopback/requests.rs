//! `maille request` and `maille reply` between processes: programs that answer, that fail, and that misbehave.

use std::path::Path;
use std::time::{Duration, Instant};

use maille_tests::processes::{Ended, LOOPBACK, Running, SOON, User};
use serde_json::Value;

use crate::cast::{Helper, LONG};

const MESH: &str = "party.example";

/// A member that serves `name` by running a program.
struct Server {
    user: User,
    running: Running,
    id: String,
}

fn serve(helper: &Helper, name: &str, options: &[&str], program: &[&str]) -> Server {
    serve_as(User::new(), helper, name, options, program)
}

fn serve_as(user: User, helper: &Helper, name: &str, options: &[&str], program: &[&str]) -> Server {
    let launch = user
        .maille(["reply", MESH, name])
        .args(LOOPBACK)
        .args(helper.bootstrap());
    let launch = launch
        .args(options)
        .env("PATH", "/usr/bin:/bin")
        .args(["--exec"])
        .args(program);
    let running = launch.start();
    let said = running.stderr_line(&format!("serving {name} in {MESH} as "), SOON);
    let id = said.split(';').next().unwrap().to_owned();
    Server { user, running, id }
}

/// A caller, and its id if it has to have one that is known.
fn request(helper: &Helper, name: &str, options: &[&str], input: impl Into<Vec<u8>>) -> Ended {
    let user = User::new();
    let launch = user
        .maille(["request", MESH, name])
        .args(LOOPBACK)
        .args(helper.bootstrap());
    launch.args(options).input(input).run(LONG)
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

/// Waits until a process is gone.
fn gone(pid: &str) {
    let started = Instant::now();
    // One that ended and whose parent has not asked yet is a zombie.
    let is_there = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !status.is_empty() && !status.contains(") Z ")
    };
    while is_there() {
        assert!(started.elapsed() < SOON, "process {pid} is still there");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What a program wrote into a file, once it is there.
fn written(path: &Path) -> Vec<String> {
    let started = Instant::now();
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if text.ends_with('\n') {
            return text.lines().map(str::to_owned).collect();
        }
        assert!(started.elapsed() < SOON, "nothing in {}", path.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_program_answers_byte_for_byte_and_learns_who_asks() {
    let helper = Helper::start();
    let echo = serve(&helper, "echo", &["--json"], &["cat"]);
    // More than pipes hold, and no text.
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    for options in [&[][..], &["--peer", &echo.id]] {
        let answer = request(&helper, "echo", options, bytes.clone()).expect(0);
        assert!(answer.stdout.join(&b'\n') == bytes, "{options:?}");
    }
    let answer = request(&helper, "echo", &["--json"], "grüezi\n").expect(0).text();
    let expected = serde_json::json!({"event": "answer", "mesh": MESH, "service": "echo", "answer": "grüezi\n"});
    assert_eq!(json(&answer[0]), expected);
    assert!(request(&helper, "echo", &[], "").expect(0).stdout.is_empty());
    echo.running.stdout_count(4, SOON);
    let line = json(&echo.running.stdout_lines()[0]);
    assert_eq!(
        (&line["event"], &line["answer_bytes"]),
        (&"request".into(), &1_000_000.into()),
        "{line}"
    );

    // The environment names the caller, and not the password; no shell sees any of it.
    let script = "printf '%s %s %s' \"$MAILLE_CALLER\" \"${MAILLE_PASSWORD-none}\" \"$1\"";
    let words = ["sh", "-c", script, "sh", "$(id) `id` *; exit"];
    let who = serve(&helper, "who", &[], &words);
    let caller = User::new();
    let id = caller.maille(["id", "--data-dir", "mine"]).run(SOON).expect(0).text();
    let launch = caller
        .maille(["request", MESH, "who", "--data-dir", "mine"])
        .args(LOOPBACK);
    let answer = launch
        .args(helper.bootstrap())
        .input("$(touch here)")
        .run(LONG)
        .expect(0)
        .text();
    assert_eq!(answer, [format!("{} none $(id) `id` *; exit", id[0])]);
    assert!(
        who.running
            .stdout_line(&format!("{}  13 bytes", id[0]), SOON)
            .contains("answered")
    );
    assert!(!who.user.path("here").exists());
}

#[test]
fn programs_that_fail_or_write_too_much_are_refusals() {
    let helper = Helper::start();
    let picky = "echo first >&2; echo 'not \u{1b}[2J today' >&2; echo half; exit 3";
    let _picky = serve(&helper, "picky", &[], &["sh", "-c", picky]);
    let refused = request(&helper, "picky", &[], "please").expect(1);
    // What a member says does not drive the terminal.
    let refused = refused.says(&["refused: not \\u{1b}[2J today"]);
    assert!(refused.stdout.is_empty(), "{refused}");
    let endless = serve(&helper, "endless", &[], &["yes"]);
    let refused = request(&helper, "endless", &[], "please").expect(1);
    let _ = refused.says(&["refused: the service wrote more than the 1048576 bytes"]);
    assert!(endless.running.memory() < 300 * 1_024 * 1_024);
    // It was there when the service began.
    let user = User::new();
    let tool = user.file("tool", "#!/bin/sh\necho done\n");
    let made = user.shell("chmod +x tool").run(SOON);
    let _ = made.expect(0);
    let vanished = serve_as(user, &helper, "vanished", &[], &[&tool]);
    assert_eq!(request(&helper, "vanished", &[], "").expect(0).text(), ["done"]);
    std::fs::remove_file(&tool).unwrap();
    let refused = request(&helper, "vanished", &[], "").expect(1);
    let _ = refused.says(&["refused: the service's program cannot be started"]);
    vanished.running.stderr_line("cannot start ", SOON);
}

#[test]
fn a_program_that_never_ends_is_killed_with_all_it_started() {
    let helper = Helper::start();
    let user = User::new();
    // A program that starts another, and neither ever ends.
    let endless = "sleep 1000 & echo $$ $! > pids.new; mv pids.new pids; wait";
    let server = serve_as(user, &helper, "endless", &["--at-once", "1"], &["sh", "-c", endless]);
    let pids = server.user.path("pids");
    // The time is over.
    let late = request(&helper, "endless", &["--timeout", "5"], "").expect(4);
    let _ = late.says(&["endless did not answer within 5 s"]);
    written(&pids)[0].split(' ').for_each(gone);
    std::fs::remove_file(&pids).unwrap();
    // The caller goes away; meanwhile others are told that there is no room.
    let caller = User::new();
    let launch = caller
        .maille(["request", MESH, "endless", "--timeout", "300"])
        .args(LOOPBACK);
    let waiting = launch.args(helper.bootstrap()).input("").start();
    let running = written(&pids).remove(0);
    let _ = request(&helper, "endless", &[], "")
        .expect(1)
        .says(&["the member is busy"]);
    waiting.kill();
    running.split(' ').for_each(gone);
    std::fs::remove_file(&pids).unwrap();
    // The service goes away.
    let launch = caller
        .maille(["request", MESH, "endless", "--timeout", "300"])
        .args(LOOPBACK);
    let waiting = launch.args(helper.bootstrap()).input("").start();
    let running = written(&pids).remove(0);
    server.running.signal("TERM");
    let _ = server.running.wait(SOON).expect(0);
    running.split(' ').for_each(gone);
    let _ = waiting.wait(LONG).expect(1).says(&["went away before it answered"]);
}

#[test]
fn what_cannot_be_asked_or_served_has_its_code() {
    let helper = Helper::start();
    let nobody = request(&helper, "greet", &["--timeout", "1"], "").expect(4);
    let _ = nobody.says(&["no member of party.example was met within 1 s"]);
    let _other = serve(&helper, "other", &[], &["cat"]);
    let nobody = request(&helper, "greet", &["--timeout", "8"], "").expect(4);
    let _ = nobody.says(&["no member of party.example was found that serves greet within 8 s"]);
    let not_there = "12D3KooWGRUfVRvGCpQ6kQq8mLWmHwEDCFXcKo9AD9i2nGT6Jxqt";
    let unreachable = request(&helper, "other", &["--timeout", "8", "--peer", not_there], "").expect(4);
    let _ = unreachable.says(&[not_there, "could not be reached"]);
    let too_long = request(&helper, "other", &[], vec![0; 1_048_577]).expect(5);
    let _ = too_long.says(&["longer than the 1048576 bytes"]);
    let user = User::new();
    for (arguments, words) in [
        (
            &["reply", MESH, "greet", "--exec", "no-such-program-anywhere"][..],
            "there is no program",
        ),
        (
            &["reply", MESH, "greet", "--exec", "/nowhere/at/all"],
            "there is no program",
        ),
        (&["reply", MESH, "greet"], "--exec"),
        (&["reply", MESH, "gre et", "--exec", "cat"], "service name"),
        (&["request", MESH, "a//b"], "service name"),
        (&["request", MESH, "greet", "--peer", "me"], "--peer"),
    ] {
        let _ = user.maille(arguments).run(SOON).expect(2).says(&[words]);
    }
}
