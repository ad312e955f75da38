//! Many nodes in one process: meshes side by side, crowds, partitions, newcomers, and what streams promise.

mod blobs;
mod crowds;
mod documents;
mod groups;
mod handles;
mod history;
mod leases;
mod lockstep;
mod newcomers;
mod open_meshes;
mod partition;
mod presence;
mod quic;
mod request_limits;
mod requests;
mod slow_readers;
mod streams;
