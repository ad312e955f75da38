//! The transports under a node: TCP with Noise and Yamux, QUIC, names over DNS, and memory for tests. All bytes counted.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::prelude::*;
use libp2p::core::muxing::{StreamMuxer, StreamMuxerBox, StreamMuxerEvent};
use libp2p::core::transport::Boxed;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::{PeerId, Transport, dns, noise, quic, tcp, yamux};

use super::Setup;
use super::closing::Closing;
use crate::metrics::Counters;

/// How long a connection may take from the first packet to an authenticated, multiplexed one.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);

type Connections = Boxed<(PeerId, StreamMuxerBox)>;

/// All transports of a node.
///
/// # Errors
/// What Noise said of the key: it cannot happen with an Ed25519 one.
pub(super) fn build(setup: &Setup, counters: &Arc<Counters>) -> Result<Connections, noise::Error> {
    let key = &setup.key;
    let named = match dns::tokio::Transport::system(direct(key, counters)?) {
        Ok(named) => named.boxed(),
        // A machine without resolver configuration still reaches multiaddrs that need none.
        Err(error) => {
            tracing::warn!(%error, "no DNS resolver is configured: multiaddrs with names cannot be dialled");
            direct(key, counters)?
        }
    };
    with_memory(named, setup, counters)
}

fn direct(key: &Keypair, counters: &Arc<Counters>) -> Result<Connections, noise::Error> {
    let tcp = secure(
        tcp::tokio::Transport::new(tcp::Config::new().nodelay(true)),
        key,
        counters,
    )?;
    let counters = counters.clone();
    let quic = quic::tokio::Transport::new(quic::Config::new(key)).map(move |(peer, connection), _| {
        (
            peer,
            StreamMuxerBox::new(CountedMuxer {
                inner: connection,
                counters: counters.clone(),
            }),
        )
    });
    Ok(quic.or_transport(tcp).map(|either, _| either.into_inner()).boxed())
}

#[cfg(feature = "test-util")]
fn with_memory(named: Connections, setup: &Setup, counters: &Arc<Counters>) -> Result<Connections, noise::Error> {
    use super::cable::Cabled;
    use super::wire::Wire;

    let (cable, wire) = (setup.cable.clone(), setup.wire.clone());
    let memory = libp2p::core::transport::MemoryTransport::default().map(move |channel, endpoint| {
        let cabled = Cabled::new(channel, cable.as_ref(), &endpoint);
        Wire::carry(wire.as_ref(), Box::new(cabled), &endpoint)
    });
    let memory = secure(memory, &setup.key, counters)?;
    Ok(memory.or_transport(named).map(|either, _| either.into_inner()).boxed())
}

#[cfg(not(feature = "test-util"))]
#[expect(clippy::unnecessary_wraps, reason = "the same shape as with the memory transport")]
fn with_memory(named: Connections, _: &Setup, _: &Arc<Counters>) -> Result<Connections, noise::Error> {
    Ok(named)
}

/// Noise and Yamux over byte streams.
fn secure<T>(transport: T, key: &Keypair, counters: &Arc<Counters>) -> Result<Connections, noise::Error>
where
    T: Transport + Send + Unpin + 'static,
    T::Output: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    T::Error: Send + Sync,
    T::Dial: Send,
    T::ListenerUpgrade: Send,
{
    let counters = counters.clone();
    let transport = transport
        .map(move |inner, _| Counted {
            inner,
            counters: counters.clone(),
        })
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(key)?)
        .multiplex(yamux::Config::default())
        .timeout(UPGRADE_TIMEOUT)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(Closing::new(muxer))));
    Ok(transport.boxed())
}

/// A byte stream that is counted.
struct Counted<S> {
    inner: S,
    counters: Arc<Counters>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = std::task::ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        self.counters.bytes_received.add(read as u64);
        Poll::Ready(Ok(read))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = std::task::ready!(Pin::new(&mut self.inner).poll_write(cx, buf))?;
        self.counters.bytes_sent.add(written as u64);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

/// A multiplexed connection whose streams are counted: of QUIC, encryption and packets are out of reach.
struct CountedMuxer<M> {
    inner: M,
    counters: Arc<Counters>,
}

impl<M: StreamMuxer + Unpin> CountedMuxer<M> {
    fn counted(&self, stream: M::Substream) -> Counted<M::Substream> {
        Counted {
            inner: stream,
            counters: self.counters.clone(),
        }
    }
}

impl<M: StreamMuxer + Unpin> StreamMuxer for CountedMuxer<M>
where
    M::Substream: Unpin,
{
    type Substream = Counted<M::Substream>;
    type Error = M::Error;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Self::Substream, M::Error>> {
        let stream = std::task::ready!(Pin::new(&mut self.inner).poll_inbound(cx));
        Poll::Ready(stream.map(|stream| self.counted(stream)))
    }

    fn poll_outbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Self::Substream, M::Error>> {
        let stream = std::task::ready!(Pin::new(&mut self.inner).poll_outbound(cx));
        Poll::Ready(stream.map(|stream| self.counted(stream)))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), M::Error>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, M::Error>> {
        Pin::new(&mut self.inner).poll(cx)
    }
}
