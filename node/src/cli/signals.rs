//! SIGINT and SIGTERM: the first asks a command to end cleanly, a second one ends it at once.

use tokio::sync::watch;

use super::exit::Failure;

/// Which signal asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// What service managers send.
    Terminate,
}

/// Tells whether the command was asked to end.
#[derive(Debug, Clone)]
pub(crate) struct Stop(watch::Receiver<Option<Signal>>);

impl Stop {
    /// Listens for signals from now on.
    pub(crate) fn install() -> Result<Self, Failure> {
        let mut signals =
            Signals::listen().map_err(|error| Failure::other(format!("cannot listen for signals: {error}")))?;
        let (sender, receiver) = watch::channel(None);
        tokio::spawn(async move {
            let first = signals.next().await;
            sender.send_replace(Some(first));
            signals.next().await;
            // Asked twice: whatever holds the clean end up does not matter any more.
            std::process::exit(i32::from(Failure::Interrupted(String::new()).code()));
        });
        Ok(Self(receiver))
    }

    /// Waits for the first signal. Cancel safe.
    pub(crate) async fn requested(&self) -> Signal {
        let mut receiver = self.0.clone();
        match receiver.wait_for(Option::is_some).await {
            Ok(signal) => signal.unwrap_or(Signal::Interrupt),
            // The listening task only ends with the process.
            Err(_) => std::future::pending().await,
        }
    }

    /// `future`'s output, unless a signal comes first.
    pub(crate) async fn or<T>(&self, future: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            _ = self.requested() => Err(Failure::Interrupted(String::new())),
            output = future => Ok(output),
        }
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> Signal {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Signal::Interrupt
    }
}
