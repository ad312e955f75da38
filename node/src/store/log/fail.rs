//! What can go wrong beneath the log, and what it means to whoever uses it.

use std::{io, path::Path};

use crate::store::{files::FileError, history::StoreError};

/// A failure while the tables are open.
pub(super) enum Fail {
    /// The engine's. Boxed, because it is large and rare.
    Engine(Box<redb::Error>),
    /// A row that this software did not write.
    Row(&'static str),
    /// Refused; nothing is wrong with the files.
    Refused(StoreError),
}

macro_rules! from_engine {
    ($($error:ty),*) => {
        $(impl From<$error> for Fail {
            fn from(error: $error) -> Self {
                Self::Engine(Box::new(error.into()))
            }
        })*
    };
}

from_engine!(
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::CommitError,
    redb::DatabaseError
);

impl Fail {
    /// Whether the files may be in a state that only opening them again can tell.
    pub(super) fn needs_reopening(&self) -> bool {
        !matches!(self, Self::Refused(_))
    }

    /// What to tell the user of the log at `path`.
    pub(super) fn explain(self, path: &Path) -> StoreError {
        let damaged = |what: String| StoreError::Damaged {
            path: path.to_owned(),
            what,
        };
        let engine = match self {
            Self::Refused(error) => return error,
            Self::Row(what) => return damaged(what.to_owned()),
            Self::Engine(engine) => *engine,
        };
        match engine {
            // The engine's words for a file that is not its own, or was cut short.
            redb::Error::Io(error)
                if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
            {
                damaged(error.to_string())
            }
            redb::Error::Io(error) => FileError::writing(path)(error).into(),
            redb::Error::Corrupted(what) => damaged(what),
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
                StoreError::InUse { path: path.to_owned() }
            }
            other @ (redb::Error::TableDoesNotExist(_)
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TypeDefinitionChanged { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::UpgradeRequired(_)) => damaged(other.to_string()),
            other => FileError::writing(path)(io::Error::other(other)).into(),
        }
    }
}
