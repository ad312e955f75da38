//! Being asked to stop from outside. What is left to do then is the commands' own.

/// Resolves at Ctrl-C (SIGINT) or SIGTERM; never, if the system gives no signals.
#[cfg(unix)]
pub async fn requested() {
    use tokio::signal::unix::{SignalKind, signal};

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

/// Resolves at Ctrl-C; never, if the system gives no signals.
#[cfg(not(unix))]
pub async fn requested() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}
