//! Machines that were told of nobody meet by multicast DNS.

use std::time::Duration;

use maille_tests::processes::{PATIENCE, SOON, User};

use crate::lan::Lan;

const ADDRESS: &str = "lan.example/greetings";
/// What the project promises.
const MEET_MAX: Duration = Duration::from_secs(5);

/// Subscribes on machine 1, publishes on machine 2, the one or the other first. Says how long it took from the start of
/// the later one until the record was there.
fn a_record_passes(lan: &Lan, subscriber_first: bool) -> Duration {
    let (alice, bob) = (User::new(), User::new());
    let subscribe = || {
        let line = format!("{} maille sub {ADDRESS} --count 1 --timeout 60", lan.on(1));
        alice.shell(&line).start()
    };
    let publish = || {
        let line = format!("{} maille pub {ADDRESS} --wait-timeout 60s", lan.on(2));
        bob.shell(&line).input("hello, neighbour\n").start()
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
    subscriber.stdout_line("hello, neighbour", SOON);
    let took = subscriber.age().min(publisher.age());
    let (subscriber, publisher) = (subscriber.wait(SOON), publisher.wait(SOON));
    assert_eq!(
        (subscriber.code, publisher.code),
        (Some(0), Some(0)),
        "{subscriber:?} {publisher:?}"
    );
    took
}

#[test]
fn two_machines_of_a_lan_meet_without_any_bootstrap() {
    let Some(lan) = Lan::new(2) else { return };
    for round in 0..4 {
        let took = a_record_passes(&lan, round % 2 == 0);
        eprintln!("two machines of a LAN: a record passed {took:?} after the later one was started");
        assert!(took < MEET_MAX * PATIENCE, "{took:?}");
    }
}

/// The control: what they meet by is multicast DNS, and nothing else.
#[test]
fn without_multicast_dns_machines_of_a_lan_do_not_meet() {
    let Some(lan) = Lan::new(2) else { return };
    let (alice, bob) = (User::new(), User::new());
    let line = format!("{} maille sub {ADDRESS} --no-mdns --count 1 --timeout 60", lan.on(1));
    let subscriber = alice.shell(&line).start();
    let line = format!("{} maille pub {ADDRESS} --wait-timeout 10s", lan.on(2));
    let publisher = bob.shell(&line).input("hello, nobody\n").run(SOON);
    assert_eq!(publisher.code, Some(4), "{publisher:?}");
    assert!(subscriber.stdout_lines().is_empty());
}
