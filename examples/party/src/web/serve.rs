//! Connections of browsers: how many there may be, and how long they may take to say what they want. Not what is answered.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};

/// Connections to one page's place.
const CONNECTIONS_MAX: usize = 256;
/// Connections of one address on the network, so that one device leaves room for others. A browser takes six, and its page
/// one of them for its events.
const DEVICE_CONNECTIONS_MAX: usize = 64;
/// How long a request's head may take; a connection on which nothing is asked for so long is closed.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 32 * 1_024;
/// After an error of the listener, such as too many open files, there is a pause.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers until the program ends.
pub(super) async fn serve(listener: TcpListener, router: Router) {
    serve_within(HEAD_TIMEOUT, listener, router).await;
}

async fn serve_within(head_timeout: Duration, listener: TcpListener, router: Router) {
    let places = Arc::new(Places::default());
    loop {
        match listener.accept().await {
            // Who finds no place is hung up on, and may try again.
            Ok((stream, from)) => {
                if let Some(place) = places.take(from.ip()) {
                    tokio::spawn(answer(stream, router.clone(), head_timeout, place));
                }
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn answer(stream: TcpStream, router: Router, head_timeout: Duration, _place: Place) {
    let answering = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // How it ends is the browser's affair.
    let _ = answering.await;
}

/// Connections that there are, by address.
#[derive(Debug, Default)]
struct Places(Mutex<HashMap<IpAddr, usize>>);

/// One of them, until it is dropped.
#[derive(Debug)]
struct Place {
    places: Arc<Places>,
    of: IpAddr,
}

impl Places {
    fn take(self: &Arc<Self>, of: IpAddr) -> Option<Place> {
        let mut taken = self.taken();
        // All that come over loopback are of this computer.
        let device_max = if of.is_loopback() {
            CONNECTIONS_MAX
        } else {
            DEVICE_CONNECTIONS_MAX
        };
        let own = taken.get(&of).copied().unwrap_or_default();
        if own >= device_max || taken.values().sum::<usize>() >= CONNECTIONS_MAX {
            return None;
        }
        taken.insert(of, own + 1);
        let places = self.clone();
        Some(Place { places, of })
    }

    /// It is whole after every step, so a panic elsewhere does not spoil it.
    fn taken(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        if let Some(own) = taken.get_mut(&self.of) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    async fn served() -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async { "here" }));
        tokio::spawn(serve_within(Duration::from_secs(2), listener, router));
        here
    }

    #[test]
    fn one_device_leaves_room_for_others() {
        let places = Arc::new(Places::default());
        let device = |last: u8| IpAddr::from([192, 0, 2, last]);
        let mut held: Vec<Place> = std::iter::from_fn(|| places.take(device(1))).collect();
        assert_eq!(held.len(), DEVICE_CONNECTIONS_MAX);
        for other in 2.. {
            let before = held.len();
            held.extend(std::iter::from_fn(|| places.take(device(other))));
            if held.len() == before {
                break;
            }
        }
        assert_eq!(held.len(), CONNECTIONS_MAX);
        held.truncate(1);
        assert!(places.take(device(200)).is_some());
        drop(held);
        assert!(places.taken().is_empty());
    }

    /// Each sends a piece of a head, and no more. Others are answered, and they are hung up on.
    #[tokio::test]
    async fn who_is_slow_to_ask_is_hung_up_on() {
        let here = served().await;
        let mut slow = Vec::new();
        for _ in 0..CONNECTIONS_MAX - 1 {
            let mut stream = TcpStream::connect(here).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: ").await.unwrap();
            slow.push(stream);
        }
        let mut one = TcpStream::connect(here).await.unwrap();
        one.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, one.read_to_string(&mut answer))
            .await
            .unwrap()
            .unwrap();
        assert!(answer.ends_with("here"), "{answer}");
        for mut stream in slow {
            let mut rest = Vec::new();
            // Reset, or an answer and the end.
            let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("it ends");
        }
    }

    #[tokio::test]
    async fn a_head_without_end_is_refused() {
        let mut stream = TcpStream::connect(served().await).await.unwrap();
        let head = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(2 * HEAD_BYTES_MAX));
        // It may be refused before all of it is written.
        let _ = stream.write_all(head.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer))
            .await
            .expect("it ends");
        assert!(!answer.starts_with(b"HTTP/1.1 200"));
    }
}
