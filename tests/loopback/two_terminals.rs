//! Two terminals of one user on one machine: nothing but the password is set, and they meet by the run file.

use std::time::{Duration, Instant};

use maille_tests::processes::{LOOPBACK, PATIENCE, SOON, User};

use crate::cast::{LONG, WAIT_TIMEOUT};

/// What the project promises.
const MEET_WITHIN: Duration = Duration::from_secs(5);

#[test]
fn a_publisher_and_a_subscriber_meet_with_only_the_password_set() {
    let user = User::new();
    for (first, begun) in [("sub", Instant::now()), ("pub", Instant::now())] {
        let subscribe = || user.maille(["sub", "a.example/x"]).args(LOOPBACK).start();
        let publish = || {
            user.maille(["pub", "a.example/x"])
                .args(LOOPBACK)
                .args(WAIT_TIMEOUT)
                .input("hi\n")
        };
        let (subscriber, publisher) = if first == "sub" {
            let subscriber = subscribe();
            (subscriber, publish().start())
        } else {
            let publisher = publish().start();
            (subscribe(), publisher)
        };
        let record = subscriber.stdout_line("", SOON);
        let (met, from_sub) = (publisher.age(), subscriber.age());
        assert_eq!(record, "hi");
        let published = publisher.wait(LONG).expect(0);
        assert_eq!(
            published.last_word(),
            "published 1 record to 1 neighbour",
            "{published}"
        );
        subscriber.signal("INT");
        assert_eq!(subscriber.wait(SOON).expect(130).text(), ["hi"]);
        eprintln!("two terminals, {first} first: the record came {met:?} after `pub` began, {from_sub:?} after `sub`");
        assert!(met.max(from_sub) < MEET_WITHIN * PATIENCE, "{met:?}, {from_sub:?}");
        assert!(begun.elapsed() < LONG);
    }
}

#[test]
fn users_of_one_machine_do_not_see_each_others_run_files() {
    let (one, other) = (User::new(), User::new());
    let subscriber = one.maille(["sub", "a.example/x"]).args(LOOPBACK).start();
    subscriber.stderr_line("subscribed to ", SOON);
    let publisher = other
        .maille(["pub", "a.example/x", "--wait-timeout", "3s"])
        .args(LOOPBACK);
    let _ = publisher
        .input("hi\n")
        .run(SOON)
        .expect(4)
        .says(&["nobody is subscribed to"]);
    assert_eq!(subscriber.stdout_lines(), [""; 0]);
}

#[test]
fn two_terminals_meet_in_an_open_mesh_only_if_both_say_open() {
    let user = User::new();
    let open = user
        .maille(["sub", "a.example/x", "--open"])
        .args(LOOPBACK)
        .no_password()
        .start();
    open.stderr_line("subscribed to ", SOON);
    let publisher = user
        .maille(["pub", "a.example/x", "--open"])
        .args(LOOPBACK)
        .args(WAIT_TIMEOUT);
    let _ = publisher.no_password().input("hi\n").run(LONG).expect(0);
    assert_eq!(open.stdout_line("", SOON), "hi");
    let with_password = user
        .maille(["pub", "a.example/x", "--wait-timeout", "3s"])
        .args(LOOPBACK);
    let _ = with_password
        .input("secret\n")
        .run(SOON)
        .expect(3)
        .says(&["accepted this password: it may be wrong"]);
    assert_eq!(open.stdout_lines(), ["hi"]);
}
