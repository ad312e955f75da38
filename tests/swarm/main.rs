//! Many nodes in one process: meshes side by side, crowds, partitions, newcomers, and what streams promise.

mod groups;
mod handles;
mod open_meshes;
mod quic;
mod slow_readers;
mod streams;
