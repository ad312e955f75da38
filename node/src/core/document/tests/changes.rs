//! What those are told who follow a document by item, and what it takes.

use crate::core::document::{Changes, Contents, Replica, Value, check};

fn set(replica: &mut Replica, list: &str, items: std::ops::Range<usize>) -> bytes::Bytes {
    let edit = replica.edit(|edit| {
        items
            .into_iter()
            .try_for_each(|item| edit.set(list, &item.to_string(), "n", true))
    });
    edit.unwrap().1.unwrap()
}

fn touched(changes: &Changes) -> Vec<(&str, &str)> {
    let lists = changes.lists.iter();
    lists
        .flat_map(|(list, items)| items.keys().map(|item| (list.as_str(), item.as_str())))
        .collect()
}

#[test]
fn who_follows_is_told_what_changed_and_no_more() {
    let (mut one, mut other) = (Replica::new(1), Replica::new(2));
    let reader = other.follow();
    assert!(other.look(reader).whole);
    let give = |update: bytes::Bytes, other: &mut Replica| {
        let extent = check(&update).unwrap();
        other.apply(&update, &extent).unwrap();
    };
    give(set(&mut one, "todos", 0..500), &mut other);
    assert_eq!(touched(&other.look(reader)).len(), 500);

    // A field that is set again does not name its list or item in the update.
    let (_, update) = one.edit(|edit| edit.set("todos", "7", "n", false)).unwrap();
    give(update.unwrap(), &mut other);
    let changes = other.look(reader);
    assert_eq!(touched(&changes), [("todos", "7")]);
    assert_eq!(changes.lists["todos"]["7"].as_ref().unwrap()["n"], Value::Bool(false));

    let (_, update) = one.edit(|edit| edit.remove("todos", "7")).unwrap();
    give(update.unwrap(), &mut other);
    assert_eq!(other.look(reader).lists["todos"]["7"], None);

    let (_, update) = one.edit(|edit| edit.splice("notes", 0..0, "é")).unwrap();
    give(update.unwrap(), &mut other);
    assert_eq!(other.look(reader).texts["notes"], "é");

    other.edit(|edit| edit.set("todos", "8", "n", 8)).unwrap();
    other.undo().unwrap();
    assert_eq!(touched(&other.look(reader)), [("todos", "8")]);
    assert!(other.look(reader).is_empty());
    other.unfollow(reader);
    other.edit(|edit| edit.set("todos", "8", "n", 8)).unwrap();
    assert!(other.look(reader).is_empty(), "nothing is kept for those who are gone");
}

#[test]
fn who_is_far_behind_is_told_everything() {
    let mut replica = Replica::new(1);
    let reader = replica.follow();
    replica.look(reader);
    for part in 0..4 {
        set(&mut replica, "todos", part * 500..(part + 1) * 500);
    }
    let changes = replica.look(reader);
    assert!(changes.whole);
    let mut contents = Contents::default();
    contents.apply(changes);
    assert_eq!(contents, replica.read_anew());
    set(&mut replica, "todos", 7_000..7_001);
    assert_eq!(touched(&replica.look(reader)), [("todos", "7000")]);
}

/// Somebody may fill a document with lists, each of which costs whoever listens to it.
#[test]
fn in_a_document_of_many_lists_everything_is_read() {
    let mut replica = Replica::new(1);
    let reader = replica.follow();
    for list in 0..300 {
        set(&mut replica, &format!("l{list}"), 0..1);
    }
    replica.look(reader);
    set(&mut replica, "l299", 1..2);
    let changes = replica.look(reader);
    assert!(changes.whole);
    assert_eq!(changes.lists.len(), 300);
    assert_eq!(*replica.contents(), replica.read_anew());
}
