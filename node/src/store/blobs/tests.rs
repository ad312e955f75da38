//! Blobs on a disk that fills up, rots, and loses its process at any step.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, ErrorKind},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use maille_proto::BLOB_CHUNK_BYTES as C;

use super::*;

/// Has a directory fail after so many steps, and at every step from then on.
#[derive(Debug, Clone)]
pub(super) struct Faults(Arc<(AtomicI64, bool)>);

impl Default for Faults {
    fn default() -> Self {
        Self(Arc::new((AtomicI64::new(i64::MAX), true)))
    }
}

impl Faults {
    pub(super) fn step(&self) -> io::Result<()> {
        match self.0.0.fetch_sub(1, Ordering::Relaxed) > 0 {
            true => Ok(()),
            false => Err(ErrorKind::StorageFull.into()),
        }
    }

    fn after(&self, steps: i64) {
        self.0.0.store(steps, Ordering::Relaxed);
    }
}

const ROOM: BlobLimits = BlobLimits {
    disk_bytes_max: 64 * C as u64,
    memory_bytes_max: 64 * C as u64,
};

fn noise(seed: u8, bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut noise);
    noise
}

fn on_disk(path: &Path) -> Arc<BlobStore> {
    Arc::new(BlobStore::new(Some(path.join("blobs")), ROOM))
}

fn faults(store: &BlobStore) -> Faults {
    match &store.place {
        Place::Disk(dir) => dir.faults.clone(),
        Place::Memory(_) => panic!("memory does not fail"),
    }
}

/// The hashes and the last chunk, as a member gives them.
fn outline_of(bytes: &[u8]) -> (BlobId, Vec<u8>, Vec<u8>) {
    let other = BlobStore::new(None, ROOM);
    let id = other.import(&mut &bytes[..]).unwrap();
    let Found::Proved((hashes, last)) = other.outline(&id).unwrap() else {
        panic!("just imported");
    };
    (id, hashes, last)
}

fn read(store: &BlobStore, id: &BlobId) -> Result<Vec<u8>, BlobStoreError> {
    let mut bytes = Vec::new();
    store.copy_to(id, &mut bytes).map(|_| bytes)
}

fn held(store: &BlobStore, id: &BlobId) -> Vec<u32> {
    let holding = store.holding(id).unwrap();
    holding.map_or(vec![], |(_, held)| {
        (0..held.chunks()).filter(|index| held.contains(*index)).collect()
    })
}

#[test]
fn what_is_shared_is_read_back_now_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let memory = Arc::new(BlobStore::new(None, ROOM));
    for (seed, length) in (0..).zip([0, 1, C - 1, C, C + 1, 3 * C, 3 * C + 5]) {
        let bytes = noise(seed, length);
        for store in [on_disk(dir.path()), memory.clone()] {
            let id = store.import(&mut &bytes[..]).unwrap();
            assert_eq!(id, BlobId::of(&bytes));
            assert_eq!(store.import(&mut &bytes[..]).unwrap(), id, "once more");
            assert_eq!(read(&store, &id).unwrap(), bytes);
            let info = store.list().unwrap().into_iter().find(|info| info.id == id).unwrap();
            assert_eq!(
                (info.bytes, info.bytes_held, info.pinned),
                (length as u64, length as u64, true)
            );
        }
        assert_eq!(read(&on_disk(dir.path()), &BlobId::of(&bytes)).unwrap(), bytes);
    }
    assert!(matches!(
        read(&memory, &BlobId::of(b"?")),
        Err(BlobStoreError::NotWhole)
    ));
}

#[test]
fn only_what_fits_is_taken_and_a_restart_keeps_it() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = noise(1, 4 * C + 9);
    let (id, hashes, last) = outline_of(&bytes);
    let chunk = |index: usize| &bytes[index * C..(index + 1) * C];
    let store = on_disk(dir.path());
    assert_eq!(store.put(&id, 0, chunk(0)).unwrap(), Put::NotOpen);
    assert_eq!(store.open(&id, &hashes[32..], &last).unwrap(), Opened::Wrong);
    assert!(matches!(store.open(&id, &hashes, &last).unwrap(), Opened::Held(held) if held.held() == 1));
    assert_eq!(store.put(&id, 0, chunk(1)).unwrap(), Put::Wrong);
    assert_eq!(store.put(&id, 9, chunk(1)).unwrap(), Put::Wrong);
    assert_eq!(store.put(&id, 1, chunk(1)).unwrap(), Put::New);
    assert_eq!(store.put(&id, 1, chunk(1)).unwrap(), Put::Again);
    assert_eq!(store.chunk(&id, 0).unwrap(), Found::Missing);
    let store = on_disk(dir.path());
    assert_eq!(held(&store, &id), [1, 4]);
    for index in [3, 0, 2] {
        assert_eq!(store.put(&id, index, chunk(index as usize)).unwrap(), Put::New);
    }
    for store in [store, on_disk(dir.path())] {
        assert_eq!(read(&store, &id).unwrap(), bytes);
    }
}

/// A life: what it acknowledges, by name.
fn live(store: &BlobStore, acknowledged: &mut BTreeMap<&'static str, bool>) -> Result<(), BlobStoreError> {
    let (shared, fetched) = (noise(2, 3 * C + 1), noise(3, 3 * C + 1));
    store.import(&mut &shared[..])?;
    acknowledged.insert("shared", true);
    let (id, hashes, last) = outline_of(&fetched);
    store.open(&id, &hashes, &last)?;
    acknowledged.insert("opened", true);
    for (index, name) in [(2, "chunk 2"), (0, "chunk 0"), (1, "chunk 1")] {
        store.put(&id, index, &fetched[index as usize * C..][..C])?;
        acknowledged.insert(name, true);
    }
    store.set_pin(&id, true)?;
    acknowledged.insert("pinned", true);
    Ok(())
}

#[test]
fn a_process_that_dies_at_any_step_loses_nothing_acknowledged_and_counts_nothing_unproved() {
    let (shared, fetched) = (noise(2, 3 * C + 1), noise(3, 3 * C + 1));
    let (shared_id, fetched_id) = (BlobId::of(&shared), BlobId::of(&fetched));
    for steps in 0..100 {
        let dir = tempfile::tempdir().unwrap();
        let store = on_disk(dir.path());
        faults(&store).after(steps);
        let mut acknowledged = BTreeMap::new();
        let ended = live(&store, &mut acknowledged);
        drop(store);
        let store = on_disk(dir.path());
        let has = |name| acknowledged.contains_key(name);
        for id in [&shared_id, &fetched_id] {
            for index in held(&store, id) {
                assert!(
                    matches!(store.chunk(id, index).unwrap(), Found::Proved(_)),
                    "step {steps}"
                );
            }
        }
        if has("shared") {
            assert_eq!(read(&store, &shared_id).unwrap(), shared, "step {steps}");
        }
        for (index, name) in [(0, "chunk 0"), (1, "chunk 1"), (2, "chunk 2"), (3, "opened")] {
            assert!(
                !has(name) || held(&store, &fetched_id).contains(&index),
                "step {steps}: {name}"
            );
        }
        let pinned = |id| store.list().unwrap().iter().any(|info| info.id == id && info.pinned);
        assert!(!has("shared") || pinned(shared_id));
        assert!(!has("pinned") || pinned(fetched_id));
        // And it goes on from there.
        live(&store, &mut BTreeMap::new()).unwrap();
        assert_eq!(read(&store, &fetched_id).unwrap(), fetched);
        let names = fs::read_dir(dir.path().join("blobs")).unwrap();
        assert_eq!(names.count(), 8, "four files of each, and nothing left over");
        if ended.is_ok() {
            assert!(steps > 12, "{steps} steps");
            return;
        }
    }
    panic!("it never ends");
}

#[test]
fn a_full_disk_is_told_and_costs_nothing_that_was_there() {
    let dir = tempfile::tempdir().unwrap();
    let store = on_disk(dir.path());
    let id = store.import(&mut &noise(1, 2 * C)[..]).unwrap();
    for steps in 0..5 {
        faults(&store).after(steps);
        let error = store.import(&mut &noise(2, 2 * C)[..]).unwrap_err();
        assert!(
            matches!(error, BlobStoreError::File(FileError::NoSpace { .. })),
            "{error:?}"
        );
        assert!(error.to_string().contains("free some"), "{error}");
        faults(&store).after(i64::MAX);
        assert_eq!(store.list().unwrap().len(), 1, "step {steps}");
        assert_eq!(
            fs::read_dir(dir.path().join("blobs")).unwrap().count(),
            4,
            "step {steps}"
        );
    }
    assert_eq!(read(&store, &id).unwrap(), noise(1, 2 * C));
    let large = noise(3, 62 * C);
    store.import(&mut &large[..]).unwrap();
}

#[test]
fn a_corrupt_chunk_is_noticed_not_given_and_taken_again() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = noise(1, 3 * C + 5);
    let store = on_disk(dir.path());
    let id = store.import(&mut &bytes[..]).unwrap();
    let path = dir.path().join("blobs").join(format!("{id}.data"));
    let mut data = fs::read(&path).unwrap();
    data[C + 77] ^= 1;
    fs::write(&path, data).unwrap();
    assert!(matches!(read(&store, &id), Err(BlobStoreError::NotWhole)));
    assert_eq!(store.chunk(&id, 1).unwrap(), Found::Missing);
    assert_eq!(held(&store, &id), [0, 2, 3]);
    let store = on_disk(dir.path());
    assert_eq!(held(&store, &id), [0, 2, 3], "nor after a restart");
    assert_eq!(store.put(&id, 1, &bytes[C..2 * C]).unwrap(), Put::New);
    assert_eq!(read(&store, &id).unwrap(), bytes);
    // Cut short.
    fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(C as u64)
        .unwrap();
    assert_eq!(store.chunk(&id, 2).unwrap(), Found::Damaged);
    // An outline that is none.
    let path = dir.path().join("blobs").join(format!("{id}.outline"));
    fs::write(&path, [0xff; 9]).unwrap();
    assert_eq!(store.outline(&id).unwrap(), Found::Damaged);
    assert!(held(&store, &id).is_empty());
    assert_eq!(fs::read_dir(dir.path().join("blobs")).unwrap().count(), 0);
}

#[test]
fn room_is_made_from_what_was_used_least_lately_and_never_from_what_is_pinned_or_held() {
    for disk in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let open = || match disk {
            true => on_disk(dir.path()),
            false => Arc::new(BlobStore::new(None, ROOM)),
        };
        let store = open();
        // Four of 15 chunks in room for 64.
        let ids: Vec<BlobId> = (0..4)
            .map(|seed| store.import(&mut &noise(seed, 15 * C)[..]).unwrap())
            .collect();
        let error = store.import(&mut &noise(9, 15 * C)[..]).unwrap_err();
        assert!(matches!(error, BlobStoreError::NoRoom { bytes_max } if bytes_max == 64 * C as u64));
        for id in &ids[..3] {
            assert!(store.set_pin(id, false).unwrap());
        }
        read(&store, &ids[0]).unwrap();
        let hold = store.hold(ids[1]).unwrap();
        // The third goes: the first was read, the second is held, the fourth is pinned.
        let fifth = store.import(&mut &noise(9, 15 * C)[..]).unwrap();
        let left: Vec<BlobId> = store.list().unwrap().iter().map(|info| info.id).collect();
        assert!(
            left.len() == 4 && !left.contains(&ids[2]) && left.contains(&fifth),
            "{left:?}"
        );
        drop(hold);
        // What cannot fit evicts nobody.
        let (large, hashes, last) = outline_of(&noise(8, 40 * C));
        assert!(matches!(
            store.open(&large, &hashes, &last),
            Err(BlobStoreError::NoRoom { .. })
        ));
        assert_eq!(store.list().unwrap().len(), 4);
        if disk {
            assert_eq!(open().list().unwrap(), store.list().unwrap());
        }
        assert!(!store.set_pin(&ids[2], true).unwrap(), "it is not held any more");
    }
}

#[test]
fn files_of_others_are_left_alone_and_none_is_named_but_by_an_id() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = dir.path().join("blobs");
    fs::create_dir(&blobs).unwrap();
    for name in ["notes.txt", "x.outline", ".outline", "a.data", "half.tmp"] {
        fs::write(blobs.join(name), b"x").unwrap();
    }
    let orphan = format!("{}.data", BlobId::of(b"gone"));
    fs::write(blobs.join(&orphan), b"x").unwrap();
    let store = on_disk(dir.path());
    assert!(store.list().unwrap().is_empty());
    let mut left: Vec<_> = fs::read_dir(&blobs)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, [".outline", "a.data", "notes.txt", "x.outline"]);
}

#[test]
fn a_source_that_fails_leaves_nothing() {
    struct Failing(usize);
    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(1).ok_or(ErrorKind::TimedOut)?;
            Ok(buffer.len())
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let store = on_disk(dir.path());
    assert!(matches!(store.import(&mut Failing(3)), Err(BlobStoreError::Source(_))));
    // Endless: the bound ends it.
    assert!(matches!(
        store.import(&mut io::repeat(7)),
        Err(BlobStoreError::NoRoom { .. })
    ));
    assert_eq!(fs::read_dir(dir.path().join("blobs")).unwrap().count(), 0);
    store.import(&mut &noise(1, 64 * C)[..]).unwrap();
}

#[test]
fn a_file_has_its_name_once_it_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = on_disk(dir.path());
    let bytes = noise(1, 2 * C + 3);
    let id = store.import(&mut &bytes[..]).unwrap();
    let path = dir.path().join("photo.jpg");
    fs::write(&path, b"older").unwrap();
    let gone = store.copy_to_file(&BlobId::of(b"?"), &path).unwrap_err();
    assert!(matches!(gone, BlobStoreError::NotWhole));
    assert_eq!(fs::read(&path).unwrap(), b"older");
    assert_eq!(store.copy_to_file(&id, &path).unwrap(), bytes.len() as u64);
    assert_eq!(fs::read(&path).unwrap(), bytes);
    let nowhere = store.copy_to_file(&id, &dir.path().join("no/such/place")).unwrap_err();
    assert!(matches!(nowhere, BlobStoreError::Sink(_)));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "the file and the store");
}
