//! A file that fails beneath the log: full, read-only, writing less than asked, for a while. Not a simulated disk: what
//! was written before stays.

use std::{
    fs::{File as OsFile, OpenOptions},
    io::{self, ErrorKind},
    ops::Bound,
    sync::{Arc, Mutex},
};

use redb::{BackendError, StorageBackend, backends::FileBackend};

use super::*;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fails {
    Never,
    /// Writes and growing fail so.
    With(ErrorKind),
    /// After so many writes the next is done by half and fails, and all after it fail.
    HalfAfter(usize),
    /// Syncing fails.
    Sync,
    /// Reads fail too.
    Everything,
}

#[derive(Debug)]
struct FaultyFile {
    inner: FileBackend,
    fails: Arc<Mutex<Fails>>,
}

impl FaultyFile {
    fn check(&self, matters: impl FnOnce(Fails) -> Option<ErrorKind>) -> io::Result<()> {
        matters(*self.fails.lock().unwrap()).map_or(Ok(()), |kind| Err(kind.into()))
    }
}

fn writing(fails: Fails) -> Option<ErrorKind> {
    match fails {
        Fails::With(kind) => Some(kind),
        Fails::HalfAfter(0) => Some(ErrorKind::StorageFull),
        Fails::Everything => Some(ErrorKind::Other),
        _ => None,
    }
}

impl StorageBackend for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.check(|fails| (fails == Fails::Everything).then_some(ErrorKind::Other))?;
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check(writing)?;
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check(|fails| match fails {
            Fails::Sync => Some(ErrorKind::StorageFull),
            other => writing(other),
        })?;
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        {
            let mut fails = self.fails.lock().unwrap();
            if let Fails::HalfAfter(left @ 1..) = &mut *fails {
                *left -= 1;
                if *left == 0 {
                    self.inner.write(offset, &data[..data.len() / 2])?;
                }
            }
        }
        self.check(writing)?;
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.query_lock_range(start, end)
    }
}

fn faulty(dir: &Path) -> (Log, Arc<Mutex<Fails>>) {
    let fails = Arc::new(Mutex::new(Fails::Never));
    let shared = Arc::clone(&fails);
    let opener: Opener = Box::new(move |path| {
        let file: OsFile = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|error| redb::DatabaseError::Storage(redb::StorageError::Io(error)))?;
        let backend = FaultyFile {
            inner: FileBackend::new(file)?,
            fails: Arc::clone(&shared),
        };
        builder().create_with_backend(backend)
    });
    (Log::open_with(dir, WIDE, opener, Duration::ZERO).unwrap(), fails)
}

#[test]
fn a_failing_disk_is_named_and_the_log_is_used_again_when_it_works() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, fails) = faulty(dir.path());
    let news = topic("news");
    let mut held = Vec::new();
    let halves = (1..24).map(Fails::HalfAfter);
    let others = [
        Fails::With(ErrorKind::StorageFull),
        Fails::With(ErrorKind::ReadOnlyFilesystem),
        Fails::With(ErrorKind::PermissionDenied),
        Fails::Sync,
        Fails::Everything,
    ];
    let mut failed = 0;
    for (round, fault) in others.into_iter().chain(halves).enumerate() {
        let good = single(1, 1, 2 * round as u64);
        log.append(&news, &good, 0).unwrap();
        held.push(good.wire);
        *fails.lock().unwrap() = fault;
        let bad = single(1, 1, 2 * round as u64 + 1);
        match log.append(&news, &bad, 0) {
            // So many writes were not needed.
            Ok(()) if matches!(fault, Fails::HalfAfter(_)) => held.push(bad.wire),
            Ok(()) => panic!("{fault:?} is no failure"),
            Err(error) => {
                failed += 1;
                let fits = match fault {
                    Fails::With(ErrorKind::StorageFull) | Fails::Sync | Fails::HalfAfter(_) => {
                        matches!(error, StoreError::File(FileError::NoSpace { .. }))
                    }
                    Fails::With(_) => matches!(error, StoreError::File(FileError::Denied { .. })),
                    _ => matches!(error, StoreError::File(FileError::Failed { .. })),
                };
                assert!(fits, "{fault:?}: {error:?}");
                log.append(&news, &bad, 0).unwrap_err();
            }
        }
        *fails.lock().unwrap() = Fails::Never;
        let there = log.range(&news, &peer(1), 1, 0..u64::MAX, usize::MAX).unwrap();
        // What was not acknowledged may be there, as a whole.
        if there.len() > held.len() {
            held.push(single(1, 1, 2 * round as u64 + 1).wire);
        }
        assert_eq!(there, held, "{fault:?}");
    }
    assert!(failed >= 10, "{failed} appends failed");
    drop(log);
    let log = open(dir.path(), WIDE);
    assert_eq!(log.range(&news, &peer(1), 1, 0..u64::MAX, usize::MAX).unwrap(), held);
}

#[test]
fn a_failing_disk_is_not_asked_again_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, fails) = faulty(dir.path());
    log.reopen_after = Duration::from_secs(3_600);
    *fails.lock().unwrap() = Fails::With(ErrorKind::StorageFull);
    log.append(&topic("news"), &single(1, 1, 0), 0).unwrap_err();
    *fails.lock().unwrap() = Fails::Never;
    let again = log.append(&topic("news"), &single(1, 1, 0), 0).unwrap_err();
    assert!(
        matches!(again, StoreError::File(FileError::NoSpace { .. })),
        "{again:?}"
    );
    log.reopen_after = Duration::ZERO;
    log.append(&topic("news"), &single(1, 1, 0), 0).unwrap();
}
