//! T14, from inside: nothing that a program of ours can print of its own state shows a secret, in a panic neither.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::process::Command;

use maille::{
    Address, Credential, Keypair, MeshName, Multiaddr, Node, Password, PeerMultiaddr, Position, Profile, Start, Ticket,
    TopicName,
};
use maille_tests::nodes::{self, Member, Over, SOON};
use maille_tests::processes::workspace;
use maille_tests::search::{ADDRESS, CANARY, OTHER_CANARY, found, stretched};

/// Set in the process that panics on purpose.
const PANIC_VARIABLE: &str = "MAILLE_TESTS_PANIC";
/// What of the public API is not shown by itself: what carries only a program's own values, traits, tools of tests, and
/// errors that are shown as the cause of others or are about disks.
const NOT_SHOWN: [&str; 31] = [
    "AcquireError",
    "BlobStoreError",
    "ByteStream",
    "Cable",
    "Caller",
    "Changes",
    "DataDirError",
    "DocumentError",
    "Edit",
    "FetchError",
    "Held",
    "IdentityError",
    "InputError",
    "Item",
    "Json",
    "LeasesError",
    "LockstepError",
    "LockstepEvent",
    "LockstepOut",
    "LockstepRole",
    "Lost",
    "Out",
    "Payload",
    "PayloadError",
    "Quorum",
    "Role",
    "ShareError",
    "SnapshotWanted",
    "Step",
    "Trust",
    "Verdict",
];

/// All that is shown, and by which names it is known.
#[derive(Default)]
struct Shown {
    texts: Vec<String>,
    names: BTreeSet<String>,
}

impl Shown {
    /// Shows one value, of the type that `std` says it is, in both forms that people print it in.
    fn show<T: Debug>(&mut self, value: &T) {
        let path = std::any::type_name::<T>();
        let words = path.split(|character: char| !character.is_alphanumeric());
        self.names.extend(words.map(ToOwned::to_owned));
        self.texts.push(format!("{path}: {value:?}\n{value:#?}\n"));
    }

    /// An error, as a person reads it too.
    fn fail<E: std::error::Error>(&mut self, error: &E) {
        self.show(error);
        self.texts.push(format!("{error}\n"));
        let mut source = error.source();
        while let Some(cause) = source {
            self.texts.push(format!("{cause} {cause:?}\n"));
            source = cause.source();
        }
    }
}

fn canary() -> Password {
    Password::parse(CANARY).unwrap()
}

/// Everything public that ever saw the password or a ticket, and everything beside it, of two nodes that are members.
async fn state(ticket: &Ticket) -> Shown {
    let mut shown = Shown::default();
    let address: Address = ADDRESS.parse().unwrap();
    let credential = Credential::password(canary());
    shown.show(&canary());
    shown.show(&canary().strength());
    shown.show(&credential);
    shown.show(ticket);
    shown.show(&ticket.bootstrap().first().cloned());

    let described = nodes::builder(Over::Tcp).ticket(ticket.clone());
    shown.show(&described);
    let node = described.spawn().await.unwrap();
    let one = nodes::join(node, address.mesh().as_str(), &credential).await;
    let other = nodes::member(Over::Tcp, &[&one.node], address.mesh().as_str(), &credential).await;
    let (mut node_events, mut mesh_events) = (one.node.events(), one.mesh.events());
    nodes::met([&one, &other], 1, SOON).await;
    let topic = one.text("x");
    shown.show(&topic);
    shown.show(&topic.subscribe());
    let mut subscriber = topic.subscribe().from(Start::Now).start().await.unwrap();
    let publisher = other.text("x").publisher().await.unwrap();
    nodes::within("a subscriber", SOON, publisher.ready(1)).await.unwrap();
    let receipt = publisher.publish(&"hello".to_owned()).await.unwrap();
    shown.show(&publisher.flush().await.unwrap());
    let received = nodes::next(&mut subscriber, SOON).await;
    shown.show(&subscriber.position().clone());
    shown.show(receipt.cursor());
    shown.show(&received);
    shown.show(&maille::Event::Record(received));
    shown.show(&receipt);
    shown.show(&publisher);
    shown.show(&subscriber);
    shown.show(&one.mesh.status());
    shown.show(&maille::Delivery::Ordered);
    shown.show(&maille::Keep::default());
    let directory = tempfile::tempdir().unwrap();
    let keeping = nodes::builder(Over::Tcp).bootstrap(one.node.multiaddrs());
    let keeping = keeping.data_dir(directory.path()).spawn().await.unwrap();
    let keeping = nodes::join(keeping, address.mesh().as_str(), &credential).await;
    let keeper = keeping.mesh.keep(maille::Keep::default()).await.unwrap();
    nodes::met([&keeping], 1, SOON).await;
    nodes::within("the keeper has it all", SOON, keeper.caught_up()).await;
    shown.show(&keeper);
    shown.fail(&keeping.mesh.keep(maille::Keep::default()).await.unwrap_err());
    let topics = one.mesh.topics().await;
    shown.show(&topics);
    shown.show(&topics[0].publishers.first().cloned());
    shown.show(&one.mesh);
    shown.show(&one.node);
    shown.show(&one.node.id());
    shown.show(&one.node.multiaddrs());
    shown.show(&PeerMultiaddr::try_from(one.node.multiaddrs()[0].clone()).unwrap());
    shown.show(&one.node.metrics());
    use futures::{FutureExt, StreamExt};
    shown.show(&node_events.next().now_or_never().flatten());
    shown.show(&mesh_events.next().now_or_never().flatten());
    shown.show(&node_events);
    shown.show(&mesh_events);
    shown.show(&Keypair::generate_ed25519());
    shown.show(&address);
    shown.show(address.mesh());
    shown.show(address.topic());
    shown.show(&Start::After(subscriber.position().clone()));
    shared(&mut shown, &one, &other).await;
    errors(&mut shown, ticket).await;
    shown
}

/// What members share beside topics.
async fn shared(shown: &mut Shown, one: &Member, other: &Member) {
    one.mesh.introduce(Profile::new("Ann", "plays white").unwrap());
    nodes::within("a member", SOON, other.mesh.ready_members(1)).await;
    let members = other.mesh.members();
    shown.show(&members);
    shown.show(&members.list[0]);
    shown.show(&members.list[0].profile);
    shown.fail(&Profile::new(&"x".repeat(1_000), "").unwrap_err());

    let blob = one.mesh.share("a picture").await.unwrap();
    let fetch = other.mesh.fetch(blob).await.unwrap();
    nodes::within("the blob", SOON, fetch.done()).await.unwrap();
    shown.show(&blob);
    shown.show(&fetch);
    shown.show(&fetch.progress());
    shown.show(&other.mesh.blobs().await.unwrap());
    shown.show(&maille::BlobLimits::default());
    shown.fail(&"blob1".parse::<maille::BlobId>().unwrap_err());

    let plan = one.mesh.document("plan".parse().unwrap()).await.unwrap();
    plan.edit(|edit| edit.set("guests", "1", "name", "Ann")).await.unwrap();
    shown.show(&plan);
    shown.show(&*plan.contents());
    shown.show(&maille::Value::from("Ann"));
    shown.show(&plan.state_hash());
    shown.show(&plan.follow());
    let bad = plan.edit(|edit| edit.set("guests", "1", "", "Ann")).await;
    shown.fail(&bad.unwrap_err());

    let jobs = one.mesh.leases("jobs".parse().unwrap(), SOON).await.unwrap();
    let lease = nodes::within("a lease", SOON, jobs.acquire("nightly")).await.unwrap();
    shown.show(&jobs);
    shown.show(&lease);
    shown.show(&lease.token());
    let players = maille::LockstepOptions::new([one.node.id(), other.node.id()]);
    shown.show(&players);
    shown.show(&one.mesh.lockstep("arena".parse().unwrap(), players).await.unwrap());

    let name: maille::ServiceName = "greet".parse().unwrap();
    let greet = |_, who: String| async move { Ok::<_, maille::Refusal>(format!("hello {who}")) };
    let service = one.mesh.serve(name.clone(), greet).unwrap();
    shown.show(&name);
    shown.show(&service);
    shown.show(&maille::Serve::default());
    shown.fail(&one.mesh.serve(name, greet).unwrap_err());
    shown.show(&maille::Refusal::new("no"));
    let request = other
        .mesh
        .request::<String, String>(one.node.id(), "nothing".parse().unwrap(), &"Ann".to_owned());
    shown.show(&request);
    shown.fail(&request.await.unwrap_err());
}

/// Errors on the way of a password or a ticket.
async fn errors(shown: &mut Shown, ticket: &Ticket) {
    for wrong in [
        format!("{CANARY}\u{7}"),
        format!("{CANARY}\n{CANARY}"),
        CANARY.repeat(100),
        String::new(),
    ] {
        shown.fail(&Password::parse(&wrong).unwrap_err());
        let file = [wrong.as_bytes(), b"\xff"].concat();
        shown.fail(&Password::from_file_bytes(&file).unwrap_err());
    }
    let text = ticket.to_string();
    for wrong in [
        &text[..text.len() - 1],
        &text.replace('q', "p"),
        &format!("{text}b"),
        "maille1",
    ] {
        shown.fail(&wrong.parse::<Ticket>().unwrap_err());
        shown.fail(&wrong.parse::<Address>().unwrap_err());
        shown.fail(&wrong.parse::<PeerMultiaddr>().unwrap_err());
    }
    let mut other = ticket.bootstrap()[0].clone();
    let stranger = Keypair::generate_ed25519().public().to_peer_id();
    other.multiaddrs = vec![other.multiaddrs[0].clone().with_p2p(stranger).unwrap()];
    shown.fail(&Ticket::new(ticket.mesh().clone(), None, vec![other]).unwrap_err());
    shown.fail(&"".parse::<MeshName>().unwrap_err());
    shown.fail(&"..".parse::<TopicName>().unwrap_err());
    shown.fail(&"x".parse::<Position>().unwrap_err());
    shown.fail(&"x".parse::<maille::Cursor>().unwrap_err());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    shown.fail(&nodes::builder(Over::Tcp).data_dir(file).spawn().await.unwrap_err());
    std::fs::write(directory.path().join("identity.key"), CANARY).unwrap();
    let garbage = nodes::builder(Over::Tcp).data_dir(directory.path()).spawn().await;
    shown.fail(&garbage.unwrap_err());
    let nowhere: Multiaddr = "/ip4/192.0.2.77/tcp/0".parse().unwrap();
    shown.fail(&nodes::builder(Over::Tcp).listen([nowhere]).spawn().await.unwrap_err());

    let credential = Credential::password(canary());
    let member = nodes::member(Over::Tcp, &[], "errors.example", &credential).await;
    let (topic, mesh) = (member.text("x"), "errors.example".parse::<MeshName>().unwrap());
    let (mut subscriber, publisher) = (
        topic.subscribe().start().await.unwrap(),
        topic.publisher().await.unwrap(),
    );
    shown.fail(&member.node.join(mesh.clone(), credential.clone()).await.unwrap_err());
    shown.fail(&publisher.publish(&"x".repeat(1_000_000)).await.unwrap_err());
    let node: Node = member.node.clone();
    node.clone().shutdown().await;
    shown.fail(&node.join(mesh, credential).await.unwrap_err());
    shown.fail(&publisher.publish(&"late".to_owned()).await.unwrap_err());
    shown.fail(&subscriber.next_record().await.unwrap_err());
    shown.fail(&topic.subscribe().start().await.unwrap_err());
}

fn ticket() -> Ticket {
    let peer = Keypair::generate_ed25519().public().to_peer_id();
    let bootstrap = maille::BootstrapPeer {
        peer,
        multiaddrs: vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap()],
    };
    let address: Address = ADDRESS.parse().unwrap();
    Ticket::new(address.mesh().clone(), Some(address.topic().clone()), vec![bootstrap]).unwrap()
}

fn assert_absent(text: &str, ticket: &str) {
    let [stretched, other] = stretched();
    for secret in [
        CANARY.as_bytes(),
        OTHER_CANARY.as_bytes(),
        ticket.as_bytes(),
        &stretched,
        &other,
    ] {
        assert_eq!(found(text, secret), None, "in:\n{text}");
    }
}

/// What `node/src/lib.rs` re-exports by name: all of the public API but `types`, which it re-exports again.
fn exported() -> BTreeSet<String> {
    let source = std::fs::read_to_string(workspace().join("node/src/lib.rs")).unwrap();
    let uses = source
        .split("pub use ")
        .skip(1)
        .map(|rest| rest.split(';').next().unwrap());
    let words = uses.flat_map(|names| names.split(|character: char| !character.is_alphanumeric()));
    let is_type = |word: &&str| word.starts_with(char::is_uppercase);
    words.filter(is_type).map(ToOwned::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_public_type_shows_a_secret_nor_do_the_metrics() {
    let ticket = ticket();
    let shown = state(&ticket).await;
    let missing: Vec<_> = exported()
        .into_iter()
        .filter(|name| !shown.names.contains(name))
        .collect();
    assert!(exported().len() > 40, "{:?}", exported());
    assert_eq!(missing, NOT_SHOWN, "exported, and not shown here");
    let text = shown.texts.concat();
    assert!(
        text.contains("secrets.example") && text.contains("bytes_sent"),
        "{text}"
    );
    assert_absent(&text, &ticket.to_string());
    eprintln!(
        "{} values of {} types shown: no secret",
        shown.texts.len(),
        shown.names.len()
    );
}

/// The process that panics: a member with the canary password, in whose threads things go wrong, with all that it can say.
#[test]
fn a_child_panics_where_it_is_asked_to() {
    if std::env::var_os(PANIC_VARIABLE).is_none() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ticket = ticket();
    let panics = runtime.block_on(async {
        let credential = Credential::password(canary());
        let described = nodes::builder(Over::Tcp).ticket(ticket.clone());
        let address: Address = ADDRESS.parse().unwrap();
        let member = nodes::join(described.spawn().await.unwrap(), address.mesh().as_str(), &credential).await;
        let again = member.node.join(address.mesh().clone(), credential.clone()).await;
        let password = canary();
        [
            tokio::spawn(async move { drop(again.unwrap()) }),
            tokio::spawn(async move { panic!("a member: {member:?}, with {credential:?}") }),
            tokio::spawn(async { drop(Password::parse(&format!("{CANARY}\u{7}")).unwrap()) }),
            tokio::spawn(async move { panic!("a password: {password:?}") }),
            tokio::spawn(async move { drop(ticket.to_string()[1..].parse::<Ticket>().unwrap()) }),
        ]
        .map(|task| async { assert!(task.await.unwrap_err().is_panic()) })
    });
    runtime.block_on(async {
        for panic in panics {
            panic.await;
        }
    });
    panic!("at last: {:?}", Credential::password(canary()));
}

#[test]
fn a_panic_and_its_backtrace_show_no_secret() {
    let child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "secrets_in_memory::a_child_panics_where_it_is_asked_to",
            "--nocapture",
        ])
        .env(PANIC_VARIABLE, "1")
        .env("RUST_BACKTRACE", "full")
        .output()
        .unwrap();
    let text = format!(
        "{}\n{}",
        String::from_utf8_lossy(&child.stderr),
        String::from_utf8_lossy(&child.stdout)
    );
    assert!(
        !child.status.success() && text.matches("panicked at").count() == 6,
        "{text}"
    );
    assert!(text.contains("secrets_in_memory"), "a backtrace: {text}");
    assert!(text.contains("at last: Credential::Password(..)"), "{text}");
    // A ticket's text differs from time to time: its beginning, with the names in it, does not.
    let same = ticket().to_string();
    assert_absent(&text, &same[..same.len() / 3]);
}
