//! What changed in a plan, as a page is told it. It is made while the plan is changed, item by item: a plan may be long.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Fields, ITEMS_MAX, List, Plan};

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
    gone: BTreeSet<String>,
}

impl Patch {
    /// The plan has this title.
    pub(crate) fn entitle(&mut self, plan: &mut Plan, title: String) {
        if plan.title != title {
            plan.title.clone_from(&title);
            self.title = Some(title);
        }
    }

    /// An item has these fields, or is no more. Of a list that is too long the last by their ids are left out; should others go
    /// then, they are seen when the group is opened again.
    pub(crate) fn item(&mut self, plan: &mut Plan, list: List, id: String, fields: Option<Fields>) {
        let items = plan.lists.entry(list).or_default();
        if items.get(&id) == fields.as_ref() {
            return;
        }
        let changes = self.lists.entry(list).or_default();
        match fields {
            Some(fields) => {
                items.insert(id.clone(), fields.clone());
                changes.gone.remove(&id);
                changes.set.insert(id, fields);
            }
            None => {
                items.remove(&id);
                changes.gone(id);
            }
        }
        if items.len() > ITEMS_MAX {
            let last = items.pop_last();
            last.into_iter().for_each(|(id, _)| changes.gone(id));
        }
    }
}

impl Changes {
    fn gone(&mut self, id: String) {
        self.set.remove(&id);
        self.gone.insert(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(text: &str) -> Option<Fields> {
        Some(Fields::from([("text".to_owned(), text.to_owned())]))
    }

    fn amend(plan: &mut Plan, items: &[(&str, Option<Fields>)]) -> String {
        let mut patch = Patch::default();
        for (id, fields) in items {
            patch.item(plan, List::Todos, (*id).to_owned(), fields.clone());
        }
        serde_json::to_string(&patch).unwrap()
    }

    #[test]
    fn only_what_changed_is_told() {
        let mut plan = Plan::default();
        let begin = [("a", item("bread")), ("b", item("milk")), ("c", item("salt"))];
        amend(&mut plan, &begin);
        assert_eq!(amend(&mut plan, &begin), "{}");
        assert_eq!(
            amend(
                &mut plan,
                &[
                    ("a", item("bread")),
                    ("b", item("old milk")),
                    ("c", None),
                    ("d", item("cake")),
                    ("e", None)
                ]
            ),
            r#"{"lists":{"todos":{"set":{"b":{"text":"old milk"},"d":{"text":"cake"}},"gone":["c"]}}}"#
        );
        assert_eq!(
            amend(&mut plan, &[("d", None), ("d", item("pie"))]),
            r#"{"lists":{"todos":{"set":{"d":{"text":"pie"}},"gone":[]}}}"#
        );
    }

    #[test]
    fn a_list_is_bounded() {
        let mut plan = Plan::default();
        let mut patch = Patch::default();
        for number in 0..=ITEMS_MAX {
            patch.item(&mut plan, List::Todos, format!("{number:06}"), item("x"));
        }
        let told = &patch.lists[&List::Todos];
        let last = format!("{ITEMS_MAX:06}");
        assert_eq!((plan.count(List::Todos), told.set.len()), (ITEMS_MAX, ITEMS_MAX));
        assert!(!plan.has(List::Todos, &last) && told.gone.contains(&last));
    }
}
