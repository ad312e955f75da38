//! A connection whose closing ends: one to a machine that is gone takes no more bytes, and its last words would wait for
//! ever. Not a time limit on anything else.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use tokio::time::Sleep;

/// How long a connection's last words may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A multiplexed connection.
pub(super) struct Closing<M> {
    inner: M,
    give_up: Option<Pin<Box<Sleep>>>,
}

impl<M> Closing<M> {
    pub(super) fn new(inner: M) -> Self {
        Self { inner, give_up: None }
    }
}

impl<M: StreamMuxer + Unpin> StreamMuxer for Closing<M> {
    type Substream = M::Substream;
    type Error = M::Error;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Self::Substream, M::Error>> {
        Pin::new(&mut self.inner).poll_inbound(cx)
    }

    fn poll_outbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Self::Substream, M::Error>> {
        Pin::new(&mut self.inner).poll_outbound(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), M::Error>> {
        let this = &mut *self;
        if let Poll::Ready(closed) = Pin::new(&mut this.inner).poll_close(cx) {
            return Poll::Ready(closed);
        }
        let give_up = this
            .give_up
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(CLOSE_TIMEOUT)));
        give_up.as_mut().poll(cx).map(Ok)
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, M::Error>> {
        Pin::new(&mut self.inner).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Instant;

    use libp2p::core::transport::memory::Channel;

    use super::*;

    /// A connection to a machine that is gone: nothing happens on it, and no byte leaves.
    struct Dead;

    impl StreamMuxer for Dead {
        type Substream = Channel<Vec<u8>>;
        type Error = Infallible;

        fn poll_inbound(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<Self::Substream, Infallible>> {
            Poll::Pending
        }

        fn poll_outbound(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<Self::Substream, Infallible>> {
            Poll::Pending
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Pending
        }

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, Infallible>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_dead_connection_closes_all_the_same() {
        let mut closing = Closing::new(Dead);
        let started = Instant::now();
        let closed = std::future::poll_fn(|cx| Pin::new(&mut closing).poll_close(cx));
        tokio::time::timeout(10 * CLOSE_TIMEOUT, closed).await.unwrap().unwrap();
        assert!(started.elapsed() >= CLOSE_TIMEOUT, "it has its time");
    }
}
