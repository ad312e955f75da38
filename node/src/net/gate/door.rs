//! The gate's door: who knocks, whether the doorman lets it in, and what becomes of it.

use std::time::Instant;

use libp2p::PeerId;
use libp2p::swarm::{ConnectionId, NetworkBehaviour, ToSwarm};
use maille_proto::admission::Welcome;

use super::Slot;
use super::behaviour::{Event, Gate, notify};
use super::messages::{In, Outcome};
use crate::core::admission::{DoormanAction, DoormanInput, Hello};
use crate::types::IpPrefix;

/// A hello that waits for an answer, or is being answered.
pub(super) struct Knock {
    pub(super) peer: PeerId,
    pub(super) connection: ConnectionId,
    hello: u64,
    /// The mesh that the hello's tag names, if it is one of ours.
    pub(super) slot: Option<Slot>,
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
                DoormanAction::Proceed(id) => self.proceed(id),
                DoormanAction::PushOut(id) | DoormanAction::Expire(id) => self.ignore(id),
            }
        }
    }

    fn proceed(&mut self, id: u64) {
        let Some(knock) = self.knocks.get(&id) else { return };
        let mesh = knock
            .slot
            .and_then(|slot| Some((slot, self.meshes.get(&slot)?.key.clone())));
        if knock.slot.is_some() {
            let connection = knock.connection;
            self.out
                .push_back(ToSwarm::GenerateEvent(Event::Answering { connection }));
        }
        let hello = knock.hello;
        let answer = notify(knock.peer, knock.connection, In::Answer { hello, mesh });
        self.out.push_back(answer);
    }

    /// A peer has proved a mesh's password: what to welcome it with is the swarm task's.
    pub(super) fn proved(&mut self, connection: ConnectionId, hello: u64) {
        if let Some(knock) = self.knock_of(connection, hello)
            && let Some(slot) = self.knocks.get(&knock).and_then(|knock| knock.slot)
        {
            self.out
                .push_back(ToSwarm::GenerateEvent(Event::Proved { knock, slot }));
        }
    }

    /// Welcomes a peer that [`Event::Proved`] named.
    pub(crate) fn welcome(&mut self, knock: u64, welcome: Welcome) {
        if let Some(knock) = self.knocks.get(&knock) {
            let hello = knock.hello;
            let welcome = notify(knock.peer, knock.connection, In::Welcome { hello, welcome });
            self.out.push_back(welcome);
        }
    }

    /// Drops those whose connection is gone, or their mesh.
    pub(super) fn forget_knocks(&mut self, which: impl Fn(&Knock) -> bool) {
        let lost = self.knocks.iter().filter(|(_, knock)| which(knock));
        for id in lost.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.ignore(id);
            self.doorman_hears(DoormanInput::Ended { id, refund: false }, Instant::now());
        }
    }

    fn knock_of(&self, connection: ConnectionId, hello: u64) -> Option<u64> {
        let is_it = |knock: &Knock| knock.connection == connection && knock.hello == hello;
        let found = self.knocks.iter().find(|(_, knock)| is_it(knock));
        found.map(|(id, _)| *id)
    }

    pub(super) fn ignore(&mut self, id: u64) {
        if let Some(knock) = self.knocks.remove(&id) {
            self.out
                .push_back(notify(knock.peer, knock.connection, In::Ignore { hello: knock.hello }));
        }
    }

    pub(super) fn answered(&mut self, connection: ConnectionId, hello: u64, outcome: Outcome) {
        if let Some(id) = self.knock_of(connection, hello)
            && let Some(Knock { peer, slot, .. }) = self.knocks.remove(&id)
        {
            if outcome == Outcome::WrongPassword {
                // Its pass was for the password it knew; past the budget it could guess a new one.
                if let Some(mesh) = slot.and_then(|slot| self.meshes.get_mut(&slot)) {
                    mesh.known.forget(&peer);
                }
            }
            let refund = matches!(outcome, Outcome::Admitted | Outcome::GaveWay | Outcome::Abandoned);
            self.doorman_hears(DoormanInput::Ended { id, refund }, Instant::now());
            self.out.push_back(ToSwarm::GenerateEvent(Event::Answered { outcome }));
        }
    }
}
