//! Arrows point one way: `cli → api → net → {core, store} → {types, proto}`. Examples and tests use the public API only,
//! but for those tests that play a machine or an attacker.

use std::collections::HashMap;

use crate::source::{self, Source};

/// What each room of `node/src` may use besides itself. `metrics` is counters that net counts and api shows.
const ARROWS: [(&str, &[&str]); 8] = [
    ("cli", &["maille", "maille_proto"]),
    ("main", &["cli"]),
    ("api", &["net", "core", "store", "types", "metrics", "maille_proto"]),
    ("net", &["core", "store", "types", "metrics", "maille_proto"]),
    ("core", &["types", "maille_proto"]),
    ("store", &["types", "maille_proto"]),
    ("types", &["maille_proto"]),
    ("metrics", &[]),
];

/// Rooms of the library that are public for simulators only, and the wire.
const BEHIND_THE_API: [&str; 4] = ["maille::core", "maille::store", "maille::net", "maille_proto"];

/// Tests that may look behind the API, each with its reason.
const BEHIND_THE_API_ALLOWED: [(&str, &str); 4] = [
    ("tests/bench/", "measures machines and stores by themselves"),
    (
        "tests/interop/",
        "attackers speak the wire themselves, and guess with the machines",
    ),
    ("tests/sim/", "runs the machines in a network of its own"),
    ("tests/src/stranger", "strangers speak the wire themselves"),
];

/// A path that names a room, where it stands.
struct Use {
    at: usize,
    room: String,
}

/// Reads `pub use crate::room::…{A, B}` of the crate's root: what `crate::A` means.
fn reexports(root: &Source) -> HashMap<String, String> {
    let mut rooms = HashMap::new();
    for statement in root.production.split(';') {
        let Some((_, path)) = statement.split_once("pub use crate::") else {
            continue;
        };
        let room = path.split("::").next().unwrap_or_default().trim();
        let names = path.rsplit("::").next().unwrap_or_default();
        for name in names
            .split(['{', '}', ','])
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            rooms.insert(name.to_owned(), room.to_owned());
        }
    }
    rooms
}

/// The names that may follow a path: `a::b` gives `a`, `{a::b, c}` gives `a` and `c`.
fn heads(rest: &str) -> Vec<&str> {
    let name = |text: &'_ str| {
        text.find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(text.len())
    };
    let Some(group) = rest.strip_prefix('{') else {
        return vec![&rest[..name(rest)]];
    };
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                let item = group[start..at].trim();
                found.push(&item[..name(item)]);
                start = at + 1;
                if character == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    found.retain(|head| !head.is_empty());
    found
}

/// How many modules within the file a place is in.
fn inline_depth(code: &str, at: usize) -> usize {
    let mut open: Vec<bool> = Vec::new();
    let mut statement = 0;
    for (position, character) in code[..at].char_indices() {
        match character {
            '{' => {
                let head = &code[statement..position];
                open.push(head.split_whitespace().any(|word| word == "mod"));
                statement = position + 1;
            }
            '}' => {
                open.pop();
                statement = position + 1;
            }
            ';' => statement = position + 1,
            _ => {}
        }
    }
    open.into_iter().filter(|module| *module).count()
}

/// All rooms that a file of `node/src` names.
fn uses(source: &Source, reexports: &HashMap<String, String>) -> Vec<Use> {
    let code = &source.code;
    let word_before = |at: usize| code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
    let mut found = Vec::new();
    let mut add = |at: usize, heads: Vec<&str>| {
        for head in heads {
            let room = reexports.get(head).map_or(head, String::as_str).to_owned();
            found.push(Use { at, room });
        }
    };
    for (at, start) in code.match_indices("crate::") {
        if !word_before(at) {
            add(at, heads(&code[at + start.len()..]));
        }
    }
    for (at, _) in code.match_indices("super::") {
        if word_before(at) {
            continue;
        }
        let supers = code[at..]
            .split("super::")
            .take_while(|between| between.is_empty())
            .count();
        let rest = code[at..].trim_start_matches("super::");
        let inside = source.module().len() + inline_depth(code, at);
        let supers = supers.max(1);
        if supers == inside {
            add(at, heads(rest));
        }
    }
    for outside in ["maille", "maille_proto"] {
        for (at, _) in code.match_indices(&format!("{outside}::")) {
            if !word_before(at) {
                found.push(Use {
                    at,
                    room: outside.to_owned(),
                });
            }
        }
    }
    found
}

fn wrong_arrows(sources: &[Source]) -> Vec<String> {
    let root = sources
        .iter()
        .find(|source| source.path == "node/src/lib.rs")
        .expect("the library has a root");
    let reexports = reexports(root);
    let mut violations = Vec::new();
    for source in sources {
        let Some(room) = source.room().filter(|room| *room != "lib") else {
            continue;
        };
        let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| *from == room) else {
            violations.push(format!(
                "{}: the room {room} is not in the plan of the house",
                source.path
            ));
            continue;
        };
        for Use { at, room: used } in uses(source, &reexports) {
            if used != room && !allowed.contains(&used.as_str()) {
                violations.push(format!("{}: {room} uses {used}, against the arrows", source.place(at)));
            }
        }
    }
    violations
}

fn looks_behind_the_api(sources: &[Source]) -> Vec<String> {
    let mut violations = Vec::new();
    for source in sources {
        let outside = source.path.starts_with("examples/") || source.path.starts_with("tests/");
        let program = source.path.starts_with("node/src/cli/");
        let allowed = BEHIND_THE_API_ALLOWED
            .iter()
            .any(|(start, _)| source.path.starts_with(start));
        if !(outside || program) || allowed {
            continue;
        }
        for hidden in BEHIND_THE_API {
            // The program's own bounds are those of the wire.
            if program && hidden == "maille_proto" {
                continue;
            }
            for (at, _) in source.code.match_indices(hidden) {
                violations.push(format!("{}: {hidden} is behind the API", source.place(at)));
            }
        }
    }
    violations
}

#[test]
fn arrows_point_one_way() {
    crate::assert_none(&wrong_arrows(&source::all()));
}

#[test]
fn examples_and_tests_use_the_public_api() {
    crate::assert_none(&looks_behind_the_api(&source::all()));
}

#[cfg(test)]
mod can_fail {
    use super::*;

    fn wrong(path: &str, text: &str) -> usize {
        let root = Source::new(
            "node/src/lib.rs",
            "mod api;\npub use crate::api::{Node, PayloadError};\npub use crate::metrics::Metrics;",
        );
        wrong_arrows(&[root, Source::new(path, text)]).len()
    }

    #[test]
    fn an_arrow_against_the_plan_is_found() {
        assert_eq!(wrong("node/src/net/link.rs", "use crate::api::JoinError;"), 1);
        assert_eq!(
            wrong(
                "node/src/net/link.rs",
                "use crate::core::a::B;\nuse crate::{types, metrics::Counters};"
            ),
            0
        );
        assert_eq!(wrong("node/src/net/link.rs", "use crate::{types::{A, B}, api::C};"), 1);
        assert_eq!(wrong("node/src/net/link.rs", "fn f(node: crate::Node) {}"), 1);
        assert_eq!(wrong("node/src/net/link.rs", "use super::super::api;"), 1);
        assert_eq!(wrong("node/src/net/link.rs", "use super::api;"), 0);
        assert_eq!(
            wrong(
                "node/src/net/link.rs",
                "mod tests { use super::super::api; mod more { use super::super::super::super::api; } }"
            ),
            1
        );
        assert_eq!(wrong("node/src/core/x.rs", "use crate::store::DataDir;"), 1);
        assert_eq!(wrong("node/src/store/mod.rs", "use super::core::X;"), 1);
        assert_eq!(wrong("node/src/types/mod.rs", "use maille_proto::Ticket;"), 0);
        assert_eq!(wrong("node/src/metrics.rs", "use crate::types::MeshName;"), 1);
        assert_eq!(wrong("node/src/cli/node.rs", "use maille::Node; use super::exit;"), 0);
        assert_eq!(wrong("node/src/cli/node.rs", "use crate::net::Task;"), 1);
        assert_eq!(wrong("node/src/attic/mod.rs", ""), 1);
    }

    #[test]
    fn a_look_behind_the_api_is_found() {
        let looks = |path, text| looks_behind_the_api(&[Source::new(path, text)]).len();
        assert_eq!(
            looks("examples/ticker/src/main.rs", "use maille::core::stream::Frame;"),
            1
        );
        assert_eq!(
            looks("examples/ticker/src/main.rs", "use maille::Node; // maille::core"),
            0
        );
        assert_eq!(looks("tests/swarm/a.rs", "fn f() -> maille_proto::Frame {}"), 1);
        assert_eq!(looks("node/src/cli/sub.rs", "use maille::store::DataDir;"), 1);
    }
}
