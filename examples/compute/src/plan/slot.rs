//! A replica of a task, and the lease key that stands for it.

use std::ops::RangeInclusive;

use crate::job::JobId;

/// One replica of one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot {
    pub(crate) job: JobId,
    pub(crate) task: u32,
    pub(crate) replica: u32,
}

impl Slot {
    /// All replicas of a task.
    pub(super) fn all_of(job: JobId, task: u32) -> RangeInclusive<Self> {
        let replica = |replica| Self { job, task, replica };
        replica(0)..=replica(u32::MAX)
    }

    /// The lease key: `job/task#replica`.
    pub(crate) fn key(&self) -> String {
        format!("{}/{}#{}", self.job, self.task, self.replica)
    }

    /// The replica that a lease key stands for, if it does.
    pub(crate) fn parse(key: &[u8]) -> Option<Self> {
        let (job, rest) = std::str::from_utf8(key).ok()?.split_once('/')?;
        let (task, replica) = rest.split_once('#')?;
        let slot = Self {
            job: job.parse().ok()?,
            task: task.parse().ok()?,
            replica: replica.parse().ok()?,
        };
        (slot.key().as_bytes() == key).then_some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written_and_not_otherwise() {
        let job = "0123456789abcdef".parse().unwrap();
        let slot = Slot {
            job,
            task: 7,
            replica: 2,
        };
        assert_eq!(Slot::parse(slot.key().as_bytes()), Some(slot));
        for key in [
            "",
            "0123456789abcdef/7",
            "0123456789abcdef/07#2",
            "0123456789abcdef/+7#2",
            "0123456789abcde/7#2",
            "x",
        ] {
            assert_eq!(Slot::parse(key.as_bytes()), None, "{key}");
        }
    }
}
