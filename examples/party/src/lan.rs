//! The page on the local network, for phones of guests: only for who scans a code that is good once. Off unless asked for.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use shared::Failure;

use crate::app::App;
use crate::web::{Guard, Role, Site};

/// An address of the documentation (RFC 5737): what would be sent there goes the way to everybody else. Nothing is sent.
const ELSEWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);

/// Serves the page and shows a code. Whoever presses Enter gets the next one.
pub(crate) async fn serve(app: &Arc<App>, guard: Arc<Guard>) -> Result<(), Failure> {
    let ip = own_ip().map_err(|error| Failure::Other(format!("this computer is on no local network: {error}")))?;
    let site = Site::open(app, ip, guard).await.map_err(Failure::other)?;
    show(&site)?;
    // A thread of its own, which nobody waits for: it reads until the terminal is closed.
    std::thread::spawn(move || {
        let mut line = String::new();
        while std::io::stdin().read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
            line.clear();
            if show(&site).is_err() {
                return;
            }
        }
    });
    Ok(())
}

fn show(site: &Site) -> Result<(), Failure> {
    let link = site.link(Role::Guest);
    let code = QrCode::new(&link).map_err(Failure::other)?;
    let picture = code.render::<Dense1x2>().build();
    let mut say = std::io::stderr();
    writeln!(
        say,
        "{picture}\n{link}\nA phone on this Wi-Fi that scans this is a guest of yours. It is good for one phone; press Enter for the next."
    )?;
    Ok(())
}

/// The address that others on the local network reach this computer at.
fn own_ip() -> std::io::Result<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // It only chooses a way; no packet leaves.
    socket.connect(ELSEWHERE)?;
    Ok(socket.local_addr()?.ip())
}
