//! Habits of every source file: it says what it is, stays short, and bounds its queues.

use crate::source::{self, Source};

/// 100–400 lines are the habit; what outgrows this is two ideas.
const LINES_MAX: usize = 500;

/// Files that may be longer, each with its reason.
const LONG_ALLOWED: [(&str, &str); 1] = [("proto/src/generated/", "generated")];

/// Queues without a bound.
const UNBOUNDED: [&str; 4] = [
    "unbounded_channel",
    "unbounded(",
    "UnboundedSender",
    "std::sync::mpsc::",
];

fn undocumented(sources: &[Source]) -> Vec<String> {
    let says = |source: &&Source| {
        let first = source.text.lines().next().unwrap_or_default();
        !(first.starts_with("//! ") && first.len() > 10)
    };
    sources
        .iter()
        .filter(says)
        .map(|source| format!("{}:1: no `//!` says what this is", source.path))
        .collect()
}

fn hollow(sources: &[Source]) -> Vec<String> {
    let empty = sources.iter().filter(|source| source.code.trim().is_empty());
    empty
        .map(|source| format!("{}: a room that holds nothing", source.path))
        .collect()
}

fn long(sources: &[Source]) -> Vec<String> {
    let mut violations = Vec::new();
    for source in sources {
        let lines = source.text.lines().count();
        let allowed = LONG_ALLOWED.iter().any(|(start, _)| source.path.starts_with(start));
        if lines > LINES_MAX && !allowed {
            violations.push(format!(
                "{}: {lines} lines are two ideas (at most {LINES_MAX})",
                source.path
            ));
        }
    }
    violations
}

fn unbounded(sources: &[Source]) -> Vec<String> {
    let mut violations = Vec::new();
    let shipped = |source: &&Source| !source.path.starts_with("tests/") && !source.path.contains("/tests/");
    for source in sources.iter().filter(shipped) {
        for word in UNBOUNDED {
            for (at, _) in source.production.match_indices(word) {
                violations.push(format!("{}: `{word}`: every queue has a named bound", source.place(at)));
            }
        }
    }
    violations
}

#[test]
fn every_file_says_what_it_is() {
    crate::assert_none(&undocumented(&source::all()));
}

#[test]
fn no_file_is_hollow() {
    crate::assert_none(&hollow(&source::all()));
}

#[test]
fn files_are_short() {
    crate::assert_none(&long(&source::all()));
}

#[test]
fn queues_are_bounded() {
    crate::assert_none(&unbounded(&source::all()));
}

#[test]
fn a_long_file_on_the_list_is_there_and_long() {
    let sources = source::all();
    for (start, _) in LONG_ALLOWED.iter().filter(|(start, _)| start.ends_with(".rs")) {
        let lines = sources
            .iter()
            .find(|source| source.path == *start)
            .map(|source| source.text.lines().count());
        assert!(
            lines.is_some_and(|lines| lines > LINES_MAX),
            "{start} need not be on the list: {lines:?}"
        );
    }
}

#[test]
fn each_lapse_is_found() {
    let one = |text: &str| [Source::new("node/src/net/x.rs", text)];
    assert_eq!(undocumented(&one("use a;")).len(), 1);
    assert_eq!(undocumented(&one("//!\nuse a;")).len(), 1);
    assert_eq!(undocumented(&one("//! What it is.\nuse a;")).len(), 0);
    assert_eq!(hollow(&one("//! What will be.\n")).len(), 1);
    assert_eq!(hollow(&one("//! What is.\nuse a;")).len(), 0);
    assert_eq!(long(&one(&"use a;\n".repeat(LINES_MAX + 1))).len(), 1);
    assert_eq!(long(&one(&"use a;\n".repeat(LINES_MAX))).len(), 0);
    for word in UNBOUNDED {
        assert_eq!(unbounded(&one(&format!("fn f() {{ {word} }}"))).len(), 1, "{word}");
    }
    assert_eq!(unbounded(&one("fn f() { mpsc::channel(QUEUE_MAX) }")).len(), 0);
}
