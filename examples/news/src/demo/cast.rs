//! Who plays in the demo: a helper that all know, and members who know nothing else. Starts and stops nodes, no more.

use std::time::Duration;

use futures::future::{join_all, try_join_all};

use crate::exit::Failure;
use crate::mesh::{Address, Helper, Member, Network, new_credential};

/// Who listens. The keeper is a member that stays; what it does beyond that is maille's.
const LISTENERS: [&str; 3] = ["reader 1", "reader 2", "keeper"];
/// How long stopping may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// All nodes of the demo.
#[derive(Debug)]
pub(crate) struct Cast {
    helper: Helper,
    /// Where they meet.
    pub(crate) address: Address,
    /// Who publishes.
    pub(crate) publisher: Member,
    listeners: Vec<Member>,
}

impl Cast {
    /// Starts everyone. Members are given the helper's multiaddr and nothing else.
    pub(crate) async fn start() -> Result<Self, Failure> {
        let address = super::address()?;
        let helper = Helper::start(&Network::loopback(Vec::new())).await?;
        let network = Network::loopback(helper.multiaddrs());
        let credential = new_credential();
        let publisher = Member::join(&network, &address, credential.clone()).await?;
        let joining = LISTENERS.map(|_| Member::join(&network, &address, credential.clone()));
        let listeners = try_join_all(joining).await?;
        Ok(Self {
            helper,
            address,
            publisher,
            listeners,
        })
    }

    /// Everybody who listens, with their names.
    pub(crate) fn audience(&self) -> impl Iterator<Item = (&'static str, &Member)> {
        LISTENERS.into_iter().zip(&self.listeners)
    }

    /// Stops everyone, or gives up after a while: the process ends anyway.
    pub(crate) async fn stop(self) {
        let members = self.listeners.into_iter().chain([self.publisher]).map(Member::stop);
        let everyone = async {
            join_all(members).await;
            self.helper.stop().await;
        };
        let _ = tokio::time::timeout(STOP_TIMEOUT, everyone).await;
    }
}
