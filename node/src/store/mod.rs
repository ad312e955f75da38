//! What a node keeps: between runs its data directory and its run file, and history, in memory or in files. Synchronous,
//! for callers that may block; what is kept of a stream is bytes here, whose signatures were checked before.

mod data_dir;
mod files;
mod history;
mod identity;
mod incarnations;
mod peer_cache;
mod ring;
mod run_file;
mod select;
#[cfg(test)]
mod testing;

pub use self::{
    data_dir::{DataDir, DataDirError, PORTS_MAX},
    files::FileError,
    history::{Held, Kept, Store, StoreError},
    identity::IdentityError,
    incarnations::INCARNATIONS_MAX,
    ring::{Budget, NODE_BYTES_MAX, Ring, RingLimits, TOPICS_MAX},
    run_file::{RUN_DIR_VARIABLE, RUN_FILE_MULTIADDRS_MAX, RUN_FILES_MAX, RunDir, RunFile},
};
