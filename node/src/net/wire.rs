//! What an application's own tests put between a node and the in-memory network: a network of theirs, with delay and loss.

use std::fmt;
use std::sync::Arc;

use futures::{AsyncRead, AsyncWrite};
use libp2p::Multiaddr;
use libp2p::core::ConnectedPoint;

/// A byte stream between two nodes of an in-memory network.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

type Through = dyn Fn(Box<dyn ByteStream>, &Multiaddr) -> Box<dyn ByteStream> + Send + Sync;

/// What the byte streams that a node dialled run through.
#[derive(Clone)]
pub(crate) struct Wire(Arc<Through>);

impl Wire {
    pub(crate) fn new(
        through: impl Fn(Box<dyn ByteStream>, &Multiaddr) -> Box<dyn ByteStream> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(through))
    }

    /// Of every connection one side is the dialler, whose wire carries both ways.
    pub(super) fn carry(
        wire: Option<&Self>,
        stream: Box<dyn ByteStream>,
        endpoint: &ConnectedPoint,
    ) -> Box<dyn ByteStream> {
        match (wire, endpoint) {
            (Some(Self(through)), ConnectedPoint::Dialer { address, .. }) => through(stream, address),
            _ => stream,
        }
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire(..)")
    }
}
