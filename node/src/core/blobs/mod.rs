//! Blobs: bytes named by their hash, fetched in chunks from several members at once, each chunk proved by itself. Whom to ask
//! for which chunk, who is slow, who lies, and how much is told to whom. Not files, and not the answers.
//!
//! The hashing is BLAKE3's own, through the module of its crate that gives the hashes of subtrees. The crate bao-tree, which is
//! built on the same, would bring about 30 crates more.

mod fetch;
mod fetcher;
mod interface;
mod serving;
#[cfg(test)]
mod tests;
pub mod wire;

pub use self::{
    fetcher::Fetcher,
    interface::{Action, FETCHES_MAX, Input, Progress, Question, Reply},
    serving::{Served, Serving, ServingAction, ServingInput},
};
pub use crate::types::{ChunkSet, Claim, Outline, OutlineBuilder};
