//! What a person, a program, or nobody sees of a room.

use std::io::Write as _;

use serde_json::{Value, json};
use shared::Failure;

use crate::screen::Screen;

/// What shows a room.
pub(crate) enum Face {
    /// A terminal, and a person who steers.
    Screen(Box<Screen>),
    /// Lines on standard output; a bot steers.
    Lines {
        /// Of JSON.
        json: bool,
    },
    /// Nothing; a bot steers.
    Nothing,
}

impl Face {
    pub(crate) fn is_bot(&self) -> bool {
        !matches!(self, Self::Screen(_))
    }

    /// Something happened.
    pub(crate) fn tell(&self, event: &str, more: &Value) -> Result<(), Failure> {
        let Self::Lines { json } = self else { return Ok(()) };
        let mut out = std::io::stdout().lock();
        if *json {
            let mut line = json!({ "event": event });
            if let (Some(line), Some(more)) = (line.as_object_mut(), more.as_object()) {
                line.extend(more.clone());
            }
            writeln!(out, "{line}")?;
        } else {
            let words: Vec<String> = more
                .as_object()
                .into_iter()
                .flatten()
                .map(|(key, value)| format!("{key} {value}"))
                .collect();
            writeln!(out, "{event} {}", words.join(", "))?;
        }
        Ok(out.flush()?)
    }
}
