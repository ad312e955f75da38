//! Which part of a topic's history is asked for. Not where a subscriber starts: that is for a subscriber to say.

/// A part of a topic's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selector {
    /// Everything that is held.
    All,
    /// What was sent at or after a time: microseconds since the Unix epoch.
    Since(u64),
    /// The newest records of the topic, so many, by the times they were sent.
    Last(u32),
}
