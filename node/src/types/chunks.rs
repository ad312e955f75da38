//! Which chunks of a blob are held: by this node, or as a member says. Not the chunks.

use maille_proto::BLOB_CHUNKS_MAX;

const WORD_BITS: u32 = u64::BITS;

/// Some of a blob's chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkSet {
    words: Vec<u64>,
    chunks: u32,
    held: u32,
}

impl ChunkSet {
    /// None of so many.
    ///
    /// # Panics
    /// If there are more than a blob has.
    #[must_use]
    pub fn none(chunks: u32) -> Self {
        assert!(chunks as usize <= BLOB_CHUNKS_MAX, "outlines are checked");
        Self {
            words: vec![0; chunks.div_ceil(WORD_BITS) as usize],
            chunks,
            held: 0,
        }
    }

    /// All of so many.
    #[must_use]
    pub fn all(chunks: u32) -> Self {
        let mut set = Self::none(chunks);
        for index in 0..chunks {
            set.insert(index);
        }
        set
    }

    /// How many chunks the blob has.
    #[must_use]
    pub fn chunks(&self) -> u32 {
        self.chunks
    }

    /// How many are in the set.
    #[must_use]
    pub fn held(&self) -> u32 {
        self.held
    }

    /// Whether all are.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.held == self.chunks
    }

    /// Whether this one is.
    #[must_use]
    pub fn contains(&self, index: u32) -> bool {
        let word = self.words.get((index / WORD_BITS) as usize);
        word.is_some_and(|word| word >> (index % WORD_BITS) & 1 == 1)
    }

    /// Puts one in; whether it was not there.
    pub fn insert(&mut self, index: u32) -> bool {
        let is_new = index < self.chunks && !self.contains(index);
        if is_new {
            self.words[(index / WORD_BITS) as usize] |= 1 << (index % WORD_BITS);
            self.held += 1;
        }
        is_new
    }

    /// Takes one out; whether it was there.
    pub fn remove(&mut self, index: u32) -> bool {
        let was_there = self.contains(index);
        if was_there {
            self.words[(index / WORD_BITS) as usize] &= !(1 << (index % WORD_BITS));
            self.held -= 1;
        }
        was_there
    }

    /// Those that are not in it, ascending, from this one on and then from the first.
    pub fn missing_from(&self, start: u32) -> impl Iterator<Item = u32> + '_ {
        (start..self.chunks)
            .chain(0..start.min(self.chunks))
            .filter(|index| !self.contains(*index))
    }

    /// The set as members are told it: empty if it is full.
    #[must_use]
    pub fn to_claim(&self) -> Claim {
        if self.is_full() {
            return Claim::All;
        }
        let bytes = self.words.iter().flat_map(|word| word.to_le_bytes());
        let mut bytes: Vec<u8> = bytes.collect();
        bytes.truncate(self.chunks.div_ceil(u8::BITS) as usize);
        Claim::Some(bytes)
    }
}

/// Which chunks a member says it holds; of a blob whose size may not be known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// All.
    All,
    /// Those whose bit is set, from the lowest of the first byte.
    Some(Vec<u8>),
}

impl Claim {
    /// Whether it says so of this chunk.
    #[must_use]
    pub fn contains(&self, index: u32) -> bool {
        match self {
            Self::All => true,
            Self::Some(bytes) => {
                let byte = bytes.get((index / u8::BITS) as usize);
                byte.is_some_and(|byte| byte >> (index % u8::BITS) & 1 == 1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_set_is_a_set(chunks in 1_u32..300, changes in prop::collection::vec((any::<bool>(), 0_u32..320), 0..200), start in 0_u32..320) {
            let (mut set, mut model) = (ChunkSet::none(chunks), BTreeSet::new());
            for (insert, index) in changes {
                if insert {
                    prop_assert_eq!(set.insert(index), index < chunks && model.insert(index));
                } else {
                    prop_assert_eq!(set.remove(index), model.remove(&index));
                }
            }
            prop_assert_eq!(set.held() as usize, model.len());
            prop_assert_eq!(set.is_full(), model.len() == chunks as usize);
            let claim = set.to_claim();
            for index in 0..chunks {
                prop_assert_eq!(set.contains(index), model.contains(&index));
                prop_assert_eq!(claim.contains(index), model.contains(&index));
            }
            let missing: BTreeSet<u32> = set.missing_from(start).collect();
            prop_assert_eq!(missing.len() + model.len(), chunks as usize);
            prop_assert!(missing.is_disjoint(&model));
        }
    }

    #[test]
    fn the_full_set_is_told_as_nothing() {
        assert_eq!(ChunkSet::all(9).to_claim(), Claim::All);
        let mut set = ChunkSet::all(9);
        set.remove(8);
        assert_eq!(set.to_claim(), Claim::Some(vec![0xff, 0]));
        assert!(!Claim::Some(vec![0xff, 0]).contains(u32::MAX));
    }
}
