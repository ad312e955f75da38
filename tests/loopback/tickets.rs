//! Tickets: made, shown, used in every place where a mesh or an address may stand.

use maille_tests::processes::{LOOPBACK, SOON, User};
use serde_json::{Value, json};

use crate::cast::{Helper, LONG, WAIT_TIMEOUT};

const ADDRESS: &str = "tickets.example/x";

#[test]
fn a_ticket_says_again_what_it_was_made_of() {
    let user = User::new();
    let helper = Helper::start();
    let made = user
        .maille(["ticket", ADDRESS])
        .args(helper.bootstrap())
        .no_password()
        .run(SOON)
        .expect(0);
    let ticket = made.text().remove(0);
    assert!(
        ticket.starts_with("maille1") && made.stdout.len() == 1 && made.stderr.is_empty(),
        "{made}"
    );
    eprintln!("a ticket to {ADDRESS} with one peer has {} characters", ticket.len());
    let upper = ticket.to_uppercase();
    for text in [&ticket, &upper] {
        let shown = user.maille(["ticket", "--decode", text]).run(SOON).expect(0).text();
        let expected = [
            "mesh       tickets.example".to_owned(),
            "topic      x".to_owned(),
            format!("bootstrap  {}", helper.multiaddr),
        ];
        assert_eq!(shown, expected);
    }
    let shown = user
        .maille(["ticket", "--decode", &ticket, "--json"])
        .run(SOON)
        .expect(0)
        .text()
        .remove(0);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let expected = json!({"event": "ticket", "ticket": ticket, "mesh": "tickets.example", "topic": "x", "bootstrap": [helper.multiaddr]});
    assert_eq!(shown, expected);
    let with_code = user
        .maille(["ticket", ADDRESS, "--qr"])
        .args(helper.bootstrap())
        .run(SOON)
        .expect(0);
    assert_eq!(
        with_code.text(),
        [ticket.as_str()],
        "the code is for people, on standard error"
    );
    assert!(
        with_code.stderr.len() > 20 && with_code.stderr.concat().contains('█'),
        "{with_code}"
    );
    // A ticket may be extended, and stays one.
    let again = user.maille(["ticket", &ticket]).run(SOON).expect(0).text();
    assert_eq!(again, [ticket]);
}

#[test]
fn members_that_have_only_a_ticket_meet() {
    let helper = Helper::start();
    let users: [User; 4] = std::array::from_fn(|_| User::new());
    let ticket = |place: &str| {
        let made = users[0]
            .maille(["ticket", place])
            .args(helper.bootstrap())
            .run(SOON)
            .expect(0);
        made.text().remove(0)
    };
    let (to_topic, to_mesh) = (ticket(ADDRESS), ticket("tickets.example"));
    let ways: [&[&str]; 3] = [&["--ticket", &to_topic], &[&to_topic], &[ADDRESS, "--ticket", &to_mesh]];
    let subscribers: Vec<_> = ways
        .iter()
        .zip(&users)
        .map(|(way, user)| user.maille(["sub", "--count", "1"]).args(*way).args(LOOPBACK).start())
        .collect();
    let publisher = users[3]
        .maille(["pub", &to_topic, "--wait-for", "3"])
        .args(LOOPBACK)
        .args(WAIT_TIMEOUT);
    let _ = publisher.input("hi\n").run(LONG).expect(0);
    for subscriber in subscribers {
        assert_eq!(subscriber.wait(SOON).expect(0).text(), ["hi"]);
    }
    let no_topic = users[0].maille(["sub", &to_mesh]).args(LOOPBACK);
    let _ = no_topic
        .run(SOON)
        .expect(2)
        .says(&["the ticket leads to tickets.example but names no topic", "ADDRESS"]);
}
