//! The plan as it lies in the shared document: which lists and texts there are, how items are named and ordered.

use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use maille::{Contents, Value};
use rand::RngExt as _;

use crate::plan::{Fields, Items, List, Plan, Splice, Versions};

/// The list with one item, about the group itself.
pub(crate) const ABOUT: &str = "about";
/// The shared text.
pub(crate) const TEXT: &str = "notes";

/// What a page shows of a document. Whatever others wrote into it, only what is expected there is read.
pub(crate) fn plan_of(contents: &Contents) -> Plan {
    let text_of = |value: &Value| value.as_text().map(str::to_owned);
    let items_of = |list: List| {
        let items = contents.list(list.name()).take(crate::plan::ITEMS_MAX);
        let items = items.map(|(id, item)| {
            let known = item
                .iter()
                .filter(|(field, _)| *field == "order" || list.fields().contains(&field.as_str()));
            let fields = known.filter_map(|(field, value)| Some((field.clone(), text_of(value)?)));
            (id.to_owned(), fields.collect::<Fields>())
        });
        (list, items.collect::<Items>())
    };
    let about = contents.list(ABOUT).find(|(id, _)| *id == ABOUT);
    Plan {
        title: about
            .and_then(|(_, item)| text_of(item.get("title")?))
            .unwrap_or_default(),
        lists: List::ALL.map(items_of).into(),
        text: contents.text(TEXT).to_owned(),
    }
}

/// An id that no other member takes.
pub(crate) fn new_id() -> String {
    let number: u64 = rand::rng().random();
    format!("{number:016x}")
}

/// A place behind all that was put before, as far as members' clocks agree.
pub(crate) fn last_place() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{:015}", now.as_millis())
}

/// Splices of `base`, given from its back to its front, as ranges of bytes of `text`, which is `base` after another change.
pub(crate) fn in_bytes<'a>(base: &str, text: &str, splices: &'a [Splice]) -> Vec<(Range<usize>, &'a str)> {
    let mut versions = Versions::default();
    versions.set(base);
    let version = versions.newest();
    versions.set(text);
    let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let moved = splices.iter().flat_map(|splice| {
        let rebased = versions.rebase(splice.clone(), version).unwrap_or_default();
        rebased.into_iter().map(|moved| {
            let insert = if moved.insert.is_empty() {
                ""
            } else {
                splice.insert.as_str()
            };
            (starts[moved.at]..starts[moved.at + moved.delete], insert)
        })
    });
    moved.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_in_a_text_that_others_changed() {
        let splice = |at, delete, insert: &str| Splice {
            at,
            delete,
            insert: insert.to_owned(),
        };
        let splices = [splice(6, 1, "z"), splice(1, 2, "")];
        let apply = |text: &str| {
            let mut changed = text.to_owned();
            for (range, insert) in in_bytes("éaébcdefg", text, &splices) {
                changed.replace_range(range, insert);
            }
            changed
        };
        assert_eq!(apply("éaébcdefg"), "ébcdzfg");
        assert_eq!(apply("🌊éaébcdefg"), "🌊ébcdzfg");
        assert_eq!(apply("éaébcXdefg"), "ébcXdzfg");
        assert_eq!(apply(""), "z");
    }
}
