//! What of a feed was published already, kept in the data directory, one file a feed. Knows nothing of meshes: its caller
//! says what was acknowledged, and when to save.

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::fetch::Validators;
use super::parse::ITEMS_MAX;
use crate::exit::Failure;
use crate::files::replace;
use crate::item::hash;

/// Items of a feed that are remembered: those of its newest document, and the latest of before.
const SEEN_MAX: usize = 10 * ITEMS_MAX;
/// A longer file is not one of ours.
const FILE_BYTES_MAX: u64 = 4 * 1_024 * 1_024;
/// The form of the file.
const VERSION: u32 = 1;
/// What file names are hashed for.
const FILE_CONTEXT: &str = "maille 2026-11 news feed file";

/// One feed's memory.
#[derive(Debug)]
pub(crate) struct Seen {
    path: PathBuf,
    validators: Validators,
    keys: VecDeque<String>,
    known: HashSet<String>,
}

/// The file.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    /// For people who look into the directory: the feed, without secrets.
    feed: String,
    validators: Validators,
    /// Keys of items, the latest last.
    seen: VecDeque<String>,
}

impl Seen {
    /// Reads what `folder` has about a feed; nothing yet is no error.
    pub(crate) fn open(folder: &Path, identity: &str) -> Result<Self, Failure> {
        let path = folder.join(format!("{}.json", hash(FILE_CONTEXT, &[identity])));
        let stored = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(unreadable(&path, error)),
            Ok(about) if about.len() > FILE_BYTES_MAX => return Err(unreadable(&path, "too large")),
            Ok(_) => {
                let bytes = fs::read(&path).map_err(|error| unreadable(&path, error))?;
                let stored: Stored = serde_json::from_slice(&bytes).map_err(|error| unreadable(&path, error))?;
                if stored.version != VERSION {
                    return Err(unreadable(&path, "written by another version of this program"));
                }
                Some(stored)
            }
        };
        let (validators, keys) = stored
            .map(|stored| (stored.validators, stored.seen))
            .unwrap_or_default();
        Ok(Self {
            path,
            validators,
            known: keys.iter().cloned().collect(),
            keys,
        })
    }

    /// What to ask the server with.
    pub(crate) fn validators(&self) -> &Validators {
        &self.validators
    }

    /// Whether an item was published.
    pub(crate) fn contains(&self, key: &str) -> bool {
        self.known.contains(key)
    }

    /// Notes that these items are held by another member. Returns once that is on disk.
    pub(crate) fn acknowledged(&mut self, feed: &str, keys: impl IntoIterator<Item = String>) -> Result<(), Failure> {
        for key in keys {
            if self.known.insert(key.clone()) {
                self.keys.push_back(key);
            }
        }
        self.save(feed)
    }

    /// Notes that all of a document, these keys, was dealt with: only now may the server say that nothing changed.
    pub(crate) fn finished(&mut self, feed: &str, document: &[String], validators: Validators) -> Result<(), Failure> {
        let current: HashSet<&String> = document.iter().collect();
        // What the feed still lists must not be forgotten before what it no longer lists.
        let (listed, gone): (VecDeque<String>, VecDeque<String>) = std::mem::take(&mut self.keys)
            .into_iter()
            .partition(|key| current.contains(key));
        let changed = self.validators != validators || (gone.len() + listed.len() > SEEN_MAX);
        self.keys = gone;
        self.keys.extend(listed);
        while self.keys.len() > SEEN_MAX {
            if let Some(oldest) = self.keys.pop_front() {
                self.known.remove(&oldest);
            }
        }
        if !changed {
            return Ok(());
        }
        self.validators = validators;
        self.save(feed)
    }

    /// Writes a new file and puts it in the old one's place, so that a crash leaves one of the two.
    fn save(&self, feed: &str) -> Result<(), Failure> {
        let stored = Stored {
            version: VERSION,
            feed: feed.to_owned(),
            validators: self.validators.clone(),
            seen: self.keys.clone(),
        };
        replace(&self.path, &stored)
            .map_err(|error| Failure::Other(format!("cannot write {}: {error}", self.path.display())))
    }
}

fn unreadable(path: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::Other(format!(
        "{} cannot be read: {why}; remove it, and all items of that feed are published once more",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(numbers: std::ops::Range<usize>) -> Vec<String> {
        numbers.map(|number| format!("{number:032x}")).collect()
    }

    #[test]
    fn what_was_acknowledged_survives_and_what_was_not_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Seen::open(folder.path(), "https://a.example/").unwrap();
        let mut seen = open();
        assert!(!seen.contains(&keys(0..1)[0]));
        seen.acknowledged("a", keys(0..3)).unwrap();
        let again = open();
        assert!(keys(0..3).iter().all(|key| again.contains(key)) && !again.contains(&keys(3..4)[0]));
        assert_eq!(
            again.validators(),
            &Validators::default(),
            "the rest of the document is still to come"
        );
        let validators = Validators {
            etag: Some("\"1\"".to_owned()),
            last_modified: None,
        };
        seen.finished("a", &keys(0..3), validators.clone()).unwrap();
        assert_eq!(open().validators(), &validators);
        assert!(
            !Seen::open(folder.path(), "https://b.example/")
                .unwrap()
                .contains(&keys(0..1)[0])
        );
    }

    #[test]
    fn memory_is_bounded_and_keeps_what_the_feed_still_lists() {
        let folder = tempfile::tempdir().unwrap();
        let mut seen = Seen::open(folder.path(), "x").unwrap();
        seen.acknowledged("x", keys(0..1)).unwrap();
        // Item 0 is listed for ever; all others come and go.
        for round in 0..15 {
            let new = keys(1 + round * 999..1 + (round + 1) * 999);
            seen.acknowledged("x", new.clone()).unwrap();
            let listed: Vec<String> = keys(0..1).into_iter().chain(new).collect();
            seen.finished("x", &listed, Validators::default()).unwrap();
            assert!(listed.iter().all(|key| seen.contains(key)));
        }
        let again = Seen::open(folder.path(), "x").unwrap();
        for seen in [&seen, &again] {
            assert_eq!((seen.keys.len(), seen.known.len()), (SEEN_MAX, SEEN_MAX));
            assert!(seen.contains(&keys(0..1)[0]));
            assert!(!seen.contains(&keys(1..2)[0]));
        }
        let bytes = fs::metadata(&seen.path).unwrap().len();
        assert!(bytes < FILE_BYTES_MAX, "{bytes}");
    }

    #[test]
    fn a_damaged_file_is_told_and_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = Seen::open(folder.path(), "x").unwrap().path;
        for text in ["", "{", "[]", r#"{"version":9,"feed":"","validators":{},"seen":[]}"#] {
            fs::write(&path, text).unwrap();
            let told = Seen::open(folder.path(), "x").unwrap_err().to_string();
            assert!(told.contains("remove it") && path.exists(), "{told}");
        }
    }
}
