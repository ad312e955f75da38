//! What is simulated: how many nodes, for how long, and which hardships at which times. Not how it is done.

use std::ops::Range;
use std::time::Duration;

/// A second of the simulation's time.
const SECOND: Duration = Duration::from_secs(1);

/// One run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Members at the same time: publishers and subscribers. Two helpers come on top.
    pub(crate) nodes: usize,
    pub(crate) publishers: usize,
    /// Without hardships.
    pub(crate) calm: bool,
}

impl Plan {
    /// Between two nodes that start.
    pub(crate) const START_INTERVAL: Duration = Duration::from_millis(100);
    /// Between two records of one publisher, on average.
    pub(crate) const PUBLISH_INTERVAL: Duration = SECOND;
    /// When publishers begin to publish, after the last start.
    pub(crate) const FIRST_RECORD: Duration = Duration::from_secs(10);
    /// When they stop.
    pub(crate) const LAST_RECORD: Duration = Duration::from_secs(220);
    /// While members come and go.
    pub(crate) const CHURN: Range<Duration> = Duration::from_secs(15)..Duration::from_secs(200);
    /// The share of the members that leave in a minute, and are replaced.
    pub(crate) const CHURN_PER_MIN: f64 = 0.1;
    /// While half of the network is parted from the other half.
    pub(crate) const PARTITION: Range<Duration> = Duration::from_secs(80)..Duration::from_secs(140);
    /// When one publisher leaves.
    pub(crate) const PUBLISHER_LEAVES: Duration = Duration::from_secs(150);
    /// How long it is away until it is back as another run.
    pub(crate) const PUBLISHER_AWAY: Duration = Duration::from_secs(10);
    /// When everybody must have everything.
    pub(crate) const END: Duration = Duration::from_secs(300);
    /// From when on a subscriber that began with *now* must hear everything, after it began.
    pub(crate) const SETTLED: Duration = Duration::from_secs(20);
    /// How long a newcomer looks for a neighbour before it subscribes.
    pub(crate) const MEETING: Duration = Duration::from_secs(60);
}
