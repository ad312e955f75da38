//! `core/` is pure: time and randomness are arguments, and nothing waits, sleeps, reads or writes.

use crate::source::{self, Source};

/// What a pure machine has no use for, and what it takes instead.
const IMPURE: [(&str, &str); 17] = [
    ("async", "net waits"),
    ("await", "net waits"),
    ("tokio", "net waits"),
    ("futures", "net waits"),
    ("std::fs", "store reads and writes"),
    ("std::io", "store and net read and write"),
    ("std::net::TcpStream", "net connects"),
    ("std::net::TcpListener", "net listens"),
    ("std::net::UdpSocket", "net sends"),
    ("std::thread", "net runs"),
    ("std::env", "api is told"),
    ("Instant::now", "now is an argument"),
    ("SystemTime", "times are arguments"),
    ("rand::rng", "randomness is an argument"),
    ("thread_rng", "randomness is an argument"),
    ("SysRng", "randomness is an argument"),
    ("libp2p::swarm", "net performs"),
];

fn impurities(sources: &[Source]) -> Vec<String> {
    let mut violations = Vec::new();
    for source in sources.iter().filter(|source| source.room() == Some("core")) {
        for (word, instead) in IMPURE {
            for (at, _) in source.production.match_indices(word) {
                let is_part = |c: char| c.is_alphanumeric() || c == '_';
                let before = source.production[..at].ends_with(is_part);
                let after = source.production[at + word.len()..].starts_with(is_part);
                if !before && !after {
                    violations.push(format!("{}: core has `{word}`: {instead}", source.place(at)));
                }
            }
        }
    }
    violations
}

#[test]
fn core_is_pure() {
    crate::assert_none(&impurities(&source::all()));
}

#[test]
fn an_impurity_is_found() {
    let found = |text: &str| impurities(&[Source::new("node/src/core/x.rs", text)]).len();
    for (word, _) in IMPURE {
        assert_eq!(found(&format!("fn f() {{ {word} }}")), 1, "{word}");
        assert_eq!(
            found(&format!("// {word}\nfn f() {{ g(\"{word}\"); {word}s }}")),
            0,
            "{word}"
        );
        assert_eq!(
            found(&format!("#[cfg(test)]\nmod tests {{ fn f() {{ {word} }} }}")),
            0,
            "{word}"
        );
    }
    assert_eq!(
        impurities(&[Source::new("node/src/net/x.rs", "use tokio::x;")]).len(),
        0
    );
}
