//! The name of a service that a member offers to the others of a mesh.

use std::sync::Arc;

use super::name_error::{NameError, NameKind, name_type};
use super::topic_name::check_path;

/// The name of a service: of the form of a [`TopicName`](super::TopicName), and apart from topics. Cheap to clone.
///
/// ```
/// use maille::ServiceName;
///
/// let name: ServiceName = "photos/thumbnail".parse()?;
/// assert_eq!(name.as_str(), "photos/thumbnail");
/// assert!("photos/../secrets".parse::<ServiceName>().is_err());
/// # Ok::<(), maille::NameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName(Arc<str>);

name_type!(ServiceName, check);

fn check(text: &str) -> Result<(), NameError> {
    check_path(NameKind::Service, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_named_as_topics_are_and_errors_say_which() {
        assert!("greet".parse::<ServiceName>().is_ok());
        let message = |text: &str| text.parse::<ServiceName>().unwrap_err().to_string();
        assert!(message("").starts_with("a service name cannot be empty: use letters"));
        assert!(message("a b").ends_with("as in photos/thumbnail"));
        assert_eq!(
            message("a/.."),
            "segment \"..\" at byte 2 of the service name: a service name is not a path"
        );
    }
}
