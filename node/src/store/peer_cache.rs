//! The peer cache: members met before, by mesh, so that a node finds its meshes again without help. A cache: what is
//! damaged or forgotten costs time, nothing else; and the records are hints, verified by whoever dials.

use maille_proto::{
    MEMBER_ENVELOPE_BYTES_MAX, MEMBER_TOPICS_MAX, PEER_CACHE_BYTES_MAX, PEER_CACHE_MEMBERS_MAX, PEER_CACHE_MESHES_MAX,
    admission::MemberRecord,
    decode_peer_cache,
    peers::{MeshPeers, PeerCache},
};
use prost::Message as _;
use tracing::warn;

use super::{
    data_dir::DataDir,
    files::{FileError, read_file},
};
use crate::types::MeshName;

const PEERS_FILE: &str = "peers";

impl DataDir {
    /// All meshes in the cache, the one saved last first, each with the members saved for it. Empty, with a warning,
    /// when the file is damaged.
    #[must_use]
    pub fn peer_cache(&self) -> Vec<(MeshName, Vec<MemberRecord>)> {
        let meshes = self.read_peer_cache().meshes.into_iter();
        meshes
            .filter_map(|peers| Some((peers.mesh.parse().ok()?, peers.members)))
            .collect()
    }

    /// Puts these members, most recently met first, in the place of those saved for this mesh before. Keeps the first 64
    /// that are within the bounds of a member record, and as many meshes as there is room for. With no record at all
    /// nothing changes: a node that finds itself alone must not forget whom it knew.
    ///
    /// # Errors
    /// When the file cannot be replaced; the old one stays.
    pub fn save_peer_cache(&self, mesh: &MeshName, records: &[MemberRecord]) -> Result<(), FileError> {
        let members: Vec<_> = records
            .iter()
            .filter(|record| is_in_bounds(record))
            .take(PEER_CACHE_MEMBERS_MAX)
            .cloned()
            .collect();
        if members.is_empty() {
            return Ok(());
        }
        let _writing = self.writing();
        let mut cache = self.read_peer_cache();
        put(
            &mut cache,
            MeshPeers {
                mesh: mesh.as_str().to_owned(),
                members,
            },
        );
        self.replace(PEERS_FILE, &cache.encode_to_vec())
    }

    fn read_peer_cache(&self) -> PeerCache {
        let path = self.file(PEERS_FILE);
        let bytes = match read_file(&path, PEER_CACHE_BYTES_MAX) {
            Ok(bytes) => bytes.unwrap_or_default(),
            Err(error) => {
                warn!(path = %path.display(), %error, "cannot read the peer cache");
                return PeerCache::default();
            }
        };
        decode_peer_cache(&bytes).unwrap_or_else(|error| {
            warn!(path = %path.display(), %error, "the peer cache is damaged and begins anew");
            PeerCache::default()
        })
    }
}

/// One record outside its bounds would make the whole file unreadable.
fn is_in_bounds(record: &MemberRecord) -> bool {
    (1..=MEMBER_ENVELOPE_BYTES_MAX).contains(&record.envelope.len()) && record.topics.len() <= MEMBER_TOPICS_MAX
}

/// The mesh goes to the front; those saved longest ago make room.
fn put(cache: &mut PeerCache, peers: MeshPeers) {
    cache.meshes.retain(|known| known.mesh != peers.mesh);
    cache.meshes.insert(0, peers);
    cache.meshes.truncate(PEER_CACHE_MESHES_MAX);
    while cache.encoded_len() > PEER_CACHE_BYTES_MAX {
        cache.meshes.pop();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn record(envelope_bytes: usize, topics: usize) -> MemberRecord {
        MemberRecord {
            envelope: vec![7; envelope_bytes],
            topics: vec![9; topics],
        }
    }

    fn mesh(index: usize) -> MeshName {
        format!("mesh-{index}.example").parse().unwrap()
    }

    fn names(data: &DataDir) -> Vec<String> {
        data.peer_cache()
            .iter()
            .map(|(mesh, _)| mesh.as_str().to_owned())
            .collect()
    }

    #[test]
    fn survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        assert_eq!(data.peer_cache(), []);
        let (first, second) = (vec![record(100, 3), record(1, 0)], vec![record(1_024, 64)]);
        data.save_peer_cache(&mesh(1), &first).unwrap();
        data.save_peer_cache(&mesh(2), &second).unwrap();
        drop(data);
        let data = DataDir::open(dir.path()).unwrap();
        assert_eq!(data.peer_cache(), [(mesh(2), second.clone()), (mesh(1), first)]);
        data.save_peer_cache(&mesh(1), &second).unwrap();
        assert_eq!(data.peer_cache(), [(mesh(1), second.clone()), (mesh(2), second)]);
    }

    #[test]
    fn nobody_replaces_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        data.save_peer_cache(&mesh(1), &[record(100, 3)]).unwrap();
        data.save_peer_cache(&mesh(1), &[]).unwrap();
        data.save_peer_cache(&mesh(1), &[record(0, 1)]).unwrap();
        assert_eq!(data.peer_cache(), [(mesh(1), vec![record(100, 3)])]);
    }

    #[test]
    fn records_outside_their_bounds_do_not_spoil_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let records = [record(0, 0), record(1_025, 0), record(10, 65), record(10, 64)];
        data.save_peer_cache(&mesh(1), &records).unwrap();
        assert_eq!(data.peer_cache(), [(mesh(1), vec![record(10, 64)])]);
    }

    #[test]
    fn members_and_meshes_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        data.save_peer_cache(&mesh(0), &vec![record(10, 1); 65]).unwrap();
        assert_eq!(data.peer_cache()[0].1.len(), 64);

        let mut cache = PeerCache::default();
        for index in 0..=PEER_CACHE_MESHES_MAX {
            put(
                &mut cache,
                MeshPeers {
                    mesh: mesh(index).as_str().to_owned(),
                    members: vec![record(10, 1)],
                },
            );
        }
        assert_eq!(cache.meshes.len(), PEER_CACHE_MESHES_MAX);
        assert_eq!(cache.meshes[0].mesh, "mesh-256.example");
        assert_eq!(
            cache.meshes[255].mesh, "mesh-1.example",
            "mesh-0, saved longest ago, made room"
        );
        assert_eq!(decode_peer_cache(&cache.encode_to_vec()).unwrap(), cache);
    }

    #[test]
    fn the_file_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        // About 98 KiB each: ten fit into 1 MiB.
        for index in 0..12 {
            data.save_peer_cache(&mesh(index), &vec![record(1_024, 64); 64])
                .unwrap();
        }
        let expected: Vec<_> = (2..12).rev().map(|index| format!("mesh-{index}.example")).collect();
        assert_eq!(names(&data), expected);
        assert!(fs::metadata(data.file(PEERS_FILE)).unwrap().len() <= PEER_CACHE_BYTES_MAX as u64);
    }

    #[test]
    fn damage_empties_the_cache_and_the_next_save_repairs_it() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        data.save_peer_cache(&mesh(1), &[record(100, 3)]).unwrap();
        let whole = fs::read(data.file(PEERS_FILE)).unwrap();
        for cut in 1..whole.len() {
            fs::write(data.file(PEERS_FILE), &whole[..cut]).unwrap();
            assert_eq!(data.peer_cache(), [], "cut at {cut}");
        }
        fs::write(data.file(PEERS_FILE), vec![0xff; PEER_CACHE_BYTES_MAX + 1]).unwrap();
        assert_eq!(data.peer_cache(), []);
        data.save_peer_cache(&mesh(2), &[record(100, 3)]).unwrap();
        assert_eq!(names(&data), ["mesh-2.example"]);
    }

    #[test]
    fn a_mesh_name_that_is_none_is_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let peers = |mesh: &str| MeshPeers {
            mesh: mesh.to_owned(),
            members: vec![record(1, 0)],
        };
        let cache = PeerCache {
            meshes: vec![peers("NOT a mesh"), peers("a.example")],
        };
        fs::write(data.file(PEERS_FILE), cache.encode_to_vec()).unwrap();
        assert_eq!(names(&data), ["a.example"]);
    }

    #[test]
    fn what_cannot_be_written_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        fs::create_dir(data.file(PEERS_FILE)).unwrap();
        assert_eq!(data.peer_cache(), []);
        let error = data.save_peer_cache(&mesh(1), &[record(1, 0)]).unwrap_err();
        assert!(error.to_string().contains(PEERS_FILE), "{error}");
    }
}
