//! Who plays in the demo: a helper that all know, and members who know nothing else. Starts and stops nodes, no more.

use std::time::Duration;

use futures::future::join_all;
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::exit::Failure;
use crate::mesh::{Credential, Helper, Member, Network, Standing, new_credential, own_address};

/// The demo's topic.
pub(crate) const TOPIC: &str = "equities/us";
/// Nodes that start at the same time: they share two cores with everything else.
const STARTS_AT_ONCE: usize = 8;
/// How long three subscribers may take to find the publisher; more may take longer.
const MEET_TIMEOUT: Duration = Duration::from_secs(60);
/// What one more subscriber may add to that.
const MEET_TIMEOUT_EACH: Duration = Duration::from_secs(1);
/// How long stopping may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// All nodes of the demo.
#[derive(Debug)]
pub(crate) struct Cast {
    helper: Helper,
    /// Who publishes.
    pub(crate) publisher: Member,
    /// Who listens.
    pub(crate) subscribers: Vec<Member>,
    /// Who has the wrong password.
    pub(crate) stranger: Member,
}

impl Cast {
    /// Starts everyone. Members are given the helper's multiaddr and nothing else.
    pub(crate) async fn start(subscribers: u64) -> Result<Self, Failure> {
        // A name of its own for every process: two demos on one machine are two meshes.
        let address = own_address(&format!("demo-{}.ticker.example/{TOPIC}", std::process::id()))?;
        let helper = Helper::start(&Network::loopback(Vec::new())).await?;
        let network = Network::loopback(helper.multiaddrs());
        let (right, wrong) = (new_credential(), new_credential());
        let join = |credential: &Credential| Member::join(&network, &address, credential.clone());
        let publisher = join(&right).await?;
        let members: Vec<_> = (0..subscribers).map(|_| join(&right)).collect();
        let subscribers = stream::iter(members).buffered(STARTS_AT_ONCE).try_collect().await?;
        let stranger = join(&wrong).await?;
        Ok(Self {
            helper,
            publisher,
            subscribers,
            stranger,
        })
    }

    /// Peers that refused the stranger.
    pub(crate) fn stranger_refused_by(&self) -> usize {
        match self.stranger.standing() {
            Standing::Refused(peers) => peers,
            Standing::Alone | Standing::Joined(_) => 0,
        }
    }

    /// Stops everyone, or gives up after a while: the process ends anyway.
    pub(crate) async fn stop(self) {
        let members = self
            .subscribers
            .into_iter()
            .chain([self.publisher, self.stranger])
            .map(Member::stop);
        let everyone = async {
            join_all(members).await;
            self.helper.stop().await;
        };
        let _ = tokio::time::timeout(STOP_TIMEOUT, everyone).await;
    }
}

/// How long so many subscribers may take to find the publisher.
pub(crate) fn meet_timeout(subscribers: u64) -> Duration {
    MEET_TIMEOUT + MEET_TIMEOUT_EACH * u32::try_from(subscribers).unwrap_or(u32::MAX)
}
