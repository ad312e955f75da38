//! The top level, as the plan of the house has it: no other room, and none that holds nothing.

use std::path::Path;

use maille_tests::processes::workspace;

/// What the top level may hold. Dot files, and what git ignores, apart.
const ALLOWED: [&str; 16] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "clippy.toml",
    "deny.toml",
    "deploy",
    "examples",
    "node",
    "proto",
    "rustfmt.toml",
    "target",
    "tests",
];

/// What must be there.
const REQUIRED: [&str; 12] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "clippy.toml",
    "deny.toml",
    "node",
    "proto",
    "rustfmt.toml",
];

fn entries(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn misplaced(names: &[String]) -> Vec<String> {
    let strange = names
        .iter()
        .filter(|name| !name.starts_with('.') && !ALLOWED.contains(&name.as_str()));
    let missing = REQUIRED
        .iter()
        .filter(|required| !names.iter().any(|name| name == *required));
    let strange = strange.map(|name| format!("{name}: not a room of this house"));
    strange.chain(missing.map(|name| format!("{name}: missing"))).collect()
}

fn empty_rooms(folder: &Path) -> Vec<String> {
    let mut violations = Vec::new();
    for name in entries(folder) {
        let path = folder.join(&name);
        if !path.is_dir() || name.starts_with('.') || name == "target" {
            continue;
        }
        if entries(&path).is_empty() {
            violations.push(format!("{}: a room that holds nothing", path.display()));
        }
        violations.extend(empty_rooms(&path));
    }
    violations
}

#[test]
fn the_top_level_is_as_planned() {
    crate::assert_none(&misplaced(&entries(workspace())));
}

#[test]
fn no_room_is_empty() {
    crate::assert_none(&empty_rooms(workspace()));
}

#[test]
fn what_is_misplaced_is_found() {
    let mut names: Vec<String> = ALLOWED.map(str::to_owned).to_vec();
    names.push(".ci".to_owned());
    assert_eq!(misplaced(&names).len(), 0);
    names.push("scripts".to_owned());
    assert_eq!(misplaced(&names).len(), 1);
    names.retain(|name| name != "LICENSE-MIT");
    assert_eq!(misplaced(&names).len(), 2);
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("deploy/docker")).unwrap();
    assert_eq!(empty_rooms(folder.path()).len(), 1);
}
