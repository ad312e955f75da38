//! What a node keeps on this machine between runs: its data directory and its run file. Synchronous, for callers that
//! may block. Not history: no records are stored here.

mod data_dir;
mod files;
mod identity;
mod incarnations;
mod peer_cache;
mod run_file;

pub use self::{
    data_dir::{DataDir, DataDirError, PORTS_MAX},
    files::FileError,
    identity::IdentityError,
    incarnations::INCARNATIONS_MAX,
    run_file::{RUN_DIR_VARIABLE, RUN_FILE_MULTIADDRS_MAX, RUN_FILES_MAX, RunDir, RunFile},
};
