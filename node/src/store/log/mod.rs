//! The durable log: history of one mesh in a file that survives crashes, bounded by age and size, the oldest going first.
//! It blocks for as long as the disk takes; its thread is `store/writer.rs`.

mod fail;
mod read;
mod tables;
mod write;

#[cfg(test)]
mod tests;

use std::{
    cell::RefCell,
    fmt, io,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bytes::Bytes;
use libp2p::PeerId;
use redb::{Builder, Database, ReadableDatabase as _};
use tracing::warn;

use crate::types::{Selector, TopicName};

use self::{
    fail::Fail,
    tables::{FORM, Reading, Writing},
};
use super::{
    files::{FileError, PRIVATE_FILE_MODE, create_new, create_private_dir, sync_dir},
    history::{Held, Kept, Store, StoreError},
    ring::TOPICS_MAX,
};

/// The file in the directory of a log.
const LOG_FILE: &str = "history.redb";
/// Memory for pages of the file.
const CACHE_BYTES: usize = 16 * 1024 * 1024;
/// After a failure, the file is opened again no sooner than this: opening reads all of it.
const REOPEN_AFTER: Duration = Duration::from_secs(5);
/// Less than this is not a size for a log: much of it would be for changes that are not over yet.
pub const LOG_BYTES_MIN: u64 = 64 * 1024 * 1024;

/// What a log holds, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLimits {
    /// Microseconds since a frame came. Nothing older is kept, not even as the newest of its key.
    pub age_us_max: u64,
    /// Bytes of the file, at least [`LOG_BYTES_MIN`].
    pub bytes_max: u64,
}

impl Default for LogLimits {
    /// 7 days, 2 GiB.
    fn default() -> Self {
        Self {
            age_us_max: 7 * 24 * 3_600 * 1_000_000,
            bytes_max: 2 * 1024 * 1024 * 1024,
        }
    }
}

type Opener = Box<dyn Fn(&Path) -> Result<Database, redb::DatabaseError> + Send>;

/// History of one mesh in a file. What `append` and `append_all` returned `Ok` for is on disk.
pub struct Log {
    path: PathBuf,
    limits: LogLimits,
    opener: Opener,
    reopen_after: Duration,
    file: RefCell<File>,
}

enum File {
    Open(Database),
    /// Since when, and why.
    Closed(Instant, StoreError),
}

impl Log {
    /// Opens the log in a directory, which is made if it is missing. One that was not closed is repaired: what had been
    /// acknowledged is there, and nothing of what had not been is there in part. All of the file is read and checked.
    ///
    /// # Errors
    /// When the file cannot be read or written, is in use, or is damaged beyond that.
    pub fn open(dir: &Path, limits: LogLimits) -> Result<Self, StoreError> {
        let dir = &std::path::absolute(dir).map_err(FileError::writing(dir))?;
        create_private_dir(dir, true).map_err(FileError::writing(dir))?;
        let limits = LogLimits {
            bytes_max: limits.bytes_max.max(LOG_BYTES_MIN),
            ..limits
        };
        Self::open_with(dir, limits, Box::new(open_file), REOPEN_AFTER)
    }

    fn open_with(dir: &Path, limits: LogLimits, opener: Opener, reopen_after: Duration) -> Result<Self, StoreError> {
        let path = dir.join(LOG_FILE);
        let database = guarded(&path, || open_checked(&path, &opener))?;
        Ok(Self {
            path,
            limits,
            opener,
            reopen_after,
            file: RefCell::new(File::Open(database)),
        })
    }

    /// Does something with the file, opening it again if an earlier failure closed it.
    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, Fail>) -> Result<T, StoreError> {
        let mut file = self.file.borrow_mut();
        if let File::Closed(since, why) = &*file {
            if since.elapsed() < self.reopen_after {
                return Err(why.again());
            }
            match guarded(&self.path, || open_checked(&self.path, &self.opener)) {
                Ok(database) => *file = File::Open(database),
                Err(error) => {
                    *file = File::Closed(Instant::now(), error.again());
                    return Err(error);
                }
            }
        }
        let File::Open(database) = &*file else {
            return Err(StoreError::Stopped);
        };
        let mut reopen = true;
        let done = guarded(&self.path, || {
            let done = work(database);
            reopen = done.as_ref().is_err_and(Fail::needs_reopening);
            done
        });
        if let Err(error) = &done
            && reopen
        {
            warn!(path = %self.path.display(), %error, "history is closed after a failure, to be opened again");
            let broken = std::mem::replace(&mut *file, File::Closed(Instant::now(), error.again()));
            // What a broken file says when it is closed is no news.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(broken)));
        }
        done
    }

    fn write(&self, work: impl FnOnce(&mut Writing<'_>) -> Result<(), Fail>) -> Result<(), StoreError> {
        self.with(|database| {
            let mut write = database.begin_write()?;
            // What members send is in the pages; in one phase, only a checksum that they could forge tells whether a
            // commit was cut short.
            write.set_two_phase_commit(true);
            let mut tables = Writing::open(&write)?;
            work(&mut tables)?;
            tables.finish()?;
            Ok(write.commit()?)
        })
    }

    fn read<T>(&self, work: impl FnOnce(&Reading) -> Result<T, Fail>) -> Result<T, StoreError> {
        self.with(|database| work(&Reading::open(&database.begin_read()?)?))
    }
}

fn open_file(path: &Path) -> Result<Database, redb::DatabaseError> {
    create_private(path).map_err(|error| redb::DatabaseError::Storage(redb::StorageError::Io(error)))?;
    builder().create(path)
}

/// An empty file for this user alone, if there is none: what is committed to it later is only durable if its name is.
fn create_private(path: &Path) -> io::Result<()> {
    match create_new(path, PRIVATE_FILE_MODE) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        created => created?,
    };
    // Its directory, the directory of histories, and the data directory may all be new.
    path.ancestors().skip(1).take(3).try_for_each(sync_dir)
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    // Without the check, a file that was altered is trusted until reading it fails in some way or other.
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

/// Opens the file and its tables, which are made if they are missing.
fn open_checked(path: &Path, opener: &Opener) -> Result<Database, Fail> {
    let database = opener(path)?;
    let write = database.begin_write()?;
    let mut tables = Writing::open(&write)?;
    let other = tables.check_form()?;
    drop(tables);
    if let Some(found) = other {
        return Err(Fail::Refused(StoreError::OtherForm {
            path: path.to_owned(),
            found,
            known: FORM,
        }));
    }
    write.commit()?;
    Ok(database)
}

/// The engine panics at some kinds of damage, where this software wants an error.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, Fail>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|fail| fail.explain(path)),
        Err(_) => Err(StoreError::Damaged {
            path: path.to_owned(),
            what: "what was read makes no sense".to_owned(),
        }),
    }
}

impl Store for Log {
    fn append(&mut self, topic: &TopicName, kept: &Kept, now_us: u64) -> Result<(), StoreError> {
        self.append_all(&[(topic.clone(), kept.clone())], now_us)
    }

    /// All of them or none, in one transaction.
    fn append_all(&mut self, batch: &[(TopicName, Kept)], now_us: u64) -> Result<(), StoreError> {
        batch.iter().try_for_each(|(_, kept)| kept.check())?;
        let limits = self.limits;
        self.write(|tables| {
            for (topic, kept) in batch {
                tables.append(topic, kept, now_us)?;
            }
            tables.shed(&limits, now_us)
        })
    }

    fn runs(&self, topic: &TopicName, selector: Selector) -> Result<Vec<Held>, StoreError> {
        self.read(|tables| tables.runs(topic, selector))
    }

    fn range(
        &self,
        topic: &TopicName,
        publisher: &PeerId,
        incarnation: u64,
        sequences: Range<u64>,
        bytes_max: usize,
    ) -> Result<Vec<Bytes>, StoreError> {
        self.read(|tables| tables.range(topic, publisher, incarnation, sequences, bytes_max))
    }

    fn latest(&self, topic: &TopicName, skip: usize, bytes_max: usize) -> Result<(Vec<Bytes>, bool), StoreError> {
        self.read(|tables| tables.latest(topic, skip, bytes_max))
    }

    fn topics(&self) -> Result<Vec<TopicName>, StoreError> {
        self.read(Reading::topics)
    }

    fn trim(&mut self, now_us: u64) -> Result<(), StoreError> {
        let limits = self.limits;
        self.write(|tables| tables.shed(&limits, now_us))
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, limits, .. } = self;
        f.debug_struct("Log")
            .field("path", path)
            .field("limits", limits)
            .finish_non_exhaustive()
    }
}
