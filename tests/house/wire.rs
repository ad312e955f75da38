//! `.proto` files are the specification: every message, field and value in them says what it means.

use maille_tests::processes::workspace;

/// Lines that are not explained: neither by a comment above nor by one behind.
fn unexplained(path: &str, text: &str) -> Vec<String> {
    let mut violations = Vec::new();
    let mut explained = false;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with("//") {
            explained = true;
            continue;
        }
        let (code, comment) = line.split_once("//").unwrap_or((line, ""));
        let code = code.trim();
        let opens = ["message ", "enum ", "oneof "]
            .iter()
            .any(|word| code.starts_with(word));
        let is_statement = ["syntax", "package", "import", "option", "reserved"]
            .iter()
            .any(|word| code.starts_with(word));
        let is_field = !is_statement && code.ends_with(';') && code.contains('=');
        if (opens || is_field) && !explained && comment.trim().is_empty() {
            violations.push(format!("{path}:{}: `{code}` is not explained", number + 1));
        }
        explained = false;
    }
    violations
}

#[test]
fn every_field_is_explained() {
    let mut files = Vec::new();
    let mut folders = vec![workspace().join("proto")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "proto") {
                files.push(path);
            }
        }
    }
    assert!(files.len() >= 3, "the .proto files are not where they were looked for");
    let explain =
        |path: &std::path::PathBuf| unexplained(&path.display().to_string(), &std::fs::read_to_string(path).unwrap());
    crate::assert_none(&files.iter().flat_map(explain).collect::<Vec<_>>());
}

#[test]
fn a_field_without_words_is_found() {
    let good = "syntax = \"proto3\";\npackage a;\n// A frame.\nmessage Frame {\n  // Whose.\n  bytes publisher = 1;\n  uint64 n = 2; // Which.\n}\n";
    assert_eq!(unexplained("a.proto", good).len(), 0);
    let bad = "message Frame {\n  // Whose.\n  bytes publisher = 1;\n  uint64 n = 2;\n  oneof x {\n    bool b = 3; // B.\n  }\n}\n";
    let found = unexplained("a.proto", bad);
    assert_eq!(found.len(), 3, "{found:?}");
}
