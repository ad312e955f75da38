//! A subscriber's start in the words of this machine, and where each run begins for it. Not what is there.

use super::Run;
use crate::types::{Position, Start, unix_us};

/// A start in numbers.
#[derive(Debug)]
pub(super) enum Wanted {
    All,
    Since(u64),
    After(Position),
    Last(u32),
    Latest,
    Nothing,
}

impl From<Start> for Wanted {
    fn from(start: Start) -> Self {
        match start {
            Start::All => Self::All,
            Start::Since(time) => Self::Since(unix_us(time)),
            Start::After(position) => Self::After(position),
            Start::Last(0) | Start::Now => Self::Nothing,
            Start::Last(records) => Self::Last(records.min(Start::LAST_MAX)),
            Start::Latest => Self::Latest,
        }
    }
}

impl Wanted {
    /// Where a run begins that is held from `selected` on; `None` if it is not wanted at all.
    pub(super) fn first_of(&self, run: Run, selected: u64) -> Option<u64> {
        let Self::After(position) = self else {
            return Some(selected);
        };
        match position.next(&run.publisher) {
            None => Some(selected),
            Some(next) if next.incarnation == run.incarnation => Some(next.sequence),
            Some(next) if next.incarnation < run.incarnation => Some(0),
            Some(_) => None,
        }
    }

    /// Whether the beginning of the run is missed if it is missing.
    pub(super) fn resumes(&self, run: Run) -> bool {
        matches!(self, Self::After(position) if position.next(&run.publisher).is_some())
    }
}
