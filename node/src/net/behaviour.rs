//! What a node's swarm is made of.

use std::time::Duration;

use libp2p::identity::Keypair;
use libp2p::kad::{self, BucketInserts, StoreInserts};
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{StreamProtocol, identify, mdns, memory_connection_limits};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::gate::Gate;
use super::inner::MeshBehaviour;
use super::provider_store::ProviderStore;
use crate::core::admission::Doorman;

/// Kademlia's protocol: a table of our own, apart from other networks'.
pub(super) const KAD_PROTOCOL: StreamProtocol = StreamProtocol::new("/maille/kad/1");
const IDENTIFY_PROTOCOL: &str = "/maille/1";
/// How long a look-up may take; nodes that left cost it time.
const KAD_QUERY_TIMEOUT: Duration = Duration::from_secs(15);
const KAD_REFRESH_INTERVAL: Duration = Duration::from_secs(300);
/// No new connections when this share of the machine's memory is used by this process.
const MEMORY_SHARE_MAX: f64 = 0.5;

/// The swarm's behaviour.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    /// Refuses connections when memory runs short.
    memory: memory_connection_limits::Behaviour,
    /// Tells peers where we listen, and hears where they do; feeds Kademlia, and is trusted for nothing else.
    pub(super) identify: identify::Behaviour,
    /// Who is in which mesh, as anyone may know.
    pub(super) kad: kad::Behaviour<ProviderStore>,
    /// Peers on the local network.
    pub(super) mdns: Toggle<mdns::tokio::Behaviour>,
    /// The meshes, each behind admission.
    pub(super) gate: Gate<MeshBehaviour>,
}

impl Behaviour {
    pub(super) fn new(key: &Keypair, with_mdns: bool) -> std::io::Result<Self> {
        let me = key.public().to_peer_id();
        let mut kad_config = kad::Config::new(KAD_PROTOCOL);
        kad_config
            .set_query_timeout(KAD_QUERY_TIMEOUT)
            .disjoint_query_paths(true)
            // Filtered by us: what a peer says of itself goes in only where it can be true.
            .set_kbucket_inserts(BucketInserts::Manual)
            .set_record_filtering(StoreInserts::FilterBoth)
            // Announcing is ours: it also depends on what a node has just learnt.
            .set_provider_publication_interval(None)
            .set_provider_record_ttl(Some(crate::core::providers::PROVIDER_TTL))
            .set_publication_interval(None)
            .set_replication_interval(None)
            .set_periodic_bootstrap_interval(Some(KAD_REFRESH_INTERVAL));
        let store = ProviderStore::new(me, StdRng::from_rng(&mut rand::rng()));
        let identify = identify::Config::new(IDENTIFY_PROTOCOL.to_owned(), key.public())
            .with_agent_version(concat!("maille/", env!("CARGO_PKG_VERSION")).to_owned())
            .with_push_listen_addr_updates(true)
            // What a peer says of itself is filtered before it is used; a cache would pass it by.
            .with_cache_size(0);
        let mdns = match with_mdns {
            true => Some(mdns::tokio::Behaviour::new(mdns::Config::default(), me)?),
            false => None,
        };
        Ok(Self {
            memory: memory_connection_limits::Behaviour::with_max_percentage(MEMORY_SHARE_MAX),
            identify: identify::Behaviour::new(identify),
            kad: kad::Behaviour::with_config(me, store, kad_config),
            mdns: mdns.into(),
            gate: Gate::new(me, Doorman::new(StdRng::from_rng(&mut rand::rng()))),
        })
    }
}
