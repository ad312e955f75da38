//! The commands without a network: passphrase, id, completions, man, help.

use std::collections::BTreeSet;

use maille_tests::processes::{SOON, User};

#[test]
fn passphrases_are_strong_and_never_the_same() {
    let user = User::new();
    let passphrases: Vec<String> = (0..20)
        .map(|_| {
            user.maille(["passphrase"])
                .no_password()
                .run(SOON)
                .expect(0)
                .text()
                .join("\n")
        })
        .collect();
    for passphrase in &passphrases {
        assert_eq!(passphrase.split('-').count(), 5, "{passphrase}");
        let password = maille::Password::parse(passphrase).unwrap();
        assert!(!password.strength().is_weak(), "{passphrase}");
    }
    assert_eq!(passphrases.iter().collect::<BTreeSet<_>>().len(), 20);
}

#[test]
fn an_identity_stays_what_it_is() {
    let user = User::new();
    let id = |arguments: &[&str]| {
        user.maille(["id"])
            .args(arguments)
            .no_password()
            .run(SOON)
            .expect(0)
            .text()
    };
    let data = user.arg("data-dir");
    let first = id(&["--data-dir", &data]);
    assert!(first.len() == 1 && first[0].starts_with("12D3KooW"), "{first:?}");
    assert_eq!(id(&["--data-dir", &data]), first);
    let json: serde_json::Value = serde_json::from_str(&id(&["--data-dir", &data, "--json"])[0]).unwrap();
    assert_eq!(json, serde_json::json!({"event": "identity", "peer": first[0]}));
    // Without a directory it is the one of `maille node`.
    let own = id(&[]);
    assert_ne!(own, first);
    let node = user
        .maille(["node", "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0"])
        .no_password()
        .start();
    assert!(node.stdout_line("", SOON).ends_with(&format!("/p2p/{}", own[0])));
}

#[test]
fn shells_get_their_completions() {
    let user = User::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = user
            .maille(["completions", shell])
            .run(SOON)
            .expect(0)
            .text()
            .join("\n");
        for word in ["passphrase", "wait-for", "password-file"] {
            assert!(text.contains(word), "{shell} does not know {word}");
        }
    }
    let _ = user.maille(["completions", "dosh"]).run(SOON).expect(2).says(&["dosh"]);
    let script = "maille completions bash > completions && bash -c '. ./completions && complete -p maille'";
    if user.shell("command -v bash").run(SOON).code == Some(0) {
        let _ = user.shell(script).run(SOON).expect(0);
    }
}

#[test]
fn manual_pages_are_printed_or_written() {
    let user = User::new();
    let page = user.maille(["man"]).run(SOON).expect(0).text().join("\n");
    assert!(page.contains(".TH") && page.contains("Exit codes"), "{page}");
    let directory = user.arg("man1");
    let _ = user.maille(["man", &directory]).run(SOON).expect(0);
    let pages = std::fs::read_dir(&directory).unwrap().count();
    assert!(pages >= 9, "{pages}");
    let file = user.file("file", "");
    let _ = user.maille(["man", &file]).run(SOON).expect(1).says(&[&file]);
}

#[test]
fn help_has_examples_and_exit_codes() {
    let user = User::new();
    let help = user.maille(["--help"]).run(SOON).expect(0).text().join("\n");
    for word in ["Examples:", "Exit codes:", "MAILLE_PASSWORD", "130"] {
        assert!(help.contains(word), "{word}: {help}");
    }
    for command in ["node", "pub", "sub", "ticket", "passphrase", "id", "completions", "man"] {
        let help = user.maille([command, "--help"]).run(SOON).expect(0).text().join("\n");
        assert!(help.contains("Examples:"), "{help}");
    }
    assert!(user.maille(["--version"]).run(SOON).expect(0).text()[0].starts_with("maille 0."));
    let _ = user.maille([""; 0]).run(SOON).expect(2);
}
