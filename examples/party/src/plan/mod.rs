//! What a group plans: lists of items and one shared text, as plain values, and the edits that a page may make. Not the
//! document that carries them between members.

mod patch;
mod splice;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) use self::{
    patch::Patch,
    splice::{Splice, Versions},
};

/// Characters of one field.
const FIELD_CHARS_MAX: usize = 2_000;
/// Characters of an item's id.
const ID_CHARS_MAX: usize = 64;
/// Items of one list.
pub(crate) const ITEMS_MAX: usize = 20_000;
/// Characters of the shared text.
pub(crate) const TEXT_CHARS_MAX: usize = 100_000;
/// Where an item stands among others; any list has it.
const ORDER: &str = "order";

/// A list of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum List {
    Guests,
    Todos,
    Photos,
    Files,
}

impl List {
    pub(crate) const ALL: [Self; 4] = [Self::Guests, Self::Todos, Self::Photos, Self::Files];

    /// Its name in the document, on the page, and of its file when saved.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Guests => "guests",
            Self::Todos => "todos",
            Self::Photos => "photos",
            Self::Files => "files",
        }
    }

    /// What is known of an item.
    pub(crate) fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Guests => &["name", "coming", "note"],
            Self::Todos => &["text", "done", "who"],
            Self::Photos => &[
                "name", "by", "type", "bytes", "blob", "thumb", "width", "height", "added",
            ],
            Self::Files => &["name", "by", "type", "bytes", "blob", "added"],
        }
    }

    /// Whether a page may write this field itself; the others tell of bytes that it sent.
    fn is_written_by_pages(self, field: &str) -> bool {
        match self {
            Self::Guests | Self::Todos => self.fields().contains(&field),
            Self::Photos | Self::Files => field == "name",
        }
    }
}

/// What is known of an item, by field.
pub(crate) type Fields = BTreeMap<String, String>;
/// The items of a list, by id.
pub(crate) type Items = BTreeMap<String, Fields>;

/// All that a group planned so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Plan {
    pub(crate) title: String,
    pub(crate) lists: BTreeMap<List, Items>,
    pub(crate) text: String,
}

impl Plan {
    pub(crate) fn items(&self, list: List) -> impl Iterator<Item = (&String, &Fields)> {
        self.lists.get(&list).into_iter().flatten()
    }

    pub(crate) fn count(&self, list: List) -> usize {
        self.lists.get(&list).map_or(0, BTreeMap::len)
    }

    pub(crate) fn has(&self, list: List, id: &str) -> bool {
        self.lists.get(&list).is_some_and(|items| items.contains_key(id))
    }

    /// The items of a list in the order in which people see them.
    pub(crate) fn in_order(&self, list: List) -> Vec<(&String, &Fields)> {
        let mut items: Vec<_> = self.items(list).collect();
        items.sort_by_key(|(id, fields)| (fields.get(ORDER), *id));
        items
    }
}

/// What a page asks for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(crate) enum Edit {
    /// A new item, or other fields of one that is there.
    Put {
        list: List,
        id: Option<String>,
        fields: Fields,
    },
    Delete {
        list: List,
        id: String,
    },
    /// Of the shared text as the page knew it.
    Text {
        version: u64,
        at: usize,
        delete: usize,
        insert: String,
    },
    /// Takes back this member's last edit.
    Undo,
}

/// What is wrong with an edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    NoSuchField(String),
    TooLong,
    NoSuchItem,
    Full,
}

impl Fault {
    /// For programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::NoSuchField(_) => "no_such_field",
            Self::TooLong => "too_long",
            Self::NoSuchItem => "no_such_item",
            Self::Full => "full",
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoSuchField(field) => write!(f, "there is no field {field:?} to write in this list"),
            Self::TooLong => write!(
                f,
                "this is too long: a field has room for {FIELD_CHARS_MAX} characters, the text for {TEXT_CHARS_MAX}"
            ),
            Self::NoSuchItem => f.write_str("somebody deleted this meanwhile"),
            Self::Full => write!(f, "a list has room for {ITEMS_MAX} items: delete some first"),
        }
    }
}

impl Edit {
    /// Whether the edit makes sense for this plan.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn check(&self, plan: &Plan) -> Result<(), Fault> {
        match self {
            Self::Put { list, id, fields } => {
                if let Some(field) = fields.keys().find(|field| !list.is_written_by_pages(field)) {
                    return Err(Fault::NoSuchField(field.chars().take(ID_CHARS_MAX).collect()));
                }
                if fields.values().any(|value| is_longer(value, FIELD_CHARS_MAX)) {
                    return Err(Fault::TooLong);
                }
                match id {
                    Some(id) if !plan.has(*list, id) => Err(Fault::NoSuchItem),
                    Some(_) => Ok(()),
                    // What has bytes comes with them.
                    None if matches!(list, List::Photos | List::Files) => Err(Fault::NoSuchItem),
                    None if plan.count(*list) >= ITEMS_MAX => Err(Fault::Full),
                    None => Ok(()),
                }
            }
            Self::Delete { list, id } if !plan.has(*list, id) => Err(Fault::NoSuchItem),
            Self::Text { insert, .. } if is_longer(insert, TEXT_CHARS_MAX) => Err(Fault::TooLong),
            Self::Text { delete, insert, .. } => {
                let length = plan.text.chars().count() + insert.chars().count();
                let fits = length.saturating_sub(*delete) <= TEXT_CHARS_MAX;
                if fits { Ok(()) } else { Err(Fault::TooLong) }
            }
            Self::Delete { .. } | Self::Undo => Ok(()),
        }
    }
}

fn is_longer(text: &str, chars: usize) -> bool {
    text.chars().nth(chars).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let mut plan = Plan::default();
        let field = |name: &str, value: &str| Fields::from([(name.to_owned(), value.to_owned())]);
        let guests = Items::from([("a".to_owned(), field("name", "Ada"))]);
        let photos = Items::from([("p".to_owned(), field("name", "sea.jpg"))]);
        plan.lists = BTreeMap::from([(List::Guests, guests), (List::Photos, photos)]);
        plan
    }

    fn check(edit: &str) -> Result<(), Fault> {
        serde_json::from_str::<Edit>(edit).unwrap().check(&plan())
    }

    #[test]
    fn edits_of_a_page_are_understood() {
        for edit in [
            r#"{"op":"put","list":"guests","id":null,"fields":{"name":"Bo","coming":"yes"}}"#,
            r#"{"op":"put","list":"guests","id":"a","fields":{"note":"🥧"}}"#,
            r#"{"op":"put","list":"photos","id":"p","fields":{"name":"the sea"}}"#,
            r#"{"op":"delete","list":"guests","id":"a"}"#,
            r#"{"op":"text","version":0,"at":0,"delete":0,"insert":"x"}"#,
            r#"{"op":"undo"}"#,
        ] {
            assert_eq!(check(edit), Ok(()), "{edit}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let long = "x".repeat(FIELD_CHARS_MAX + 1);
        for (edit, fault) in [
            (
                r#"{"op":"put","list":"guests","id":"b","fields":{}}"#.to_owned(),
                Fault::NoSuchItem,
            ),
            (
                r#"{"op":"delete","list":"todos","id":"a"}"#.to_owned(),
                Fault::NoSuchItem,
            ),
            (
                r#"{"op":"put","list":"photos","id":null,"fields":{"name":"x"}}"#.to_owned(),
                Fault::NoSuchItem,
            ),
            (
                r#"{"op":"put","list":"photos","id":"p","fields":{"blob":"x"}}"#.to_owned(),
                Fault::NoSuchField("blob".to_owned()),
            ),
            (
                format!(r#"{{"op":"put","list":"guests","id":"a","fields":{{"name":"{long}"}}}}"#),
                Fault::TooLong,
            ),
        ] {
            assert_eq!(check(&edit), Err(fault), "{edit}");
        }
        for edit in [
            r#"{"op":"put","list":"secrets","id":null,"fields":{}}"#,
            r#"{"op":"format"}"#,
            "{}",
            "[]",
        ] {
            assert!(serde_json::from_str::<Edit>(edit).is_err(), "{edit}");
        }
    }
}
