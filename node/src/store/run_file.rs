//! The run file: how nodes of one user on one machine meet without a flag and without a network. Each node writes its
//! loopback multiaddrs into a directory that only this user may write. Not proof of anything: what is read is dialled,
//! and a peer is what it proves there.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
    time::{Duration, SystemTime},
};

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};
use tracing::debug;

use super::files::{FRESH_SUFFIX, PRIVATE_FILE_MODE, read_file, replace_file};
use crate::types::is_loopback;

mod dir;

pub use self::dir::{RUN_DIR_VARIABLE, RunDir};

/// Other nodes that are read: those whose files changed last.
pub const RUN_FILES_MAX: usize = 64;
/// Multiaddrs in one run file.
pub const RUN_FILE_MULTIADDRS_MAX: usize = 8;
const RUN_FILE_BYTES_MAX: usize = 4_096;
/// Directory entries that are looked at.
const ENTRIES_MAX: usize = 4_096;
/// From then on a file is left over, where processes cannot be looked up.
const AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The run file of one node of this process; removed on drop.
#[derive(Debug)]
pub struct RunFile {
    dir: RunDir,
    peer: PeerId,
}

impl RunFile {
    /// Shows the loopback multiaddrs among `multiaddrs` to this user's other nodes, in the directory of
    /// [`RunDir::open`].
    ///
    /// # Errors
    /// When there is no directory that only this user may write, or the file cannot be written.
    pub fn publish(peer: PeerId, multiaddrs: &[Multiaddr]) -> io::Result<Self> {
        RunDir::open()?.publish(peer, multiaddrs)
    }

    /// Shows these multiaddrs from now on. To be called at least twice a day even if they stay the same: temporary
    /// directories are swept.
    ///
    /// # Errors
    /// When the file cannot be replaced.
    pub fn update(&self, multiaddrs: &[Multiaddr]) -> io::Result<()> {
        // The directory may have been swept as well.
        RunDir::at(self.dir.path())?.write(self.peer, multiaddrs)
    }

    /// This user's other nodes on this machine, in the directory of [`RunDir::open`].
    ///
    /// # Errors
    /// When there is no directory that only this user may write, or it cannot be read.
    pub fn others(own: &PeerId) -> io::Result<Vec<(PeerId, Vec<Multiaddr>)>> {
        RunDir::open()?.others(own)
    }
}

impl Drop for RunFile {
    fn drop(&mut self) {
        let path = self.dir.file(&self.peer);
        // Another process that runs with a copy of our key may have put its own there.
        if let Some((process, _)) = read(&path, &self.peer)
            && process == process::id()
        {
            let _ = fs::remove_file(path);
        }
    }
}

impl RunDir {
    /// Shows the loopback multiaddrs among `multiaddrs`, at most [`RUN_FILE_MULTIADDRS_MAX`], to this user's other
    /// nodes; `/p2p` is added where it is missing.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn publish(self, peer: PeerId, multiaddrs: &[Multiaddr]) -> io::Result<RunFile> {
        self.write(peer, multiaddrs)?;
        Ok(RunFile { dir: self, peer })
    }

    /// This user's other nodes with at least one loopback multiaddr, at most [`RUN_FILES_MAX`], those whose files
    /// changed last first. Files that ended processes left are removed.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn others(&self, own: &PeerId) -> io::Result<Vec<(PeerId, Vec<Multiaddr>)>> {
        let now = SystemTime::now();
        let mut files = Vec::new();
        for entry in fs::read_dir(self.path())?.take(ENTRIES_MAX) {
            let entry = entry?;
            // Of the entry itself, not of what a link points to. It may be gone by now.
            let Ok(metadata) = entry.metadata() else { continue };
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|_| metadata.is_file()) else {
                continue;
            };
            let modified = metadata.modified().unwrap_or(now);
            // Nothing is ever removed whose name is not ours to choose.
            if let Some(peer) = parse_name(name) {
                files.push((modified, peer));
            } else if name.strip_suffix(FRESH_SUFFIX).and_then(parse_name).is_some() && is_old(modified, now) {
                remove_left_over(&entry.path());
            }
        }
        files.sort_unstable_by_key(|(modified, _)| std::cmp::Reverse(*modified));
        let others = files.into_iter().filter(|(_, peer)| peer != own);
        let living = others.filter_map(|(modified, peer)| {
            let path = self.file(&peer);
            let content = read(&path, &peer);
            if content.as_ref().map_or_else(
                || is_old(modified, now),
                |(process, _)| is_gone(*process, modified, now),
            ) {
                remove_left_over(&path);
                return None;
            }
            content
                .map(|(_, multiaddrs)| (peer, multiaddrs))
                .filter(|(_, multiaddrs)| !multiaddrs.is_empty())
        });
        Ok(living.take(RUN_FILES_MAX).collect())
    }

    fn file(&self, peer: &PeerId) -> PathBuf {
        self.path().join(peer.to_base58())
    }

    fn write(&self, peer: PeerId, multiaddrs: &[Multiaddr]) -> io::Result<()> {
        let mut text = format!("{}\n", process::id());
        let lines = multiaddrs.iter().filter_map(|multiaddr| {
            let multiaddr = multiaddr.clone().with_p2p(peer).ok()?;
            is_on_loopback(&multiaddr, &peer).then(|| format!("{multiaddr}\n"))
        });
        for line in lines.take(RUN_FILE_MULTIADDRS_MAX) {
            if text.len() + line.len() <= RUN_FILE_BYTES_MAX {
                text.push_str(&line);
            }
        }
        replace_file(&self.file(&peer), text.as_bytes(), PRIVATE_FILE_MODE)
    }
}

/// The one name that a peer's file has.
fn parse_name(name: &str) -> Option<PeerId> {
    name.parse().ok().filter(|peer: &PeerId| peer.to_base58() == name)
}

/// The process and its acceptable multiaddrs; `None` if the file is damaged, too long or gone.
fn read(path: &Path, peer: &PeerId) -> Option<(u32, Vec<Multiaddr>)> {
    let bytes = read_file(path, RUN_FILE_BYTES_MAX).ok()??;
    let text = str::from_utf8(&bytes)
        .ok()
        .filter(|text| text.len() <= RUN_FILE_BYTES_MAX && text.ends_with('\n'))?;
    let mut lines = text.lines();
    let process = lines.next()?.parse().ok()?;
    let multiaddrs = lines
        .filter_map(|line| line.parse().ok())
        .filter(|multiaddr| is_on_loopback(multiaddr, peer));
    Some((process, multiaddrs.take(RUN_FILE_MULTIADDRS_MAX).collect()))
}

/// A direct way to this peer that does not leave the machine.
fn is_on_loopback(multiaddr: &Multiaddr, peer: &PeerId) -> bool {
    let mut protocols = multiaddr.iter();
    let first_peer = protocols.by_ref().find_map(|protocol| match protocol {
        Protocol::P2p(peer) => Some(peer),
        _ => None,
    });
    // What follows a peer leads elsewhere, through it.
    is_loopback(multiaddr) && first_peer == Some(*peer) && protocols.next().is_none()
}

#[cfg(target_os = "linux")]
fn is_gone(process: u32, modified: SystemTime, now: SystemTime) -> bool {
    if Path::new("/proc/self").exists() {
        !Path::new("/proc").join(process.to_string()).exists()
    } else {
        is_old(modified, now)
    }
}

#[cfg(not(target_os = "linux"))]
fn is_gone(_: u32, modified: SystemTime, now: SystemTime) -> bool {
    is_old(modified, now)
}

fn is_old(modified: SystemTime, now: SystemTime) -> bool {
    now.duration_since(modified).is_ok_and(|age| age > AGE_MAX)
}

fn remove_left_over(path: &Path) {
    let removed = fs::remove_file(path);
    debug!(path = %path.display(), ?removed, "removed a run file that was left over");
}

#[cfg(test)]
mod tests;
