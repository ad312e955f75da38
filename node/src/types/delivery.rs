//! What a subscriber wants of order and completeness. Not how it is kept.

/// What suits a subscriber's data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Delivery {
    /// Each publisher's records in order, each once. What is missing is waited for and fetched from any member; what
    /// cannot be had is a gap.
    #[default]
    Ordered,
    /// The newest record of each publisher and key; records without a key replace each other. Never waits, and a slow
    /// reader skips what is outdated: prices, positions, scores.
    Conflated,
    /// Each record as it arrives, in whatever order, without those that have expired: games.
    Immediate,
}
