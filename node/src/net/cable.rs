//! A cable between two parts of an in-memory network that tests cut and mend. Not a simulation: it carries, or it does not.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::{AsyncRead, AsyncWrite, StreamExt};
use libp2p::Multiaddr;
use libp2p::core::ConnectedPoint;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;

/// A cable between two parts of an in-memory network. Cut, it ends every connection over it and fails every dial.
///
/// Clones are the same cable. Which connections run over it, each node is told: see [`NodeBuilder::cable`].
///
/// [`NodeBuilder::cable`]: crate::NodeBuilder::cable
#[derive(Clone, Debug)]
pub struct Cable {
    cut: watch::Sender<bool>,
}

impl Cable {
    /// A cable that carries.
    #[must_use]
    pub fn new() -> Self {
        Self {
            cut: watch::Sender::new(false),
        }
    }

    /// Ends every connection over it.
    pub fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// Lets connections be made again.
    pub fn mend(&self) {
        self.cut.send_replace(false);
    }
}

impl Default for Cable {
    fn default() -> Self {
        Self::new()
    }
}

/// A node's end of a cable.
#[derive(Clone)]
pub(crate) struct CableEnd {
    cable: Cable,
    is_beyond: Arc<dyn Fn(&Multiaddr) -> bool + Send + Sync>,
}

impl CableEnd {
    pub(crate) fn new(cable: &Cable, is_beyond: impl Fn(&Multiaddr) -> bool + Send + Sync + 'static) -> Self {
        Self {
            cable: cable.clone(),
            is_beyond: Arc::new(is_beyond),
        }
    }

    /// Of every connection one side is the dialler, whose end decides for both.
    pub(super) fn runs_over(&self, endpoint: &ConnectedPoint) -> bool {
        matches!(endpoint, ConnectedPoint::Dialer { address, .. } if (self.is_beyond)(address))
    }
}

impl fmt::Debug for CableEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cable.fmt(f)
    }
}

/// A byte stream that may run over a cable.
pub(super) struct Cabled<S> {
    inner: S,
    cuts: Option<WatchStream<bool>>,
    /// A cut ends the connection for good; mending allows the next one.
    ended: bool,
}

impl<S> Cabled<S> {
    pub(super) fn new(inner: S, end: Option<&CableEnd>, endpoint: &ConnectedPoint) -> Self {
        let over = end.filter(|end| end.runs_over(endpoint));
        Self {
            inner,
            cuts: over.map(|end| WatchStream::new(end.cable.cut.subscribe())),
            ended: false,
        }
    }

    fn carries(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while let Some(cuts) = &mut self.cuts {
            match cuts.poll_next_unpin(cx) {
                Poll::Ready(Some(cut)) => self.ended |= cut,
                Poll::Ready(None) => self.cuts = None,
                Poll::Pending => break,
            }
        }
        match self.ended {
            true => Err(io::ErrorKind::ConnectionReset.into()),
            false => Ok(()),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Cabled<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.carries(cx)?;
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Cabled<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.carries(cx)?;
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}
