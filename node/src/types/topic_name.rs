//! The name of a topic inside a mesh.

use std::sync::Arc;

use maille_proto::TOPIC_NAME_BYTES_MAX;

use super::name_error::{NameError, NameKind, name_type};

const SEGMENTS_MAX: usize = 16;

/// A topic name: up to 16 segments of letters, digits, `.`, `_` and `-`, separated by `/`, at most 255 bytes.
///
/// Upper and lower case differ. No segment is `.` or `..`. Cheap to clone.
///
/// ```
/// use maille::types::TopicName;
///
/// let name: TopicName = "equities/us".parse()?;
/// assert!(name.segments().eq(["equities", "us"]));
/// assert!("equities//us".parse::<TopicName>().is_err());
/// # Ok::<(), maille::types::NameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Arc<str>);

name_type!(TopicName, check);

impl TopicName {
    /// The segments, at least one.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }
}

fn check(text: &str) -> Result<(), NameError> {
    check_path(NameKind::Topic, text)
}

/// What names of segments have in common.
pub(super) fn check_path(kind: NameKind, text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { kind });
    }
    if text.len() > TOPIC_NAME_BYTES_MAX {
        return Err(NameError::TooLong {
            kind,
            bytes: text.len(),
            bytes_max: TOPIC_NAME_BYTES_MAX,
        });
    }
    for (offset, character) in text.char_indices() {
        if !matches!(character, 'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' | '/') {
            return Err(NameError::Character {
                kind,
                character,
                offset,
            });
        }
    }
    let mut offset = 0;
    for segment in text.split('/') {
        match segment {
            "" => return Err(NameError::EmptyPart { kind, offset }),
            "." => {
                return Err(NameError::DotSegment {
                    kind,
                    segment: ".",
                    offset,
                });
            }
            ".." => {
                return Err(NameError::DotSegment {
                    kind,
                    segment: "..",
                    offset,
                });
            }
            _ => offset += segment.len() + 1,
        }
    }
    match text.split('/').count() {
        segments if segments > SEGMENTS_MAX => Err(NameError::TooManySegments {
            kind,
            segments,
            segments_max: SEGMENTS_MAX,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(text: &str) -> String {
        text.parse::<TopicName>().unwrap_err().to_string()
    }

    #[test]
    fn paths_of_sixteen_segments_are_accepted() {
        for text in [
            "a",
            "equities/us",
            "A.b_C-9",
            "...",
            "a/.b/c.",
            &["x"; 16].join("/"),
            &"x".repeat(255),
        ] {
            let name: TopicName = text.parse().unwrap();
            assert_eq!((name.as_str(), name.to_string().as_str()), (text, text));
        }
    }

    #[test]
    fn errors_say_what_is_wrong_and_where() {
        let allowed = "use letters, digits, '.', '_', '-' and '/' between segments, as in equities/us";
        assert_eq!(message(""), format!("a topic name cannot be empty: {allowed}"));
        assert_eq!(
            message("a b"),
            format!("' ' at byte 1 of the topic name is not allowed: {allowed}")
        );
        assert_eq!(
            message("a/\u{1b}"),
            format!("'\\u{{1b}}' at byte 2 of the topic name is not allowed: {allowed}")
        );
        assert_eq!(
            message("a/é"),
            format!("'é' at byte 2 of the topic name is not allowed: {allowed}")
        );
        assert_eq!(
            message("📈"),
            format!("'📈' at byte 0 of the topic name is not allowed: {allowed}")
        );
        let empty = "of the topic name: no '/' at its start or end, nor two in a row";
        assert_eq!(message("/a"), format!("empty segment at byte 0 {empty}"));
        assert_eq!(message("a/"), format!("empty segment at byte 2 {empty}"));
        assert_eq!(message("ab//c"), format!("empty segment at byte 3 {empty}"));
        assert_eq!(
            message("a/../b"),
            "segment \"..\" at byte 2 of the topic name: a topic name is not a path"
        );
        assert_eq!(
            message("."),
            "segment \".\" at byte 0 of the topic name: a topic name is not a path"
        );
        assert_eq!(
            message(&["x"; 17].join("/")),
            "a topic name has at most 16 segments, this one has 17"
        );
        assert_eq!(
            message(&"x".repeat(256)),
            "a topic name has at most 255 bytes, this one has 256"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_a_name_or_an_error(text in any::<String>()) {
            if let Ok(name) = text.parse::<TopicName>() {
                prop_assert_eq!(name.as_str(), text);
            }
        }

        #[test]
        fn names_round_trip(text in "[A-Za-z0-9_-]{1,12}(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,10}){0,15}") {
            let name = TopicName::try_from(text.clone()).unwrap();
            prop_assert_eq!(name.segments().collect::<Vec<_>>().join("/"), text);
            prop_assert_eq!(&name, &name.to_string().parse().unwrap());
        }
    }
}
