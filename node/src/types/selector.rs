//! Which part of a topic's past is meant, in the words of those who hold it. Not where a subscriber begins: that is `Start`.

/// Which records of a topic's past are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Selector {
    /// All that are held.
    All,
    /// Those sent at or after this time: microseconds since the Unix epoch, by the publishers' clocks.
    Since(u64),
    /// The newest of the topic by sent time, this many.
    Last(u32),
}
