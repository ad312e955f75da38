//! The data directory of one node: locked for its life, with what must outlive a run. What the files hold is in the
//! modules beside this one; only the lock and the ports are here.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, ErrorKind, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use libp2p::{Multiaddr, multiaddr::Protocol};
use tracing::warn;

use crate::types::MeshName;

use super::files::{FileError, PRIVATE_FILE_MODE, create_private_dir, probe, read_file, replace_file};

/// Listen multiaddrs that are remembered.
pub const PORTS_MAX: usize = 64;
/// The file that remembers them.
const PORTS_BYTES_MAX: usize = 16_384;
/// A process id in the lock file.
const PROCESS_BYTES_MAX: u64 = 16;

const LOCK_FILE: &str = "lock";
const PORTS_FILE: &str = "ports";
const HISTORY_DIR: &str = "history";
const BLOBS_DIR: &str = "blobs";

/// Why a data directory could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataDirError {
    /// Another node has it open.
    #[error(
        "data directory {} is in use by {}: stop it, or use another data directory",
        path.display(),
        process.map_or("another process".to_owned(), |process| format!("process {process}"))
    )]
    InUse {
        /// The data directory.
        path: PathBuf,
        /// The process that has it open, if it can be told.
        process: Option<u32>,
    },
    /// There is something else at this path, or on the way to it.
    #[error("{} is not a directory and cannot be made one: use another data directory", path.display())]
    NotADirectory {
        /// The path asked for.
        path: PathBuf,
    },
    /// It could not be created, or cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A data directory that this process has locked, until the last clone is dropped.
#[derive(Debug, Clone)]
pub struct DataDir {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    lock: File,
    /// Held from reading a file to replacing it.
    writing: Mutex<()>,
}

impl DataDir {
    /// Opens a data directory and locks it; creates it, for this user alone, if it is missing.
    ///
    /// # Errors
    /// When it is in use, is not a directory, or cannot be written.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let path = std::path::absolute(path).map_err(FileError::reading(path))?;
        if let Err(error) = create_private_dir(&path, true) {
            return Err(match error.kind() {
                ErrorKind::AlreadyExists | ErrorKind::NotADirectory => DataDirError::NotADirectory { path },
                _ => FileError::writing(&path)(error).into(),
            });
        }
        let lock = lock(&path)?;
        let inner = Inner {
            path,
            lock,
            writing: Mutex::new(()),
        };
        // The lock file may be older than the day this directory became read-only.
        probe(&inner.path).map_err(FileError::writing(&inner.path))?;
        warn_if_others_may_write(&inner.path);
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Where it is: an absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Where the history of a mesh belongs; it need not be there.
    #[must_use]
    pub fn history_dir(&self, mesh: &MeshName) -> PathBuf {
        self.file(HISTORY_DIR).join(mesh.as_str())
    }

    /// Where the blobs of a mesh belong; it need not be there.
    #[must_use]
    pub fn blobs_dir(&self, mesh: &MeshName) -> PathBuf {
        self.file(BLOBS_DIR).join(mesh.as_str())
    }

    /// The listen multiaddrs last bound, at most [`PORTS_MAX`], to be tried first. Lines that are none are skipped with
    /// a warning: at worst, other ports are chosen.
    #[must_use]
    pub fn ports(&self) -> Vec<Multiaddr> {
        let path = self.file(PORTS_FILE);
        let bytes = match read_file(&path, PORTS_BYTES_MAX) {
            Ok(bytes) => bytes.unwrap_or_default(),
            Err(error) => {
                warn!(path = %path.display(), %error, "cannot read the ports of the last run");
                return Vec::new();
            }
        };
        let (ports, damaged) = parse_ports(&bytes);
        if damaged {
            warn!(path = %path.display(), "the ports of the last run are damaged");
        }
        ports
    }

    /// Remembers the first [`PORTS_MAX`] listen multiaddrs, without `/p2p` at their end.
    ///
    /// # Errors
    /// When the file cannot be replaced; the old one stays.
    pub fn save_ports(&self, ports: &[Multiaddr]) -> Result<(), FileError> {
        let mut text = String::new();
        for port in ports.iter().take(PORTS_MAX) {
            let line = format!("{}\n", without_peer(port.clone()));
            if text.len() + line.len() <= PORTS_BYTES_MAX {
                text.push_str(&line);
            }
        }
        let _writing = self.writing();
        self.replace(PORTS_FILE, text.as_bytes())
    }

    /// The path of one of its files.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.inner.path.join(name)
    }

    /// To be held from reading a file to replacing it. A panic elsewhere leaves files whole, so poison means nothing.
    pub(super) fn writing(&self) -> MutexGuard<'_, ()> {
        self.inner.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces one of its files; only while [`Self::writing`] is held.
    pub(super) fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), FileError> {
        let path = self.file(name);
        replace_file(&path, bytes, PRIVATE_FILE_MODE).map_err(FileError::writing(&path))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Nobody shall read the number of a process that is gone. The lock file itself stays: were it removed, two nodes
        // could each lock a file of that name. Unlocked by hand, since a child forked just now would hold it on.
        let _ = self.lock.set_len(0);
        let _ = self.lock.unlock();
    }
}

fn lock(dir: &Path) -> Result<File, DataDirError> {
    let path = dir.join(LOCK_FILE);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, PRIVATE_FILE_MODE);
    let mut file = options.open(&path).map_err(FileError::writing(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(DataDirError::InUse {
                path: dir.to_owned(),
                process: read_process(&file),
            });
        }
        Err(TryLockError::Error(error)) => return Err(FileError::writing(&path)(error).into()),
    }
    let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(FileError::writing(&path))?;
    Ok(file)
}

/// `None` while its owner has yet to write it, or where locked files cannot be read.
fn read_process(file: &File) -> Option<u32> {
    let mut text = String::new();
    file.take(PROCESS_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim_end().parse().ok()
}

fn parse_ports(bytes: &[u8]) -> (Vec<Multiaddr>, bool) {
    let (mut ports, mut damaged) = (Vec::new(), bytes.len() > PORTS_BYTES_MAX);
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match str::from_utf8(line)
            .ok()
            .and_then(|line| line.parse::<Multiaddr>().ok())
        {
            Some(port) if ports.len() < PORTS_MAX && !port.is_empty() => ports.push(without_peer(port)),
            _ => damaged = true,
        }
    }
    (ports, damaged)
}

fn without_peer(mut multiaddr: Multiaddr) -> Multiaddr {
    if let Some(Protocol::P2p(_)) = multiaddr.iter().last() {
        multiaddr.pop();
    }
    multiaddr
}

/// They could replace the key. The user chose the directory, so it is theirs to change.
#[cfg(unix)]
fn warn_if_others_may_write(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |metadata: io::Result<fs::Metadata>| metadata.map_or(0, |metadata| metadata.permissions().mode());
    if mode(fs::metadata(path)) & 0o022 != 0 {
        warn!(path = %path.display(), "other users may write to the data directory");
    }
}

#[cfg(not(unix))]
fn warn_if_others_may_write(_: &Path) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_created_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(&dir.path().join("a/b")).unwrap();
        assert!(data.path().is_absolute());
        #[cfg(unix)]
        for (path, mode) in [(data.path().to_owned(), 0o700), (data.file(LOCK_FILE), 0o600)] {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                mode,
                "{}",
                path.display()
            );
        }
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1, "only the lock file");
    }

    #[test]
    fn is_locked_until_the_last_clone_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::open(dir.path()).unwrap();
        let clone = first.clone();
        for held in [first, clone] {
            let error = DataDir::open(dir.path()).unwrap_err();
            let DataDirError::InUse { path, process } = &error else {
                panic!("{error:?}")
            };
            assert_eq!((path.as_path(), *process), (dir.path(), Some(std::process::id())));
            let expected = format!(
                "data directory {} is in use by process {}: ",
                path.display(),
                std::process::id()
            );
            assert!(error.to_string().starts_with(&expected), "{error}");
            drop(held);
        }
        DataDir::open(dir.path()).unwrap();
    }

    #[test]
    fn a_lock_file_that_a_crash_left_locks_nothing() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(LOCK_FILE), "4294967295 and more than a process id\n").unwrap();
        let _data = DataDir::open(dir.path()).unwrap();
        let error = DataDir::open(dir.path()).unwrap_err();
        let own = std::process::id();
        assert!(
            matches!(error, DataDirError::InUse { process: Some(process), .. } if process == own),
            "{error:?}"
        );
    }

    #[test]
    fn the_process_is_unknown_while_the_lock_file_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join(LOCK_FILE)).unwrap();
        file.lock().unwrap();
        let error = DataDir::open(dir.path()).unwrap_err();
        assert!(matches!(error, DataDirError::InUse { process: None, .. }), "{error:?}");
        assert!(error.to_string().contains("in use by another process"), "{error}");
    }

    #[test]
    fn a_path_that_is_or_crosses_a_file_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for path in [
            file.path().to_owned(),
            file.path().join("below"),
            file.path().join("below/deeper"),
        ] {
            let error = DataDir::open(&path).unwrap_err();
            assert!(
                matches!(&error, DataDirError::NotADirectory { path: named } if *named == path),
                "{error:?}"
            );
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        }
    }

    /// Permission bits do not stop root; this file system stops everybody.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_directory_that_cannot_be_written_is_refused() {
        for path in ["/proc/self", "/proc/maille-test"] {
            let error = DataDir::open(Path::new(path)).unwrap_err();
            assert!(matches!(error, DataDirError::File(_)), "{error:?}");
            assert!(error.to_string().contains(path), "{error}");
            assert!(std::error::Error::source(&error).is_some(), "{error:?}");
        }
    }

    #[test]
    fn ports_are_kept_without_peers() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        assert_eq!(data.ports(), Vec::<Multiaddr>::new());
        let peer = libp2p::PeerId::random();
        let tcp: Multiaddr = "/ip4/0.0.0.0/tcp/40001".parse().unwrap();
        let quic: Multiaddr = "/ip6/::/udp/40002/quic-v1".parse().unwrap();
        data.save_ports(&[tcp.clone().with(Protocol::P2p(peer)), quic.clone()])
            .unwrap();
        assert_eq!(data.ports(), [tcp.clone(), quic]);
        let text = fs::read_to_string(data.file(PORTS_FILE)).unwrap();
        assert_eq!(text, "/ip4/0.0.0.0/tcp/40001\n/ip6/::/udp/40002/quic-v1\n");
        data.save_ports(&vec![tcp; PORTS_MAX + 1]).unwrap();
        assert_eq!(data.ports().len(), PORTS_MAX);
    }

    #[test]
    fn damaged_ports_are_skipped() {
        let good: Multiaddr = "/ip4/0.0.0.0/tcp/1".parse().unwrap();
        let (ports, damaged) = parse_ports(b"/ip4/0.0.0.0/tcp/1\n\xff\xfe\n/ip4/1.2.3\nnonsense\n/ip4/0.0.0.0/tc");
        assert_eq!((ports, damaged), (vec![good.clone()], true));
        let (ports, damaged) = parse_ports("/ip4/0.0.0.0/tcp/1\n".repeat(PORTS_MAX + 5).as_bytes());
        assert_eq!((ports.len(), damaged), (PORTS_MAX, true));
        assert_eq!(parse_ports(b"/ip4/0.0.0.0/tcp/1\n"), (vec![good], false));

        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        fs::create_dir(data.file(PORTS_FILE)).unwrap();
        assert_eq!(data.ports(), Vec::<Multiaddr>::new());
        let error = data.save_ports(&[]).unwrap_err();
        assert!(error.to_string().contains(PORTS_FILE), "{error}");
    }
}
