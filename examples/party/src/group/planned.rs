//! The plan as it lies in the shared document: which lists and texts there are, how items are named and ordered.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use maille::{Changes, Item, Value};
use rand::RngExt as _;

use crate::plan::{Fields, List, Patch, Plan, Splice, Versions};

/// The list with one item, about the group itself.
pub(crate) const ABOUT: &str = "about";
/// The shared text.
pub(crate) const TEXT: &str = "notes";

/// Brings a plan up to date with what changed in the document; what to tell pages of it, but for the shared text. Whatever
/// others wrote into the document, only what is expected there is read.
pub(crate) fn amend(plan: &mut Plan, changes: Changes) -> Patch {
    let Changes {
        whole,
        mut lists,
        mut texts,
        ..
    } = changes;
    if let Some(text) = texts.remove(TEXT).or_else(|| whole.then(String::new)) {
        plan.text = text;
    }
    let mut patch = Patch::default();
    let about = lists.remove(ABOUT).and_then(|mut about| about.remove(ABOUT));
    if let Some(about) = about.or(whole.then_some(None)) {
        let title = about.and_then(|about| text_of(about.get("title")?));
        patch.entitle(plan, title.unwrap_or_default());
    }
    for list in List::ALL {
        let mut items: BTreeMap<_, _> = lists.remove(list.name()).unwrap_or_default();
        if whole {
            let before = plan.items(list).map(|(id, _)| (id.clone(), None));
            items = before.chain(items).collect();
        }
        for (id, item) in items {
            patch.item(plan, list, id, item.map(|item| fields_of(list, &item)));
        }
    }
    patch
}

fn text_of(value: &Value) -> Option<String> {
    value.as_text().map(str::to_owned)
}

fn fields_of(list: List, item: &Item) -> Fields {
    let known = item
        .iter()
        .filter(|(field, _)| *field == "order" || list.fields().contains(&field.as_str()));
    let fields = known.filter_map(|(field, value)| Some((field.clone(), text_of(value)?)));
    fields.collect()
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

    /// A list, an item in it, and its only field, if it is there.
    type Change<'a> = (&'a str, &'a str, Option<(&'a str, &'a str)>);

    fn changes(whole: bool, items: &[Change<'_>]) -> Changes {
        let mut changes = Changes::default();
        changes.whole = whole;
        for (list, id, field) in items {
            let item = field.map(|(field, value)| Item::from([(field.to_owned(), value.into())]));
            let list = changes.lists.entry((*list).to_owned()).or_default();
            list.insert((*id).to_owned(), item);
        }
        changes
    }

    #[test]
    fn a_plan_is_brought_up_to_date() {
        let mut plan = Plan::default();
        let title = (ABOUT, ABOUT, Some(("title", "Picnic")));
        let guest = |id| ("guests", id, Some(("name", "Zoë")));
        let mut begin = changes(
            true,
            &[title, guest("a"), guest("b"), ("secrets", "x", Some(("name", "y")))],
        );
        begin.texts.insert(TEXT.to_owned(), "cake".to_owned());
        amend(&mut plan, begin);
        assert_eq!((plan.title.as_str(), plan.text.as_str()), ("Picnic", "cake"));
        assert_eq!(plan.count(List::Guests), 2);

        // What does not name them leaves title and text.
        let other = changes(
            false,
            &[
                ("guests", "a", None),
                (ABOUT, "else", Some(("title", "x"))),
                ("guests", "c", Some(("hair", "red"))),
            ],
        );
        let told = serde_json::to_string(&amend(&mut plan, other)).unwrap();
        assert_eq!(told, r#"{"lists":{"guests":{"set":{"c":{}},"gone":["a"]}}}"#);
        assert_eq!((plan.title.as_str(), plan.text.as_str()), ("Picnic", "cake"));

        let told = serde_json::to_string(&amend(&mut plan, changes(true, &[guest("b")]))).unwrap();
        assert_eq!(told, r#"{"title":"","lists":{"guests":{"set":{},"gone":["c"]}}}"#);
        assert_eq!((plan.title.as_str(), plan.text.as_str()), ("", ""));
    }

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
