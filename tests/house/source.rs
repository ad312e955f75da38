//! Rust sources as these rules read them: without comments and literals, with and without what only tests see. A reader of
//! tokens, not a compiler: what macros build it does not see.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use maille_tests::processes::workspace;

/// Folders with Rust sources.
const FOLDERS: [&str; 4] = ["proto", "node", "examples", "tests"];

/// One file.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// From the root of the workspace, with `/`.
    pub(crate) path: String,
    /// As it stands.
    pub(crate) text: String,
    /// Without comments and literals; lines stay where they were.
    pub(crate) code: String,
    /// Its code without what is under `#[cfg(test)]`; empty for a file that only tests see.
    pub(crate) production: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = blank_comments_and_literals(text);
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            production: blank_tests(&code),
            code,
        }
    }

    /// Where a byte of the code is, for people.
    pub(crate) fn place(&self, at: usize) -> String {
        let line = self.code[..at].matches('\n').count() + 1;
        format!("{}:{line}", self.path)
    }

    /// The folder or file right under `node/src`, without `.rs`: `core`, `net`, `metrics`, `lib`.
    pub(crate) fn room(&self) -> Option<&str> {
        let inner = self.path.strip_prefix("node/src/")?;
        let first = inner.split('/').next()?;
        Some(first.strip_suffix(".rs").unwrap_or(first))
    }

    /// Its modules from the root of its crate: `net::gate::handler` is `["net", "gate", "handler"]`.
    pub(crate) fn module(&self) -> Vec<&str> {
        let inner = self
            .path
            .split_once("src/")
            .map_or(self.path.as_str(), |(_, inner)| inner);
        let inner = inner.strip_suffix(".rs").unwrap_or(inner);
        let inner = inner.strip_suffix("/mod").unwrap_or(inner);
        inner
            .split('/')
            .filter(|part| !["lib", "main"].contains(part))
            .collect()
    }
}

/// All sources of the workspace.
pub(crate) fn all() -> Vec<Source> {
    let mut paths = Vec::new();
    for folder in FOLDERS {
        collect(&workspace().join(folder), &mut paths);
    }
    paths.sort();
    let read = |path: &PathBuf| {
        let name = path
            .strip_prefix(workspace())
            .unwrap()
            .to_str()
            .unwrap()
            .replace('\\', "/");
        Source::new(&name, &std::fs::read_to_string(path).unwrap())
    };
    let mut sources: Vec<Source> = paths.iter().map(read).collect();
    assert!(sources.len() > 100, "the sources are not where they were looked for");
    hide_test_files(&mut sources);
    sources
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

/// Files that are declared under `#[cfg(test)]` have no production code, nor has what lies beneath them.
fn hide_test_files(sources: &mut [Source]) {
    let mut hidden = HashSet::new();
    for source in sources.iter() {
        let folder = match source.path.rsplit_once('/') {
            Some((folder, "lib.rs" | "main.rs" | "mod.rs")) => folder,
            _ => source.path.strip_suffix(".rs").unwrap(),
        };
        let beside = source.path.rsplit_once('/').map_or("", |(beside, _)| beside);
        for (declared, path) in test_modules(&source.text, &source.code) {
            match path {
                Some(path) => hidden.insert(format!("{beside}/{path}")),
                None => {
                    hidden.insert(format!("{folder}/{declared}.rs")) | hidden.insert(format!("{folder}/{declared}/"))
                }
            };
        }
    }
    for source in sources {
        if hidden.iter().any(|start| source.path.starts_with(start.as_str())) {
            source.production.clear();
        }
    }
}

/// The `mod name;` under `#[cfg(test)]`, with their `#[path]`.
fn test_modules(text: &str, code: &str) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    for (at, attribute) in code.match_indices("#[cfg(test)]") {
        let rest = &code[at + attribute.len()..];
        let end = rest.find([';', '{']).map_or(rest.len(), |end| end + 1);
        let item = &rest[..end];
        let Some(name) = item.split_once("mod ").and_then(|(_, name)| name.strip_suffix(';')) else {
            continue;
        };
        let whole = &text[at + attribute.len()..at + attribute.len() + end];
        let path = whole
            .split_once("#[path = \"")
            .and_then(|(_, path)| path.split_once('"'));
        found.push((name.trim().to_owned(), path.map(|(path, _)| path.to_owned())));
    }
    found
}

/// Puts blanks in place of comments and of what stands in literals; keeps lines and bytes where they are.
fn blank_comments_and_literals(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let word_before = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        let (from, to) = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => (at, end_of_line(bytes, at)),
            b'/' if bytes[at..].starts_with(b"/*") => (at, end_of_comment(bytes, at)),
            b'"' => (at + 1, end_of_string(bytes, at + 1)),
            b'r' if !word_before && raw_hashes(bytes, at).is_some() => {
                let hashes = raw_hashes(bytes, at).unwrap_or(0);
                let start = at + hashes + 2;
                let closing = format!("\"{}", "#".repeat(hashes));
                (
                    start,
                    text[start..].find(&closing).map_or(bytes.len(), |end| start + end),
                )
            }
            b'\'' => match end_of_character(bytes, at) {
                Some(end) => (at + 1, end),
                None => (at, at), // a lifetime
            },
            _ => (at, at),
        };
        for byte in &mut code[from..to] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = if to > at {
            to + usize::from(bytes[at] != b'/')
        } else {
            at + 1
        };
    }
    String::from_utf8(code).unwrap()
}

fn end_of_line(bytes: &[u8], at: usize) -> usize {
    bytes[at..]
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(bytes.len(), |end| at + end)
}

fn end_of_comment(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if bytes[at..].starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += 1;
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

/// Where the closing quote is.
fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() && bytes[at] != b'"' {
        at += 1 + usize::from(bytes[at] == b'\\');
    }
    at.min(bytes.len())
}

/// `r"` and `r#"` begin a literal that knows no escapes.
fn raw_hashes(bytes: &[u8], at: usize) -> Option<usize> {
    let hashes = bytes[at + 1..].iter().take_while(|byte| **byte == b'#').count();
    (bytes.get(at + 1 + hashes) == Some(&b'"')).then_some(hashes)
}

/// Where the closing quote of a character is; nothing for a lifetime.
fn end_of_character(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at + 1) == Some(&b'\\') {
        let close = bytes[at + 3..].iter().position(|byte| *byte == b'\'')?;
        return Some(at + 3 + close);
    }
    let text = std::str::from_utf8(&bytes[at + 1..bytes.len().min(at + 5)]);
    let width = match text {
        Ok(text) => text.chars().next()?.len_utf8(),
        Err(error) if error.valid_up_to() > 0 => std::str::from_utf8(&bytes[at + 1..at + 1 + error.valid_up_to()])
            .ok()?
            .chars()
            .next()?
            .len_utf8(),
        Err(_) => return None,
    };
    (bytes.get(at + 1 + width) == Some(&b'\'')).then_some(at + 1 + width)
}

/// Puts blanks in place of items under `#[cfg(test)]`.
fn blank_tests(code: &str) -> String {
    let mut production = code.as_bytes().to_vec();
    for (at, _) in code.match_indices("#[cfg(test)]") {
        let end = at + end_of_item(&code[at..]);
        for byte in &mut production[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    }
    String::from_utf8(production).unwrap()
}

/// Where an item with its attributes ends: at its semicolon or closing brace, or with the list that it is in.
fn end_of_item(code: &str) -> usize {
    let mut depth = 0_i32;
    for (at, character) in code.char_indices() {
        match character {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => {
                depth -= 1;
                let attribute = character == ']' && depth == 0;
                if depth < 0 {
                    return at;
                }
                if depth == 0 && character == '}' && !attribute {
                    return at + 1;
                }
            }
            ';' | ',' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_not_code() {
        let text = "let a = \"std::fs\"; // std::fs\nlet b = r#\"a \" b\"#; /* x /* y */ z */ let c = '\"'; let d: &'a str = f('\\'');";
        let code = Source::new("x.rs", text).code;
        assert_eq!(code.len(), text.len());
        assert_eq!(
            code.split_whitespace().collect::<Vec<_>>().join(" "),
            "let a = \" \"; let b = r#\" \"#; let c = ' '; let d: &'a str = f(' ');"
        );
    }

    #[test]
    fn what_tests_see_is_not_production() {
        let text = "use a;\n#[cfg(test)]\nuse b;\nfn c() {}\n#[cfg(test)]\n#[allow(x)]\nmod tests { fn d() { e(); } }\nfn f() {}";
        let production = Source::new("x.rs", text).production;
        assert_eq!(
            production.split_whitespace().collect::<Vec<_>>(),
            ["use", "a;", "fn", "c()", "{}", "fn", "f()", "{}"]
        );
    }

    #[test]
    fn files_that_tests_declare_are_not_production() {
        let mut sources = [
            Source::new(
                "node/src/core/mod.rs",
                "mod a;\n#[cfg(test)]\npub(crate) mod b;\n#[cfg(test)]\n#[path = \"odd.rs\"]\nmod c;",
            ),
            Source::new("node/src/core/a.rs", "#[cfg(test)]\nmod deep;"),
            Source::new("node/src/core/a/deep.rs", "fn x() {}"),
            Source::new("node/src/core/b/mod.rs", "fn x() {}"),
            Source::new("node/src/core/odd.rs", "fn x() {}"),
            Source::new("node/src/core/c.rs", "fn x() {}"),
        ];
        hide_test_files(&mut sources);
        let shown: Vec<bool> = sources
            .iter()
            .map(|source| !source.production.trim().is_empty())
            .collect();
        assert_eq!(shown, [true, false, false, false, false, true]);
    }

    #[test]
    fn modules_and_rooms_are_read_from_paths() {
        let source = Source::new("node/src/net/gate/mod.rs", "");
        assert_eq!((source.room(), source.module()), (Some("net"), vec!["net", "gate"]));
        let source = Source::new("node/src/metrics.rs", "");
        assert_eq!((source.room(), source.module()), (Some("metrics"), vec!["metrics"]));
        assert_eq!(Source::new("node/src/lib.rs", "").module(), Vec::<&str>::new());
    }
}
