//! What edits do, alone and against each other, and how they are taken back.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::world::World;
use crate::core::document::{
    Contents, Edit, EditError, FIELDS_MAX, ITEM_BYTES_MAX, Replica, VALUE_BYTES_MAX, Value, Vector, check,
};

fn edited(replica: &mut Replica, edit: impl FnOnce(&mut Edit<'_>) -> Result<(), EditError>) -> bool {
    replica.edit(edit).unwrap().1.is_some()
}

/// Gives each what the other has.
fn exchange(one: &mut Replica, other: &mut Replica) {
    let (from_one, from_other) = (one.diff(other.vector()), other.diff(one.vector()));
    let extent = check(&from_other).unwrap();
    one.apply(&from_other, &extent).unwrap();
    let extent = check(&from_one).unwrap();
    other.apply(&from_one, &extent).unwrap();
    assert_eq!(*one.contents(), *other.contents());
    assert_eq!(one.contents().hash(), other.contents().hash());
}

fn two() -> (Replica, Replica) {
    (Replica::new(1), Replica::new(2))
}

fn names(contents: &Contents) -> Vec<&str> {
    contents
        .list("guests")
        .filter_map(|(_, item)| item.get("name")?.as_text())
        .collect()
}

#[test]
fn values_are_the_same_everywhere() {
    let (mut one, mut other) = two();
    let values: Vec<Value> = vec![
        true.into(),
        false.into(),
        0_i64.into(),
        i64::MAX.into(),
        i64::MIN.into(),
        (i64::MAX - 1).into(),
        (1_i64 << 53).into(),
        (1_i64 << 31).into(),
        (-1_i64 << 31).into(),
        1.5.into(),
        (-0.0).into(),
        2e9.into(),
        1e300.into(),
        f64::MIN_POSITIVE.into(),
        9_223_372_036_854_775_808.0.into(),
        "".into(),
        "é🎉".into(),
        vec![0, 255].into(),
    ];
    edited(&mut one, |edit| {
        let mut numbered = values.iter().enumerate();
        numbered.try_for_each(|(at, value)| edit.set("l", "i", &format!("f{at}"), value.clone()))
    });
    exchange(&mut one, &mut other);
    let contents = other.contents();
    for (at, value) in values.iter().enumerate() {
        assert_eq!(contents.lists["l"]["i"][&format!("f{at}")], *value, "{at}");
    }
}

#[test]
fn what_is_removed_stays_removed_until_it_is_set_again() {
    let (mut one, mut other) = two();
    edited(&mut one, |edit| {
        edit.set("guests", "a", "name", "Anna")?;
        edit.set("guests", "b", "name", "Bob")
    });
    exchange(&mut one, &mut other);
    edited(&mut one, |edit| edit.remove("guests", "a"));
    edited(&mut other, |edit| edit.set("guests", "a", "diet", "vegan"));
    exchange(&mut one, &mut other);
    assert_eq!(names(&one.contents()), ["Bob"]);
    assert!(one.contents().list("guests").all(|(id, _)| id == "b"));
    // What nobody saw does not come back with it.
    edited(&mut one, |edit| edit.set("guests", "a", "name", "Anne"));
    exchange(&mut one, &mut other);
    assert_eq!(one.contents().lists["guests"]["a"].len(), 1);
    assert!(edited(&mut one, |edit| edit.unset("guests", "a", "name")));
    assert!(
        !edited(&mut one, |edit| edit.unset("guests", "a", "name")),
        "nothing to do"
    );
    assert!(!edited(&mut one, |edit| edit.remove("guests", "nobody")));
}

#[test]
fn items_that_two_create_are_one() {
    let (mut one, mut other) = two();
    edited(&mut one, |edit| edit.set("guests", "a", "name", "Anna"));
    edited(&mut other, |edit| edit.set("guests", "a", "diet", "vegan"));
    exchange(&mut one, &mut other);
    assert_eq!(one.contents().lists["guests"]["a"].len(), 2);
}

#[test]
fn an_edit_sees_itself_and_is_made_as_a_whole_or_not() {
    let (mut one, _) = two();
    edited(&mut one, |edit| {
        edit.splice("notes", 0..0, "héllo")?;
        assert_eq!(edit.text("notes"), "héllo");
        edit.splice("notes", 1..3, "e")?;
        edit.set("guests", "a", "name", "Anna")?;
        assert_eq!(edit.item("guests", "a").unwrap()["name"], "Anna".into());
        edit.remove("guests", "a")?;
        assert_eq!(edit.item("guests", "a"), None);
        edit.set("guests", "a", "x", 1)
    });
    assert_eq!(one.contents().text("notes"), "hello");
    assert_eq!(one.contents().lists["guests"]["a"].len(), 1);
    let before = one.contents();
    let failed = one.edit(|edit| {
        edit.set("guests", "b", "name", "Bob")?;
        edit.splice("notes", 3..9, "")
    });
    assert!(
        matches!(failed, Err(EditError::Range { end: 9, bytes: 5, .. })),
        "{failed:?}"
    );
    assert_eq!(*one.contents(), *before);
}

#[test]
fn what_is_out_of_bounds_is_refused() {
    let (mut one, _) = two();
    let mut failed = |edit: fn(&mut Edit<'_>) -> Result<(), EditError>| one.edit(edit).unwrap_err().to_string();
    let long = failed(|edit| edit.set("l", &"x".repeat(ITEM_BYTES_MAX + 1), "f", 1));
    assert!(long.contains("take 1 to 128 bytes"), "{long}");
    for edit in [
        (|edit| edit.set("", "i", "f", 1)) as fn(&mut Edit<'_>) -> _,
        |edit| edit.set("l", "i\0f", "f", 1),
        |edit| edit.set("l", "i", "", 1),
        |edit| edit.splice("\n", 0..0, "x"),
    ] {
        assert!(failed(edit).contains("cannot be a name"));
    }
    let large = failed(|edit| edit.set("l", "i", "f", vec![0; VALUE_BYTES_MAX + 1]));
    assert!(large.contains("share it as a blob"), "{large}");
    assert!(failed(|edit| edit.set("l", "i", "f", f64::NAN)).contains("finite"));
    assert!(
        failed(|edit| (0..=FIELDS_MAX).try_for_each(|at| edit.set("l", "i", &at.to_string(), 1))).contains("64 fields")
    );
    assert!(failed(|edit| (0..3_000).try_for_each(|at| edit.set("l", &at.to_string(), "f", 1))).contains("several"));
    assert!(failed(|edit| edit.splice("t", 0..0, &"x".repeat(2_000_000))).contains("several"));
    assert!(one.contents().lists.is_empty() && one.vector() == &Vector::default());
}

#[test]
fn a_full_document_takes_nothing_but_removals() {
    let (mut one, _) = two();
    for byte in 0..20 {
        edited(&mut one, |edit| edit.set("l", "i", "f", vec![byte; VALUE_BYTES_MAX]));
    }
    assert!(one.is_to_be_rebased());
    one.rebase();
    assert!(
        one.bytes() < 2 * VALUE_BYTES_MAX,
        "what is replaced is not kept: {}",
        one.bytes()
    );
    let mut at = 0;
    let error = loop {
        at += 1;
        if let Err(error) = one.edit(|edit| edit.set("l", &at.to_string(), "f", vec![7; VALUE_BYTES_MAX])) {
            break error;
        }
    };
    assert!(matches!(error, EditError::Full { .. }), "{error}");
    edited(&mut one, |edit| edit.remove("l", "1"));
    one.rebase();
    edited(&mut one, |edit| edit.set("l", "1", "f", 1));
}

#[test]
fn edits_are_taken_back_and_made_again() {
    let (mut one, _) = two();
    edited(&mut one, |edit| edit.set("guests", "a", "name", "Anna"));
    edited(&mut one, |edit| edit.splice("notes", 0..0, "bring a cake"));
    edited(&mut one, |edit| edit.splice("notes", 6..7, "the"));
    edited(&mut one, |edit| edit.remove("guests", "a"));
    let mut states = vec![one.contents()];
    while one.undo().unwrap().is_some() {
        states.push(one.contents());
    }
    assert_eq!(states.len(), 5);
    assert_eq!(names(&states[1]), ["Anna"]);
    assert_eq!(states[2].text("notes"), "bring a cake");
    assert_eq!(*states[4], Contents::default());
    for state in states.iter().rev().skip(1) {
        assert!(one.redo().unwrap().is_some());
        assert_eq!(one.contents(), *state);
    }
    assert!(one.redo().unwrap().is_none());
    assert!(one.undo().unwrap().is_some());
    edited(&mut one, |edit| edit.set("guests", "b", "name", "Bob"));
    assert!(one.redo().unwrap().is_none(), "another edit was made since");
}

#[test]
fn undo_leaves_what_others_did_since() {
    let (mut one, mut other) = two();
    edited(&mut one, |edit| edit.set("guests", "a", "name", "Anna"));
    edited(&mut one, |edit| edit.splice("notes", 0..0, "héllo"));
    exchange(&mut one, &mut other);
    edited(&mut one, |edit| edit.set("guests", "a", "name", "Anne"));
    edited(&mut other, |edit| edit.splice("notes", 3..3, "[é]"));
    edited(&mut other, |edit| edit.splice("notes", 0..0, "> "));
    exchange(&mut one, &mut other);
    edited(&mut other, |edit| edit.set("guests", "a", "name", "Anja"));
    exchange(&mut one, &mut other);
    // The name is another's by now, so the edit before it is what is taken back.
    assert!(one.undo().unwrap().is_some());
    assert_eq!(
        (names(&one.contents()), one.contents().text("notes")),
        (vec!["Anja"], "> [é]")
    );
    exchange(&mut one, &mut other);
    assert!(one.redo().unwrap().is_some());
    exchange(&mut one, &mut other);
    assert!(one.contents().text("notes").contains("[é]"));
}

#[test]
fn removed_text_comes_back_where_it_was() {
    let (mut one, mut other) = two();
    edited(&mut one, |edit| edit.splice("notes", 0..0, "one two three"));
    exchange(&mut one, &mut other);
    edited(&mut one, |edit| edit.splice("notes", 4..8, ""));
    edited(&mut other, |edit| edit.splice("notes", 0..0, "zero "));
    exchange(&mut one, &mut other);
    assert!(one.undo().unwrap().is_some());
    exchange(&mut one, &mut other);
    assert_eq!(other.contents().text("notes"), "zero one two three");
}

#[test]
fn a_year_of_edits_stays_small() {
    let mut world = World::new(2, 1);
    for at in 0..20_000_i64 {
        world
            .with(0, |machine, now, out| {
                machine.edit(|edit| edit.set("todo", &format!("i{}", at % 50), "text", at), now, out)
            })
            .unwrap();
        if at % 100 == 0 {
            world.pass(Duration::from_secs(1));
        }
    }
    world.pass(Duration::from_secs(60));
    assert!(world.are_equal());
    let bytes = world.with(1, |machine, _, _| machine.bytes());
    assert!(bytes < 1_048_576, "{bytes} bytes of 20,000 edits");
}

/// The trace with which the library was chosen; 100,000 edits and more by command.
#[test]
fn a_trace_of_edits() {
    let edits: usize = std::env::var("MAILLE_EDITS").map_or(2_000, |edits| edits.parse().unwrap());
    let mut rng = StdRng::seed_from_u64(42);
    let (mut one, mut other) = two();
    let mut updates = Vec::new();
    let (mut length, mut cursor) = (0, 0);
    let begun = Instant::now();
    for number in 0..edits {
        let item = format!("item{}", rng.random_range(0..200));
        let kind = rng.random_range(0..50);
        let field = ["name", "done", "note", "who"][rng.random_range(0..4)];
        if kind < 25 && rng.random_range(0..20) == 0 {
            cursor = rng.random_range(0..=length);
        }
        cursor = cursor.min(length);
        let (_, update) = one
            .edit(|edit| match kind {
                0..25 => edit.splice("text", cursor..cursor, "x"),
                25..30 if cursor < length => edit.splice("text", cursor..cursor + 1, ""),
                49 => edit.remove("items", &item),
                _ => edit.set("items", &item, field, format!("value {number}")),
            })
            .unwrap();
        match kind {
            0..25 => (length, cursor) = (length + 1, cursor + 1),
            25..30 if cursor < length => length -= 1,
            _ => {}
        }
        updates.extend(update);
    }
    let (made, begun) = (begun.elapsed(), Instant::now());
    for update in &updates {
        let extent = check(update).unwrap();
        other.apply(update, &extent).unwrap();
    }
    let applied = begun.elapsed();
    assert_eq!(one.contents().hash(), other.contents().hash());
    let bytes: usize = updates.iter().map(bytes::Bytes::len).sum();
    let whole = one.diff(&Vector::default()).len();
    eprintln!("{edits} edits: made in {made:?}, applied in {applied:?}, {bytes} bytes; as a whole {whole} bytes");
}
