//! Arguments that cannot be right: a clear error, the right code, nothing on standard output, and all of it twice at once.

use std::net::{TcpListener, UdpSocket};

use maille_tests::processes::{LOOPBACK, Launch, SOON, User};

const PEER: &str = "12D3KooWGRUfVRvGCpQ6kQq8mLWmHwEDCFXcKo9AD9i2nGT6Jxqt";
const ADDRESS: &str = "bad.example/x";

/// Runs each case in two processes at once, and checks that both end alike: with this code, and these words.
fn each_ends(user: &User, code: i32, cases: &[(Vec<&str>, &[&str])]) {
    for (arguments, words) in cases {
        each_launch_ends(code, words, || user.maille(arguments));
    }
}

fn each_launch_ends(code: i32, words: &[&str], launch: impl Fn() -> Launch) {
    let [one, other] = [launch().input("").start(), launch().input("").start()];
    for running in [one, other] {
        let ended = running.wait(SOON).expect(code).says(words);
        assert!(ended.stderr[0].starts_with("error: "), "{ended}");
        assert_eq!(ended.stdout.len(), 0, "{ended}");
        let unclean = |line: &String| {
            line.chars()
                .any(|character| character.is_control() && character != '\t')
        };
        assert!(!ended.stderr.iter().any(unclean), "{ended}");
    }
}

#[test]
fn names_say_what_is_wrong_at_which_place() {
    let user = User::new();
    let long_mesh = format!("{}a/x", "a.".repeat(127));
    let long_label = format!("{}.example/x", "a".repeat(64));
    let long_topic = format!("bad.example/{}", "t".repeat(256));
    let deep_topic = format!("bad.example/{}", ["s"; 17].join("/"));
    let cases: &[(&str, &[&str])] = &[
        ("", &["empty"]),
        ("bad.example", &["topic"]),
        ("bad.example/", &["the topic is missing", "MESH/TOPIC"]),
        ("/x", &["an address begins with the mesh, MESH/TOPIC, not with '/'"]),
        (&long_mesh, &["mesh name has at most 253 bytes, this one has 255"]),
        (&long_label, &["label at byte 0", "64 bytes, at most 63"]),
        (&long_topic, &["topic name has at most 255 bytes, this one has 256"]),
        (&deep_topic, &["17", "16"]),
        ("bad..example/x", &["empty label at byte 4 of the mesh name"]),
        ("../x", &["empty label at byte 0"]),
        ("bad.example/../x", &["\"..\"", "topic name"]),
        ("bad.example/.", &["topic name"]),
        ("bad.example//x", &["empty segment at byte 0 of the topic name"]),
        (
            "bad example/x",
            &["' ' at byte 3 of the mesh name", "lower-case letters"],
        ),
        ("bad.example/x y", &["' ' at byte 1 of the topic name"]),
        ("bad.example/x\u{1b}[2J", &["'\\u{1b}' at byte 1 of the topic name"]),
        ("bad\u{7}.example/x", &["'\\u{7}' at byte 3 of the mesh name"]),
        ("🦀.example/x", &["'🦀' at byte 0 of the mesh name"]),
        ("bad.example/🦀", &["'🦀' at byte 0 of the topic name"]),
        (
            "Bad.example/x",
            &["'B' at byte 0 of the mesh name: use lower case, 'b'"],
        ),
        ("-bad.example/x", &["'-' at byte 0 of the mesh name"]),
        ("http://bad.example/x", &["maille://"]),
    ];
    for command in ["sub", "pub"] {
        let cases: Vec<_> = cases
            .iter()
            .map(|(name, words)| (vec![command, *name], *words))
            .collect();
        let cases: Vec<_> = cases
            .into_iter()
            .filter(|(arguments, _)| !arguments[1].starts_with('-'))
            .collect();
        each_ends(&user, 2, &cases);
    }
    each_ends(
        &user,
        2,
        &[(vec!["sub", "--", "-bad.example/x"], &["'-' at byte 0 of the mesh name"])],
    );
    each_ends(
        &user,
        2,
        &[(vec!["ticket", "bad mesh"], &["' ' at byte 3 of the mesh name"])],
    );
}

#[test]
fn multiaddrs_ids_and_tickets_say_what_they_lack() {
    let user = User::new();
    let no_peer = ["sub", ADDRESS, "--bootstrap", "/ip4/127.0.0.1/tcp/6245"];
    let bootstrap = format!("/ip4/127.0.0.1/tcp/6245/p2p/{PEER}");
    let ticket = user
        .maille(["ticket", ADDRESS, "--bootstrap", &bootstrap])
        .run(SOON)
        .expect(0)
        .text()
        .remove(0);
    let last = if ticket.ends_with('q') { 'p' } else { 'q' };
    let damaged = format!("{}{last}", &ticket[..ticket.len() - 1]);
    let cut = &ticket[..ticket.len() - 7];
    let cases: &[(Vec<&str>, &[&str])] = &[
        (
            no_peer.into(),
            &["does not say which peer is there: add /p2p/", "`maille node` prints"],
        ),
        (
            vec!["pub", ADDRESS, "--bootstrap", "/ip4/127.0.0.1/tcp/6245"],
            &["does not say which peer"],
        ),
        (
            vec!["node", "--bootstrap", "/ip4/127.0.0.1/tcp/6245"],
            &["does not say which peer"],
        ),
        (
            vec!["sub", ADDRESS, "--bootstrap", "localhost:6245"],
            &["\"localhost:6245\" is not a multiaddr such as /"],
        ),
        (
            vec!["sub", ADDRESS, "--listen", "127.0.0.1:80"],
            &["not a multiaddr such as /ip4/"],
        ),
        (vec!["sub", ADDRESS, "--publisher", "alice"], &["alice", "--publisher"]),
        (vec!["sub", &damaged], &["the ticket is damaged", "copy it again"]),
        (
            vec!["sub", "--ticket", cut],
            &["the ticket is damaged", "copy it again"],
        ),
        (vec!["ticket", "--decode", &damaged], &["the ticket is damaged"]),
        (vec!["sub", "--ticket", "bad.example"], &["not a ticket", "maille1"]),
        (
            vec!["sub", "other.example/x", "--ticket", &ticket],
            &["leads to bad.example, not to other.example"],
        ),
        (vec!["ticket", ADDRESS], &["a ticket needs a peer to begin with"]),
        (vec!["sub"], &["ADDRESS"]),
        (vec!["sub", ADDRESS, "--count", "0"], &["--count"]),
        (vec!["sub", ADDRESS, "--timeout", "soon"], &["a duration looks like"]),
        (vec!["pub", ADDRESS, "--key-field", "0"], &["--key-field"]),
        (vec!["pub", ADDRESS, "--key-json", "symbol"], &["--key-json", "/"]),
        (vec!["pub", ADDRESS, "--key-json", "/a~2"], &["--key-json"]),
        (vec!["pub", ADDRESS, "--no-such-option"], &["--no-such-option"]),
        (vec!["subscribe", ADDRESS], &["subscribe"]),
    ];
    each_ends(&user, 2, cases);
}

#[test]
fn a_port_in_use_is_named() {
    let user = User::new();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let listens = [
        format!("/ip4/127.0.0.1/tcp/{}", tcp.local_addr().unwrap().port()),
        format!("/ip4/127.0.0.1/udp/{}/quic-v1", udp.local_addr().unwrap().port()),
    ];
    for listen in &listens {
        let words = format!("cannot listen on {listen}");
        let words: &[&str] = &[&words, "in use", "choose another port, or 0 for any free one"];
        for command in [&["sub", ADDRESS][..], &["pub", ADDRESS]] {
            each_launch_ends(1, words, || {
                user.maille(command).args(["--no-mdns", "--listen", listen])
            });
        }
        let data = AtomicDirectories::default();
        each_launch_ends(1, words, || {
            user.maille(["node", "--no-mdns", "--listen", listen, "--data-dir", &data.next(&user)])
        });
    }
    let nowhere = ["--no-mdns", "--listen", "/ip4/192.0.2.77/tcp/0"];
    each_launch_ends(1, &["cannot listen on /ip4/192.0.2.77/tcp/0"], || {
        user.maille(["sub", ADDRESS]).args(nowhere)
    });
    let unknown = ["--no-mdns", "--listen", "/ip4/127.0.0.1/udp/0"];
    each_launch_ends(1, &["no transport that this node has (TCP or QUIC)"], || {
        user.maille(["sub", ADDRESS]).args(unknown)
    });
}

/// A data directory for each process.
#[derive(Default)]
struct AtomicDirectories(std::sync::atomic::AtomicUsize);

impl AtomicDirectories {
    fn next(&self, user: &User) -> String {
        user.arg(&format!(
            "data-{}",
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
        ))
    }
}

#[test]
fn passwords_that_cannot_be_used_are_told_by_their_source_and_not_shown() {
    let user = User::new();
    let directory = user.arg("run");
    let missing = user.arg("missing");
    let files = [
        (directory, "cannot read the password file"),
        (missing, "No such file"),
        (user.file("empty", ""), "is empty"),
        (user.file("line-end", "\n"), "is empty"),
        (user.file("two-lines", "canary\nmore\n"), "more than one line"),
        (user.file("latin-1", b"canary\xe9"), "not UTF-8"),
        (user.file("bell", "canary\u{7}"), "control character"),
        (user.file("huge", "canary".repeat(1_000)), "more than 4096 bytes"),
    ];
    for (path, why) in &files {
        for command in ["sub", "pub"] {
            let launch = || user.maille([command, ADDRESS, "--password-file", path]).args(LOOPBACK);
            each_launch_ends(2, &[path, why], launch);
            let shown = launch().run(SOON).stderr.concat().contains("canary");
            assert!(!shown, "{path}");
        }
    }
    let sub = || user.maille(["sub", ADDRESS]).args(LOOPBACK);
    each_launch_ends(
        2,
        &[
            "the variable MAILLE_PASSWORD is empty",
            "--password-file FILE",
            "--open",
        ],
        || sub().password(""),
    );
    each_launch_ends(2, &["MAILLE_PASSWORD cannot be used", "control character"], || {
        sub().password("a\u{1}b")
    });
    each_launch_ends(2, &["no --password-file is for bad.example"], || {
        sub().args(["--password-file", "other.example=f"])
    });
    each_launch_ends(2, &["--open", "--password-file"], || {
        sub().args(["--open", "--password-file", "f"])
    });
}

#[test]
fn a_weak_password_is_warned_about_and_founds_nothing() {
    let user = User::new();
    let sub = |options: &[&str]| {
        user.maille(["sub", ADDRESS])
            .args(LOOPBACK)
            .args(options)
            .password("hunter2")
    };
    let weak = "this password is weak: about 2^";
    each_launch_ends(2, &[weak, "`maille passphrase`", "--allow-weak-password"], || {
        sub(&["--found"])
    });
    let joined = sub(&["--timeout", "1"]).run(SOON).expect(4).says(&["warning: ", weak]);
    assert!(!joined.stderr.concat().contains("hunter2"), "{joined}");
    let allowed = sub(&["--found", "--allow-weak-password", "--timeout", "1"])
        .run(SOON)
        .expect(4);
    let _ = allowed.says(&["warning: ", weak]);
    let strong = user
        .maille(["sub", ADDRESS, "--found", "--timeout", "1"])
        .args(LOOPBACK)
        .run(SOON)
        .expect(4);
    assert!(!strong.stderr.concat().contains("weak"), "{strong}");
}

#[test]
fn data_directories_that_cannot_be_used_are_named() {
    let user = User::new();
    let file = user.file("file", "not a directory");
    let below = format!("{file}/data");
    for path in [&file, &below] {
        each_launch_ends(1, &[path, "is not a directory"], || {
            user.maille(["sub", ADDRESS, "--data-dir", path]).args(LOOPBACK)
        });
        each_launch_ends(1, &[path], || user.maille(["id", "--data-dir", path]));
    }
    std::fs::create_dir(user.path("locked")).unwrap();
    let mut locked = user.path("locked").metadata().unwrap().permissions();
    locked.set_readonly(true);
    std::fs::set_permissions(user.path("locked"), locked).unwrap();
    // Some users may write everywhere, but not there.
    let all_powerful = std::fs::write(user.path("locked/probe"), "").is_ok();
    let denied = if all_powerful {
        "/proc/maille".to_owned()
    } else {
        user.arg("locked")
    };
    for command in [&["sub", ADDRESS][..], &["pub", ADDRESS], &["node"]] {
        each_launch_ends(1, &[&denied], || {
            user.maille(command).args(["--data-dir", &denied]).args(LOOPBACK)
        });
    }
}

#[test]
fn a_key_file_that_is_garbage_is_not_replaced() {
    let user = User::new();
    let garbage: [&[u8]; 4] = [b"", b"garbage", &[0; 68], &[0xff; 10_000]];
    for (number, bytes) in garbage.into_iter().enumerate() {
        let data = user.arg(&format!("data-{number}"));
        std::fs::create_dir(&data).unwrap();
        let key = user.file(&format!("data-{number}/identity.key"), bytes);
        for command in [&["sub", ADDRESS][..], &["node"]] {
            let ended = user
                .maille(command)
                .args(["--data-dir", &data])
                .args(LOOPBACK)
                .run(SOON)
                .expect(1);
            let _ = ended.says(&[&key, "holds no Ed25519 key", "restore it from a copy, or remove it"]);
        }
        let _ = user
            .maille(["id", "--data-dir", &data])
            .run(SOON)
            .expect(1)
            .says(&["holds no Ed25519 key"]);
        assert_eq!(std::fs::read(&key).unwrap(), bytes, "it is left alone");
    }
}
