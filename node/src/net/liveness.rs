//! Between the control streams and `core/liveness`: questions sent, silent neighbours let go.

use std::time::Instant;

use libp2p::PeerId;
use maille_proto::control::{Clock, Message};

use super::task::Task;
use super::{Slot, unix_us};
use crate::core::liveness::{Action, Input};

impl Task {
    /// Hands one fact to a mesh's liveness and does what it asks for.
    pub(super) fn liveness_hears(&mut self, slot: Slot, input: Input) {
        let mut actions = Vec::new();
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        mesh.liveness.handle(input, Instant::now(), &mut actions);
        for action in actions {
            match action {
                Action::Ask { peer } => self.ask_clock(slot, peer),
                Action::End { peer } => self.end_silent(slot, peer),
            }
        }
    }

    fn ask_clock(&mut self, slot: Slot, peer: PeerId) {
        let origin_us = unix_us();
        let answer_us = 0;
        self.send_control(slot, peer, Message::Clock(Clock { origin_us, answer_us }));
        self.liveness_hears(slot, Input::Asked { peer, origin_us });
    }

    /// A neighbour's clock question, or its answer to ours.
    pub(super) fn on_clock(&mut self, slot: Slot, peer: PeerId, clock: &Clock) {
        let now_us = unix_us();
        let origin_us = clock.origin_us;
        if clock.answer_us == 0 {
            // 0 would be a question again, and two clocks before the epoch would ask each other for ever.
            let answer_us = now_us.max(1);
            return self.send_control(slot, peer, Message::Clock(Clock { origin_us, answer_us }));
        }
        let answered = Input::Answered {
            peer,
            origin_us,
            answer_us: clock.answer_us,
            received_us: now_us,
        };
        self.liveness_hears(slot, answered);
    }

    /// The connection goes too: nobody else is heard on it, and while it stands the peer is not dialled.
    fn end_silent(&mut self, slot: Slot, peer: PeerId) {
        tracing::info!(%peer, "a neighbour is silent; it is let go");
        let reached = self.meshes.get(&slot).and_then(|mesh| mesh.reached.get(&peer));
        let connection = reached.map(|(_, connection)| *connection);
        self.swarm.behaviour_mut().gate.evict(slot, peer, None);
        if let Some(connection) = connection {
            self.swarm.close_connection(connection);
        }
    }
}
