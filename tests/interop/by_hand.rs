//! What a member does, done by hand over raw streams: the handshake's machine, and messages as gossipsub writes them.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use libp2p::identity::Keypair;
use libp2p::{PeerId, StreamProtocol};
use maille::core::admission::{Action, Admitted, Failure, Input, MeshKey, Opener, Secret, is_ready, ready_frame};
use maille::core::stream::{Context, SigningKey, Unsigned};
use maille::{Address, MeshName, Password};
use maille_proto::frame::Record;
use maille_proto::with_length;
use maille_tests::stranger::{ADMISSION, Stranger, Wire};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// For one answer of a peer.
pub(crate) const ANSWER: Duration = Duration::from_secs(20);
/// The one gossipsub protocol that the gate advertises, behind an admission's prefix.
pub(crate) const GOSSIP: &str = "/meshsub/1.3.0";

/// What opens a mesh, for a join of its own. The stretching is done once.
pub(crate) fn key(mesh: &str, password: &str) -> Arc<MeshKey> {
    static STRETCHED: LazyLock<Mutex<HashMap<(String, String), Secret>>> = LazyLock::new(Mutex::default);
    let name: MeshName = mesh.parse().unwrap();
    let stretch = || Secret::stretch(&name, &Password::parse(password).unwrap()).unwrap();
    let mut stretched = STRETCHED.lock().unwrap();
    let place = stretched.entry((mesh.to_owned(), password.to_owned()));
    let secret = place.or_insert_with(stretch).clone();
    let mut session = [0; 16];
    session[..8].copy_from_slice(&unix_ms().to_be_bytes());
    rand::rng().fill(&mut session[8..]);
    Arc::new(MeshKey::new(name, 0, secret, session))
}

pub(crate) fn unix_ms() -> u64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

/// An opener's machine.
pub(crate) fn opener(key: &Arc<MeshKey>, me: PeerId, peer: PeerId) -> Opener {
    Opener::new(key.clone(), me, peer, StdRng::from_rng(&mut rand::rng()))
}

/// One step of an opener that is expected to have something to say.
pub(crate) fn step(opener: &mut Opener, input: Input) -> Result<Vec<u8>, Failure> {
    let mut actions = Vec::new();
    opener.handle(input, Instant::now(), &mut actions);
    match actions.pop() {
        Some(Action::Send(frame)) => Ok(frame),
        Some(Action::Fail(failure)) => Err(failure),
        other => panic!("an opener that neither speaks nor fails: {other:?}"),
    }
}

/// An admission up to, and without, the two `Ready`.
pub(crate) async fn admission(
    stranger: &Stranger,
    peer: PeerId,
    key: &Arc<MeshKey>,
) -> Result<(Admitted, Wire), Failure> {
    let mut wire = stranger.open(peer, ADMISSION).await.map_err(|_| Failure::Aborted)?;
    let mut machine = opener(key, stranger.id, peer);
    let hello = step(&mut machine, Input::Started)?;
    wire.send(&hello).await.map_err(|_| Failure::Aborted)?;
    let challenge = wire.receive(ANSWER).await.ok_or(Failure::Aborted)?;
    let proof = step(&mut machine, Input::Received(challenge))?;
    wire.send(&proof).await.map_err(|_| Failure::Aborted)?;
    let input = wire.receive(ANSWER).await.map_or(Input::Closed, Input::Received);
    let mut actions = Vec::new();
    machine.handle(input, Instant::now(), &mut actions);
    match actions.pop() {
        Some(Action::Admit(admitted)) => Ok((admitted, wire)),
        Some(Action::Fail(failure)) => Err(failure),
        other => panic!("an opener that neither admits nor fails: {other:?}"),
    }
}

/// A member by hand: admitted, both ready, its gossipsub streams accepted.
#[derive(Debug)]
pub(crate) struct Insider {
    pub(crate) stranger: Stranger,
    pub(crate) peer: PeerId,
    pub(crate) control: Wire,
    pub(crate) gossip: StreamProtocol,
    /// What the names of the mesh's protocols begin with on this connection.
    pub(crate) prefix: String,
}

impl Insider {
    pub(crate) async fn enter(stranger: Stranger, peer: PeerId, key: &Arc<MeshKey>) -> Self {
        Self::enter_accepting(stranger, peer, key, &[]).await
    }

    /// The same, and streams of these protocols are accepted, too.
    pub(crate) async fn enter_accepting(stranger: Stranger, peer: PeerId, key: &Arc<MeshKey>, more: &[&str]) -> Self {
        let (admitted, mut control) = admission(&stranger, peer, key).await.unwrap();
        let prefix = admitted.protocol_prefix;
        let named = |name: &str| StreamProtocol::try_from_owned(format!("{prefix}{name}")).unwrap();
        let gossip = named(GOSSIP);
        stranger.accept(gossip.clone());
        more.iter().for_each(|name| stranger.accept(named(name)));
        control.send(&ready_frame()).await.unwrap();
        let ready = control.receive(ANSWER).await.expect("the peer's Ready");
        assert!(is_ready(&ready), "the first frame after the handshake is Ready");
        Self {
            stranger,
            peer,
            control,
            gossip,
            prefix,
        }
    }

    /// A stream to write gossipsub's messages on.
    pub(crate) async fn gossip(&self) -> Wire {
        self.stranger.open(self.peer, self.gossip.clone()).await.unwrap()
    }
}

// ---- gossipsub's protobuf ----------------------------------------------------------------------------------------

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2][..], &with_length(bytes)].concat()
}

/// gossipsub's message about one message.
pub(crate) fn rpc_publish(topic: &str, data: &[u8]) -> Vec<u8> {
    field(2, &[field(2, data), field(4, topic.as_bytes())].concat())
}

/// gossipsub's message about one subscription.
pub(crate) fn rpc_subscribe(topic: &str) -> Vec<u8> {
    field(1, &[vec![1 << 3, 1], field(2, topic.as_bytes())].concat())
}

// ---- frames ------------------------------------------------------------------------------------------------------

/// A publisher by hand, whose frames are as good as any. A clone of it contradicts it.
#[derive(Clone, Debug)]
pub(crate) struct Author {
    key: SigningKey,
    context: Context,
    incarnation: u64,
    next: u64,
    previous: Option<[u8; 32]>,
}

impl Author {
    pub(crate) fn new(address: &str) -> Self {
        let address: Address = address.parse().unwrap();
        Self {
            key: SigningKey::from_keypair(&Keypair::generate_ed25519()).unwrap(),
            context: Context::new(address.mesh(), 0, address.topic()),
            incarnation: unix_ms(),
            next: 0,
            previous: None,
        }
    }

    pub(crate) fn id(&self) -> PeerId {
        self.key.publisher()
    }

    /// The next frame of its stream: one text record.
    pub(crate) fn frame(&mut self, text: &str) -> Bytes {
        self.frame_of(text.as_bytes().to_vec())
    }

    /// The same of any bytes.
    pub(crate) fn frame_of(&mut self, payload: Vec<u8>) -> Bytes {
        let unsigned = Unsigned {
            incarnation: self.incarnation,
            first_sequence: self.next,
            previous: self.previous,
            sent_us: unix_ms() * 1_000,
            records: vec![Record { key: None, payload }],
            ..Unsigned::default()
        };
        let sealed = unsigned.seal(&self.key, &self.context).unwrap();
        self.next += 1;
        self.previous = Some(sealed.body_hash);
        sealed.wire
    }
}
