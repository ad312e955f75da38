//! Documents that must agree with the code: the README's example, its commands, and what CI runs.

use maille_tests::processes::workspace;

use crate::source;

fn read(path: &str) -> String {
    std::fs::read_to_string(workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The blocks between fences of one of these languages.
pub(crate) fn fenced(text: &str, languages: &[&str]) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    let mut open: Option<bool> = None;
    for line in text.lines() {
        if let Some(language) = line.trim().strip_prefix("```") {
            open = match open {
                Some(_) => None,
                None => Some(languages.contains(&language)),
            };
            if open == Some(true) {
                blocks.push(String::new());
            }
        } else if let (Some(true), Some(block)) = (open, blocks.last_mut()) {
            block.push_str(line);
            block.push('\n');
        }
    }
    blocks
}

/// The doc example of the library's root, as a reader sees it.
fn example_of_the_library(root: &str) -> String {
    let docs = root.lines().map_while(|line| line.strip_prefix("//!"));
    let docs: Vec<&str> = docs.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    let example = fenced(&docs.join("\n"), &[""]).swap_remove(0);
    let shown = example.lines().filter(|line| *line != "#" && !line.starts_with("# "));
    shown.map(|line| format!("{line}\n")).collect()
}

/// Blank lines say nothing about whether two examples are one.
fn squeeze(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.trim().is_empty()).collect()
}

/// Files that a document links to or names as a path, and that are not there.
fn broken_links(document: &str, text: &str) -> Vec<String> {
    let folder = workspace().join(document).parent().unwrap().to_owned();
    let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let local = links.filter(|link| !link.contains("://") && !link.starts_with('#'));
    let paths = local.map(|link| link.split('#').next().unwrap_or_default());
    let broken = paths.filter(|path| !folder.join(path).exists());
    broken.map(|path| format!("{document}: {path} is not there")).collect()
}

/// Paths in backticks, such as `node/src/net/task.rs`, that are not there.
fn broken_paths(document: &str, text: &str) -> Vec<String> {
    let spans = text.split('`').skip(1).step_by(2);
    let is_path = |span: &&str| {
        let plain = span.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
        let inside = ["node/", "proto/", "tests/", "examples/", ".ci/"]
            .iter()
            .any(|room| span.starts_with(room));
        plain && inside
    };
    let broken = spans.filter(is_path).filter(|path| !workspace().join(path).exists());
    broken.map(|path| format!("{document}: {path} is not there")).collect()
}

#[test]
fn the_readme_shows_the_example_of_the_library() {
    let examples = fenced(&read("README.md"), &["rust"]);
    let tested = example_of_the_library(&read("node/src/lib.rs"));
    assert!(squeeze(&tested).len() >= 10, "{tested}");
    assert!(
        examples.iter().any(|example| squeeze(example) == squeeze(&tested)),
        "README.md shows another example than node/src/lib.rs, which is:\n{tested}"
    );
}

#[test]
fn ci_runs_the_two_commands_of_the_readme() {
    let readme = read("README.md");
    let first: Vec<String> = fenced(&readme, &["sh"])
        .iter()
        .flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>())
        .take(2)
        .collect();
    assert_eq!(
        first,
        ["cargo run --release --bin ticker", "cargo test --workspace --locked"]
    );
    let ci = read(".ci/run");
    for read_by_ci in ["readme_command 1", "readme_command 2"] {
        assert!(
            ci.contains(read_by_ci),
            ".ci/run does not run the README's own command: {read_by_ci}"
        );
    }
}

#[test]
fn links_and_paths_lead_somewhere() {
    let mut broken = Vec::new();
    for document in [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "examples/ticker/README.md",
    ] {
        let text = read(document);
        broken.extend(broken_links(document, &text));
        broken.extend(broken_paths(document, &text));
    }
    crate::assert_none(&broken);
}

#[test]
fn architecture_stays_readable() {
    let lines = read("ARCHITECTURE.md").lines().count();
    assert!(lines <= 200, "{lines} lines: nobody reads that");
}

#[test]
fn numbers_in_the_architecture_are_those_of_the_code() {
    // `NAME = 7` in backticks is a constant somewhere.
    let text = read("ARCHITECTURE.md");
    let sources = source::all();
    let mut checked = 0;
    for span in text.split('`').skip(1).step_by(2) {
        let Some((name, value)) = span.split_once(" = ") else {
            continue;
        };
        let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        if !name.chars().all(is_name) {
            continue;
        }
        checked += 1;
        let stands = |source: &source::Source| {
            source
                .code
                .lines()
                .any(|line| line.contains(&format!(" {name}: ")) && line.trim_end().ends_with(&format!("= {value};")))
        };
        assert!(
            sources.iter().any(stands),
            "ARCHITECTURE.md says `{span}`, and the code does not"
        );
    }
    assert!(checked >= 5, "only {checked} constants are checked");
}

#[test]
fn what_disagrees_is_found() {
    let root = "//! Docs.\n//!\n//! ```\n//! use a;\n//! # fn hidden() {}\n//!\n//! b();\n//! ```\n\nmod x;";
    assert_eq!(example_of_the_library(root), "use a;\n\nb();\n");
    assert_eq!(
        fenced(
            "a\n```sh\nb\nc\n```\n```\nd\n```\n```console\ne\n```",
            &["sh", "console"]
        ),
        ["b\nc\n", "e\n"]
    );
    assert_eq!(
        broken_links(
            "README.md",
            "[a](nowhere.md) [b](https://example.org) [c](#here) [d](node/Cargo.toml)"
        )
        .len(),
        1
    );
    assert_eq!(
        broken_paths("README.md", "`node/nothing.rs` `node/Cargo.toml` `maille node`").len(),
        1
    );
}
