//! `futures_timer` on tokio's timers: the same interface, without the thread of its own that the real one keeps time with.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A future that is ready after a time.
pub struct Delay {
    due: Instant,
    /// Made when first polled: only then it is sure to be inside a runtime.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Delay {
    /// Ready this long from now.
    #[must_use]
    pub fn new(after: Duration) -> Self {
        Self {
            due: Instant::now() + after,
            sleep: None,
        }
    }

    /// Ready this long from now instead.
    pub fn reset(&mut self, after: Duration) {
        self.due = Instant::now() + after;
        if let Some(sleep) = &mut self.sleep {
            sleep.as_mut().reset(self.due);
        }
    }
}

impl Future for Delay {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let due = self.due;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
        sleep.as_mut().poll(cx)
    }
}

impl fmt::Debug for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delay").field("due", &self.due).finish_non_exhaustive()
    }
}
