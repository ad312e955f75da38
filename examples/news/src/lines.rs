//! Items as lines: headlines, or a JSON object each. Warnings go to standard error. The reader on a terminal is elsewhere.

use std::collections::{HashSet, VecDeque};
use std::io::Write;

use crate::exit::Failure;
use crate::item::Item;
use crate::mesh::{Note, PeerId};
use crate::say::say;

/// Items that are remembered, so that one that comes twice is shown once.
const SHOWN_MAX: usize = 20_000;

/// Tells items that were heard before from others.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    known: HashSet<String>,
    order: VecDeque<String>,
}

impl Heard {
    /// Whether this is the first time. Beyond [`SHOWN_MAX`] others, the oldest is forgotten.
    pub(crate) fn is_new(&mut self, digest: String) -> bool {
        if !self.known.insert(digest.clone()) {
            return false;
        }
        self.order.push_back(digest);
        if self.order.len() > SHOWN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

/// A line of standard output.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.write_all(b"\n")?;
    stdout.flush()?;
    Ok(())
}

/// An item for people.
pub(crate) fn headline(item: &Item) -> String {
    let mut line = format!("{} {}: {}", item.day(), item.feed, item.title);
    if let Some(link) = &item.link {
        line.push(' ');
        line.push_str(link);
    }
    line
}

/// An item for programs.
pub(crate) fn json(item: &Item) -> Result<String, Failure> {
    serde_json::to_string(item).map_err(Failure::other)
}

/// What else happened, for people.
pub(crate) fn note(note: &Note) -> String {
    let short = |author: &PeerId| {
        let id = author.to_string();
        let start = id.len().saturating_sub(6);
        format!("…{}", &id[start..])
    };
    match note {
        Note::Unanswered => "nobody could be asked for what was published before now".to_owned(),
        Note::Gap { author, missing } => format!("gap: {missing} items of {} are missing", short(author)),
        Note::Lagged { missed } => format!("lagged: whoever reads this was too slow and missed {missed} items"),
        Note::Undecodable { author } => format!("{} sent a record that is no item", short(author)),
    }
}

/// The same, on standard error.
pub(crate) fn warn(about: &Note) {
    say(&note(about));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::tests::sample;

    #[test]
    fn a_headline_is_one_line_and_an_object_is_one_too() {
        let mut item = sample("1", "One");
        assert_eq!(headline(&item), "2026-11-23 Sample: One https://news.example/1");
        item.published = None;
        item.link = None;
        assert_eq!(headline(&item), "           Sample: One");
        item.summary = "several\nlines".to_owned();
        let text = json(&item).unwrap();
        assert!(!text.contains('\n'));
        assert_eq!(serde_json::from_str::<Item>(&text).unwrap(), item);
    }

    #[test]
    fn what_came_twice_is_found_within_bounds() {
        let mut heard = Heard::default();
        assert!(heard.is_new("a".to_owned()) && !heard.is_new("a".to_owned()));
        for number in 0..SHOWN_MAX {
            assert!(heard.is_new(number.to_string()));
        }
        assert!(heard.is_new("a".to_owned()), "long ago");
        assert_eq!((heard.known.len(), heard.order.len()), (SHOWN_MAX, SHOWN_MAX));
    }
}
