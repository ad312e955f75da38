//! What the others of a lease group say, for as long as it counts; and how members rank for a key.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use bytes::Bytes;
use libp2p::PeerId;

use super::past::Past;
use super::wire::{NUMBER_MAX, Statement};
use super::{Token, grace};

/// Members of one group that are remembered; those that say nothing any more make room for others.
pub const AUTHORS_MAX: usize = 256;

/// How members rank for the keys of one group: a rendezvous hash, the same wherever it is computed.
#[derive(Clone, Debug)]
pub struct Ranking(blake3::Hasher);

impl Ranking {
    /// The ranking of the group whose topic this is.
    #[must_use]
    pub fn new(topic: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("maille 1 lease rank");
        hasher.update(&(topic.len() as u64).to_be_bytes());
        hasher.update(topic.as_bytes());
        Self(hasher)
    }

    /// How much a member weighs for a key: the heaviest comes first.
    #[must_use]
    pub fn weight(&self, key: &[u8], member: &PeerId) -> u64 {
        let mut hasher = self.0.clone();
        hasher.update(&(key.len() as u64).to_be_bytes());
        hasher.update(key);
        hasher.update(&member.to_bytes());
        let first = *hasher.finalize().as_bytes().first_chunk().expect("a hash has 32 bytes");
        u64::from_be_bytes(first)
    }

    /// The token of a claim.
    #[must_use]
    pub fn token(&self, key: &[u8], number: u64, holder: PeerId) -> Token {
        let weight = self.weight(key, &holder);
        Token { number, weight, holder }
    }

    /// Members by their rank for a key, the first first.
    #[must_use]
    pub fn ranked(&self, key: &[u8], members: impl IntoIterator<Item = PeerId>) -> Vec<PeerId> {
        let mut weighed: Vec<_> = members
            .into_iter()
            .map(|member| (self.weight(key, &member), member))
            .collect();
        weighed.sort_unstable_by(|a, b| b.cmp(a));
        weighed.into_iter().map(|(_, member)| member).collect()
    }
}

#[derive(Debug)]
struct Author {
    /// Of the last record that counts.
    cursor: Option<(u64, u64)>,
    /// When it ends for us.
    until: Instant,
    offers: bool,
    claims: BTreeMap<Bytes, u64>,
    past: Past,
}

impl Author {
    fn end(&mut self) {
        self.claims.clear();
        self.offers = false;
    }

    fn is_live(&self) -> bool {
        self.offers || !self.claims.is_empty()
    }
}

/// The others.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) ranking: Ranking,
    authors: HashMap<PeerId, Author>,
}

impl Group {
    pub(super) fn new(ranking: Ranking) -> Self {
        let authors = HashMap::new();
        Self { ranking, authors }
    }

    /// Takes what a member says. Whether something is other than before.
    pub(super) fn hear(&mut self, author: PeerId, cursor: (u64, u64), said: Statement, now: Instant) -> bool {
        if !self.authors.contains_key(&author) && !self.make_room() {
            return false;
        }
        let known = self.authors.entry(author).or_insert_with(|| Author {
            cursor: None,
            until: now,
            offers: false,
            claims: BTreeMap::new(),
            past: Past::default(),
        });
        for (key, number) in said
            .claims
            .iter()
            .chain(said.ended.as_ref().map(|(key, number)| (key, number)))
        {
            known.past.note(key, *number);
        }
        if Some(cursor) <= known.cursor {
            return false;
        }
        known.cursor = Some(cursor);
        known.until = match said.leaves {
            true => now,
            false => now + said.lease + grace(said.lease),
        };
        let changed = known.claims != said.claims || known.offers != said.offers;
        known.claims = said.claims;
        known.offers = said.offers;
        changed
    }

    /// Room for one more author: one that says nothing any more goes, the longest silent first.
    fn make_room(&mut self) -> bool {
        if self.authors.len() < AUTHORS_MAX {
            return true;
        }
        let ended = self.authors.iter().filter(|(_, author)| !author.is_live());
        let oldest = ended
            .min_by_key(|(peer, author)| (author.until, **peer))
            .map(|(peer, _)| *peer);
        oldest.is_some_and(|oldest| self.authors.remove(&oldest).is_some())
    }

    /// This incarnation counts no more, nor any before it.
    pub(super) fn fork(&mut self, author: &PeerId, incarnation: u64) -> bool {
        let Some(known) = self.authors.get_mut(author) else {
            return false;
        };
        if known.cursor.is_some_and(|(last, _)| last > incarnation) {
            return false;
        }
        known.cursor = Some((incarnation, u64::MAX));
        let changed = known.is_live();
        known.end();
        changed
    }

    /// What has ended by now. Whether something has.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let mut changed = false;
        for author in self.authors.values_mut() {
            if author.until <= now && author.is_live() {
                author.end();
                changed = true;
            }
        }
        changed
    }

    /// When the next one ends, if it says nothing more.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let live = self.authors.values().filter(|author| author.is_live());
        live.map(|author| author.until).min()
    }

    /// The highest claim of a key among the others.
    pub(super) fn holder(&self, key: &Bytes) -> Option<Token> {
        let claims = self.authors.iter().filter_map(|(peer, author)| {
            let number = *author.claims.get(key)?;
            Some(self.ranking.token(key, number, *peer))
        });
        claims.max()
    }

    /// The number that a new claim of a key has.
    pub(super) fn next_number(&self, key: &Bytes, own: &Past) -> u64 {
        let others = self.authors.values().map(|author| author.past.highest(key));
        let highest = others.fold(own.highest(key), u64::max);
        // At the end of all numbers, ranks alone decide.
        highest.saturating_add(1).min(NUMBER_MAX)
    }

    #[cfg(test)]
    pub(super) fn authors(&self) -> usize {
        self.authors.len()
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.authors.values().map(|author| author.past.len()).sum()
    }

    /// Those who offered themselves.
    pub(super) fn offered(&self) -> impl Iterator<Item = PeerId> {
        let offer = |(peer, author): (&PeerId, &Author)| author.offers.then_some(*peer);
        self.authors.iter().filter_map(offer)
    }

    /// Every claim of the others.
    pub(super) fn claims(&self) -> impl Iterator<Item = (&Bytes, Token)> {
        self.authors.iter().flat_map(|(peer, author)| {
            let claims = author.claims.iter();
            claims.map(|(key, number)| (key, self.ranking.token(key, *number, *peer)))
        })
    }
}
