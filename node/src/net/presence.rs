//! Between handles, control streams and `core/presence`: what the application wishes to say, and who is there.

use std::time::{Duration, Instant, SystemTime};

use libp2p::PeerId;
use libp2p::identity::Keypair;
use maille_proto::control::{Message, Presence as WirePresence};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::watch;

use super::event::MeshEvent;
use super::task::Task;
use super::{Slot, unix_ms, unix_us};
use crate::core::admission::MeshKey;
use crate::core::presence::{Action, Input, Listed, Presence, Realm};
use crate::core::stream::SigningKey;
use crate::types::Profile;

/// The members of a mesh but this node itself, as far as it knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Members {
    /// Those that are there, who joined first first; at most 256.
    pub list: Vec<MemberInfo>,
    /// Whether these are all. In a mesh of more than 256 others they are this node's neighbours and those it met first.
    pub complete: bool,
}

impl Default for Members {
    fn default() -> Self {
        Self {
            list: Vec::new(),
            complete: true,
        }
    }
}

/// A member of a mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberInfo {
    /// Who.
    pub peer: PeerId,
    /// When it joined: by its own clock, but not later than now by ours.
    pub since: SystemTime,
    /// What it says about itself; `None` for the moment that takes to arrive.
    pub profile: Option<Profile>,
}

impl MemberInfo {
    /// What people call it; empty if it does not say.
    #[must_use]
    pub fn nickname(&self) -> &str {
        self.profile.as_ref().map_or("", Profile::nickname)
    }
}

/// What the application wishes of a mesh's presence. A state, not a queue: the latest counts.
#[derive(Debug, Default)]
struct Wish {
    profile: Profile,
    watches: bool,
}

/// The presence of a mesh, as its handles see it.
#[derive(Debug)]
pub(crate) struct PresenceLink {
    wish: watch::Sender<Wish>,
    members: watch::Receiver<Members>,
}

impl PresenceLink {
    /// Says something else about this node from now on.
    pub(crate) fn introduce(&self, profile: Profile) {
        self.wish.send_if_modified(|wish| {
            let is_other = wish.profile != profile;
            wish.profile = profile;
            is_other
        });
    }

    /// Who is there; from now on somebody looks.
    pub(crate) fn watch(&self) -> watch::Receiver<Members> {
        self.wish
            .send_if_modified(|wish| !std::mem::replace(&mut wish.watches, true));
        self.members.clone()
    }
}

/// The presence of a mesh, as the task sees it.
pub(super) struct MeshPresence {
    machine: Presence,
    wish: watch::Receiver<Wish>,
    members: watch::Sender<Members>,
}

impl MeshPresence {
    pub(super) fn new(mesh: &MeshKey, key: &Keypair) -> (Self, PresenceLink) {
        let key = SigningKey::from_keypair(key).expect("a node's identity is an Ed25519 key: checked at its start");
        let realm = Realm::new(mesh.name(), mesh.epoch());
        let rng = StdRng::from_rng(&mut rand::rng());
        let machine = Presence::new(realm, key, unix_ms(), unix_us(), Instant::now(), rng);
        let (wish, wished) = watch::channel(Wish::default());
        let (members, seen) = watch::channel(Members::default());
        let here = Self {
            machine,
            wish: wished,
            members,
        };
        (here, PresenceLink { wish, members: seen })
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.machine.next_deadline()
    }

    /// Who is there, neighbour or not.
    pub(super) fn members(&self) -> impl Iterator<Item = PeerId> {
        self.machine.members().map(|listed| listed.peer)
    }

    /// The mesh was left: nobody is there any more.
    pub(super) fn end(&self) {
        self.members.send_replace(Members::default());
    }

    fn tell(&self) {
        let now = SystemTime::now();
        let info = |listed: Listed| MemberInfo {
            peer: listed.peer,
            since: SystemTime::UNIX_EPOCH
                .checked_add(Duration::from_micros(listed.since_us))
                .map_or(now, |since| since.min(now)),
            profile: listed.profile,
        };
        let mut list: Vec<MemberInfo> = self.machine.members().map(info).collect();
        list.sort_unstable_by_key(|member| (member.since, member.peer));
        self.members.send_replace(Members {
            list,
            complete: self.machine.is_complete(),
        });
    }
}

impl Task {
    /// Hands one fact to a mesh's presence and does what it asks for.
    pub(super) fn presence_hears(&mut self, slot: Slot, input: Input) {
        let mut actions = Vec::new();
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        mesh.presence.machine.handle(input, Instant::now(), &mut actions);
        for action in actions {
            match action {
                Action::Send { peer, message } => {
                    let message = Some(message);
                    self.send_control(slot, peer, Message::Presence(WirePresence { message }));
                }
                Action::End { peer } => {
                    tracing::debug!(%peer, "a neighbour says too much about who is there");
                    self.counters.control_rejected.add(1);
                    self.swarm.behaviour_mut().gate.evict(slot, peer, None);
                }
                Action::Changed => self.presence(slot, MeshPresence::tell),
                Action::Joined { peer } => self.tell_mesh(slot, MeshEvent::Joined { peer }),
                Action::Left { peer } => self.tell_mesh(slot, MeshEvent::Left { peer }),
                Action::Failed { peer } => self.tell_mesh(slot, MeshEvent::Failed { peer }),
            }
        }
    }

    fn presence(&self, slot: Slot, tell: impl FnOnce(&MeshPresence)) {
        if let Some(mesh) = self.meshes.get(&slot) {
            tell(&mesh.presence);
        }
    }

    fn tell_mesh(&self, slot: Slot, event: MeshEvent) {
        if let Some(mesh) = self.meshes.get(&slot) {
            mesh.tell(event);
        }
    }

    /// What a neighbour says about who is there.
    pub(super) fn on_presence(&mut self, slot: Slot, peer: PeerId, said: WirePresence) {
        // None is from a later version.
        if let Some(message) = said.message {
            self.presence_hears(slot, Input::Said { peer, message });
        }
    }

    pub(super) fn on_presence_deadline(&mut self, slot: Slot, now: Instant) {
        let Some(mesh) = self.meshes.get(&slot) else { return };
        if mesh.presence.next_deadline().is_some_and(|at| at <= now) {
            self.presence_hears(slot, Input::TimedOut);
        }
    }

    /// Takes up what the application wishes by now.
    pub(super) fn grant_wishes(&mut self, slot: Slot) {
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        let wish = &mut mesh.presence.wish;
        // An error means that the last handle is gone, and then the sweep leaves.
        if !wish.has_changed().unwrap_or(false) {
            return;
        }
        let (profile, watches) = {
            let wish = wish.borrow_and_update();
            (wish.profile.clone(), wish.watches)
        };
        self.presence_hears(slot, Input::Introduced(profile));
        if watches {
            self.presence_hears(slot, Input::Watched);
        }
    }
}
