//! Work that takes long, away from the loop: on threads that may block. With the feature `simulation` there is one thread only,
//! and the work is done where it stands: when threads end depends on the machine. Not a queue: who spawns bounds.

use tokio::task::{JoinError, JoinSet};

/// Does work aside, and waits for it.
#[cfg(not(feature = "simulation"))]
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    tokio::task::spawn_blocking(work).await
}

/// Does work in its place.
#[cfg(feature = "simulation")]
#[expect(clippy::unused_async, reason = "the same shape as with threads")]
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    Ok(work())
}

/// Has work done aside; its result is one of the jobs'.
pub(super) fn spawn<T: Send + 'static>(jobs: &mut JoinSet<T>, work: impl FnOnce() -> T + Send + 'static) {
    #[cfg(not(feature = "simulation"))]
    jobs.spawn_blocking(work);
    #[cfg(feature = "simulation")]
    jobs.spawn(async move { work() });
}
