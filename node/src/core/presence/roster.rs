//! Who is in the mesh, as far as this node knows; who was, so that old announcements bring nobody back; what is compared
//! with neighbours. Not how it is learned.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use bytes::Bytes;
use libp2p::PeerId;
use maille_proto::{HASH_BYTES, SUMMARY_MEMBERS_MAX, control::Summary};
use rand::{rngs::StdRng, seq::IteratorRandom};

use super::statement::{Announced, Doubted, Key, short};
use crate::types::Profile;

/// Other members in the list; beyond, neighbours push out others.
pub const MEMBERS_MAX: usize = 256;
/// Members that left or failed and are remembered, so that what they once said does not bring them back.
pub const GONE_MAX: usize = 512;
/// Doubts of one member that are kept, told, and shown to whoever still lists it.
pub const DOUBTS_MAX: usize = 3;
/// Voices that make a doubt, beside a link of this node's own that failed.
pub const VOICES_MIN: usize = 2;
/// What a member in doubt has to refute it.
pub const REFUTE_WAIT: Duration = Duration::from_millis(1_500);
/// The same where only one other member doubts it: time for a second voice, and for a refutation from far away.
pub const LONE_WAIT: Duration = Duration::from_secs(10);
/// Announcements that a member may miss before its silence is a doubt.
const MISSED_MAX: u32 = 3;
/// How long after one could not be listed the list is called incomplete.
const INCOMPLETE_FOR: Duration = Duration::from_secs(60);
/// What registers are hashed for.
const REGISTER_CONTEXT: &str = "maille 1 register";

/// Whether a member is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Here,
    /// It may not be; `own`: a link of this node's own failed.
    Doubted {
        since: Instant,
        own: bool,
    },
    Gone {
        at: Instant,
    },
}

/// A profile that is looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Want {
    pub(super) at: Instant,
    pub(super) tries: u32,
}

/// One member.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) peer: PeerId,
    pub(super) said: Announced,
    pub(super) standing: Standing,
    pub(super) heard_at: Instant,
    pub(super) doubts: Vec<Doubted>,
    /// As it travelled, and as it reads: nothing for bytes that are no profile.
    pub(super) profile: Option<(Bytes, Profile)>,
    pub(super) want: Option<Want>,
    /// Neighbours that wait for its profile; as many as there are.
    pub(super) waiting: BTreeSet<PeerId>,
}

impl Entry {
    pub(super) fn is_here(&self) -> bool {
        !matches!(self.standing, Standing::Gone { .. })
    }

    /// When it is in doubt for silence, or gone for a doubt.
    pub(super) fn due_at(&self) -> Option<Instant> {
        match self.standing {
            Standing::Here => Some(self.heard_at + self.said.again * MISSED_MAX),
            Standing::Doubted { since, own } => {
                let is_confirmed = own || self.doubts.len() >= VOICES_MIN;
                Some(since + if is_confirmed { REFUTE_WAIT } else { LONE_WAIT })
            }
            Standing::Gone { .. } => None,
        }
    }

    /// One more voice.
    pub(super) fn doubt(&mut self, doubt: Doubted, own: bool, now: Instant) {
        let (since, was_own) = match self.standing {
            Standing::Doubted { since, own } => (since, own),
            _ => (now, false),
        };
        let own = own || was_own;
        self.standing = Standing::Doubted { since, own };
        self.doubts.truncate(DOUBTS_MAX - 1);
        self.doubts.push(doubt);
    }

    fn forget(&mut self, now: Instant) {
        self.standing = Standing::Gone { at: now };
        (self.profile, self.want) = (None, None);
        self.waiting.clear();
    }
}

/// What an announcement changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Joined,
    Updated,
    Left,
    /// It was gone before it was heard of, or long since.
    Remembered,
}

/// All members but this node itself.
#[derive(Debug, Default)]
pub(super) struct Roster {
    entries: BTreeMap<Key, Entry>,
    here: usize,
    /// When a member was last met for whom there was no room.
    overflowed_at: Option<Instant>,
}

impl Roster {
    pub(super) fn get(&self, key: &Key) -> Option<&Entry> {
        self.entries.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &Key) -> Option<&mut Entry> {
        self.entries.get_mut(key)
    }

    /// Those that are there.
    pub(super) fn here(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        self.entries.iter().filter(|(_, entry)| entry.is_here())
    }

    pub(super) fn here_mut(&mut self) -> impl Iterator<Item = (&Key, &mut Entry)> {
        self.entries.iter_mut().filter(|(_, entry)| entry.is_here())
    }

    pub(super) fn is_here(&self, key: &Key) -> bool {
        self.entries.get(key).is_some_and(Entry::is_here)
    }

    pub(super) fn count(&self) -> usize {
        self.here
    }

    pub(super) fn is_full(&self) -> bool {
        self.here >= MEMBERS_MAX
    }

    pub(super) fn is_complete(&self) -> bool {
        self.overflowed_at.is_none()
    }

    /// There is somebody who is not listed; true if that is news.
    pub(super) fn overflowed(&mut self, now: Instant) -> bool {
        self.overflowed_at.replace(now).is_none()
    }

    /// True if the list became complete.
    pub(super) fn settle(&mut self, now: Instant) -> bool {
        let settled = self.complete_at().is_some_and(|at| at <= now);
        if settled {
            self.overflowed_at = None;
        }
        settled
    }

    pub(super) fn complete_at(&self) -> Option<Instant> {
        Some(self.overflowed_at? + INCOMPLETE_FOR)
    }

    /// Takes what a member said, which is newer than what is known, and checked; room was made.
    pub(super) fn take(&mut self, peer: PeerId, said: Announced, now: Instant) -> Change {
        let before = self.entries.remove(&said.key);
        let was_here = before.as_ref().is_some_and(Entry::is_here);
        let is_here = !said.left;
        let known = before.filter(|entry| entry.said.introduction == said.introduction);
        let key = said.key;
        let mut entry = Entry {
            peer,
            standing: Standing::Here,
            heard_at: now,
            doubts: Vec::new(),
            profile: said.introduction.is_none().then(Default::default),
            want: None,
            waiting: BTreeSet::new(),
            said,
        };
        if let Some(known) = known {
            (entry.profile, entry.want, entry.waiting) = (known.profile.or(entry.profile), known.want, known.waiting);
        }
        if !is_here {
            entry.forget(now);
        }
        self.entries.insert(key, entry);
        self.here = self.here - usize::from(was_here) + usize::from(is_here);
        self.bound_gone();
        match (was_here, is_here) {
            (false, true) => Change::Joined,
            (true, true) => Change::Updated,
            (true, false) => Change::Left,
            (false, false) => Change::Remembered,
        }
    }

    /// A member is gone that did not say so.
    pub(super) fn failed(&mut self, key: &Key, now: Instant) -> Option<PeerId> {
        let entry = self.entries.get_mut(key).filter(|entry| entry.is_here())?;
        entry.forget(now);
        let peer = entry.peer;
        self.here -= 1;
        self.bound_gone();
        Some(peer)
    }

    /// Forgets a random member that may be forgotten, to make room.
    pub(super) fn push_out(&mut self, may_go: impl Fn(&PeerId) -> bool, rng: &mut StdRng) -> bool {
        let candidates = self.here().filter(|(_, entry)| may_go(&entry.peer));
        let Some(key) = candidates.map(|(key, _)| *key).choose(rng) else {
            return false;
        };
        self.entries.remove(&key);
        self.here -= 1;
        true
    }

    /// Those that are gone and not forgotten.
    pub(super) fn remembered(&self) -> usize {
        self.entries.len() - self.here
    }

    fn bound_gone(&mut self) {
        if self.remembered() <= GONE_MAX {
            return;
        }
        let gone = self.entries.iter().filter_map(|(key, entry)| match entry.standing {
            Standing::Gone { at } => Some((at, *key)),
            _ => None,
        });
        if let Some((_, oldest)) = gone.min() {
            self.entries.remove(&oldest);
        }
    }

    /// Who waits for a profile with this hash, or lacks it.
    pub(super) fn with_introduction(&mut self, hash: [u8; HASH_BYTES]) -> impl Iterator<Item = &mut Entry> {
        let same = move |entry: &&mut Entry| entry.is_here() && entry.said.introduction == Some(hash);
        self.entries.values_mut().filter(same)
    }

    /// This node's knowledge in 8 bytes; `own` is what it says itself.
    pub(super) fn register(&self, own: &Announced) -> u64 {
        let mut members: BTreeMap<&Key, u64> = self.here().map(|(key, entry)| (key, entry.said.version)).collect();
        members.insert(&own.key, own.version);
        let mut hasher = blake3::Hasher::new_derive_key(REGISTER_CONTEXT);
        for (key, version) in members {
            hasher.update(key);
            hasher.update(&version.to_be_bytes());
        }
        short(hasher.finalize().as_bytes())
    }

    /// The same, member by member.
    pub(super) fn summary(&self, own: &Announced, question: bool) -> Summary {
        let here = self.here().map(|(_, entry)| &entry.said).chain([own]);
        let (members, versions) = here.map(|said| (short(&said.key), said.version)).unzip();
        Summary {
            members,
            versions,
            question,
        }
    }

    /// What a neighbour with this summary should hear: announcements, and doubts of those it still lists. And whether it
    /// lists somebody who is not known here.
    pub(super) fn compare(&self, summary: &Summary, own: &Announced) -> (Vec<Bytes>, Vec<Bytes>, bool) {
        let theirs: BTreeMap<u64, u64> = summary
            .members
            .iter()
            .copied()
            .zip(summary.versions.iter().copied())
            .collect();
        let is_full = theirs.len() >= SUMMARY_MEMBERS_MAX;
        let (mut announcements, mut doubts) = (Vec::new(), Vec::new());
        let mut known = BTreeSet::from([short(&own.key)]);
        if theirs
            .get(&short(&own.key))
            .is_none_or(|version| *version < own.version)
        {
            announcements.push(own.wire.clone());
        }
        for (key, entry) in &self.entries {
            let id = short(key);
            known.insert(id);
            let lacks = match theirs.get(&id) {
                Some(version) => *version < entry.said.version || (*version == entry.said.version && !entry.is_here()),
                None => entry.is_here() && !is_full,
            };
            if lacks {
                announcements.push(entry.said.wire.clone());
                doubts.extend(entry.doubts.iter().map(|doubt| doubt.wire.clone()));
            }
        }
        let has_more = theirs.keys().any(|id| !known.contains(id));
        (announcements, doubts, has_more)
    }
}
