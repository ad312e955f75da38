//! Rooms of the game are seen on a local network by machines that were told of nobody.

use std::time::Duration;

use maille_tests::processes::{PATIENCE, SOON, User};

use crate::lan::Lan;

/// What the game promises.
const SEEN_MAX: Duration = Duration::from_secs(3);

#[test]
fn a_room_is_seen_without_any_bootstrap() {
    let Some(lan) = Lan::new(2) else { return };
    let (alice, bob) = (User::new(), User::new());
    let line = format!(
        "{} game host arena.example/den --players 2 --headless --json",
        lan.on(1)
    );
    let host = alice.shell(&line).no_password().start();
    host.stdout_line("{\"event\":\"entered\"", SOON);
    let line = format!("{} game rooms arena.example --first --wait 30 --json", lan.on(2));
    let looking = bob.shell(&line).no_password().start();
    let line = looking.stdout_line("{\"event\":\"room\"", SOON);
    let took = looking.age();
    assert!(line.contains("\"room\":\"arena.example/den\""), "{line}");
    eprintln!("a room was seen {took:?} after the start of who looked");
    assert!(took < SEEN_MAX * PATIENCE, "{took:?}");
    assert_eq!(looking.wait(SOON).code, Some(0));
}
