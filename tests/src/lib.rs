//! What maille's tests share: nodes, processes, conditions with a deadline, a search for secrets, and real ticks. No test of its own.

pub mod nodes;
pub mod processes;
pub mod search;
pub mod stranger;
pub mod ticks;
