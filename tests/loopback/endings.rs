//! How commands end: nobody there, too few records, signals, a reader that goes away.

use std::time::{Duration, Instant};

use maille_tests::processes::{LOOPBACK, PATIENCE, SOON, User};

use crate::cast::{LONG, WAIT_TIMEOUT, numbered, numbers};

const ADDRESS: &str = "endings.example/x";
/// A clean end is a matter of a moment.
const END_WITHIN: Duration = Duration::from_secs(6);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// The files of nodes that say they run.
fn run_files(user: &User) -> usize {
    std::fs::read_dir(user.path("run/maille")).map_or(0, Iterator::count)
}

#[test]
fn nobody_subscribed_ends_with_4_and_nothing_is_read() {
    let user = User::new();
    let line = "printf 'one\\ntwo\\n' > input; \
                { maille pub endings.example/x --no-mdns --listen /ip4/127.0.0.1/tcp/0 --wait-timeout 1s; echo $?; cat; } < input";
    let ended = user.shell(line).run(SOON).expect(0);
    assert_eq!(
        ended.text(),
        ["4", "one", "two"],
        "all of it is there for the next reader"
    );
    let ended = ended.says(&["nobody is subscribed to maille://endings.example/x after 1 s, and nothing was read"]);
    assert!(ended.took < END_WITHIN * PATIENCE, "{ended}");
    assert_eq!(run_files(&user), 0, "it took its run file away");
}

#[test]
fn fewer_subscribers_than_wanted_are_counted_and_get_nothing() {
    let user = User::new();
    let subscriber = user.maille(["sub", ADDRESS]).args(LOOPBACK).start();
    subscriber.stderr_line("subscribed to ", SOON);
    let publisher = user
        .maille(["pub", ADDRESS, "--wait-for", "2", "--wait-timeout", "10s"])
        .args(LOOPBACK);
    let _ = publisher
        .input("one\n")
        .run(SOON)
        .expect(4)
        .says(&["only 1 of the 2 wanted are subscribed", "nothing was read"]);
    assert_eq!(subscriber.stdout_lines(), [""; 0]);
    let too_many = user.maille(["pub", ADDRESS, "--wait-for", "9"]).args(LOOPBACK);
    let _ = too_many.run(SOON).expect(2).says(&["--wait-for", "9 is not in 0..=8"]);
}

#[test]
fn not_waiting_publishes_to_nobody_and_says_so() {
    let user = User::new();
    let publisher = user.maille(["pub", ADDRESS, "--wait-for", "0"]).args(LOOPBACK);
    let ended = publisher.input("one\ntwo\n").run(SOON).expect(0);
    assert_eq!(ended.last_word(), "published 2 records to 0 neighbours");
}

#[test]
fn a_count_that_is_not_reached_ends_with_6() {
    let user = User::new();
    let alone = user
        .maille(["sub", ADDRESS, "--count", "2", "--timeout", "1"])
        .args(LOOPBACK);
    let alone = alone
        .run(SOON)
        .expect(6)
        .says(&["0 records of 2 came in 1 s: no member of endings.example was met"]);
    assert_eq!(alone.text(), [""; 0]);

    let subscriber = user
        .maille(["sub", ADDRESS, "--count", "3", "--timeout", "25"])
        .args(LOOPBACK)
        .start();
    subscriber.stderr_line("subscribed to ", SOON);
    let publisher = user.maille(["pub", ADDRESS]).args(LOOPBACK).args(WAIT_TIMEOUT);
    let _ = publisher.input("one\ntwo\n").run(LONG).expect(0);
    let ended = subscriber.wait(SOON).expect(6).says(&["2 records of 3 came in 25 s"]);
    assert_eq!(ended.text(), ["one", "two"]);
}

#[test]
fn a_timeout_without_a_count_ends_with_0_if_somebody_was_met_else_with_4() {
    let user = User::new();
    let alone = user.maille(["sub", ADDRESS, "--timeout", "1"]).args(LOOPBACK);
    let _ = alone
        .run(SOON)
        .expect(4)
        .says(&["no member of endings.example was met in 1 s", "--bootstrap"]);
    let one = user.maille(["sub", ADDRESS, "--timeout", "20"]).args(LOOPBACK).start();
    let other = user.maille(["sub", ADDRESS, "--timeout", "20"]).args(LOOPBACK).start();
    let _ = one.wait(SOON).expect(0);
    let _ = other.wait(SOON).expect(0);
}

#[test]
fn signals_end_subscribers_cleanly() {
    let user = User::new();
    for signal in ["INT", "TERM"] {
        let subscriber = user.maille(["sub", ADDRESS]).args(LOOPBACK).start();
        subscriber.stderr_line("subscribed to ", SOON);
        let publisher = user.maille(["pub", ADDRESS]).args(LOOPBACK).args(WAIT_TIMEOUT);
        let _ = publisher.input(numbered(0..100)).run(LONG).expect(0);
        subscriber.stdout_count(100, SOON);
        let asked = subscriber.age();
        subscriber.signal(signal);
        let ended = subscriber.wait(SOON).expect(130);
        let (took, said) = (ended.took.saturating_sub(asked), ended.stderr.len());
        eprintln!("`maille sub` ended {took:?} after SIG{signal}");
        assert!(took < END_WITHIN * PATIENCE, "{ended}");
        assert_eq!(
            (ended.text(), said),
            (numbers(0..100), 1),
            "all that came, and no complaint: {ended}"
        );
    }
    assert_eq!(run_files(&user), 0, "run files are taken away");
}

#[test]
fn a_publisher_that_is_interrupted_hands_on_what_it_took_and_says_how_much() {
    let user = User::new();
    for signal in ["INT", "TERM"] {
        let subscriber = user.maille(["sub", ADDRESS]).args(LOOPBACK).start();
        subscriber.stderr_line("subscribed to ", SOON);
        let publisher = user.maille(["pub", ADDRESS]).args(LOOPBACK).args(WAIT_TIMEOUT).start();
        publisher.write(numbered(0..3));
        subscriber.stdout_count(3, LONG);
        publisher.signal(signal);
        let ended = publisher.wait(SOON).expect(130);
        assert_eq!(
            ended.last_word(),
            "interrupted: published 3 records to 1 neighbour",
            "{ended}"
        );
        assert_eq!(subscriber.stdout_lines(), numbers(0..3));
    }
    let waiting = user
        .maille(["pub", "nobody.example/x"])
        .args(LOOPBACK)
        .args(WAIT_TIMEOUT)
        .start();
    waiting.stderr_line("publishing on ", SOON);
    waiting.signal("INT");
    assert_eq!(
        waiting.wait(SOON).expect(130).last_word(),
        "interrupted: nothing was read"
    );
}

#[test]
fn a_helper_ends_with_130_on_ctrl_c_and_with_0_for_its_service_manager() {
    let user = User::new();
    for (signal, code) in [("INT", 130), ("TERM", 0)] {
        let helper = user.maille(["node", "--json"]).args(LOOPBACK).no_password().start();
        let line: serde_json::Value = serde_json::from_str(&helper.stdout_line("", SOON)).unwrap();
        assert_eq!(line["event"], "listening");
        let multiaddr = line["multiaddr"].as_str().unwrap();
        assert!(
            multiaddr.starts_with("/ip4/127.0.0.1/tcp/") && multiaddr.contains("/p2p/12D3KooW"),
            "{line}"
        );
        helper.signal(signal);
        let _ = helper.wait(SOON).expect(code);
    }
    assert!(
        user.path("data/maille/node/identity.key").is_file(),
        "its identity is in the XDG data home"
    );
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let user = User::new();
    let line =
        "{ maille sub endings.example/x --no-mdns --listen /ip4/127.0.0.1/tcp/0; echo ended with $? >&2; } | head -n 1";
    let subscriber = user.shell(line).start();
    subscriber.stderr_line("subscribed to ", SOON);
    let publisher = user.maille(["pub", ADDRESS]).args(LOOPBACK).args(WAIT_TIMEOUT).start();
    publisher.write("one\n");
    assert_eq!(subscriber.stdout_line("", LONG), "one");
    // The subscriber finds out with one of the next lines: what comes before `head` has ended still fits into the pipe.
    let deadline = Instant::now() + SOON;
    while !subscriber.has_said("ended with") && Instant::now() < deadline {
        publisher.write("more\n");
        std::thread::sleep(LOOK_INTERVAL);
    }
    subscriber.stderr_line("ended with 0", SOON);
    let ended = subscriber.wait(SOON).expect(0);
    assert_eq!(ended.stderr.len(), 2, "nothing but where it subscribed: {ended}");
}
