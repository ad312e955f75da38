//! The newest record of every key, for a reader who is slower than what comes. Not where the records come from.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Keys that wait for the reader; and keys of which it is remembered what was read last.
pub const CONFLATED_KEYS_MAX: usize = 65_536;
/// Bytes that wait.
pub const CONFLATED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The place of a record among those of its key: its publisher's run, and its sequence number.
pub type Place = (u64, u64);

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It waits for the reader.
    Waits,
    /// One as new or newer waits or was read.
    Outdated,
    /// There is no room for one more key.
    Full,
}

#[derive(Debug)]
struct Waiting<V> {
    place: Place,
    value: V,
    bytes: usize,
}

/// Values by key; `bytes` is what a value counts.
#[derive(Debug)]
pub struct Conflation<K, V> {
    waiting: HashMap<K, Waiting<V>>,
    queue: VecDeque<K>,
    bytes: usize,
    /// What was read last, in two generations: the older one is forgotten when the younger one is full.
    read: HashMap<K, Place>,
    read_before: HashMap<K, Place>,
}

impl<K, V> Default for Conflation<K, V> {
    fn default() -> Self {
        Self {
            waiting: HashMap::new(),
            queue: VecDeque::new(),
            bytes: 0,
            read: HashMap::new(),
            read_before: HashMap::new(),
        }
    }
}

impl<K: Hash + Eq + Clone, V> Conflation<K, V> {
    /// Takes a value. One that waits keeps its turn and is replaced.
    pub fn push(&mut self, key: K, place: Place, value: V, bytes: usize) -> Pushed {
        let read = self.read.get(&key).or_else(|| self.read_before.get(&key));
        let known = self.waiting.get(&key).map(|waiting| waiting.place).or(read.copied());
        if known.is_some_and(|known| known >= place) {
            return Pushed::Outdated;
        }
        let replaced = self.waiting.get(&key).map_or(0, |waiting| waiting.bytes);
        let is_new = !self.waiting.contains_key(&key);
        if self.bytes - replaced + bytes > CONFLATED_BYTES_MAX || (is_new && self.queue.len() >= CONFLATED_KEYS_MAX) {
            return Pushed::Full;
        }
        self.bytes = self.bytes - replaced + bytes;
        if is_new {
            self.queue.push_back(key.clone());
        }
        self.waiting.insert(key, Waiting { place, value, bytes });
        Pushed::Waits
    }

    /// The value that waited longest for its turn.
    pub fn pop(&mut self) -> Option<V> {
        let key = self.queue.pop_front()?;
        let waiting = self.waiting.remove(&key)?;
        self.bytes -= waiting.bytes;
        if self.read.len() >= CONFLATED_KEYS_MAX {
            self.read_before = std::mem::take(&mut self.read);
        }
        self.read.insert(key, waiting.place);
        Some(waiting.value)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_gets_the_newest_of_each_key_in_the_order_of_their_first_change() {
        let mut prices = Conflation::default();
        for (key, sequence) in [("IBM", 1), ("GOOG", 2), ("IBM", 5), ("IBM", 4)] {
            prices.push(key, (1, sequence), sequence, 1);
        }
        assert_eq!((prices.pop(), prices.pop(), prices.pop()), (Some(5), Some(2), None));
        assert_eq!(prices.push("IBM", (1, 5), 5, 1), Pushed::Outdated, "read already");
        assert_eq!(prices.push("IBM", (1, 3), 3, 1), Pushed::Outdated, "late");
        assert_eq!(prices.push("IBM", (2, 0), 0, 1), Pushed::Waits, "a new run");
        assert_eq!((prices.pop(), prices.is_empty()), (Some(0), true));
    }

    #[test]
    fn it_is_bounded() {
        let mut prices = Conflation::default();
        for key in 0..CONFLATED_KEYS_MAX {
            assert_eq!(prices.push(key, (1, 1), key, 8), Pushed::Waits);
        }
        assert_eq!(prices.push(CONFLATED_KEYS_MAX, (1, 1), 0, 8), Pushed::Full);
        assert_eq!(prices.push(7, (1, 2), 7, 8), Pushed::Waits, "a known key has its place");
        assert_eq!(prices.bytes, 8 * CONFLATED_KEYS_MAX);
        assert_eq!(prices.push(7, (1, 3), 7, CONFLATED_BYTES_MAX), Pushed::Full);
        for round in 0..5 {
            while prices.pop().is_some() {}
            assert_eq!(prices.bytes, 0);
            for key in 0..CONFLATED_KEYS_MAX {
                prices.push(key + round * 1_000_000, (9, 9), key, 8);
            }
            assert!(prices.read.len() + prices.read_before.len() <= 2 * CONFLATED_KEYS_MAX);
        }
    }
}
