//! Blobs across nodes: fetched from several, resumed, repaired; lost holders, full disks, ids that nobody has.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use maille::{BlobId, BlobLimits, BlobStoreError, Credential, Fetch, FetchError, Node};
use maille_tests::nodes::{
    Member, Over, SOON, builder, credential, helper, join, member, met, node, until, whether, within,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const MESH: &str = "photos.example";
const PASSWORD: &str = "sulfur-unpaved-cosmic-jogging";
const CHUNK: u64 = 131_072;

fn photo(seed: u64, bytes: usize) -> Bytes {
    let mut photo = vec![0; bytes];
    StdRng::seed_from_u64(seed).fill_bytes(&mut photo);
    photo.into()
}

async fn enter(helper: &Node) -> Member {
    member(Over::Memory, &[helper], MESH, &credential(MESH, PASSWORD)).await
}

async fn enter_with(helper: &Node, dir: &tempfile::TempDir) -> Member {
    let node = builder(Over::Memory)
        .bootstrap(helper.multiaddrs())
        .data_dir(dir.path());
    join(node.spawn().await.unwrap(), MESH, &credential(MESH, PASSWORD)).await
}

/// Waits until so much of it is fetched; how much that was.
async fn reached(fetch: &Fetch, bytes: u64) -> u64 {
    let mut changes = fetch.progress_changes();
    let some = async {
        while let Some(progress) = changes.next().await {
            if progress.bytes >= bytes {
                return progress.bytes;
            }
        }
        panic!("it ended at {:?}", fetch.progress());
    };
    within("a part of it", SOON, some).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_photo_whose_sender_leaves_at_half_is_completed_by_another_holder() {
    const BYTES: usize = 20 * 1_024 * 1_024 + 77;
    let helper = helper(Over::Memory).await;
    let (sender, other) = (enter(&helper).await, enter(&helper).await);
    let photo = photo(1, BYTES);
    let id = sender.mesh.share(photo.clone()).await.unwrap();
    assert_eq!(id, BlobId::of(&photo));
    let copy = within("the other has it", SOON, async {
        other.mesh.fetch(id).await.unwrap().bytes().await
    });
    assert!(copy.await.unwrap() == photo);
    assert!(
        sender.mesh.holders(id).await.contains(&other.node.id()),
        "who fetched it holds it"
    );

    let late = enter(&helper).await;
    met([&late], 2, SOON).await;
    let before = late.node.metrics().bytes_received;
    let fetch = late.mesh.fetch(id).await.unwrap();
    let half = reached(&fetch, BYTES as u64 / 2).await;
    sender.node.shutdown().await;
    assert!(half < BYTES as u64, "it left in mid-fetch");
    let bytes = within("all of it", SOON, fetch.bytes()).await.unwrap();
    assert!(bytes == photo, "and it is the photo");
    let metrics = late.node.metrics();
    let received = metrics.bytes_received - before;
    eprintln!(
        "the sender left at {half}; of {BYTES} bytes, {} came twice, and {received} crossed the wire",
        metrics.blob_bytes_again
    );
    assert_eq!(metrics.blob_bytes_fetched, BYTES as u64);
    assert!(received <= BYTES as u64 * 11 / 10, "{received}");
    let progress = fetch.progress();
    assert_eq!(
        (progress.bytes, progress.bytes_total),
        (BYTES as u64, Some(BYTES as u64))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_fetched_before_a_restart_is_not_fetched_again() {
    const BYTES: usize = 16 * 1_024 * 1_024;
    let (dir, helper) = (tempfile::tempdir().unwrap(), helper(Over::Memory).await);
    let sender = enter(&helper).await;
    let photo = photo(2, BYTES);
    let id = sender.mesh.share(photo.clone()).await.unwrap();
    let first = enter_with(&helper, &dir).await;
    let fetch = first.mesh.fetch(id).await.unwrap();
    reached(&fetch, BYTES as u64 / 3).await;
    first.node.shutdown().await;
    let stored = first.node.metrics().blob_bytes_fetched;
    drop((first, fetch));

    let again = enter_with(&helper, &dir).await;
    let held = again.mesh.blobs().await.unwrap()[0];
    assert_eq!((held.id, held.bytes, held.pinned), (id, BYTES as u64, false));
    assert!(
        held.bytes_held >= stored && stored >= BYTES as u64 / 3,
        "{held:?}, {stored}"
    );
    let fetch = again.mesh.fetch(id).await.unwrap();
    assert!(within("the rest", SOON, fetch.bytes()).await.unwrap() == photo);
    let fetched = again.node.metrics().blob_bytes_fetched;
    assert_eq!(fetched + held.bytes_held, BYTES as u64, "only what was missing");
    again.node.shutdown().await;
    drop((again, fetch));

    // All of it is there: nobody is needed.
    let right = credential(MESH, PASSWORD);
    let node = builder(Over::Memory).data_dir(dir.path()).spawn().await.unwrap();
    let alone = join(node, MESH, &right).await;
    let fetch = alone.mesh.fetch(id).await.unwrap();
    assert!(within("at once", SOON, fetch.bytes()).await.unwrap() == photo);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_of_a_damaged_file_gives_nothing_wrong_and_mends_it() {
    const BYTES: usize = 2 * 1_024 * 1_024 + 5;
    let (dir, helper) = (tempfile::tempdir().unwrap(), helper(Over::Memory).await);
    let sender = enter_with(&helper, &dir).await;
    let photo = photo(3, BYTES);
    let id = sender.mesh.share(photo.clone()).await.unwrap();
    let path = dir.path().join("blobs").join(MESH).join(format!("{id}.data"));
    let mut data = std::fs::read(&path).unwrap();
    data[CHUNK as usize * 3 + 9] ^= 1;
    std::fs::write(&path, data).unwrap();

    let reader = enter(&helper).await;
    let fetch = reader.mesh.fetch(id).await.unwrap();
    let all_but_one = reached(&fetch, BYTES as u64 - CHUNK).await;
    assert_eq!(all_but_one, BYTES as u64 - CHUNK, "the damaged chunk is not given");
    let missing = tokio::time::timeout(Duration::from_millis(300), fetch.done()).await;
    assert!(missing.is_err(), "nobody holds it");
    let other = enter(&helper).await;
    assert_eq!(other.mesh.share(photo.clone()).await.unwrap(), id);
    assert!(within("from another", SOON, fetch.bytes()).await.unwrap() == photo);
    let mended = async {
        while sender.mesh.blobs().await.unwrap()[0].bytes_held < BYTES as u64 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within("the file is mended", SOON, mended).await;
    assert!(sender.mesh.blobs().await.unwrap()[0].pinned);
    let fetch = sender.mesh.fetch(id).await.unwrap();
    assert!(within("it is whole", SOON, fetch.bytes()).await.unwrap() == photo);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_nobody_has_is_waited_for_and_only_in_its_mesh() {
    let nodes = [node(Over::Memory, &[]).await, node(Over::Memory, &[]).await];
    let bob = node(Over::Memory, &[&nodes[0]]).await;
    let first = join(nodes[0].clone(), "one.example", &Credential::open()).await;
    let elsewhere = join(nodes[0].clone(), "two.example", &Credential::open()).await;
    let bob = join(bob, "one.example", &Credential::open()).await;
    met([&first, &bob], 1, SOON).await;
    let id = elsewhere.mesh.share("in another mesh").await.unwrap();
    let fetch = bob.mesh.fetch(id).await.unwrap();
    assert!(
        tokio::time::timeout(Duration::from_millis(1_500), fetch.done())
            .await
            .is_err()
    );
    assert_eq!(fetch.progress().holders, 0);
    assert!(bob.mesh.holders(id).await.is_empty());
    // Two handles of one fetch; one may go.
    drop(fetch);
    let fetch = bob.mesh.fetch(id).await.unwrap();
    assert_eq!(first.mesh.share("in another mesh").await.unwrap(), id);
    assert_eq!(
        within("it is shared", SOON, fetch.bytes()).await.unwrap(),
        "in another mesh"
    );
    let empty = first.mesh.share("").await.unwrap();
    let fetch = bob.mesh.fetch(empty).await.unwrap();
    assert!(within("nothing", SOON, fetch.bytes()).await.unwrap().is_empty());
    bob.mesh.leave().await;
    let waiting = elsewhere.mesh.fetch(BlobId::of(b"?")).await.unwrap();
    elsewhere.mesh.leave().await;
    let ended = within("a fetch of a mesh that was left", SOON, waiting.done()).await;
    assert!(matches!(ended, Err(FetchError::Closed)), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn room_is_bounded_and_so_are_fetches() {
    let helper = helper(Over::Memory).await;
    let right = credential(MESH, PASSWORD);
    let sender = enter(&helper).await;
    let limits = BlobLimits {
        memory_bytes_max: 8 * CHUNK,
        ..BlobLimits::default()
    };
    let small = builder(Over::Memory).bootstrap(helper.multiaddrs()).blob_limits(limits);
    let small = join(small.spawn().await.unwrap(), MESH, &right).await;
    let large = sender.mesh.share(photo(4, 9 * CHUNK as usize)).await.unwrap();
    let fetch = small.mesh.fetch(large).await.unwrap();
    let full = within("it is told", SOON, fetch.done()).await.unwrap_err();
    let FetchError::Store(why) = &full else {
        panic!("{full:?}")
    };
    assert!(matches!(**why, BlobStoreError::NoRoom { .. }), "{full}");
    // Photo after photo: the oldest go, and what is pinned stays.
    let mut ids = Vec::new();
    for seed in 10..16 {
        let id = sender.mesh.share(photo(seed, 2 * CHUNK as usize)).await.unwrap();
        let fetch = small.mesh.fetch(id).await.unwrap();
        within("it fits", SOON, fetch.done()).await.unwrap();
        if seed == 10 {
            assert!(small.mesh.pin_blob(id, true).await.unwrap());
        }
        ids.push(id);
    }
    let held = small.mesh.blobs().await.unwrap();
    assert!(held.len() <= 4 && held.iter().any(|info| info.id == ids[0]), "{held:?}");

    let mut fetches = Vec::new();
    for number in 0..64_u8 {
        fetches.push(small.mesh.fetch(BlobId::of(&[number])).await.unwrap());
    }
    assert!(matches!(
        small.mesh.fetch(BlobId::of(b"one more")).await,
        Err(FetchError::TooMany)
    ));
    drop(fetches);
    let again = async {
        while small.mesh.fetch(BlobId::of(b"one more")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within("dropped fetches make room", SOON, again).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_holders_share_the_load() {
    const BYTES: usize = 12 * 1_024 * 1_024;
    let helper = helper(Over::Memory).await;
    let photo = photo(5, BYTES);
    let mut holders = Vec::new();
    for _ in 0..3 {
        let holder = enter(&helper).await;
        holder.mesh.share(photo.clone()).await.unwrap();
        holders.push(holder);
    }
    let reader = enter(&helper).await;
    met([&reader], 3, SOON).await;
    let id = BlobId::of(&photo);
    until("all are known", SOON, || {
        whether(reader.neighbours() == 3, || reader.neighbours())
    })
    .await;
    assert_eq!(reader.mesh.holders(id).await.len(), 3);
    let fetch = reader.mesh.fetch(id).await.unwrap();
    assert!(within("all of it", SOON, fetch.bytes()).await.unwrap() == photo);
    let served: Vec<u64> = holders
        .iter()
        .map(|holder| holder.node.metrics().blob_bytes_served)
        .collect();
    assert!(served.iter().all(|served| *served > BYTES as u64 / 20), "{served:?}");
    assert_eq!(reader.node.metrics().blob_bytes_fetched, BYTES as u64);
}
