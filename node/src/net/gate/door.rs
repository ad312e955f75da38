//! The gate's door: who knocks, whether the doorman lets it in, and what becomes of it.

use std::sync::Arc;
use std::time::Instant;

use libp2p::PeerId;
use libp2p::swarm::{ConnectionId, NetworkBehaviour, ToSwarm};
use maille_proto::admission::Welcome;

use super::Slot;
use super::behaviour::{Event, Gate, notify};
use super::messages::{In, Outcome};
use crate::core::admission::{DoormanAction, DoormanInput, Hello, MeshKey};
use crate::types::IpPrefix;

/// A hello that waits for an answer, or is being answered.
pub(super) struct Knock {
    pub(super) peer: PeerId,
    pub(super) connection: ConnectionId,
    hello: u64,
    /// The mesh that the hello's tag names, if it is one of ours.
    slot: Option<Slot>,
}

impl<B: NetworkBehaviour> Gate<B> {
    pub(super) fn knocked(&mut self, peer: PeerId, connection: ConnectionId, hello: u64, said: Hello) {
        let Some(prefix) = self
            .connections
            .get(&connection)
            .map(|c| IpPrefix::of_remote(&c.endpoint))
        else {
            return;
        };
        let recognised = self
            .meshes
            .iter()
            .find(|(_, mesh)| mesh.key.recognises(&said, &peer, &self.me));
        let slot = recognised.map(|(slot, _)| *slot);
        self.next_knock += 1;
        let id = self.next_knock;
        self.knocks.insert(
            id,
            Knock {
                peer,
                connection,
                hello,
                slot,
            },
        );
        // A pass counts for the mesh it was earned in: else a member of one could guess at another without end.
        let known = slot
            .and_then(|slot| self.meshes.get(&slot))
            .is_some_and(|mesh| mesh.known.contains(&peer));
        self.doorman_hears(DoormanInput::Knocked { id, prefix, known }, Instant::now());
    }

    pub(super) fn doorman_hears(&mut self, input: DoormanInput, now: Instant) {
        let mut actions = Vec::new();
        self.doorman.handle(input, now, &mut actions);
        for action in actions {
            match action {
                DoormanAction::Proceed(id) => self.proceed(id, now),
                DoormanAction::PushOut(id) | DoormanAction::Expire(id) => self.ignore(id),
            }
        }
    }

    pub(super) fn proceed(&mut self, id: u64, now: Instant) {
        // The door stays open for this one until its handshake ends; from here on we wait for the peer.
        self.doorman_hears(DoormanInput::Waiting { id }, now);
        let Some(knock) = self.knocks.get(&id) else { return };
        match knock.slot {
            Some(slot) => {
                let connection = knock.connection;
                let event = Event::Answer {
                    knock: id,
                    slot,
                    connection,
                };
                self.out.push_back(ToSwarm::GenerateEvent(event));
            }
            None => self.reply(id, None, Welcome::default()),
        }
    }

    pub(super) fn reply(&mut self, id: u64, mesh: Option<(Slot, Arc<MeshKey>)>, welcome: Welcome) {
        if let Some(Knock {
            peer,
            connection,
            hello,
            ..
        }) = self.knocks.get(&id)
        {
            self.out.push_back(notify(
                *peer,
                *connection,
                In::Answer {
                    hello: *hello,
                    mesh,
                    welcome,
                },
            ));
        }
    }

    pub(super) fn ignore(&mut self, id: u64) {
        if let Some(knock) = self.knocks.remove(&id) {
            self.out
                .push_back(notify(knock.peer, knock.connection, In::Ignore { hello: knock.hello }));
        }
    }

    pub(super) fn answered(&mut self, connection: ConnectionId, hello: u64, outcome: Outcome) {
        let is_it = |knock: &Knock| knock.connection == connection && knock.hello == hello;
        if let Some((id, peer, slot)) = self
            .knocks
            .iter()
            .find(|(_, knock)| is_it(knock))
            .map(|(id, knock)| (*id, knock.peer, knock.slot))
        {
            self.knocks.remove(&id);
            if outcome == Outcome::WrongPassword {
                // Its pass was for the password it knew; past the budget it could guess a new one.
                if let Some(mesh) = slot.and_then(|slot| self.meshes.get_mut(&slot)) {
                    mesh.known.forget(&peer);
                }
            }
            let refund = matches!(outcome, Outcome::Admitted | Outcome::GaveWay);
            self.doorman_hears(DoormanInput::Ended { id, refund }, Instant::now());
            self.out.push_back(ToSwarm::GenerateEvent(Event::Answered { outcome }));
        }
    }
}
