//! What will happen, in order of virtual time. Events at the same time happen in the order in which they were planned, so
//! that equal seeds give equal runs.

use std::{cmp::Ordering, collections::BinaryHeap};

/// Microseconds of virtual time since the world began.
pub(crate) type Us = u64;

/// A second.
pub(crate) const SECOND: Us = 1_000_000;
/// A millisecond.
pub(crate) const MS: Us = 1_000;

#[derive(Debug)]
struct Planned<E> {
    at: Us,
    number: u64,
    event: E,
}

impl<E> Ord for Planned<E> {
    /// The earliest is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl<E> PartialOrd for Planned<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Planned<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<E> Eq for Planned<E> {}

#[derive(Debug)]
pub(crate) struct Queue<E> {
    planned: BinaryHeap<Planned<E>>,
    number: u64,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self {
            planned: BinaryHeap::new(),
            number: 0,
        }
    }
}

impl<E> Queue<E> {
    pub(crate) fn plan(&mut self, at: Us, event: E) {
        self.number += 1;
        let number = self.number;
        self.planned.push(Planned { at, number, event });
    }

    /// What happens next, if it happens by then.
    pub(crate) fn next_until(&mut self, until: Us) -> Option<(Us, E)> {
        self.planned.peek().filter(|planned| planned.at <= until)?;
        self.planned.pop().map(|planned| (planned.at, planned.event))
    }
}
