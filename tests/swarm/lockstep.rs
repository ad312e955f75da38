//! Lockstep sessions of whole nodes: the same ticks for all, one who goes and returns, one who watches.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt;
use maille::{
    Credential, InputError, Keypair, Lockstep, LockstepError, LockstepEvent, LockstepOptions, LockstepRole, Node,
    PeerId,
};
use maille_tests::nodes::{Member, Over, SOON, builder, helper, join, met, until, whether};

const MESH: &str = "games.example";
/// Within which the others go on without one, and within which it is back; a busy machine may take longer.
const GO_ON: Duration = Duration::from_secs(3);
const RETURN: Duration = Duration::from_secs(2);
const PATIENCE: u32 = 3;

/// What a player saw.
#[derive(Debug, Default)]
struct Seen {
    state: u64,
    /// After each tick.
    states: BTreeMap<u32, u64>,
    inputs: u64,
    left: Vec<PeerId>,
    joined: Vec<PeerId>,
    trouble: Vec<String>,
}

/// A player who enters something every few ticks; the game is a sum that no two orders give alike.
struct Player {
    seen: Arc<Mutex<Seen>>,
    job: tokio::task::JoinHandle<()>,
}

impl Player {
    fn new(session: Lockstep) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let job = tokio::spawn(play(session, seen.clone()));
        Self { seen, job }
    }

    fn tick(&self) -> u32 {
        self.seen
            .lock()
            .unwrap()
            .states
            .last_key_value()
            .map_or(0, |(tick, _)| *tick)
    }
}

async fn play(mut session: Lockstep, seen: Arc<Mutex<Seen>>) {
    while let Some(event) = session.next().await {
        let mut seen = seen.lock().unwrap();
        match event {
            LockstepEvent::Tick(step) => {
                for (player, input) in &step.inputs {
                    let of_all = player
                        .to_bytes()
                        .iter()
                        .chain(&input[..])
                        .fold(0_u64, |sum, byte| sum * 31 % 65_521 + u64::from(*byte));
                    seen.state = seen.state.wrapping_mul(1_000_003).wrapping_add(of_all);
                    seen.inputs += u64::from(!input.is_empty());
                }
                let (tick, state) = (step.tick, seen.state);
                seen.states.insert(tick, state);
                seen.left.extend(step.left);
                seen.joined.extend(step.joined);
                session.stepped(tick, state);
                if tick % 5 == 0 {
                    // One too many is left out.
                    let _ = session.input(tick.to_be_bytes().to_vec());
                }
            }
            LockstepEvent::Snapshot(wanted) => assert!(wanted.give(seen.state.to_be_bytes())),
            LockstepEvent::Restore { state, .. } => seen.state = u64::from_be_bytes(state[..].try_into().unwrap()),
            LockstepEvent::Delay { .. } | LockstepEvent::Waiting { .. } => {}
            other => seen.trouble.push(format!("{other:?}")),
        }
    }
}

fn agree(players: &[&Player]) -> usize {
    let mut all: BTreeMap<u32, u64> = BTreeMap::new();
    let mut compared = 0;
    for player in players {
        let seen = player.seen.lock().unwrap();
        assert_eq!(seen.trouble, Vec::<String>::new());
        for (tick, state) in &seen.states {
            assert_eq!(all.entry(*tick).or_insert(*state), state, "after tick {tick}");
            compared += 1;
        }
    }
    compared
}

async fn with_key(helper: &Node, key: &Keypair) -> Member {
    let node = builder(Over::Memory)
        .identity(key.clone())
        .bootstrap(helper.multiaddrs())
        .spawn();
    join(node.await.unwrap(), MESH, &Credential::open()).await
}

async fn opened(member: &Member, options: &LockstepOptions, role: LockstepRole) -> Player {
    let options = LockstepOptions {
        role,
        ..options.clone()
    };
    Player::new(member.mesh.lockstep("arena/1".parse().unwrap(), options).await.unwrap())
}

async fn reach(players: &[&Player], tick: u32, deadline: Duration) -> Duration {
    until("all reach a tick", deadline, || {
        let ticks: Vec<u32> = players.iter().map(|player| player.tick()).collect();
        whether(ticks.iter().all(|one| *one >= tick), || (tick, ticks))
    })
    .await
    .1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_play_one_goes_and_returns_and_one_watches() {
    let helper = helper(Over::Memory).await;
    let keys: Vec<Keypair> = (0..3).map(|_| Keypair::generate_ed25519()).collect();
    let mut members = Vec::new();
    for key in &keys {
        members.push(with_key(&helper, key).await);
    }
    met(&members, 2, SOON).await;
    let options = LockstepOptions::new(members.iter().map(|member| member.node.id()));
    let mut players = Vec::new();
    for member in &members {
        players.push(opened(member, &options, LockstepRole::Play).await);
    }
    reach(&players.iter().collect::<Vec<_>>(), 60, SOON).await;
    assert!(agree(&players.iter().collect::<Vec<_>>()) >= 180);

    let gone = players.pop().unwrap();
    gone.job.abort();
    let id = members[2].node.id();
    members.pop().unwrap().node.shutdown().await;
    let (before, begun) = (players[0].tick().max(players[1].tick()), Instant::now());
    reach(&[&players[0], &players[1]], before + 10, GO_ON * PATIENCE).await;
    let went_on = begun.elapsed();
    for player in &players {
        assert_eq!(player.seen.lock().unwrap().left, [id]);
    }
    reach(&[&players[0], &players[1]], before + 80, SOON).await;

    let begun = Instant::now();
    let again = with_key(&helper, &keys[2]).await;
    met([&again], 1, SOON).await;
    let met_after = begun.elapsed();
    let returned = opened(&again, &options, LockstepRole::Rejoin).await;
    let is_back = || {
        let joined = returned.seen.lock().unwrap().joined.clone();
        whether(joined == [id], || joined)
    };
    let back_after = until("it is in again", RETURN * PATIENCE, is_back).await.1;
    eprintln!("went on after {went_on:?}; back {back_after:?} after {met_after:?} of meeting the mesh");

    let watching = with_key(&helper, &Keypair::generate_ed25519()).await;
    let watcher = opened(&watching, &options, LockstepRole::Watch).await;
    let all = [&players[0], &players[1], &returned, &watcher];
    reach(&all, returned.tick() + 40, SOON).await;
    agree(&all);
    assert!(watcher.seen.lock().unwrap().inputs > 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_is_refused_with_words() {
    let helper = helper(Over::Memory).await;
    let member = with_key(&helper, &Keypair::generate_ed25519()).await;
    let (me, other) = (member.node.id(), PeerId::random());
    let open = async |room: &str, options| member.mesh.lockstep(room.parse().unwrap(), options).await;
    let players = |players: Vec<PeerId>| LockstepOptions::new(players);
    assert!(matches!(
        open("a", players(vec![])).await,
        Err(LockstepError::Players { players: 0, .. })
    ));
    assert!(matches!(
        open("a", players(vec![me, me])).await,
        Err(LockstepError::Players { players: 2, .. })
    ));
    let nine = (0..9).map(|_| PeerId::random()).collect();
    assert!(matches!(
        open("a", players(nine)).await,
        Err(LockstepError::Players { players: 9, .. })
    ));
    assert!(matches!(
        open("a", players(vec![other])).await,
        Err(LockstepError::NotAPlayer)
    ));
    let slow = LockstepOptions {
        tick: Duration::from_secs(2),
        ..players(vec![me])
    };
    assert!(matches!(open("a", slow).await, Err(LockstepError::Tick)));
    let long = "x".repeat(250);
    assert!(matches!(open(&long, players(vec![me])).await, Err(LockstepError::Name)));

    // Alone, one plays with oneself; nine inputs at once are one too many.
    let mut session = open("a", players(vec![me])).await.unwrap();
    assert!(matches!(
        open("a", players(vec![me])).await,
        Err(LockstepError::AlreadyOpen)
    ));
    assert_eq!(
        session.input(vec![0; 65]),
        Err(InputError::TooLong {
            bytes: 65,
            bytes_max: 64
        })
    );
    let entered = (0..9).map(|_| session.input(&b"x"[..])).collect::<Vec<_>>();
    assert_eq!(entered.last(), Some(&Err(InputError::Full)));
    assert!(
        matches!(session.next().await, Some(LockstepEvent::Tick(step)) if step.tick == 1 && step.inputs.len() == 1)
    );
    member.mesh.clone().leave().await;
    while session.next().await.is_some() {}
    assert_eq!(session.input(&b"x"[..]), Err(InputError::Closed));
}
