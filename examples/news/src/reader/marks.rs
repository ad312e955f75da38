//! Which items were read, kept in the data directory. Knows items by their digests only.

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::exit::Failure;
use crate::files::replace;

/// Marks that are kept, the latest.
const MARKS_MAX: usize = 20_000;
/// A longer file is not ours.
const FILE_BYTES_MAX: u64 = 4 * 1_024 * 1_024;
/// The form of the file.
const VERSION: u32 = 1;
/// Its name.
const FILE: &str = "read.json";

/// The marks of one reader.
#[derive(Debug)]
pub(crate) struct Marks {
    path: PathBuf,
    order: VecDeque<String>,
    known: HashSet<String>,
    changed: bool,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    /// Digests, the latest last.
    read: VecDeque<String>,
}

impl Marks {
    /// Reads the marks of a data directory; none yet is no error.
    pub(crate) fn open(data_dir: &Path) -> Result<Self, Failure> {
        let path = data_dir.join(FILE);
        let unreadable = |why: &dyn std::fmt::Display| {
            Failure::Other(format!(
                "{} cannot be read: {why}; remove it, and everything is unread",
                path.display()
            ))
        };
        let order = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => VecDeque::new(),
            Err(error) => return Err(unreadable(&error)),
            Ok(about) if about.len() > FILE_BYTES_MAX => return Err(unreadable(&"too large")),
            Ok(_) => {
                let bytes = fs::read(&path).map_err(|error| unreadable(&error))?;
                let stored: Stored = serde_json::from_slice(&bytes).map_err(|error| unreadable(&error))?;
                if stored.version != VERSION {
                    return Err(unreadable(&"written by another version of this program"));
                }
                stored.read
            }
        };
        Ok(Self {
            known: order.iter().cloned().collect(),
            order,
            path,
            changed: false,
        })
    }

    /// Whether an item was read.
    pub(crate) fn is_read(&self, digest: &str) -> bool {
        self.known.contains(digest)
    }

    /// Marks an item as read or unread.
    pub(crate) fn set(&mut self, digest: &str, read: bool) {
        if read == self.is_read(digest) {
            return;
        }
        self.changed = true;
        if !read {
            self.known.remove(digest);
            self.order.retain(|known| known != digest);
            return;
        }
        self.known.insert(digest.to_owned());
        self.order.push_back(digest.to_owned());
        if self.order.len() > MARKS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// Writes them, if they changed.
    pub(crate) fn save(&mut self) -> Result<(), Failure> {
        if !self.changed {
            return Ok(());
        }
        let stored = Stored {
            version: VERSION,
            read: self.order.clone(),
        };
        replace(&self.path, &stored)
            .map_err(|error| Failure::Other(format!("cannot write {}: {error}", self.path.display())))?;
        self.changed = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_survive_and_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let mut marks = Marks::open(folder.path()).unwrap();
        marks.save().unwrap();
        assert!(!folder.path().join(FILE).exists(), "nothing changed");
        for number in 0..MARKS_MAX + 10 {
            marks.set(&number.to_string(), true);
        }
        marks.set("15", false);
        marks.save().unwrap();
        let again = Marks::open(folder.path()).unwrap();
        assert!(!again.is_read("9") && again.is_read("10") && !again.is_read("15"));
        assert_eq!((again.order.len(), again.known.len()), (MARKS_MAX - 1, MARKS_MAX - 1));
        fs::write(folder.path().join(FILE), "{").unwrap();
        assert!(
            Marks::open(folder.path())
                .unwrap_err()
                .to_string()
                .contains("remove it")
        );
    }
}
