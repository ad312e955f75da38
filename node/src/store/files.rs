//! Small files, read with a bound and replaced as a whole. Nothing here knows what the files mean.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, Metadata, OpenOptions},
    io::{self, ErrorKind, Read as _, Write as _},
    path::{Path, PathBuf},
};

/// Mode of files that only their owner may read or write.
pub(super) const PRIVATE_FILE_MODE: u32 = 0o600;
/// Mode of directories that only their owner may enter.
const PRIVATE_DIR_MODE: u32 = 0o700;
/// Ends the name of a file that is still being written.
pub(super) const FRESH_SUFFIX: &str = ".tmp";

/// Why a file of the data directory could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The disk is full, or the user's share of it.
    #[error("no space is left to {action} {}: free some, or use another data directory", path.display())]
    NoSpace {
        /// What was attempted: `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// This user may not, or the file system is read-only.
    #[error("not allowed to {action} {}: give this user the right to, or use another data directory", path.display())]
    Denied {
        /// What was attempted: `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Any other failure.
    #[error("cannot {action} {}", path.display())]
    Failed {
        /// What was attempted: `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl FileError {
    /// For `map_err`: the failure to read `path`.
    pub(super) fn reading(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |source| Self::new("read", path, source)
    }

    /// For `map_err`: the failure to write `path`.
    pub(super) fn writing(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |source| Self::new("write", path, source)
    }

    fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::NoSpace { action, path, source },
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Self::Denied { action, path, source },
            _ => Self::Failed { action, path, source },
        }
    }

    /// The same failure, told once more.
    pub(super) fn again(&self) -> Self {
        let (Self::NoSpace { action, path, source }
        | Self::Denied { action, path, source }
        | Self::Failed { action, path, source }) = self;
        let source = match source.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(source.kind(), source.to_string()),
        };
        Self::new(action, path, source)
    }

    /// What kind of failure the operating system reported.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSpace { source, .. } | Self::Denied { source, .. } | Self::Failed { source, .. } => source.kind(),
        }
    }
}

impl From<FileError> for io::Error {
    fn from(error: FileError) -> Self {
        Self::new(error.kind(), error)
    }
}

/// Puts `bytes` in the place of `path`: whoever reads, also after a crash, finds either the old content or the new one.
/// Durable when it returns. One writer a path at a time.
pub(super) fn replace_file(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let fresh = fresh_path(path);
    // A run that crashed here may have left one, with a mode and content of its own.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let renamed = write_new(&fresh, bytes, mode).and_then(|()| fs::rename(&fresh, path));
    if renamed.is_err() {
        // The first error is the one to report; the next call removes what stays.
        let _ = fs::remove_file(&fresh);
        return renamed;
    }
    sync_dir(path.parent().unwrap_or(Path::new(".")))
}

/// The first `bytes_max` + 1 bytes of a regular file, so that a longer one can be told; `None` if there is no file.
pub(super) fn read_file(path: &Path, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
    match fs::metadata(path) {
        // A link that points nowhere (a volume that is not mounted) must not pass for a first run.
        Err(error) if error.kind() == ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => return Ok(None),
        Err(error) => return Err(error),
        // Opening a pipe would wait for its writer.
        Ok(metadata) if !metadata.is_file() => {
            return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(_) => {}
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Creates a directory that only its owner may enter; with its parents if `recursive`, when it may also be there already.
pub(super) fn create_private_dir(path: &Path, recursive: bool) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(recursive);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, PRIVATE_DIR_MODE);
    builder.create(path)
}

/// Creates a file in `dir` and removes it again: whether this user may write there, and what their files look like.
pub(super) fn probe(dir: &Path) -> io::Result<Metadata> {
    let path = dir.join(format!(".probe-{:016x}{FRESH_SUFFIX}", rand::random::<u64>()));
    let file = create_new(&path, PRIVATE_FILE_MODE)?;
    let metadata = file.metadata();
    fs::remove_file(&path)?;
    metadata
}

/// Where the next content of `path` is written.
fn fresh_path(path: &Path) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(FRESH_SUFFIX);
    name.into()
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = create_new(path, mode)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Fails if anything is there, links included.
pub(super) fn create_new(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options.open(path)
}

/// A rename is durable once its directory is.
#[cfg(unix)]
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    match File::open(dir)?.sync_all() {
        // Some network file systems cannot, and rename durably by themselves.
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

#[cfg(not(unix))]
pub(super) fn sync_dir(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_whole_files_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        // Longer than the new content, and with a mode that others may read.
        fs::write(fresh_path(&path), [b'x'; 100]).unwrap();
        replace_file(&path, b"one", PRIVATE_FILE_MODE).unwrap();
        assert_eq!(read_file(&path, 3).unwrap().unwrap(), b"one");
        replace_file(&path, b"2", PRIVATE_FILE_MODE).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"2");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        #[cfg(unix)]
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn a_failed_replacement_keeps_the_old_content_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        // A directory with content cannot be renamed over.
        fs::create_dir_all(path.join("inside")).unwrap();
        replace_file(&path, b"new", PRIVATE_FILE_MODE).unwrap_err();
        assert!(path.join("inside").is_dir());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn reads_no_more_than_one_byte_over_the_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        assert!(read_file(&path, 10).unwrap().is_none());
        fs::write(&path, [7; 1_000]).unwrap();
        assert_eq!(read_file(&path, 10).unwrap().unwrap().len(), 11);
        assert_eq!(read_file(dir.path(), 10).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[cfg(unix)]
    #[test]
    fn a_dangling_link_is_not_a_missing_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::os::unix::fs::symlink(dir.path().join("nowhere"), &path).unwrap();
        assert_eq!(read_file(&path, 10).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn errors_name_the_path_and_the_cause() {
        let full = FileError::writing(Path::new("/d/peers"))(ErrorKind::StorageFull.into());
        assert!(matches!(full, FileError::NoSpace { .. }), "{full:?}");
        assert_eq!(
            full.to_string(),
            "no space is left to write /d/peers: free some, or use another data directory"
        );
        let denied = FileError::reading(Path::new("/d/lock"))(ErrorKind::PermissionDenied.into());
        assert!(matches!(denied, FileError::Denied { action: "read", .. }), "{denied:?}");
        assert_eq!(io::Error::from(denied).kind(), ErrorKind::PermissionDenied);
        let other = FileError::writing(Path::new("/d/x"))(ErrorKind::TimedOut.into());
        assert!(matches!(other, FileError::Failed { .. }), "{other:?}");
    }

    /// Linux offers a device that is always full: the operating system's own error, not one we made up.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_told_from_other_failures() {
        let Ok(mut full) = OpenOptions::new().write(true).open("/dev/full") else {
            return;
        };
        let error = full.write_all(b"x").unwrap_err();
        assert!(matches!(
            FileError::writing(Path::new("x"))(error),
            FileError::NoSpace { .. }
        ));
    }

    #[cfg(unix)]
    fn mode(path: &Path) -> u32 {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }
}
