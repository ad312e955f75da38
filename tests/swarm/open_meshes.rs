//! Open meshes beside closed ones of the same name; weak passwords; a mesh joined twice.

use maille::{Credential, JoinError, Password, Status};
use maille_tests::nodes::{Over, SOON, arrived, credential, helper, join, member, met, next, node, until, whether};

const MESH: &str = "town.example";

/// An open mesh and a closed one took the same name, and meet through one helper.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_mesh_and_a_closed_one_of_the_same_name_admit_nobody_of_each_other() {
    let helper = helper(Over::Memory).await;
    let password = credential(MESH, "sulfur-unpaved-cosmic-jogging");
    let open = [
        member(Over::Memory, &[&helper], MESH, &Credential::open()).await,
        member(Over::Memory, &[&helper], MESH, &Credential::open()).await,
    ];
    met(&open, 1, SOON).await;
    // Alone with its password, it meets the open mesh's members, and is told nothing but no.
    let first = member(Over::Memory, &[&helper], MESH, &password).await;
    let (peers, took) = until("the closed mesh's first member is refused", SOON, || {
        match first.mesh.status() {
            Status::Refused { peers } => Ok(peers),
            status => Err(status),
        }
    })
    .await;
    assert!((1..=2).contains(&peers), "{peers} refused");
    eprintln!("refused by {peers} after {took:?}");
    let second = member(Over::Memory, &[&helper], MESH, &password).await;
    met([&first, &second], 1, SOON).await;

    let mut in_open = open[1].text("square").subscribe().start().await.unwrap();
    let mut in_closed = second.text("square").subscribe().start().await.unwrap();
    let from_open = open[0].text("square").publisher().await.unwrap();
    let from_closed = first.text("square").publisher().await.unwrap();
    for (publisher, text) in [(&from_open, "open"), (&from_closed, "closed")] {
        tokio::time::timeout(SOON, publisher.ready(1)).await.unwrap().unwrap();
        publisher.publish(&text.to_owned()).await.unwrap();
        assert_eq!(publisher.flush().await.unwrap().neighbours, 1);
    }
    assert_eq!(next(&mut in_open, SOON).await.value, "open");
    assert_eq!(next(&mut in_closed, SOON).await.value, "closed");
    assert!(arrived(&mut in_open).is_empty() && arrived(&mut in_closed).is_empty());
    assert_eq!(
        open.each_ref().map(|member| member.mesh.neighbours()),
        [[open[1].node.id()], [open[0].node.id()]]
    );
    assert_eq!(first.mesh.neighbours(), [second.node.id()]);
    assert_eq!(second.mesh.neighbours(), [first.node.id()]);
}

/// Founding asks for a password that cannot be guessed; joining only warns; and the weak one may be insisted on.
#[tokio::test]
async fn a_mesh_is_not_founded_with_a_weak_password_unless_that_is_allowed() {
    let node = node(Over::Memory, &[]).await;
    let weak = || Credential::password(Password::parse("tomato").unwrap());
    let refused = node
        .join(MESH.parse().unwrap(), weak().founding(true))
        .await
        .unwrap_err();
    assert!(
        matches!(refused, JoinError::WeakPassword { guesses_log2 } if guesses_log2 < 40.0),
        "{refused:?}"
    );
    assert!(
        refused.to_string().contains("passphrase"),
        "the message says what to do: {refused}"
    );
    let mesh = node
        .join(MESH.parse().unwrap(), weak().founding(true).allow_weak(true))
        .await
        .unwrap();
    mesh.leave().await;
    node.join(MESH.parse().unwrap(), weak()).await.unwrap().leave().await;
    let strong = credential(MESH, "sulfur-unpaved-cosmic-jogging").founding(true);
    node.join(MESH.parse().unwrap(), strong).await.unwrap();
}

/// A node is in a mesh once.
#[tokio::test]
async fn a_mesh_is_not_joined_twice_by_one_node() {
    let member = join(node(Over::Memory, &[]).await, MESH, &Credential::open()).await;
    let again = member
        .node
        .join(MESH.parse().unwrap(), Credential::open())
        .await
        .unwrap_err();
    assert!(
        matches!(&again, JoinError::AlreadyJoined { mesh } if mesh.as_str() == MESH),
        "{again:?}"
    );
    // Left, it may be joined again, at once.
    member.mesh.leave().await;
    let again = join(member.node, MESH, &Credential::open()).await;
    until("a mesh joined again is alone", SOON, || {
        whether(again.mesh.status() == Status::Alone, || again.mesh.status())
    })
    .await;
}
