//! Shared documents: edited at the same time, apart, and after restarts; and what hostile members publish there.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use maille::{Contents, Credential, Document, Edit, EditError, Keep, MeshEvent, Node, Topic};
use maille_tests::nodes::{Member, Over, SOON, builder, helper, join, member, met, until, whether, within};

const MESH: &str = "party.example";
/// Within which a member that returns has what it missed, and how much longer a busy machine may take.
const RETURN: Duration = Duration::from_secs(5);
const PATIENCE: u32 = 5;
/// Edits of a year: by command 100,000.
const EDITS_VARIABLE: &str = "MAILLE_EDITS";
const EDITS: usize = 3_000;

async fn plan(member: &Member) -> Document {
    let opened = member.mesh.document("plan".parse().unwrap());
    within("it opens", SOON, opened).await.unwrap()
}

async fn stored(helper: &Node, dir: &Path) -> Member {
    let node = builder(Over::Memory)
        .bootstrap(helper.multiaddrs())
        .data_dir(dir)
        .spawn()
        .await;
    join(node.unwrap(), MESH, &Credential::open()).await
}

async fn set(document: &Document, item: usize) {
    let set = |edit: &mut Edit<'_>| edit.set("guests", &format!("g{item}"), "name", format!("guest {item}"));
    document.edit(set).await.unwrap();
}

fn guests(contents: &Contents) -> usize {
    contents.list("guests").count()
}

/// Until all have so many guests and the same hash; how long that took.
async fn equal(documents: &[&Document], expected: usize, deadline: Duration) -> Duration {
    let begun = Instant::now();
    until("all have the same", deadline, || {
        let state = || {
            documents
                .iter()
                .map(|document| (guests(&document.contents()), document.state_hash()))
                .collect::<Vec<_>>()
        };
        let now = state();
        whether(now.iter().all(|one| *one == (expected, now[0].1)), || {
            format!("{now:?}")
        })
    })
    .await;
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_edit_a_document_at_the_same_time() {
    let helper = helper(Over::Memory).await;
    let right = Credential::open();
    let mut members = Vec::new();
    for _ in 0..3 {
        members.push(member(Over::Memory, &[&helper], MESH, &right).await);
    }
    met(&members, 2, SOON).await;
    let documents = [
        plan(&members[0]).await,
        plan(&members[1]).await,
        plan(&members[2]).await,
    ];
    let edit = async |who: usize| {
        for number in 0..100 {
            set(&documents[who], who * 50 + number).await;
            let write = |edit: &mut Edit<'_>| {
                let end = edit.text("notes").len();
                edit.splice("notes", end..end, &format!("{who}"))
            };
            documents[who].edit(write).await.unwrap();
        }
    };
    tokio::join!(edit(0), edit(1), edit(2));
    let took = equal(&[&documents[0], &documents[1], &documents[2]], 200, SOON).await;
    assert_eq!(documents[0].contents().text("notes").len(), 300);
    eprintln!("600 edits of three, equal {took:?} after the last");
    for document in &documents {
        within("others have it", SOON, document.synced()).await.unwrap();
        assert_eq!(document.unsynchronised(), 0);
    }
    assert!(documents[0].undo().await.unwrap());
    assert!(documents[0].redo().await.unwrap());
    equal(&[&documents[0], &documents[1], &documents[2]], 200, SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_returns_gets_what_it_missed_although_its_author_is_gone() {
    let helper = helper(Over::Memory).await;
    let right = Credential::open();
    let dir = tempfile::tempdir().unwrap();
    let author = member(Over::Memory, &[&helper], MESH, &right).await;
    let holder = member(Over::Memory, &[&helper], MESH, &right).await;
    let absent = stored(&helper, dir.path()).await;
    met([&author, &holder, &absent], 2, SOON).await;
    let (at_author, at_holder, at_absent) = (plan(&author).await, plan(&holder).await, plan(&absent).await);
    set(&at_author, 0).await;
    equal(&[&at_author, &at_holder, &at_absent], 1, SOON).await;
    drop(at_absent);
    absent.node.shutdown().await;

    for number in 1..=100 {
        set(&at_author, number).await;
    }
    equal(&[&at_author, &at_holder], 101, SOON).await;
    drop(at_author);
    author.node.shutdown().await;

    let returned = stored(&helper, dir.path()).await;
    let begun = Instant::now();
    let at_returned = plan(&returned).await;
    assert!(guests(&at_returned.contents()) >= 1, "what it had is there at once");
    // Edited before it met anybody, or after: it merges.
    set(&at_returned, 101).await;
    met([&returned, &holder], 1, SOON).await;
    let met_after = begun.elapsed();
    let took = equal(&[&at_holder, &at_returned], 102, RETURN * PATIENCE).await;
    eprintln!("met {met_after:?} after the return, equal {took:?} later");
    within("the holder has the edit", SOON, at_returned.synced())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keeper_gives_a_document_that_nobody_else_has() {
    let helper = helper(Over::Memory).await;
    let right = Credential::open();
    let dir = tempfile::tempdir().unwrap();
    let keeping = stored(&helper, dir.path()).await;
    let keeper = keeping.mesh.keep(Keep::default()).await.unwrap();
    let author = member(Over::Memory, &[&helper], MESH, &right).await;
    met([&keeping, &author], 1, SOON).await;
    let at_author = plan(&author).await;
    until("its topic is kept", SOON, || {
        whether(keeper.topics().len() == 1, || keeper.topics())
    })
    .await;
    for number in 0..50 {
        set(&at_author, number).await;
    }
    within("the keeper has it", SOON, at_author.synced()).await.unwrap();
    let hash = at_author.state_hash();
    drop(at_author);
    author.node.shutdown().await;
    let late = member(Over::Memory, &[&helper], MESH, &right).await;
    met([&keeping, &late], 1, SOON).await;
    let at_late = plan(&late).await;
    let took = equal(&[&at_late], 50, SOON).await;
    assert_eq!(at_late.state_hash(), hash);
    eprintln!("from a keeper in {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_outlives_its_node_and_its_handles() {
    let helper = helper(Over::Memory).await;
    let dir = tempfile::tempdir().unwrap();
    let alone = stored(&helper, dir.path()).await;
    let document = plan(&alone).await;
    for number in 0..20 {
        set(&document, number).await;
    }
    let same = plan(&alone).await;
    assert_eq!((same.unsynchronised(), same.state_hash()), (20, document.state_hash()));
    let hash = document.state_hash();
    let mut changes = document.changes();
    drop((same, document));
    within("changes end with the last handle", SOON, async {
        while changes.next().await.is_some() {}
    })
    .await;
    let document = plan(&alone).await;
    assert_eq!(
        (document.unsynchronised(), document.state_hash()),
        (20, hash),
        "opened again"
    );
    set(&document, 20).await;
    let hash = document.state_hash();
    alone.node.shutdown().await;
    let ended = document.edit(|edit| edit.set("guests", "late", "name", "nobody")).await;
    assert!(matches!(ended, Err(EditError::Closed)), "{ended:?}");

    let again = stored(&helper, dir.path()).await;
    let document = plan(&again).await;
    assert_eq!(
        (document.unsynchronised(), document.state_hash()),
        (21, hash),
        "after a restart"
    );
    let other = member(Over::Memory, &[&helper], MESH, &Credential::open()).await;
    let at_other = plan(&other).await;
    equal(&[&document, &at_other], 21, SOON).await;
    within("the other has it", SOON, document.synced()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_part_of_a_document_is_left_out_and_told() {
    let helper = helper(Over::Memory).await;
    let right = Credential::open();
    let honest = member(Over::Memory, &[&helper], MESH, &right).await;
    let hostile = member(Over::Memory, &[&helper], MESH, &right).await;
    met([&honest, &hostile], 1, SOON).await;
    let document = plan(&honest).await;
    set(&document, 0).await;
    let mut events = honest.mesh.events();
    let topic: Topic<Bytes> = hostile.mesh.topic(".documents/plan".parse().unwrap());
    let publisher = topic.publisher().await.unwrap();
    within("a subscriber", SOON, publisher.ready(1)).await.unwrap();
    for record in [&b"x"[..], &[0xff; 200_000], &[0x0a, 0], &[0x1a, 4, 0x22, 2, 9, 9]] {
        publisher.publish(&Bytes::copy_from_slice(record)).await.unwrap();
    }
    let refused = async {
        loop {
            if let Some(MeshEvent::DocumentRefused { peer, topic, .. }) = events.next().await {
                return (peer, topic.to_string());
            }
        }
    };
    let (peer, topic) = within("a refusal", SOON, refused).await;
    assert_eq!((peer, topic.as_str()), (hostile.node.id(), ".documents/plan"));
    set(&document, 1).await;
    assert_eq!(guests(&document.contents()), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_year_of_edits_is_small_and_soon_had() {
    let edits = std::env::var(EDITS_VARIABLE).map_or(EDITS, |edits| edits.parse().unwrap());
    let helper = helper(Over::Memory).await;
    let right = Credential::open();
    let dir = tempfile::tempdir().unwrap();
    let author = stored(&helper, dir.path()).await;
    let document = plan(&author).await;
    let begun = Instant::now();
    let mut making = Vec::new();
    for number in 0..edits {
        let edit = move |edit: &mut Edit<'_>| match number % 4 {
            0 => edit.set(
                "guests",
                &format!("g{}", number / 4 % 500),
                "name",
                format!("guest {number}"),
            ),
            1 => edit.set("guests", &format!("g{}", number / 4 % 500), "coming", number % 8 == 1),
            2 => {
                let text = edit.text("notes");
                let at = number * 7 % (text.len() + 1);
                edit.splice("notes", at..at, "word ")
            }
            _ => {
                let text = edit.text("notes");
                let start = text.len().saturating_sub(2_000).min(number % 50);
                edit.splice(
                    "notes",
                    start..text.len().min(start + usize::from(text.len() > 2_000) * 5),
                    "",
                )
            }
        };
        let document = document.clone();
        making.push(tokio::spawn(async move { document.edit(edit).await }));
        if making.len() == 100 {
            for made in making.drain(..) {
                made.await.unwrap().unwrap();
            }
        }
    }
    for made in making {
        made.await.unwrap().unwrap();
    }
    let made = begun.elapsed();
    let joiner = member(Over::Memory, &[&helper], MESH, &right).await;
    met([&author, &joiner], 1, SOON).await;
    let begun = Instant::now();
    let at_joiner = plan(&joiner).await;
    let expected = guests(&document.contents());
    equal(&[&document, &at_joiner], expected, 3 * SOON).await;
    let took = begun.elapsed();
    let on_disk = |dir: &Path| -> u64 {
        let files = std::fs::read_dir(dir).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
    };
    let stored = on_disk(&dir.path().join("documents").join(MESH));
    eprintln!(
        "{edits} edits made and stored in {made:?}; {} bytes held by the joiner, {stored} in files; a joiner had it in {took:?}",
        at_joiner.bytes()
    );
    drop(document);
    author.node.shutdown().await;
    let begun = Instant::now();
    let again = stored_again(&helper, dir.path()).await;
    eprintln!("opened from files in {:?}", begun.elapsed());
    assert_eq!(again.state_hash(), at_joiner.state_hash());
    assert!(stored < 2_000_000 + 40 * edits as u64, "{stored}");
}

async fn stored_again(helper: &Node, dir: &Path) -> Document {
    plan(&stored(helper, dir).await).await
}
