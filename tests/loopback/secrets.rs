//! T14: the password of a mesh, and a ticket to it, are in nothing that is printed, logged or stored, at any level of
//! logging and in no encoding.

use std::path::Path;

use maille_tests::processes::{Ended, LOOPBACK, PASSWORD, Running, SOON, User};
use maille_tests::search::{ADDRESS, CANARY, OTHER_CANARY, found, stretched};

use crate::cast::{LONG, WAIT_TIMEOUT};

fn assert_absent(ended: &Ended, secrets: &[&[u8]]) {
    let stdout: Vec<_> = ended.stdout.iter().map(|line| String::from_utf8_lossy(line)).collect();
    let text = format!("{}\n{}", ended.stderr.join("\n"), stdout.join("\n"));
    for secret in secrets {
        assert_eq!(found(&text, secret), None, "{}", ended.what);
    }
}

/// Every file below a directory, as text.
fn files_below(directory: &Path, text: &mut String) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, text);
        } else if let Ok(bytes) = std::fs::read(&path) {
            text.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
}

fn traced(ended: &Ended) {
    let traces = ended.stderr.iter().filter(|line| line.contains("TRACE")).count();
    assert!(
        traces > 20,
        "only {traces} trace lines: the search would prove nothing\n{ended}"
    );
}

#[test]
fn a_canary_password_and_a_ticket_are_in_no_log_no_output_and_no_file() {
    let user = User::new();
    let trace = "trace";
    let helper = user
        .maille(["node", "--json", "--data-dir", &user.arg("node")])
        .args(LOOPBACK)
        .no_password();
    let helper = helper.env("MAILLE_LOG", trace).start();
    let line: serde_json::Value = serde_json::from_str(&helper.stdout_line("", SOON)).unwrap();
    let multiaddr = line["multiaddr"].as_str().unwrap();
    let ticket = user
        .maille(["ticket", ADDRESS, "--bootstrap", multiaddr])
        .run(SOON)
        .expect(0)
        .text()
        .remove(0);
    let canary_file = user.file("canary", format!("{CANARY}\n"));

    let launch = |arguments: &[&str], password: &str| {
        user.maille(arguments)
            .args(LOOPBACK)
            .password(password)
            .env("MAILLE_LOG", trace)
    };
    let sub = launch(
        &["sub", "--json", "--ticket", &ticket, "--data-dir", &user.arg("sub")],
        CANARY,
    )
    .start();
    sub.stderr_line("subscribed to ", SOON);
    let stranger = launch(&["sub", &ticket, "--json"], OTHER_CANARY).start();
    let publish = [
        "pub",
        "--json",
        "--ticket",
        &ticket,
        "--data-dir",
        &user.arg("pub"),
        "--password-file",
        &canary_file,
    ];
    let published = launch(&publish, PASSWORD)
        .args(WAIT_TIMEOUT)
        .input("one\ntwo\n")
        .run(LONG)
        .expect(0);
    sub.stdout_count(2, SOON);
    let refused = stranger.wait(LONG).expect(3);
    let end = |running: Running| {
        running.signal("INT");
        running.wait(SOON).expect(130)
    };
    let stretched = stretched();
    let secrets = [
        CANARY.as_bytes(),
        OTHER_CANARY.as_bytes(),
        ticket.as_bytes(),
        &stretched[0],
        &stretched[1],
    ];
    for ended in [published, refused, end(sub), end(helper)] {
        traced(&ended);
        assert_absent(&ended, &secrets);
    }
    std::fs::remove_file(canary_file).unwrap();
    let mut kept = String::new();
    files_below(&user.path(""), &mut kept);
    assert!(kept.len() > 200, "there is something on disk: {} bytes", kept.len());
    for secret in secrets {
        assert_eq!(found(&kept, secret), None, "on disk");
    }
}

#[test]
fn no_error_shows_the_password() {
    let user = User::new();
    let two_lines = user.file("two-lines", format!("{CANARY}\n{CANARY}\n"));
    let bell = user.file("bell", format!("{CANARY}\u{7}"));
    let broken = user.file("broken", [CANARY.as_bytes(), b"\xff"].concat());
    let bad_data_dir = user.file("file", "");
    for options in [
        &["--password-file", &two_lines][..],
        &["--password-file", &bell],
        &["--password-file", &broken],
        &["--password-file", "missing"],
        &["--data-dir", &bad_data_dir],
        &["--listen", "/ip4/192.0.2.77/tcp/0"],
        &["--no-such-option"],
        &["--bootstrap", "nonsense"],
        &["--found", "--timeout", "0"],
    ] {
        let launch = user
            .maille(["sub", ADDRESS, "--json", "--no-mdns"])
            .args(options)
            .env("MAILLE_LOG", "trace");
        let ended = launch.password(CANARY).run(SOON);
        assert_ne!(ended.code, Some(0), "{ended}");
        assert_absent(&ended, &[CANARY.as_bytes()]);
    }
    for password in [
        format!("{CANARY}\u{7}"),
        format!("{CANARY}\n{CANARY}"),
        CANARY.repeat(100),
    ] {
        let launch = user.maille(["sub", ADDRESS, "--timeout", "0"]).args(LOOPBACK);
        let ended = launch.password(password).env("MAILLE_LOG", "trace").run(SOON);
        assert_absent(&ended.expect(2), &[CANARY.as_bytes()]);
    }
}

#[test]
fn no_option_takes_a_password() {
    let user = User::new();
    for command in ["node", "pub", "sub", "ticket", "id", "passphrase"] {
        for option in ["--password", "--pass", "--passphrase", "-p", "--secret"] {
            let launch = user.maille([command, option, CANARY]).no_password();
            let ended = launch.run(SOON).expect(2).says(&["error: unexpected argument"]);
            assert_absent(&ended, &[CANARY.as_bytes()]);
        }
        let joined = format!("--password={CANARY}");
        assert_absent(
            &user.maille([command, &joined]).run(SOON).expect(2),
            &[CANARY.as_bytes()],
        );
        let help = user.maille([command, "--help"]).run(SOON).expect(0).text().join("\n");
        assert!(!help.contains("--password ") && !help.contains("--password="), "{help}");
    }
    let help = user.maille(["sub", "--help"]).password(CANARY).run(SOON).expect(0);
    assert_absent(&help, &[CANARY.as_bytes()]);
}
