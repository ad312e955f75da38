//! Blobs: bytes named by their hash, fetched in chunks from several members at once, each chunk proved by itself. Whom to ask
//! for which chunk, who is slow, who lies, and how much is told to whom. Not files, and not the answers.
//!
//! The hashing is BLAKE3's own, through the module of its crate that gives the hashes of subtrees. The crate bao-tree was
//! weighed: as fast, being built on the same, but 30 more crates (two unmaintained), and its decoder takes the size on trust.

mod chunks;
mod fetch;
mod fetcher;
mod interface;
mod outline;
mod serving;
#[cfg(test)]
mod tests;
pub mod wire;

pub use self::{
    chunks::{ChunkSet, Claim},
    fetcher::Fetcher,
    interface::{Action, FETCHES_MAX, Input, Progress, Question, Reply},
    outline::{Outline, OutlineBuilder},
    serving::{Served, Serving, ServingAction, ServingInput},
};
