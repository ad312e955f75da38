//! Kademlia: look-ups and what they find, announcements of others, and the table.

use std::time::Instant;

use libp2p::core::Endpoint;
use libp2p::kad::{self, GetProvidersOk, InboundRequest, ProgressStep, QueryId, QueryResult, RecordKey};
use libp2p::swarm::{ConnectionId, NetworkBehaviour};
use libp2p::{Multiaddr, PeerId};

use super::task::Task;
use super::{Slot, member};
use crate::core::kad_mode::KadMode;
use crate::core::neighbours::{Input, Source};
use crate::types::{IpPrefix, TopicHint, mesh_key, topic_key};

/// A look-up under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct LookUp {
    slot: Slot,
    topic: Option<TopicHint>,
    key: [u8; 32],
}

impl Task {
    /// Looks up who is in a mesh, or on one of its topics.
    pub(super) fn look_up(&mut self, slot: Slot, topic: Option<TopicHint>) {
        let Some(mesh) = self.meshes.get(&slot) else { return };
        let key = match topic {
            None => mesh_key(mesh.key.name()),
            Some(hint) => match mesh.topics.keys().find(|topic| mesh.hint(topic) == hint) {
                Some(topic) => topic_key(mesh.key.name(), topic),
                // Left since.
                None => return self.neighbours_hear(slot, Input::LookedUp),
            },
        };
        self.counters.lookups.add(1);
        let query = self.swarm.behaviour_mut().kad.get_providers(RecordKey::new(&key));
        self.lookups.insert(query, LookUp { slot, topic, key });
    }

    pub(super) fn on_kad_event(&mut self, event: kad::Event) {
        match event {
            kad::Event::OutboundQueryProgressed {
                id,
                result: QueryResult::GetProviders(result),
                step,
                ..
            } => {
                let providers = match result {
                    Ok(GetProvidersOk::FoundProviders { providers, .. }) => providers.into_iter().collect(),
                    Ok(GetProvidersOk::FinishedWithNoAdditionalRecord { .. }) | Err(_) => Vec::new(),
                };
                self.on_providers(id, providers, &step);
            }
            kad::Event::InboundRequest {
                request: InboundRequest::AddProvider { record: Some(record) },
            } => {
                // The address it came from cannot be chosen freely; what the record claims can.
                let from = self
                    .connections
                    .values()
                    .find(|connected| connected.peer == record.provider);
                let Some(remote) = from.map(|connected| connected.remote.clone()) else {
                    return;
                };
                let multiaddrs = member::plausible(record.addresses.clone(), &remote);
                let prefix = IpPrefix::of(&remote);
                self.swarm
                    .behaviour_mut()
                    .kad
                    .store_mut()
                    .announce(&record, multiaddrs, prefix);
            }
            kad::Event::RoutingUpdated { is_new_peer: true, .. } => self.announce_to_newcomer(),
            _ => {}
        }
    }

    fn on_providers(&mut self, id: QueryId, providers: Vec<PeerId>, step: &ProgressStep) {
        let Some(lookup) = self.lookups.get(&id) else {
            return;
        };
        let LookUp { slot, topic, key } = *lookup;
        for peer in providers {
            let multiaddrs = self.known_multiaddrs(&key, peer);
            let topics = topic.into_iter().collect();
            self.neighbours_hear(
                slot,
                Input::Found {
                    peer,
                    multiaddrs,
                    source: Source::Kademlia,
                    topics,
                },
            );
        }
        if step.last {
            self.lookups.remove(&id);
            self.neighbours_hear(slot, Input::LookedUp);
        }
    }

    /// What Kademlia knows of a peer's multiaddrs now: those of a running look-up are gone when it ends, and those that
    /// others announced to us are in our own store.
    fn known_multiaddrs(&mut self, key: &[u8], peer: PeerId) -> Vec<Multiaddr> {
        let told = self.told_multiaddrs();
        let kad = &mut self.swarm.behaviour_mut().kad;
        // Asked as for a dial, whose connection then never comes to be.
        let asked = kad.handle_pending_outbound_connection(
            ConnectionId::new_unchecked(usize::MAX),
            Some(peer),
            &[],
            Endpoint::Dialer,
        );
        let mut known = asked.unwrap_or_default();
        known.extend(kad.store_mut().multiaddrs(key, &peer));
        // Hearsay: nobody sends us to our own machine, or to one beside us, unless that is where we are.
        match told.first() {
            Some(here) => member::plausible(known, here),
            None => known,
        }
    }

    /// A peer said where it listens: that, and nothing it said before, goes into the table.
    pub(super) fn add_to_table(&mut self, peer: PeerId, multiaddrs: Vec<Multiaddr>) {
        // Where the user reached a bootstrap peer stays known, whatever that peer knows of it.
        let keep = multiaddrs.is_empty() || self.sources.is_bootstrap(&peer);
        let kad = &mut self.swarm.behaviour_mut().kad;
        let known = kad.kbucket(peer).into_iter().flat_map(|bucket| {
            let entries: Vec<_> = bucket
                .iter()
                .map(|entry| (*entry.node.key.preimage(), entry.node.value.clone()))
                .collect();
            entries
        });
        let stale: Vec<Multiaddr> = known
            .filter(|(known, _)| *known == peer && !keep)
            .flat_map(|(_, addresses)| {
                addresses
                    .iter()
                    .filter(|old| !multiaddrs.contains(old))
                    .cloned()
                    .collect::<Vec<_>>()
            })
            .collect();
        for multiaddr in multiaddrs {
            kad.add_address(&peer, multiaddr);
        }
        for old in stale {
            kad.remove_address(&peer, &old);
        }
    }

    /// Serves Kademlia or only asks, as the node's place in the network allows.
    pub(super) fn choose_kad_mode(&mut self) {
        let mode = match self.kad_mode.mode() {
            KadMode::Server => kad::Mode::Server,
            KadMode::Client => kad::Mode::Client,
        };
        let kad = &mut self.swarm.behaviour_mut().kad;
        if kad.mode() != mode {
            kad.set_mode(Some(mode));
        }
    }

    pub(super) fn expire_providers(&mut self, now: Instant) {
        self.swarm.behaviour_mut().kad.store_mut().expire(now);
    }
}
