//! Where peers are heard of beside Kademlia and members: bootstrap multiaddrs, tickets, the peer cache, and the run file.
//!
//! mDNS reports by itself (`on_swarm.rs`). Each source is retried with back-off for ever; none hides another.

use std::time::{Duration, Instant};

use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError};
use libp2p::{Multiaddr, PeerId};

use super::event::NodeEvent;
use super::task::{Done, Task};
use super::{Slot, aside, member};
use crate::core::neighbours::{Input, MemberRecord, Source};
use crate::store::RunFile;
use crate::types::{BootstrapPeer, MeshName, PeerMultiaddr};

/// The wait after the n-th failure to reach a bootstrap multiaddr: 1, 2, 4, 8, 15, 15 … s.
const REDIAL_MAX: Duration = Duration::from_secs(15);
/// How often the run files are read: often while young, when somebody is waiting at the other terminal.
const RUN_FILES_INTERVAL_YOUNG: Duration = Duration::from_millis(500);
const RUN_FILES_INTERVAL: Duration = Duration::from_secs(5);
const YOUNG: Duration = Duration::from_secs(60);

/// One bootstrap multiaddr.
#[derive(Debug)]
struct Bootstrap {
    multiaddr: PeerMultiaddr,
    failures: u32,
    /// Nothing once it was reached: then Kademlia knows it.
    dial_at: Option<Instant>,
    dial: Option<ConnectionId>,
}

/// The sources of a node.
#[derive(Debug)]
pub(super) struct Sources {
    bootstrap: Vec<Bootstrap>,
    tickets: Vec<(MeshName, BootstrapPeer)>,
    started: Instant,
    run_files_at: Option<Instant>,
}

impl Sources {
    pub(super) fn new(
        bootstrap: Vec<PeerMultiaddr>,
        tickets: Vec<(MeshName, BootstrapPeer)>,
        run_files: bool,
        now: Instant,
    ) -> Self {
        let bootstrap = bootstrap.into_iter().map(|multiaddr| Bootstrap {
            multiaddr,
            failures: 0,
            dial_at: Some(now),
            dial: None,
        });
        Self {
            bootstrap: bootstrap.collect(),
            tickets,
            started: now,
            run_files_at: run_files.then_some(now),
        }
    }

    pub(super) fn is_bootstrap(&self, peer: &PeerId) -> bool {
        self.bootstrap
            .iter()
            .any(|bootstrap| bootstrap.multiaddr.peer() == Some(*peer))
    }

    /// Whether a connection was dialled by a multiaddr that does not name its peer.
    pub(super) fn is_nameless(&self, connection: ConnectionId) -> bool {
        let dialled = |bootstrap: &&Bootstrap| bootstrap.dial == Some(connection);
        self.bootstrap
            .iter()
            .find(dialled)
            .is_some_and(|bootstrap| bootstrap.multiaddr.peer().is_none())
    }

    /// A peer answered.
    pub(super) fn reached(&mut self, peer: &PeerId, connection: ConnectionId) {
        for bootstrap in &mut self.bootstrap {
            if bootstrap.multiaddr.peer() == Some(*peer) || bootstrap.dial == Some(connection) {
                bootstrap.dial_at = None;
                bootstrap.failures = 0;
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let dials = self.bootstrap.iter().filter_map(|bootstrap| bootstrap.dial_at);
        dials.chain(self.run_files_at).min()
    }
}

impl Task {
    /// A mesh was joined: everything known goes to it.
    pub(super) fn tell_sources(&mut self, slot: Slot) {
        let Some(mesh) = self.meshes.get(&slot) else { return };
        let name = mesh.key.name().clone();
        let mut found: Vec<(PeerId, Vec<Multiaddr>, Source)> = Vec::new();
        for bootstrap in &self.sources.bootstrap {
            if let Some(peer) = bootstrap.multiaddr.peer() {
                found.push((peer, vec![bootstrap.multiaddr.without_peer()], Source::Bootstrap));
            }
        }
        for (_, peer) in self.sources.tickets.iter().filter(|(mesh, _)| *mesh == name) {
            found.push((peer.peer, peer.multiaddrs.clone(), Source::Ticket));
        }
        for (peer, multiaddrs, source) in found {
            self.found(slot, peer, multiaddrs, source);
        }
        self.neighbours_hear(slot, Input::TimedOut);
        self.read_cache(slot, name);
        // A new mesh is young again.
        self.sources.started = Instant::now();
        self.sources.run_files_at = self.sources.run_files_at.map(|_| Instant::now());
    }

    fn read_cache(&mut self, slot: Slot, name: MeshName) {
        let Some(data_dir) = self.data_dir.clone() else { return };
        aside::spawn(&mut self.jobs, move || {
            let cache = data_dir.peer_cache().into_iter().find(|(mesh, _)| *mesh == name);
            let records = cache
                .map(|(_, records)| member::all_verified(records))
                .unwrap_or_default();
            Done::Cached { slot, records }
        });
    }

    /// Members met in an earlier run: to look for, and to let in past the guess budget.
    pub(super) fn on_cached(&mut self, slot: Slot, records: Vec<MemberRecord>) {
        for MemberRecord {
            peer,
            multiaddrs,
            topics,
            ..
        } in records
        {
            self.swarm.behaviour_mut().gate.remember(slot, peer);
            let source = Source::Cache;
            self.neighbours_hear(
                slot,
                Input::Found {
                    peer,
                    multiaddrs,
                    source,
                    topics,
                },
            );
        }
    }

    pub(super) fn on_sources_deadline(&mut self, now: Instant) {
        for index in 0..self.sources.bootstrap.len() {
            if self.sources.bootstrap[index].dial_at.is_some_and(|at| at <= now) {
                self.dial_bootstrap(index, now);
            }
        }
        if self.sources.run_files_at.is_some_and(|at| at <= now) {
            let young = now.duration_since(self.sources.started) < YOUNG;
            let interval = if young {
                RUN_FILES_INTERVAL_YOUNG
            } else {
                RUN_FILES_INTERVAL
            };
            self.sources.run_files_at = Some(now + interval);
            if !self.meshes.is_empty() {
                self.read_run_files();
            }
        }
    }

    fn dial_bootstrap(&mut self, index: usize, now: Instant) {
        let bootstrap = &mut self.sources.bootstrap[index];
        let wait = Duration::from_secs(1 << bootstrap.failures.min(4)).min(REDIAL_MAX);
        bootstrap.failures += 1;
        bootstrap.dial_at = Some(now + wait);
        if bootstrap.multiaddr.peer().is_none() && bootstrap.dial.is_some() {
            return; // under way; the swarm cannot tell, as it does not know whom it dials
        }
        let multiaddr = bootstrap.multiaddr.multiaddr().clone();
        let dial = match bootstrap.multiaddr.peer() {
            Some(peer) => DialOpts::peer_id(peer)
                .condition(PeerCondition::DisconnectedAndNotDialing)
                .addresses(vec![multiaddr])
                .build(),
            None => DialOpts::unknown_peer_id().address(multiaddr).build(),
        };
        let connection = dial.connection_id();
        if let Some(peer) = bootstrap.multiaddr.peer() {
            let multiaddr = bootstrap.multiaddr.without_peer();
            // Kademlia tries it too whenever it looks something up.
            self.add_to_table(peer, vec![multiaddr]);
        }
        match self.swarm.dial(dial) {
            // Connected, or being dialled, already.
            Ok(()) => self.sources.bootstrap[index].dial = Some(connection),
            Err(DialError::DialPeerConditionFalse(_)) => {}
            Err(error) => tracing::warn!(%error, "a bootstrap multiaddr cannot be dialled"),
        }
    }

    pub(super) fn on_bootstrap_failed(&mut self, connection: ConnectionId, peer: Option<PeerId>, error: &DialError) {
        let dialled = |bootstrap: &&mut Bootstrap| bootstrap.dial == Some(connection);
        if let Some(bootstrap) = self.sources.bootstrap.iter_mut().find(dialled) {
            bootstrap.dial = None;
            self.tell(NodeEvent::BootstrapUnreachable {
                peer,
                reason: error.to_string(),
            });
        }
    }

    // ---- the run file --------------------------------------------------------------------------------------------

    fn read_run_files(&mut self) {
        let me = *self.swarm.local_peer_id();
        aside::spawn(&mut self.jobs, move || {
            let others = RunFile::others(&me).unwrap_or_else(|error| {
                tracing::debug!(%error, "the run files cannot be read");
                Vec::new()
            });
            Done::RunFiles(others)
        });
    }

    pub(super) fn on_run_files(&mut self, others: Vec<(PeerId, Vec<Multiaddr>)>) {
        for (peer, multiaddrs) in others {
            self.found_for_all(peer, &multiaddrs, Source::RunFile);
        }
    }

    pub(super) fn write_run_file(&mut self) {
        if self.sources.run_files_at.is_none() {
            return;
        }
        let multiaddrs = self.multiaddrs.borrow().clone();
        let written = match &self.run_file {
            Some(file) => file.update(&multiaddrs),
            None => RunFile::publish(*self.swarm.local_peer_id(), &multiaddrs).map(|file| self.run_file = Some(file)),
        };
        if let Err(error) = written {
            tracing::warn!(%error, "the run file cannot be written; other nodes of this user need another way to us");
        }
    }
}
