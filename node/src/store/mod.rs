//! What a node keeps: between runs its data directory and its run file, and history, in memory or in files. Synchronous,
//! for callers that may block; what is kept of a stream is bytes here, whose signatures were checked before.

mod blobs;
mod data_dir;
#[cfg(feature = "documents")]
mod document;
#[cfg(any(test, feature = "test-util"))]
mod faulty;
mod files;
mod history;
mod identity;
mod incarnations;
mod log;
mod peer_cache;
mod ring;
mod run_file;
mod select;
#[cfg(test)]
mod testing;
mod writer;

#[cfg(feature = "documents")]
pub use self::document::{DocumentEntry, DocumentFile};
#[cfg(any(test, feature = "test-util"))]
pub use self::faulty::{Fault, Faults, Faulty};
pub use self::{
    blobs::{BlobInfo, BlobLimits, BlobStore, BlobStoreError, Found, HashesAndLast, Hold, Opened, Put},
    data_dir::{DataDir, DataDirError, PORTS_MAX},
    files::FileError,
    history::{Held, Kept, SPANS_MAX, Store, StoreError},
    identity::IdentityError,
    incarnations::INCARNATIONS_MAX,
    log::{LOG_BYTES_MIN, Log, LogLimits},
    ring::{Budget, NODE_BYTES_MAX, Ring, RingLimits, TOPICS_MAX},
    run_file::{RUN_DIR_VARIABLE, RUN_FILE_MULTIADDRS_MAX, RUN_FILES_MAX, RunDir, RunFile},
    writer::{
        Answer, AppendError, COMMIT_EVERY, COMMIT_FRAMES_MAX, LogHandle, LogOutcomes, Outcome, QUESTIONS_MAX,
        QUEUE_BYTES_MAX, QUEUE_FRAMES_MAX, spawn,
    },
};
