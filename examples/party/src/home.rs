//! The groups that this user is in, as they are kept on this computer: a folder each, with the node's own data in it. A
//! passphrase is kept only for those who want that.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use maille::{MeshName, Password, Ticket};
use serde::{Deserialize, Serialize};

/// Groups that are listed.
const GROUPS_MAX: usize = 256;
/// A longer file is none of ours.
const FILE_BYTES_MAX: u64 = 16_384;
const ABOUT: &str = "group.json";
const PASSPHRASE: &str = "passphrase";
const NODE: &str = "node";

/// Where all groups are.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    folder: PathBuf,
}

/// A group that was open here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) mesh: String,
    pub(crate) title: String,
    /// What the user is called in it.
    pub(crate) name: String,
    /// Whom to begin with: a ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ticket: Option<String>,
}

impl Known {
    pub(crate) fn ticket(&self) -> Option<Ticket> {
        self.ticket.as_ref()?.parse().ok()
    }
}

impl Home {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// In the user's data home (XDG, or what the system has for it).
    ///
    /// # Errors
    /// When the user has no home.
    pub(crate) fn of_user() -> io::Result<Self> {
        let strategy = etcetera::choose_base_strategy().map_err(io::Error::other)?;
        Ok(Self::new(strategy.data_dir().join("maille-party")))
    }

    /// Where the node of a group keeps its data.
    pub(crate) fn node_dir(&self, mesh: &MeshName) -> PathBuf {
        self.folder(mesh).join(NODE)
    }

    /// The groups, by title.
    pub(crate) fn groups(&self) -> Vec<Known> {
        let folders = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let known = folders.filter_map(|folder| read_known(&folder.path().join(ABOUT)));
        let mut known: Vec<Known> = known.take(GROUPS_MAX).collect();
        known.sort_by_key(|known| (known.title.to_lowercase(), known.mesh.clone()));
        known
    }

    pub(crate) fn group(&self, mesh: &MeshName) -> Option<Known> {
        read_known(&self.folder(mesh).join(ABOUT))
    }

    /// Remembers a group.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn remember(&self, mesh: &MeshName, known: &Known) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(known).map_err(io::Error::other)?;
        self.write(mesh, ABOUT, &text)
    }

    /// Keeps the passphrase in a file that only this user reads, or forgets it.
    ///
    /// # Errors
    /// When it cannot be written or removed.
    pub(crate) fn keep_passphrase(&self, mesh: &MeshName, password: Option<&Password>) -> io::Result<()> {
        match password {
            Some(password) => self.write(mesh, PASSPHRASE, password.expose().as_bytes()),
            None => match fs::remove_file(self.folder(mesh).join(PASSPHRASE)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
        }
    }

    pub(crate) fn passphrase(&self, mesh: &MeshName) -> Option<Password> {
        let bytes = read_short(&self.folder(mesh).join(PASSPHRASE))?;
        Password::from_file_bytes(&bytes).ok()
    }

    fn folder(&self, mesh: &MeshName) -> PathBuf {
        // Labels of letters, digits and hyphens between dots: never a path.
        self.folder.join(mesh.as_str())
    }

    /// Whole or not at all, for this user only.
    fn write(&self, mesh: &MeshName, name: &str, bytes: &[u8]) -> io::Result<()> {
        let folder = self.folder(mesh);
        fs::create_dir_all(&folder)?;
        // Its mode is 0600.
        let mut file = tempfile::NamedTempFile::new_in(&folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(folder.join(name))?;
        Ok(())
    }
}

fn read_known(path: &Path) -> Option<Known> {
    serde_json::from_slice(&read_short(path)?).ok()
}

fn read_short(path: &Path) -> Option<Vec<u8>> {
    let is_short = fs::metadata(path).ok()?.len() <= FILE_BYTES_MAX;
    is_short.then(|| fs::read(path).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_remembered_and_passphrases_only_if_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path().join("party"));
        assert!(home.groups().is_empty());
        let mesh: MeshName = "p-one.party".parse().unwrap();
        let known = Known {
            mesh: mesh.to_string(),
            title: "Été à la mer".to_owned(),
            name: "Ada".to_owned(),
            ticket: None,
        };
        home.remember(&mesh, &known).unwrap();
        assert_eq!((home.groups(), home.group(&mesh)), (vec![known.clone()], Some(known)));
        assert!(home.passphrase(&mesh).is_none());
        let password = Password::generate(&mut rand::rng());
        home.keep_passphrase(&mesh, Some(&password)).unwrap();
        assert_eq!(home.passphrase(&mesh).unwrap().expose(), password.expose());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(home.folder(&mesh).join(PASSPHRASE))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        home.keep_passphrase(&mesh, None).unwrap();
        home.keep_passphrase(&mesh, None).unwrap();
        assert!(home.passphrase(&mesh).is_none());
    }

    #[test]
    fn damaged_files_are_no_groups() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path().to_owned());
        for (name, text) in [("a", "{"), ("b", "[]"), ("c", "")] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join(ABOUT), text).unwrap();
        }
        fs::write(folder.path().join("file"), "x").unwrap();
        assert!(home.groups().is_empty());
    }
}
