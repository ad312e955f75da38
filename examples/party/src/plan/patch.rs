//! What changed between two states of a plan, as a page is told it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Fields, List, Plan};

/// What changed.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Patch {
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    lists: BTreeMap<List, Changes>,
}

/// What changed in a list.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Changes {
    set: BTreeMap<String, Fields>,
    gone: Vec<String>,
}

/// What changed from `before` to `after`, but for the shared text.
pub(crate) fn patch(before: &Plan, after: &Plan) -> Patch {
    let changes = |list: List| {
        let of = |plan: &Plan| plan.lists.get(&list).cloned().unwrap_or_default();
        let (old, new) = (of(before), of(after));
        let gone = old.keys().filter(|id| !new.contains_key(*id)).cloned().collect();
        let set = new
            .into_iter()
            .filter(|(id, fields)| old.get(id) != Some(fields))
            .collect();
        (list, Changes { set, gone })
    };
    let changed = |(_, changes): &(List, Changes)| *changes != Changes::default();
    Patch {
        title: (before.title != after.title).then(|| after.title.clone()),
        lists: List::ALL.map(changes).into_iter().filter(changed).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_told() {
        let item = |text: &str| Fields::from([("text".to_owned(), text.to_owned())]);
        let with = |items: &[(&str, &str)]| {
            let items = items.iter().map(|(id, text)| ((*id).to_owned(), item(text)));
            let lists = BTreeMap::from([(List::Todos, items.collect())]);
            Plan {
                lists,
                ..Plan::default()
            }
        };
        let before = with(&[("a", "bread"), ("b", "milk"), ("c", "salt")]);
        let after = with(&[("a", "bread"), ("b", "old milk"), ("d", "cake")]);
        assert_eq!(patch(&before, &before), Patch::default());
        let told = serde_json::to_string(&patch(&before, &after)).unwrap();
        assert_eq!(
            told,
            r#"{"lists":{"todos":{"set":{"b":{"text":"old milk"},"d":{"text":"cake"}},"gone":["c"]}}}"#
        );
    }
}
