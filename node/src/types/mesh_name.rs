//! The name of a mesh: a meeting point, not proof of owning a domain.

use std::sync::Arc;

use maille_proto::MESH_NAME_BYTES_MAX;

use super::name_error::{NameError, NameKind, name_type};

const LABEL_BYTES_MAX: usize = 63;
const KIND: NameKind = NameKind::Mesh;

/// A mesh name: labels of lower-case letters, digits and `-`, separated by `.`, at most 253 bytes.
///
/// A label has 1 to 63 bytes and, as in DNS, begins and ends with a letter or a digit. Cheap to clone.
///
/// ```
/// use maille::types::MeshName;
///
/// let name: MeshName = "market.example".parse()?;
/// assert_eq!(name.as_str(), "market.example");
/// let error = MeshName::try_from("Market.example").unwrap_err();
/// assert_eq!(error.to_string(), "'M' at byte 0 of the mesh name: use lower case, 'm'");
/// # Ok::<(), maille::types::NameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeshName(Arc<str>);

name_type!(MeshName, check);

fn check(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { kind: KIND });
    }
    if text.len() > MESH_NAME_BYTES_MAX {
        return Err(NameError::TooLong {
            kind: KIND,
            bytes: text.len(),
            bytes_max: MESH_NAME_BYTES_MAX,
        });
    }
    for (offset, character) in text.char_indices() {
        match character {
            'a'..='z' | '0'..='9' | '-' | '.' => {}
            'A'..='Z' => return Err(NameError::UpperCase { character, offset }),
            _ => {
                return Err(NameError::Character {
                    kind: KIND,
                    character,
                    offset,
                });
            }
        }
    }
    let mut offset = 0;
    for label in text.split('.') {
        check_label(label, offset)?;
        offset += label.len() + 1;
    }
    Ok(())
}

fn check_label(label: &str, offset: usize) -> Result<(), NameError> {
    if label.is_empty() {
        return Err(NameError::EmptyPart { kind: KIND, offset });
    }
    if label.len() > LABEL_BYTES_MAX {
        return Err(NameError::LongLabel {
            offset,
            bytes: label.len(),
            bytes_max: LABEL_BYTES_MAX,
        });
    }
    if label.starts_with('-') {
        return Err(NameError::Hyphen { offset });
    }
    if label.ends_with('-') {
        return Err(NameError::Hyphen {
            offset: offset + label.len() - 1,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(text: &str) -> String {
        text.parse::<MeshName>().unwrap_err().to_string()
    }

    #[test]
    fn names_like_dns_are_accepted() {
        let longest = [&"a".repeat(63)[..], &"b".repeat(63), &"c".repeat(63), &"d".repeat(61)].join(".");
        assert_eq!(longest.len(), 253);
        for text in [
            "a",
            "0",
            "market.example",
            "a-b.c--d",
            "xn--mnchen-3ya.example",
            "1.2.3.4",
            &longest,
        ] {
            let name: MeshName = text.parse().unwrap();
            assert_eq!((name.as_str(), name.to_string().as_str()), (text, text));
        }
        assert_eq!(format!("{:?}", "a.b".parse::<MeshName>().unwrap()), "MeshName(a.b)");
    }

    #[test]
    fn errors_say_what_is_wrong_and_where() {
        let allowed = "is not allowed: use lower-case letters, digits, '-' and '.', as in market.example";
        assert_eq!(
            message(""),
            "a mesh name cannot be empty: use lower-case letters, digits, '-' and '.', as in market.example"
        );
        assert_eq!(message("marKet"), "'K' at byte 3 of the mesh name: use lower case, 'k'");
        assert_eq!(message("my mesh"), format!("' ' at byte 2 of the mesh name {allowed}"));
        assert_eq!(
            message("a\u{7}b"),
            format!("'\\u{{7}}' at byte 1 of the mesh name {allowed}")
        );
        assert_eq!(message("a\n"), format!("'\\n' at byte 1 of the mesh name {allowed}"));
        assert_eq!(message("é🦀"), format!("'é' at byte 0 of the mesh name {allowed}"));
        assert_eq!(message("x🦀"), format!("'🦀' at byte 1 of the mesh name {allowed}"));
        assert_eq!(
            message("a\u{202e}b"),
            format!("'\\u{{202e}}' at byte 1 of the mesh name {allowed}")
        );
        assert_eq!(message("a_b"), format!("'_' at byte 1 of the mesh name {allowed}"));
        assert_eq!(message("a/b"), format!("'/' at byte 1 of the mesh name {allowed}"));
        let empty = "of the mesh name: no '.' at its start or end, nor two in a row";
        assert_eq!(message(".."), format!("empty label at byte 0 {empty}"));
        assert_eq!(message("a..b"), format!("empty label at byte 2 {empty}"));
        assert_eq!(message("a."), format!("empty label at byte 2 {empty}"));
        let hyphen = "of the mesh name: a label begins and ends with a letter or a digit";
        assert_eq!(message("a.-b"), format!("'-' at byte 2 {hyphen}"));
        assert_eq!(message("a.b-.c"), format!("'-' at byte 3 {hyphen}"));
        assert_eq!(
            message(&format!("a.{}", "b".repeat(64))),
            "the label at byte 2 of the mesh name has 64 bytes, at most 63 are allowed"
        );
        assert_eq!(
            message(&"a.".repeat(127)),
            "a mesh name has at most 253 bytes, this one has 254"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_a_name_or_an_error(text in any::<String>()) {
            if let Ok(name) = text.parse::<MeshName>() {
                prop_assert_eq!(name.as_str(), text);
            }
        }

        #[test]
        fn names_round_trip(text in "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?){0,2}") {
            let name = MeshName::try_from(text.clone()).unwrap();
            prop_assert_eq!(&name, &name.to_string().parse().unwrap());
            prop_assert_eq!(name.as_ref(), text);
        }
    }
}
