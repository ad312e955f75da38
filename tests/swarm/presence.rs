//! Who is in a mesh: members join, introduce themselves, leave, and are gone without a word; what that took is printed.

use std::collections::BTreeSet;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use futures::StreamExt;
use maille::{Credential, MeshEvent, MeshEvents, Multiaddr, PeerId, Profile};
use maille_tests::nodes::{Member, Over, SOON, builder, credential, join, member, until, whether, within};

const MESH: &str = "party.example";
/// What is promised of a member that crashed or froze.
const FAILED: Duration = Duration::from_secs(5);
/// How much longer it may take on a machine that is busy with other tests.
const CI_FACTOR: u32 = 5;

fn right() -> Credential {
    credential(MESH, "sulfur-unpaved-cosmic-jogging")
}

/// So many members, of which all but the first know the first to begin with.
async fn members(count: usize) -> Vec<Member> {
    let mut members = vec![member(Over::Memory, &[], MESH, &right()).await];
    while members.len() < count {
        let next = member(Over::Memory, &[&members[0].node], MESH, &right()).await;
        members.push(next);
    }
    for (number, member) in members.iter().enumerate() {
        member
            .mesh
            .introduce(Profile::new(&format!("n{number}"), vec![7; number]).unwrap());
    }
    members
}

/// Who a member says is there.
fn listed(member: &Member) -> BTreeSet<PeerId> {
    member.mesh.members().list.iter().map(|info| info.peer).collect()
}

/// Waits until each of these lists exactly the others; how long it took.
async fn agreed(members: &[&Member], others: &[PeerId], deadline: Duration) -> Duration {
    let ids: BTreeSet<PeerId> = members
        .iter()
        .map(|member| member.node.id())
        .chain(others.iter().copied())
        .collect();
    let all = || {
        let agrees = |member: &Member| {
            let mut listed = listed(member);
            listed.insert(member.node.id()) && listed == ids
        };
        whether(members.iter().copied().all(agrees), || {
            members.iter().map(|member| listed(member).len()).collect::<Vec<_>>()
        })
    };
    until("all list all others", deadline, all).await.1
}

/// Waits for an event; how long it took.
async fn heard(events: &mut MeshEvents, deadline: Duration, is_it: impl Fn(&MeshEvent) -> bool) -> Duration {
    let began = Instant::now();
    let heard = async {
        while let Some(event) = events.next().await {
            if is_it(&event) {
                return;
            }
        }
        panic!("the events ended");
    };
    within("the event", deadline, heard).await;
    began.elapsed()
}

/// A member on a thread of its own, which can be frozen, or ended without a farewell.
struct Apart {
    runtime: Option<tokio::runtime::Runtime>,
    id: PeerId,
    _member: Member,
    frozen: Option<SyncSender<()>>,
}

impl Apart {
    async fn start(known: Vec<Multiaddr>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let right = right();
        let started = runtime.spawn(async move {
            let node = builder(Over::Memory).bootstrap(known).spawn().await.unwrap();
            join(node, MESH, &right).await
        });
        let member = started.await.unwrap();
        Self {
            runtime: Some(runtime),
            id: member.node.id(),
            _member: member,
            frozen: None,
        }
    }

    /// Its one thread does nothing until it is thawed.
    fn freeze(&mut self) {
        let (thaw, thawed) = sync_channel(1);
        self.frozen = Some(thaw);
        let runtime = self.runtime.as_ref().unwrap();
        runtime.spawn(async move { thawed.recv() });
    }

    fn thaw(&mut self) {
        self.frozen = None;
    }

    fn end_without_a_word(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        self.thaw();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_know_each_other_by_name_and_see_each_other_leave() {
    let mut members = members(4).await;
    let refs: Vec<&Member> = members.iter().collect();
    within("three others", SOON, members[3].mesh.ready_members(3)).await;
    let took = agreed(&refs, &[], SOON).await;
    let names = || {
        let named = |member: &Member| {
            member
                .mesh
                .members()
                .list
                .iter()
                .map(|info| info.nickname().to_owned())
                .collect::<BTreeSet<_>>()
        };
        let all: Vec<_> = members.iter().map(named).collect();
        whether(
            all.iter().enumerate().all(|(number, names)| {
                names.len() == 3 && !names.contains("") && !names.contains(&format!("n{number}"))
            }),
            || all.clone(),
        )
    };
    let (_, named) = until("all know all others by name", SOON, names).await;
    eprintln!("4 members list each other after {took:?}, with names after {named:?} more");
    let seen = members[0].mesh.members();
    assert!(seen.complete);
    assert!(seen.list.windows(2).all(|pair| pair[0].since <= pair[1].since));
    let last = seen.list.iter().find(|info| info.peer == members[3].node.id()).unwrap();
    assert_eq!(last.profile, Some(Profile::new("n3", vec![7; 3]).unwrap()));

    // Somebody says something else.
    let renamed = Profile::new("somebody else", "").unwrap();
    members[1].mesh.introduce(renamed.clone());
    let other = members[1].node.id();
    until("the new name", SOON, || {
        let list = members[2].mesh.members().list;
        let is_new = list
            .iter()
            .any(|info| info.peer == other && info.profile.as_ref() == Some(&renamed));
        whether(is_new, || list)
    })
    .await;

    // Somebody leaves: one by the handle, one by a shutdown.
    for by_handle in [true, false] {
        let mut events = members[0].mesh.events();
        let leaver = members.pop().unwrap();
        let id = leaver.node.id();
        match by_handle {
            true => leaver.mesh.clone().leave().await,
            false => leaver.node.shutdown().await,
        }
        let took = heard(&mut events, SOON, |event| match event {
            MeshEvent::Failed { .. } => panic!("it said that it left"),
            event => matches!(event, MeshEvent::Left { peer } if *peer == id),
        })
        .await;
        eprintln!("seen to leave after {took:?}");
        assert!(!listed(&members[0]).contains(&id));
        assert!(leaver.mesh.members().list.is_empty(), "who left lists nobody");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_ends_without_a_word_has_failed() {
    let members = members(3).await;
    let refs: Vec<&Member> = members.iter().collect();
    let mut apart = Apart::start(members[0].node.multiaddrs()).await;
    agreed(&refs, &[apart.id], SOON).await;
    let mut events = members[2].mesh.events();
    apart.end_without_a_word();
    let took = heard(&mut events, FAILED * CI_FACTOR, |event| match event {
        MeshEvent::Left { .. } => panic!("it said nothing"),
        event => matches!(event, MeshEvent::Failed { peer } if *peer == apart.id),
    })
    .await;
    let all = agreed(&refs, &[], FAILED * CI_FACTOR).await;
    eprintln!("ended without a word: seen after {took:?}, by all after {all:?} more; promised {FAILED:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_freezes_has_failed_and_is_back_when_it_thaws() {
    let members = members(3).await;
    let refs: Vec<&Member> = members.iter().collect();
    let mut apart = Apart::start(members[0].node.multiaddrs()).await;
    agreed(&refs, &[apart.id], SOON).await;
    let mut events = members[2].mesh.events();
    apart.freeze();
    let took = heard(
        &mut events,
        FAILED * CI_FACTOR,
        |event| matches!(event, MeshEvent::Failed { peer } if *peer == apart.id),
    )
    .await;
    let all = agreed(&refs, &[], FAILED * CI_FACTOR).await;
    eprintln!("frozen: seen after {took:?}, by all after {all:?} more; promised {FAILED:?}");
    apart.thaw();
    let took = heard(
        &mut events,
        SOON,
        |event| matches!(event, MeshEvent::Joined { peer } if *peer == apart.id),
    )
    .await;
    eprintln!("thawed: back after {took:?}");
    agreed(&refs, &[apart.id], SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_knows_itself_and_nobody_stays_missed() {
    const CROWD: usize = 30;
    let members = members(CROWD).await;
    let refs: Vec<&Member> = members.iter().collect();
    let mut events: Vec<MeshEvents> = members.iter().map(|member| member.mesh.events()).collect();
    let took = agreed(&refs, &[], 3 * SOON).await;
    let most = members.iter().map(Member::neighbours).max();
    eprintln!("{CROWD} members list each other after {took:?}; the most neighbours of one: {most:?}");
    // Through some rounds of probes. On a machine that is too busy somebody may be missed, but not for good; that nobody is
    // missed where there is time enough is shown in virtual time.
    let alarmed = async {
        let mut all = futures::stream::select_all(events.iter_mut());
        while let Some(event) = all.next().await {
            if let MeshEvent::Failed { peer } = event {
                eprintln!("{peer} is there, and was called failed");
            }
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(10), alarmed).await;
    assert!(ended.is_err(), "the events ended");
    agreed(&refs, &[], SOON).await;
}
