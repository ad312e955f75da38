//! A TCP link that the test holds in its hand: it can be kept back, cut, or frozen as a machine that lost its power.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the link does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Accepts, and connects nobody yet.
    Hold,
    Forward,
    /// Neither carries nor ends anything.
    Freeze,
    /// Ends everything.
    Cut,
}

#[derive(Debug, Default)]
struct Counts {
    clients: AtomicUsize,
    bytes: AtomicU64,
}

/// A link to a listener that may still have to be named. It goes with the value.
#[derive(Debug)]
pub(crate) struct Proxy {
    at: SocketAddr,
    mode: watch::Sender<Mode>,
    target: watch::Sender<Option<SocketAddr>>,
    counts: Arc<Counts>,
}

impl Proxy {
    /// A link that is kept back until [`forward`](Self::forward).
    pub(crate) async fn hold() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let mode = watch::Sender::new(Mode::Hold);
        let target = watch::Sender::new(None);
        let counts = Arc::new(Counts::default());
        tokio::spawn(accept(listener, mode.subscribe(), target.subscribe(), counts.clone()));
        Self {
            at,
            mode,
            target,
            counts,
        }
    }

    /// The multiaddr under which `peer` is reached through this link.
    pub(crate) fn multiaddr(&self, peer: PeerId) -> Multiaddr {
        Multiaddr::from(self.at.ip())
            .with(Protocol::Tcp(self.at.port()))
            .with(Protocol::P2p(peer))
    }

    /// Says where the link leads: a node's TCP multiaddr.
    pub(crate) fn lead_to(&self, multiaddr: &Multiaddr) {
        let port = multiaddr.iter().find_map(|part| match part {
            Protocol::Tcp(port) => Some(port),
            _ => None,
        });
        self.target.send_replace(Some(([127, 0, 0, 1], port.unwrap()).into()));
    }

    pub(crate) fn forward(&self) {
        self.mode.send_replace(Mode::Forward);
    }

    pub(crate) fn freeze(&self) {
        self.mode.send_replace(Mode::Freeze);
    }

    pub(crate) fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
    }

    /// Clients that connected, ever.
    pub(crate) fn clients(&self) -> usize {
        self.counts.clients.load(Ordering::Relaxed)
    }

    /// Bytes carried, both ways.
    pub(crate) fn bytes(&self) -> u64 {
        self.counts.bytes.load(Ordering::Relaxed)
    }
}

async fn accept(
    listener: TcpListener,
    mode: watch::Receiver<Mode>,
    target: watch::Receiver<Option<SocketAddr>>,
    counts: Arc<Counts>,
) {
    let mut gone = mode.clone();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (client, _) = accepted.unwrap();
                counts.clients.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(link(client, mode.clone(), target.clone(), counts.clone()));
            }
            // The value was dropped.
            _ = gone.wait_for(|_| false) => return,
        }
    }
}

async fn link(
    mut client: TcpStream,
    mut mode: watch::Receiver<Mode>,
    mut target: watch::Receiver<Option<SocketAddr>>,
    counts: Arc<Counts>,
) {
    let mut carry_on = mode.clone();
    if carry_on.wait_for(|mode| *mode != Mode::Hold).await.is_err() {
        return;
    }
    let Ok(to) = target.wait_for(Option::is_some).await.map(|to| to.unwrap()) else {
        return;
    };
    let Ok(mut server) = TcpStream::connect(to).await else {
        return;
    };
    let (mut up, mut down) = ([0; 16_384], [0; 16_384]);
    loop {
        let state = *mode.borrow_and_update();
        match state {
            Mode::Cut => return,
            Mode::Freeze | Mode::Hold => {
                if mode.changed().await.is_err() {
                    return;
                }
            }
            Mode::Forward => tokio::select! {
                changed = mode.changed() => if changed.is_err() { return },
                read = client.read(&mut up) => if !pass(read, &up, &mut server, &counts).await { return },
                read = server.read(&mut down) => if !pass(read, &down, &mut client, &counts).await { return },
            },
        }
    }
}

async fn pass(read: std::io::Result<usize>, buffer: &[u8], to: &mut TcpStream, counts: &Counts) -> bool {
    let Ok(bytes @ 1..) = read else { return false };
    counts.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    to.write_all(&buffer[..bytes]).await.is_ok()
}
