//! What the machine does not give: a port that another helper has, and a data directory of somebody else.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use maille_tests::processes::{LOOPBACK, SOON, User, programs};

use crate::cast::{LONG, WAIT_TIMEOUT, own_ip};

/// What every Unix has for who may do nothing.
const NOBODY: &str = "65534";

/// The second of two real helpers, over TCP and QUIC: libp2p's TCP sockets share ports, so nothing of this goes by itself.
#[test]
fn a_second_helper_on_a_port_is_told_that_it_is_in_use() {
    for transport in ["tcp/0", "udp/0/quic-v1"] {
        let (first, second) = (User::new(), User::new());
        let any = format!("/ip4/{}/{transport}", own_ip());
        let helper = first.maille(["node", "--no-mdns", "--listen", &any]).start();
        let multiaddr = helper.stdout_line("", SOON);
        let (taken, _) = multiaddr.rsplit_once("/p2p/").unwrap();
        let other = second.maille(["node", "--no-mdns", "--listen", taken]);
        let refused = other.run(SOON).expect(1).says(&[
            &format!("error: cannot listen on {taken}"),
            "in use",
            "choose another port, or 0 for any free one",
        ]);
        assert_eq!(
            refused.text(),
            [""; 0],
            "it tells nobody where it would listen: {refused}"
        );

        // The first one has not noticed: whoever asks at that port still meets it, and once it is gone the port is free.
        let subscriber = second
            .maille(["sub", "ports.example/x"])
            .args(LOOPBACK)
            .args(["--bootstrap", &multiaddr]);
        let subscriber = subscriber.start();
        subscriber.stderr_line("subscribed to ", SOON);
        let publisher = first
            .maille(["pub", "ports.example/x", "--bootstrap", &multiaddr])
            .args(LOOPBACK);
        let published = publisher.args(WAIT_TIMEOUT).input("hi\n").run(LONG);
        assert_eq!(published.expect(0).last_word(), "published 1 record to 1 neighbour");
        assert_eq!(subscriber.stdout_line("", SOON), "hi");
        helper.signal("TERM");
        let _ = helper.wait(SOON).expect(0);
        let after = second.maille(["node", "--no-mdns", "--listen", taken]).start();
        assert!(after.stdout_line("", SOON).starts_with(taken));
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n"
}

/// Where everybody may look and run, and only root may write.
fn readable_by_all(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A data directory of root's, and somebody else who starts a node there; root itself may write anywhere.
#[test]
fn a_data_directory_of_another_user_is_named() {
    if !is_root() || !Path::new("/usr/bin/setpriv").exists() {
        eprintln!("SKIPPED: to be another user takes root and setpriv; {NOBODY} cannot be tried");
        assert!(
            std::env::var_os("CI").is_none() || !is_root(),
            "no setpriv: install util-linux"
        );
        return;
    }
    let user = User::new();
    readable_by_all(&user.path(""));
    std::fs::copy(programs().join("maille"), user.path("maille")).unwrap();
    let mut refused = 0;
    for directory in ["theirs", "theirs/below"] {
        let theirs = user.path("theirs");
        std::fs::create_dir_all(&theirs).unwrap();
        readable_by_all(&theirs);
        let data = user.arg(directory);
        let as_nobody = |arguments: &[&str]| {
            let line = format!(
                "exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups {} {} --data-dir {data} {}",
                user.arg("maille"),
                arguments.join(" "),
                LOOPBACK.join(" "),
            );
            user.shell(&line).run(SOON)
        };
        for arguments in [
            &["sub", "rights.example/x"][..],
            &["pub", "rights.example/x"],
            &["node"],
        ] {
            let ended = as_nobody(arguments)
                .expect(1)
                .says(&["error: ", &data, "Permission denied"]);
            assert_eq!(ended.text(), [""; 0], "{ended}");
            refused += 1;
        }
        assert_eq!(
            std::fs::read_dir(&theirs).unwrap().count(),
            0,
            "nothing was left behind"
        );
    }
    assert_eq!(refused, 6);
    // The control: what was in the way is who it belongs to.
    let given = Command::new("chown")
        .arg(NOBODY)
        .arg(user.path("theirs"))
        .status()
        .unwrap();
    assert!(given.success());
    let line = format!(
        "exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups {} sub rights.example/x --timeout 1 --data-dir {} {}",
        user.arg("maille"),
        user.arg("theirs"),
        LOOPBACK.join(" "),
    );
    let _ = user.shell(&line).run(SOON).expect(4);
    // A key that belongs to somebody else cannot be read.
    let key = user.path("theirs/identity.key");
    let taken = Command::new("chown").arg("0").arg(&key).status().unwrap();
    assert!(taken.success());
    let _ = user
        .shell(&line)
        .run(SOON)
        .expect(1)
        .says(&[&user.arg("theirs"), "Permission denied"]);
}
