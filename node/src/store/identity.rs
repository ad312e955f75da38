//! The key file: the Ed25519 key that makes a node the same node in its next run. Not a keystore: one key, not encrypted.

use std::{
    io,
    path::{Path, PathBuf},
};

use libp2p::identity::{DecodingError, KeyType, Keypair};
use zeroize::Zeroizing;

use super::{
    data_dir::DataDir,
    files::{FileError, read_file},
};

const IDENTITY_FILE: &str = "identity.key";
/// An Ed25519 key takes 68 bytes; keys of other kinds are to be named, not to be cut short.
const IDENTITY_BYTES_MAX: usize = 4_096;

/// Why a data directory gives no identity.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The key file holds something else.
    #[error(
        "{} holds no Ed25519 key: restore it from a copy, or remove it to begin anew with another PeerId",
        path.display()
    )]
    NoKey {
        /// The key file.
        path: PathBuf,
        /// Why it is none; `None` for a good key of another kind.
        source: Option<DecodingError>,
    },
    /// Other users may read the key file, and that could not be changed.
    #[error("other users may read {}, and that cannot be changed: set its mode to 600, or remove it", path.display())]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The key file cannot be read or created.
    #[error(transparent)]
    File(#[from] FileError),
}

impl DataDir {
    /// The identity in the key file; a new one, stored before it is returned, if there is no such file.
    ///
    /// # Errors
    /// When the file holds no Ed25519 key, or cannot be read, created, or made private.
    pub fn identity(&self) -> Result<Keypair, IdentityError> {
        // Two clones that find no file must not make two keys.
        let _writing = self.writing();
        let path = self.file(IDENTITY_FILE);
        match read_key(&path)? {
            Some(key) => Ok(key),
            None => self.create_identity(path),
        }
    }

    /// The identity in a data directory that another process has open; nothing if it has none yet.
    ///
    /// # Errors
    /// As [`identity`](Self::identity).
    pub fn identity_of_other(directory: &Path) -> Result<Option<Keypair>, IdentityError> {
        read_key(&directory.join(IDENTITY_FILE))
    }

    fn create_identity(&self, path: PathBuf) -> Result<Keypair, IdentityError> {
        let key = Keypair::generate_ed25519();
        match key.to_protobuf_encoding().map(Zeroizing::new) {
            Ok(bytes) => self.replace(IDENTITY_FILE, &bytes)?,
            Err(error) => {
                return Err(IdentityError::NoKey {
                    path,
                    source: Some(error),
                });
            }
        }
        Ok(key)
    }
}

fn read_key(path: &Path) -> Result<Option<Keypair>, IdentityError> {
    let Some(bytes) = read_file(path, IDENTITY_BYTES_MAX)
        .map_err(FileError::reading(path))?
        .map(Zeroizing::new)
    else {
        return Ok(None);
    };
    make_private(path)?;
    let path = path.to_owned();
    match Keypair::from_protobuf_encoding(&bytes) {
        Ok(key) if key.key_type() == KeyType::Ed25519 && bytes.len() <= IDENTITY_BYTES_MAX => Ok(Some(key)),
        Ok(_) => Err(IdentityError::NoKey { path, source: None }),
        Err(error) => Err(IdentityError::NoKey {
            path,
            source: Some(error),
        }),
    }
}

/// Restored copies often come with wider modes.
#[cfg(unix)]
fn make_private(path: &Path) -> Result<(), IdentityError> {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::PermissionsExt as _,
    };

    use super::files::PRIVATE_FILE_MODE;

    let mode = fs::metadata(path)
        .map_err(FileError::reading(path))?
        .permissions()
        .mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(PRIVATE_FILE_MODE)).map_err(|source| IdentityError::Exposed {
        path: path.to_owned(),
        source,
    })?;
    tracing::warn!(path = %path.display(), "other users could read the key file; its mode is 600 now");
    Ok(())
}

#[cfg(not(unix))]
fn make_private(_: &Path) -> Result<(), IdentityError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{error::Error as _, fs, thread};

    use super::*;

    fn open(dir: &tempfile::TempDir) -> DataDir {
        DataDir::open(dir.path()).unwrap()
    }

    #[test]
    fn survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(&dir).identity().unwrap().public();
        let second = open(&dir).identity().unwrap().public();
        assert_eq!(first, second);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(open(&other).identity().unwrap().public(), first);
        let file = fs::read(dir.path().join(IDENTITY_FILE)).unwrap();
        assert_eq!(file.len(), 68);
        assert_eq!(Keypair::from_protobuf_encoding(&file).unwrap().public(), first);
    }

    #[test]
    fn is_one_for_all_clones() {
        let dir = tempfile::tempdir().unwrap();
        let data = open(&dir);
        let clones: Vec<_> = (0..8)
            .map(|_| {
                let data = data.clone();
                thread::spawn(move || data.identity().unwrap().public())
            })
            .collect();
        let expected = data.identity().unwrap().public();
        for clone in clones {
            assert_eq!(clone.join().unwrap(), expected);
        }
    }

    #[cfg(unix)]
    #[test]
    fn is_private_and_made_so() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(IDENTITY_FILE);
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let data = open(&dir);
        let key = data.identity().unwrap().public();
        assert_eq!(mode(), 0o600);
        for wide in [0o644, 0o660, 0o604] {
            fs::set_permissions(&path, fs::Permissions::from_mode(wide)).unwrap();
            assert_eq!(data.identity().unwrap().public(), key);
            assert_eq!(mode(), 0o600, "was {wide:o}");
        }
        // Narrower is the user's choice.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert_eq!(data.identity().unwrap().public(), key);
        assert_eq!(mode(), 0o400);
    }

    #[test]
    fn garbage_is_refused_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let data = open(&dir);
        let path = data.file(IDENTITY_FILE);
        data.identity().unwrap();
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[40] ^= 1;
        let long = [whole.clone(), vec![0; IDENTITY_BYTES_MAX]].concat();
        for damaged in [
            &whole[..0],
            &whole[..1],
            &whole[..67],
            b"-----BEGIN KEY-----",
            &flipped,
            &long,
        ] {
            fs::write(&path, damaged).unwrap();
            let error = data.identity().unwrap_err();
            assert!(matches!(error, IdentityError::NoKey { .. }), "{error:?}");
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
            assert!(error.to_string().contains("remove it"), "{error}");
            assert_eq!(fs::read(&path).unwrap(), damaged, "never overwritten");
        }
    }

    #[test]
    fn keys_of_other_kinds_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let data = open(&dir);
        // PrivateKey { type, data }, with type 2 secp256k1, 3 ECDSA, 0 RSA, 9 unknown.
        for kind in [0, 2, 3, 9] {
            let file = [&[8, kind, 18, 32][..], &[1; 32]].concat();
            fs::write(data.file(IDENTITY_FILE), file).unwrap();
            let error = data.identity().unwrap_err();
            assert!(matches!(error, IdentityError::NoKey { .. }), "{kind}: {error:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_no_first_run() {
        let dir = tempfile::tempdir().unwrap();
        let data = open(&dir);
        fs::create_dir(data.file(IDENTITY_FILE)).unwrap();
        let error = data.identity().unwrap_err();
        assert!(matches!(error, IdentityError::File(_)), "{error:?}");
        assert!(error.source().is_some());
    }
}
