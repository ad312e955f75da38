//! A map of peers that forgets the one unused for longest when it is full. Not a cache: what it forgets is handed back.

use std::collections::BTreeMap;

use libp2p::PeerId;

/// Ordered by peer, so that equal inputs give equal runs in a simulation.
#[derive(Debug)]
pub(super) struct Lru<V> {
    entries: BTreeMap<PeerId, Entry<V>>,
    entries_max: usize,
    uses: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    used: u64,
}

impl<V> Lru<V> {
    pub(super) fn new(entries_max: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            entries_max,
            uses: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&PeerId, &V)> {
        self.entries.iter().map(|(peer, entry)| (peer, &entry.value))
    }

    /// Without counting as a use.
    pub(super) fn peek(&self, peer: &PeerId) -> Option<&V> {
        self.entries.get(peer).map(|entry| &entry.value)
    }

    /// Without counting as a use.
    pub(super) fn peek_mut(&mut self, peer: &PeerId) -> Option<&mut V> {
        self.entries.get_mut(peer).map(|entry| &mut entry.value)
    }

    /// Counts as a use.
    pub(super) fn touch(&mut self, peer: &PeerId) -> Option<&mut V> {
        self.uses += 1;
        let entry = self.entries.get_mut(peer)?;
        entry.used = self.uses;
        Some(&mut entry.value)
    }

    /// Counts as a use. What had to go for it, or was there before, is returned.
    pub(super) fn insert(&mut self, peer: PeerId, value: V) -> Option<(PeerId, V)> {
        self.uses += 1;
        let used = self.uses;
        if let Some(before) = self.entries.insert(peer, Entry { value, used }) {
            return Some((peer, before.value));
        }
        if self.entries.len() <= self.entries_max {
            return None;
        }
        // A scan is dearer than a second index, but happens only when newcomers meet a full map, which is rationed.
        let oldest = *self.entries.iter().min_by_key(|(_, entry)| entry.used)?.0;
        self.entries.remove(&oldest).map(|entry| (oldest, entry.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::stream::testing::peer;

    #[test]
    fn the_one_unused_for_longest_goes() {
        let mut lru = Lru::new(2);
        assert_eq!(lru.insert(peer(1), 'a'), None);
        assert_eq!(lru.insert(peer(2), 'b'), None);
        assert_eq!(lru.touch(&peer(1)), Some(&mut 'a'));
        assert_eq!(lru.peek(&peer(2)), Some(&'b'));
        assert_eq!(lru.insert(peer(3), 'c'), Some((peer(2), 'b')), "a look is not a use");
        assert_eq!(lru.len(), 2);
        assert_eq!(lru.insert(peer(3), 'd'), Some((peer(3), 'c')));
        assert_eq!(lru.touch(&peer(2)), None);
    }
}
