//! Questions that wait for answers: how many a peer, how long, and who is left in peace for a while. Not what is asked.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use libp2p::PeerId;

use super::{Action, Question, RequestId, Run, SessionId};

/// Questions that one member has to answer at once.
pub const REQUESTS_PEER_MAX: usize = 2;
/// Questions that the local store has to answer at once.
pub const REQUESTS_LOCAL_MAX: usize = 8;
/// How long an answer is waited for.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a member that said it is busy is left in peace.
pub const BUSY_PAUSE: Duration = Duration::from_secs(1);
/// Members that are not asked again for what they did.
pub const BANNED_MAX: usize = 256;
/// So long after a neighbour was lost, this node may be on the smaller side of a network in pieces:
/// links to those who have what is missing may still come.
pub const UNSETTLED: Duration = Duration::from_secs(90);
/// Members that can be asked.
pub const MEMBERS_MAX: usize = 256;

/// Who wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Owner {
    Session(SessionId),
    Repair(Run),
    Digest,
    Doubt,
}

#[derive(Debug)]
pub(super) struct Pending {
    pub(super) peer: PeerId,
    pub(super) owner: Owner,
    pub(super) what: Question,
    due: Instant,
}

#[derive(Debug)]
pub(super) struct Asker {
    me: PeerId,
    members: BTreeSet<PeerId>,
    banned: BTreeSet<PeerId>,
    pending: BTreeMap<RequestId, Pending>,
    dues: BTreeSet<(Instant, RequestId)>,
    load: BTreeMap<PeerId, usize>,
    paused: BTreeMap<PeerId, Instant>,
    /// Members whose time for an answer was over, and who have not answered since: they may be gone without a word.
    mute: BTreeSet<PeerId>,
    unsettled_until: Option<Instant>,
    next_request: u64,
}

impl Asker {
    pub(super) fn new(me: PeerId) -> Self {
        Self {
            me,
            members: BTreeSet::new(),
            banned: BTreeSet::new(),
            pending: BTreeMap::new(),
            dues: BTreeSet::new(),
            load: BTreeMap::new(),
            paused: BTreeMap::new(),
            mute: BTreeSet::new(),
            unsettled_until: None,
            next_request: 0,
        }
    }

    pub(super) fn me(&self) -> PeerId {
        self.me
    }

    /// These can be asked from now on; who no longer can.
    pub(super) fn set_members(&mut self, members: Vec<PeerId>, now: Instant) -> Vec<PeerId> {
        let before = std::mem::take(&mut self.members);
        let others = members.into_iter().filter(|peer| *peer != self.me);
        self.members = others.take(MEMBERS_MAX).collect();
        let members = &self.members;
        self.paused.retain(|peer, _| members.contains(peer));
        self.mute.retain(|peer| members.contains(peer));
        let gone: Vec<PeerId> = before.difference(members).copied().collect();
        if !gone.is_empty() {
            self.unsettled_until = Some(now + UNSETTLED);
        }
        gone
    }

    /// Whether a neighbour was lost of late.
    pub(super) fn is_unsettled(&self, now: Instant) -> bool {
        self.unsettled_until.is_some_and(|until| now < until)
    }

    /// Members that can be asked, this node left out.
    pub(super) fn members(&self) -> impl Iterator<Item = PeerId> {
        self.members.iter().copied().filter(|peer| !self.banned.contains(peer))
    }

    /// Whether nobody can be asked but this node itself.
    pub(super) fn is_alone(&self) -> bool {
        self.members().next().is_none()
    }

    /// Whether this peer can be asked at all, if not now.
    pub(super) fn usable(&self, peer: &PeerId) -> bool {
        *peer == self.me || self.members.contains(peer) && !self.banned.contains(peer)
    }

    /// Whether this peer can be asked now.
    pub(super) fn free(&self, peer: &PeerId, now: Instant) -> bool {
        let load_max = if *peer == self.me {
            REQUESTS_LOCAL_MAX
        } else {
            REQUESTS_PEER_MAX
        };
        self.usable(peer) && self.load(peer) < load_max && self.paused.get(peer).is_none_or(|until| *until <= now)
    }

    /// Whether this peer did not answer of late.
    pub(super) fn is_mute(&self, peer: &PeerId) -> bool {
        self.mute.contains(peer)
    }

    /// Questions that this peer has to answer.
    pub(super) fn load(&self, peer: &PeerId) -> usize {
        self.load.get(peer).copied().unwrap_or(0)
    }

    pub(super) fn ask(
        &mut self,
        peer: PeerId,
        owner: Owner,
        what: Question,
        now: Instant,
        out: &mut Vec<Action>,
    ) -> RequestId {
        let request = RequestId(self.next_request);
        self.next_request += 1;
        let due = now + REQUEST_TIMEOUT;
        *self.load.entry(peer).or_default() += 1;
        self.dues.insert((due, request));
        out.push(Action::Ask {
            request,
            peer,
            what: what.clone(),
        });
        self.pending.insert(request, Pending { peer, owner, what, due });
        request
    }

    /// Ends a question; `None` if it ended before, or was put to somebody else.
    pub(super) fn end(&mut self, request: RequestId, from: Option<PeerId>) -> Option<Pending> {
        let asked = self.pending.get(&request)?;
        if from.is_some_and(|from| from != asked.peer) {
            return None;
        }
        let asked = self.pending.remove(&request)?;
        if from.is_some() {
            self.mute.remove(&asked.peer);
        }
        self.dues.remove(&(asked.due, request));
        if let Some(load) = self.load.get_mut(&asked.peer) {
            *load -= 1;
            if *load == 0 {
                self.load.remove(&asked.peer);
            }
        }
        Some(asked)
    }

    /// Questions whose time is over, and pauses too.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<(RequestId, Pending)> {
        self.paused.retain(|_, until| *until > now);
        let due: Vec<RequestId> = self
            .dues
            .iter()
            .take_while(|(due, _)| *due <= now)
            .map(|(_, request)| *request)
            .collect();
        let due = due.into_iter();
        let expired: Vec<(RequestId, Pending)> = due
            .filter_map(|request| self.end(request, None).map(|asked| (request, asked)))
            .collect();
        self.mute.extend(expired.iter().map(|(_, asked)| asked.peer));
        expired
    }

    pub(super) fn pause(&mut self, peer: PeerId, now: Instant) {
        if peer == self.me || self.members.contains(&peer) {
            self.paused.insert(peer, now + BUSY_PAUSE);
        }
    }

    /// Never asks this peer again; whether that is new.
    pub(super) fn ban(&mut self, peer: PeerId) -> bool {
        let is_new = self.banned.insert(peer);
        if self.banned.len() > BANNED_MAX {
            self.banned.pop_first();
        }
        is_new
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let due = self.dues.first().map(|(due, _)| *due);
        due.into_iter().chain(self.paused.values().copied()).min()
    }

    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }
}
