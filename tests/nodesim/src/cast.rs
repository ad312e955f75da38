//! The nodes of a run: how they start, what each does, how they go. Not when.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use futures::StreamExt;
use maille::{Credential, Keypair, Mesh, Multiaddr, Node, Publisher, Start};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::ledger::{From, Ledger, text};
use crate::network::{Network, Place, multiaddr};
use crate::plan::Plan;

const MESH: &str = "simulation.example";
const TOPIC: &str = "feed";

/// What all nodes of a run share.
#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) plan: Plan,
    pub(crate) network: Network,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
    pub(crate) credential: Credential,
    /// Where everybody begins.
    pub(crate) helpers: Vec<Multiaddr>,
}

impl Stage {
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, name: u64) -> Keypair {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.plan.seed.to_le_bytes()).update(&name.to_le_bytes());
        Keypair::ed25519_from_bytes(*hasher.finalize().as_bytes()).expect("any 32 bytes are a key")
    }

    /// Starts a node in a place that nobody had before, under a name that one may have had.
    pub(crate) async fn node(&self, place: Place, name: u64, helper: bool) -> Result<Node> {
        let node = Node::builder()
            .identity(self.key(name))
            .listen([multiaddr(place)])
            .bootstrap(self.helpers.iter().cloned())
            .mdns(false)
            .run_file(false)
            .helper(helper)
            .wire(self.network.wire(place))
            .spawn()
            .await
            .with_context(|| format!("the node in place {place} does not start"))?;
        self.ledger().note(format_args!("{place} is {}", node.id()));
        Ok(node)
    }

    pub(crate) async fn join(&self, node: &Node) -> Result<Mesh> {
        Ok(node.join(MESH.parse()?, self.credential.clone()).await?)
    }
}

/// A member that listens.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) place: Place,
    node: Node,
    task: AbortHandle,
}

impl Listener {
    /// Starts; it subscribes by itself, once it met somebody.
    pub(crate) async fn start(stage: &Stage, place: Place, from: From) -> Result<Self> {
        let node = stage.node(place, place as u64, false).await?;
        let mesh = stage.join(&node).await?;
        let stage = stage.clone();
        let task = tokio::spawn(async move {
            if from == From::All {
                // Alone it would be told at once that nobody knows of a past.
                let _ = timeout(Plan::MEETING, mesh.joined()).await;
            }
            let topic = mesh.topic::<String>(TOPIC.parse().expect("a topic's name"));
            let start = match from {
                From::Now => Start::Now,
                From::All => Start::All,
            };
            let Ok(mut subscriber) = topic.subscribe().from(start).start().await else {
                return;
            };
            stage.ledger().subscribed(place, from);
            while let Some(event) = subscriber.next().await {
                stage.ledger().heard(place, event);
            }
        });
        Ok(Self {
            place,
            node,
            task: task.abort_handle(),
        })
    }

    /// Says good-bye, or does not.
    pub(crate) fn leave(self, stage: &Stage, politely: bool) {
        stage.ledger().left(self.place);
        self.task.abort();
        if politely {
            tokio::spawn(async move { self.node.shutdown().await });
        } else {
            stage.network.kill(self.place);
        }
    }
}

/// A member that publishes.
#[derive(Debug)]
pub(crate) struct Speaker {
    node: Node,
    publisher: Publisher<String>,
    task: AbortHandle,
}

impl Speaker {
    /// Starts; it speaks from one time to the other.
    pub(crate) async fn start(stage: &Stage, place: Place, name: u64, from: Instant, until: Instant) -> Result<Self> {
        let node = stage.node(place, name, false).await?;
        let mesh = stage.join(&node).await?;
        let publisher = mesh.topic::<String>(TOPIC.parse()?).publisher().await?;
        let (speaks, stage) = (publisher.clone(), stage.clone());
        let mut rng = StdRng::seed_from_u64(stage.plan.seed.wrapping_add(place as u64));
        let task = tokio::spawn(async move {
            sleep_until(from).await;
            for sequence in 0.. {
                if Instant::now() >= until {
                    return;
                }
                // Noted first: who hears it must find it.
                stage.ledger().published(speaks.id(), speaks.incarnation(), sequence);
                if speaks.publish(&text(&speaks.id(), sequence)).await.is_err() {
                    return;
                }
                sleep(Plan::PUBLISH_INTERVAL.mul_f64(rng.random_range(0.5..1.5))).await;
            }
        });
        Ok(Self {
            node,
            publisher,
            task: task.abort_handle(),
        })
    }

    /// Stops, and goes once all has been acknowledged.
    pub(crate) async fn leave(self) -> Result<()> {
        self.task.abort();
        self.publisher.flush().await?;
        self.node.shutdown().await;
        Ok(())
    }
}
