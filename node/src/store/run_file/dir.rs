//! The directory of the run files, and the checks that nobody else can write to it. What the files hold is not known here.

use std::{
    env,
    ffi::OsString,
    fs::{self, Metadata},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use crate::store::files::{create_private_dir, probe};

/// Names another directory for the run files: for tests, and systems whose runtime directories are odd. Its parent must
/// exist.
pub const RUN_DIR_VARIABLE: &str = "MAILLE_RUN_DIR";
const XDG_RUNTIME_DIR_VARIABLE: &str = "XDG_RUNTIME_DIR";
const NAME: &str = "maille";

/// A directory for run files that only this user may write.
#[derive(Debug, Clone)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// The directory that [`RUN_DIR_VARIABLE`] names; without it `$XDG_RUNTIME_DIR/maille`, if that belongs to this user;
    /// else `maille-` and the user's number in the directory for temporary files. Created if missing.
    ///
    /// # Errors
    /// When it cannot be created, or somebody else may write to it.
    pub fn open() -> io::Result<Self> {
        if let Some(path) = named(env::var_os(RUN_DIR_VARIABLE)) {
            return Self::at(&path);
        }
        let runtime_dir = named(env::var_os(XDG_RUNTIME_DIR_VARIABLE));
        Self::below(runtime_dir.as_deref(), &env::temp_dir())
    }

    /// This directory. Created if missing, its parents not.
    ///
    /// # Errors
    /// When it cannot be created, is a link, or somebody else may write to it.
    pub fn at(path: &Path) -> io::Result<Self> {
        match create_private_dir(path, false) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let metadata = fs::symlink_metadata(path)?;
        if !metadata.is_dir() {
            return Err(refusal(path, "is not a directory"));
        }
        if others_may_write(&metadata) {
            return Err(refusal(path, "can be written by other users"));
        }
        if owner(&metadata) != owner(&probe(path)?) {
            return Err(refusal(path, "belongs to another user"));
        }
        Ok(Self { path: path.to_owned() })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The better of two places that works.
    pub(super) fn below(runtime_dir: Option<&Path>, temp_dir: &Path) -> io::Result<Self> {
        // XDG Base Directory Specification: relative paths are invalid, and the directory belongs to the user. Whoever
        // became root with the user's environment must not leave root's directory there.
        if let Some(runtime_dir) = runtime_dir
            && runtime_dir.is_absolute()
            && let Ok(metadata) = fs::metadata(runtime_dir)
            && probe(runtime_dir).is_ok_and(|own| owner(&own) == owner(&metadata))
            && let Ok(dir) = Self::at(&runtime_dir.join(NAME))
        {
            return Ok(dir);
        }
        let name = match owner(&probe(temp_dir)?) {
            Some(user) => format!("{NAME}-{user}"),
            None => NAME.to_owned(),
        };
        Self::at(&temp_dir.join(name))
    }
}

/// A variable that is set and not empty.
fn named(variable: Option<OsString>) -> Option<PathBuf> {
    variable.filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn refusal(path: &Path, why: &str) -> io::Error {
    let message = format!(
        "{} {why}: remove it, or name another directory in {RUN_DIR_VARIABLE}",
        path.display()
    );
    io::Error::new(ErrorKind::PermissionDenied, message)
}

#[cfg(unix)]
fn owner(metadata: &Metadata) -> Option<u32> {
    Some(std::os::unix::fs::MetadataExt::uid(metadata))
}

#[cfg(unix)]
fn others_may_write(metadata: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::mode(metadata) & 0o022 != 0
}

/// Elsewhere the directory for temporary files is the user's own.
#[cfg(not(unix))]
fn owner(_: &Metadata) -> Option<u32> {
    None
}

#[cfg(not(unix))]
fn others_may_write(_: &Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};

    #[cfg(unix)]
    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn is_created_and_found_again() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("run");
        for _ in 0..2 {
            assert_eq!(RunDir::at(&path).unwrap().path(), path);
        }
        #[cfg(unix)]
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0, "probes are removed");
        RunDir::at(&base.path().join("missing/run")).unwrap_err();
    }

    #[test]
    fn the_runtime_directory_is_preferred_to_the_temporary_one() {
        let (runtime, temp) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let dir = RunDir::below(Some(runtime.path()), temp.path()).unwrap();
        assert_eq!(dir.path(), runtime.path().join("maille"));
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);

        for odd in [None, Some(Path::new("relative")), Some(Path::new("/nowhere/at/all"))] {
            let dir = RunDir::below(odd, temp.path()).unwrap();
            assert_eq!(dir.path().parent(), Some(temp.path()), "{odd:?}");
            #[cfg(unix)]
            assert_eq!(
                dir.path(),
                temp.path()
                    .join(format!("maille-{}", fs::metadata(temp.path()).unwrap().uid()))
            );
        }
        RunDir::below(None, Path::new("/nowhere/at/all")).unwrap_err();
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_refused_even_to_a_directory_of_ours() {
        let base = tempfile::tempdir().unwrap();
        let (good, link) = (base.path().join("good"), base.path().join("link"));
        RunDir::at(&good).unwrap();
        symlink(&good, &link).unwrap();
        let error = RunDir::at(&link).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("is not a directory"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_that_others_may_write_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("run");
        RunDir::at(&path).unwrap();
        for mode in [0o770, 0o702, 0o1777] {
            set_mode(&path, mode);
            let error = RunDir::at(&path).unwrap_err();
            assert!(
                error.to_string().contains("can be written by other users"),
                "{mode:o}: {error}"
            );
        }
        set_mode(&path, 0o755);
        RunDir::at(&path).unwrap();
    }

    /// As root we can give a directory away; as anybody else, root's are not ours.
    #[cfg(unix)]
    #[test]
    fn a_directory_of_another_user_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("maille");
        fs::create_dir(&path).unwrap();
        set_mode(&path, 0o755);
        if chown(&path, Some(54_321), None).is_ok() {
            let error = RunDir::at(&path).unwrap_err();
            assert!(error.to_string().contains("belongs to another user"), "{error}");
            assert_eq!(fs::read_dir(&path).unwrap().count(), 0);

            let runtime = base.path().join("runtime");
            fs::create_dir(&runtime).unwrap();
            chown(&runtime, Some(54_321), None).unwrap();
            let dir = RunDir::below(Some(&runtime), base.path()).unwrap();
            assert_eq!(
                dir.path(),
                base.path()
                    .join(format!("maille-{}", fs::metadata(base.path()).unwrap().uid()))
            );
            assert_eq!(
                fs::read_dir(&runtime).unwrap().count(),
                0,
                "nothing of root's is left there"
            );
        } else {
            RunDir::at(Path::new("/usr")).unwrap_err();
        }
    }

    #[test]
    fn an_empty_variable_names_nothing() {
        assert_eq!(named(Some(OsString::new())), None);
        assert_eq!(named(Some("x".into())), Some(PathBuf::from("x")));
    }
}
