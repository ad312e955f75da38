//! What is said to people on standard error. Standard output is for items.

use std::io::{IsTerminal, Write};

/// Says a line, whoever reads it.
pub(crate) fn say(text: &str) {
    // Whoever closed standard error does not want to know.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Says what takes a while, but only to somebody who watches.
pub(crate) fn progress(text: &str) {
    if std::io::stderr().is_terminal() {
        say(text);
    }
}

/// `1 item`, `2 items`.
pub(crate) fn count(number: usize, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        _ => format!("{number} {thing}s"),
    }
}
