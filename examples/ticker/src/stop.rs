//! Being asked to stop from outside. What is left to do then is the commands' own.

use tokio::signal::unix::{SignalKind, signal};

/// Resolves at SIGINT or SIGTERM; never, if the system gives no signals.
pub(crate) async fn requested() {
    let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    match (interrupt, terminate) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        _ => std::future::pending().await,
    }
}
