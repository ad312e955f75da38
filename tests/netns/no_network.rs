//! A machine without a network: two terminals of one user meet all the same, with nothing set but the password; and a
//! second helper does not.

use std::time::Duration;

use maille_tests::processes::{PATIENCE, SOON, User};

use crate::lan::Lan;

const ADDRESS: &str = "a.example/x";
/// What the project promises.
const MEET_MAX: Duration = Duration::from_secs(5);

/// `maille sub a.example/x` in one terminal, `echo hi | maille pub a.example/x` in the other, in either order; listeners,
/// multicast DNS and the run file are as they are by default. Says how long it took from the start of the later one until
/// the record was there.
fn two_terminals_meet(none: &Lan, subscriber_first: bool) -> Duration {
    let user = User::new();
    let subscribe = || user.shell(&format!("{} maille sub {ADDRESS}", none.on(1))).start();
    let publish = || {
        user.shell(&format!("echo hi | ({} maille pub {ADDRESS})", none.on(1)))
            .start()
    };
    let (subscriber, publisher) = if subscriber_first {
        let subscriber = subscribe();
        subscriber.stderr_line("subscribed to ", SOON);
        (subscriber, publish())
    } else {
        let publisher = publish();
        publisher.stderr_line("publishing on ", SOON);
        (subscribe(), publisher)
    };
    assert_eq!(subscriber.stdout_line("", SOON), "hi");
    let took = subscriber.age().min(publisher.age());
    let published = publisher.wait(SOON).expect(0);
    assert_eq!(
        published.last_word(),
        "published 1 record to 1 neighbour",
        "{published}"
    );
    subscriber.signal("INT");
    let subscribed = subscriber.wait(SOON).expect(130);
    assert_eq!(subscribed.text(), ["hi"]);
    for ended in [published, subscribed] {
        let complaint = |line: &&String| line.contains("warning") || line.contains("WARN") || line.contains("error");
        assert_eq!(ended.stderr.iter().find(complaint), None, "{ended}");
    }
    took
}

#[test]
fn two_terminals_of_a_machine_without_network_meet() {
    let Some(none) = Lan::none() else { return };
    for round in 0..4 {
        let took = two_terminals_meet(&none, round % 2 == 0);
        eprintln!("two terminals without network: the record came {took:?} after the later one was started");
        assert!(took < MEET_MAX * PATIENCE, "{took:?}");
    }
}

/// The control: what they meet by is the run file of their user, and nothing else.
#[test]
fn two_users_of_a_machine_without_network_do_not_meet() {
    let Some(none) = Lan::none() else { return };
    let (alice, bob) = (User::new(), User::new());
    let subscriber = alice
        .shell(&format!("{} maille sub {ADDRESS} --no-mdns", none.on(1)))
        .start();
    subscriber.stderr_line("subscribed to ", SOON);
    let line = format!("{} maille pub {ADDRESS} --no-mdns --wait-timeout 5s", none.on(1));
    let _ = bob
        .shell(&line)
        .input("hi\n")
        .run(SOON)
        .expect(4)
        .says(&["nobody is subscribed to"]);
    assert_eq!(subscriber.stdout_lines(), [""; 0]);
}

/// Helpers that are told nothing want port 6245, over TCP and QUIC: of two on one machine the later one is refused.
#[test]
fn a_second_helper_on_a_machine_is_told_that_its_port_is_in_use() {
    let Some(none) = Lan::none() else { return };
    let (alice, bob) = (User::new(), User::new());
    let line = |options: &str| format!("{} maille node {options}", none.on(1));
    let helper = alice.shell(&line("")).start();
    assert!(helper.stdout_line("/ip4/127.0.0.1/", SOON).contains("/6245/"));
    let refused = |options: &str, where_: &str| {
        let ended = bob.shell(&line(options)).run(SOON).expect(1);
        let ended = ended.says(&[where_, "in use", "choose another port, or 0 for any free one"]);
        assert_eq!(ended.text(), [""; 0], "{ended}");
    };
    refused("", "error: cannot listen on /ip");
    for taken in [
        "/ip4/0.0.0.0/tcp/6245",
        "/ip4/0.0.0.0/udp/6245/quic-v1",
        "/ip4/127.0.0.1/tcp/6245",
    ] {
        refused(
            &format!("--listen {taken}"),
            &format!("error: cannot listen on {taken}"),
        );
    }
    helper.signal("TERM");
    let _ = helper.wait(SOON).expect(0);
    let after = bob.shell(&line("")).start();
    after.stdout_line("/ip4/127.0.0.1/", SOON);
}
