//! A wrong password: exit code 3 and a sentence that helps, and nothing delivered in either direction.

use std::time::Duration;

use maille_tests::processes::{Ended, LOOPBACK, LOOPBACK_QUIC, Launch, PASSWORD, PATIENCE, SOON, User, WRONG_PASSWORD};

use crate::cast::{Helper, LONG, WAIT_TIMEOUT};

const ADDRESS: &str = "refusal.example/x";
/// Wrong in another way: those with the same wrong password would be a group of their own.
const WRONG_PASSWORD_TOO: &str = "shrine-wobbly-cane-deduct-mural";
/// What the project promises.
const REFUSED_WITHIN: Duration = Duration::from_secs(30);
const SENTENCE: &str =
    "on refusal.example accepted this password: it may be wrong, or they are another group with the same mesh name";

fn assert_refused(over: &str, ended: Ended) {
    let ended = ended.expect(3).says(&["error: none of ", SENTENCE]);
    assert!(!ended.stderr.concat().contains("shrine"), "{ended}");
    assert_eq!(ended.text(), [""; 0], "{ended}");
    eprintln!("wrong password over {over}: refused after {:?}", ended.took);
    assert!(ended.took < REFUSED_WITHIN * PATIENCE, "{ended}");
}

/// A subscriber and a publisher with the right password, and one of each with a wrong one, each started by `launch`.
fn wrong_members_get_nothing_and_deliver_nothing(over: &str, launch: impl Fn(usize, &[&str]) -> Launch) {
    let right = launch(0, &["sub", ADDRESS]).start();
    right.stderr_line("subscribed to ", SOON);
    let wrong_sub = launch(1, &["sub", ADDRESS]).password(WRONG_PASSWORD_TOO).start();
    let wrong_pub = launch(2, &["pub", ADDRESS]).args(WAIT_TIMEOUT).password(WRONG_PASSWORD);
    let wrong_pub = wrong_pub.input("from a stranger\n").start();
    wrong_sub.stderr_line("subscribed to ", SOON);
    let mut publisher = launch(3, &["pub", ADDRESS]).args(WAIT_TIMEOUT).start();
    publisher.write("first\n");
    assert_eq!(right.stdout_line("", LONG), "first");

    assert_refused(over, wrong_pub.wait(LONG));
    assert_refused(over, wrong_sub.wait(LONG));
    publisher.write("second\n");
    publisher.close_input();
    let published = publisher.wait(LONG).expect(0);
    assert_eq!(published.last_word(), "published 2 records to 1 neighbour");
    right.stdout_count(2, SOON);
    right.signal("INT");
    assert_eq!(right.wait(SOON).expect(130).text(), ["first", "second"]);
}

#[test]
fn over_tcp() {
    let helper = Helper::start();
    let users: [User; 4] = std::array::from_fn(|_| User::new());
    wrong_members_get_nothing_and_deliver_nothing("TCP", |who, arguments| {
        users[who].maille(arguments).args(LOOPBACK).args(helper.bootstrap())
    });
}

#[test]
fn over_quic() {
    let helper = Helper::start_quic();
    assert!(helper.multiaddr.contains("/quic-v1/p2p/"), "{}", helper.multiaddr);
    let users: [User; 4] = std::array::from_fn(|_| User::new());
    wrong_members_get_nothing_and_deliver_nothing("QUIC", |who, arguments| {
        users[who]
            .maille(arguments)
            .args(LOOPBACK_QUIC)
            .args(helper.bootstrap())
    });
}

#[test]
fn between_terminals_of_one_user() {
    let user = User::new();
    wrong_members_get_nothing_and_deliver_nothing("the run file", |_, arguments| user.maille(arguments).args(LOOPBACK));
}

#[test]
fn one_that_retries_for_ever_goes_on_and_nothing_is_read() {
    let user = User::new();
    let right = user.maille(["sub", ADDRESS]).args(LOOPBACK).start();
    right.stderr_line("subscribed to ", SOON);
    let wrong = user
        .maille(["pub", ADDRESS, "--retry-forever", "--wait-timeout", "28s"])
        .args(LOOPBACK);
    // Longer than the 20 s after which others give up, and then the wait is over.
    let ended = wrong
        .password(WRONG_PASSWORD)
        .input("no\n")
        .run(LONG)
        .expect(4)
        .says(&["nothing was read"]);
    assert!(ended.took > Duration::from_secs(25), "{ended}");
    assert_eq!(right.stdout_lines(), [""; 0]);
}

#[test]
fn a_password_file_goes_before_the_variable_and_can_be_for_one_mesh() {
    let user = User::new();
    let wrong = user.file("wrong", WRONG_PASSWORD);
    let right = user.file("right", format!("{PASSWORD}\n"));
    let subscriber = user.maille(["sub", ADDRESS]).args(LOOPBACK).start();
    subscriber.stderr_line("subscribed to ", SOON);
    let for_mesh = format!("refusal.example={right}");
    let publisher = user
        .maille(["pub", ADDRESS, "--password-file", &wrong, "--password-file", &for_mesh])
        .args(LOOPBACK)
        .args(WAIT_TIMEOUT);
    let _ = publisher.password(WRONG_PASSWORD).input("hi\n").run(LONG).expect(0);
    assert_eq!(subscriber.stdout_line("", SOON), "hi");
}

#[test]
fn two_groups_with_one_mesh_name_each_work_and_neither_hears_the_other() {
    let helper = Helper::start();
    let users: [User; 4] = std::array::from_fn(|_| User::new());
    let launch = |who: usize, command: &str, password: &str| {
        let launch = users[who]
            .maille([command, ADDRESS])
            .args(LOOPBACK)
            .args(helper.bootstrap());
        launch.password(password)
    };
    let groups = [(PASSWORD, "ours"), (WRONG_PASSWORD, "theirs")];
    let subscribers = [0, 1].map(|who| launch(who, "sub", groups[who].0).start());
    let publishers = [0, 1].map(|who| {
        let publisher = launch(2 + who, "pub", groups[who].0).args(WAIT_TIMEOUT);
        publisher.input(format!("{}\n", groups[who].1)).start()
    });
    for (publisher, (_, text)) in publishers.into_iter().zip(groups) {
        let published = publisher.wait(LONG).expect(0);
        assert_eq!(
            published.last_word(),
            "published 1 record to 1 neighbour",
            "{text}: {published}"
        );
    }
    for (subscriber, (_, text)) in subscribers.into_iter().zip(groups) {
        assert_eq!(subscriber.stdout_line("", SOON), text);
        subscriber.signal("INT");
        assert_eq!(subscriber.wait(SOON).expect(130).text(), [text]);
    }
}
