//! Data directories: members that meet again without a bootstrap node, one identity in one place, one process a directory.

use std::time::Instant;

use maille_tests::processes::{LOOPBACK, Running, SOON, User};

use crate::cast::{Helper, LONG, WAIT_TIMEOUT, own_ip};

const ADDRESS: &str = "restarts.example/x";

#[test]
fn members_with_kept_data_directories_meet_again_with_no_bootstrap_node_alive() {
    let mut helper = Helper::start();
    let users: [User; 3] = std::array::from_fn(|_| User::new());
    let listens: [String; 3] = std::array::from_fn(|_| format!("/ip4/{}/tcp/0", own_ip()));
    let launch = |who: usize, command: &str, bootstrap: &[&str]| {
        let options = [
            "--no-mdns",
            "--listen",
            &listens[who],
            "--data-dir",
            &users[who].arg("data"),
        ];
        let options = options.map(ToOwned::to_owned);
        users[who].maille([command, ADDRESS]).args(options).args(bootstrap)
    };
    let round = |bootstrap: &[&str], text: &str| -> Vec<String> {
        let subscribers: [Running; 2] = std::array::from_fn(|who| launch(who, "sub", bootstrap).start());
        let publisher = launch(2, "pub", bootstrap).args(["--wait-for", "2"]).args(WAIT_TIMEOUT);
        let published = publisher.input(format!("{text}\n")).run(LONG).expect(0);
        assert_eq!(
            published.last_word(),
            "published 1 record to 2 neighbours",
            "{published}"
        );
        let ids = subscribers
            .iter()
            .map(|running| running.stderr_line("subscribed to ", SOON))
            .collect();
        for subscriber in subscribers {
            assert_eq!(subscriber.stdout_line("", SOON), text);
            subscriber.signal("INT");
            let _ = subscriber.wait(SOON).expect(130);
        }
        ids
    };
    let before = round(&helper.bootstrap(), "first");
    helper.kill();
    let began = Instant::now();
    let after = round(&[], "second");
    eprintln!(
        "members met again without a bootstrap node and had a record after {:?}",
        began.elapsed()
    );
    assert_eq!(before, after, "identities are kept");
}

#[test]
fn of_two_processes_with_a_copied_identity_the_later_one_stops() {
    let helper = Helper::start();
    let (watcher, user) = (User::new(), User::new());
    let watching = watcher
        .maille(["sub", ADDRESS])
        .args(LOOPBACK)
        .args(helper.bootstrap())
        .start();
    watching.stderr_line("subscribed to ", SOON);
    let id = user
        .maille(["id", "--data-dir", &user.arg("one")])
        .run(SOON)
        .expect(0)
        .text()
        .remove(0);
    std::fs::create_dir(user.path("two")).unwrap();
    std::fs::copy(user.path("one/identity.key"), user.path("two/identity.key")).unwrap();
    // Two machines: they do not share a run directory either.
    let elsewhere = user.path("elsewhere");
    let start = |directory: &str| {
        let run_dir = if directory == "one" {
            user.path("run/maille")
        } else {
            elsewhere.clone()
        };
        let launch = user
            .maille(["sub", ADDRESS, "--data-dir", &user.arg(directory)])
            .args(LOOPBACK);
        let running = launch.args(helper.bootstrap()).env("MAILLE_RUN_DIR", run_dir).start();
        assert!(running.stderr_line("subscribed to ", SOON).ends_with(&id));
        running
    };
    let mut first = start("one");
    let publisher = watcher
        .maille(["pub", ADDRESS, "--wait-for", "2"])
        .args(LOOPBACK)
        .args(helper.bootstrap());
    let _ = publisher.args(WAIT_TIMEOUT).input("one\n").run(LONG).expect(0);
    first.stdout_line("one", SOON);

    let second = start("two");
    let ended = second.wait(LONG).expect(1).says(&[
        "another process takes part in restarts.example with this identity: stop it, or use another --data-dir",
    ]);
    eprintln!("a second process with the same identity stopped after {:?}", ended.took);
    assert!(first.is_running(), "the earlier one stays");
    let publisher = watcher
        .maille(["pub", ADDRESS, "--wait-for", "2"])
        .args(LOOPBACK)
        .args(helper.bootstrap());
    let _ = publisher.args(WAIT_TIMEOUT).input("two\n").run(LONG).expect(0);
    first.stdout_line("two", SOON);
}

#[test]
fn a_data_directory_is_for_one_process_and_its_key_for_one_user() {
    let user = User::new();
    let data = user.arg("data");
    let running = user
        .maille(["sub", ADDRESS, "--data-dir", &data])
        .args(LOOPBACK)
        .start();
    running.stderr_line("subscribed to ", SOON);
    let in_use = format!("data directory {data} is in use by process {}", running.id());
    for arguments in [["sub", ADDRESS], ["pub", ADDRESS], ["node", "--json"]] {
        let other = user.maille(arguments).args(["--data-dir", &data]).args(LOOPBACK);
        let _ = other.run(SOON).expect(1).says(&[&in_use, "use another data directory"]);
    }
    running.kill();
    // A killed process leaves no lock behind.
    let again = user
        .maille(["sub", ADDRESS, "--timeout", "1", "--data-dir", &data])
        .args(LOOPBACK);
    let _ = again.run(SOON).expect(4);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = user.path("data/identity.key").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn ports_that_were_chosen_freely_are_kept() {
    let user = User::new();
    let listen = format!("/ip4/{}/tcp/0", own_ip());
    let multiaddr = || {
        let helper = user.maille(["node", "--no-mdns", "--listen", &listen]).start();
        let multiaddr = helper.stdout_line("", SOON);
        helper.signal("TERM");
        let _ = helper.wait(SOON).expect(0);
        multiaddr
    };
    let first = multiaddr();
    assert_eq!((multiaddr(), multiaddr()), (first.clone(), first));
}
