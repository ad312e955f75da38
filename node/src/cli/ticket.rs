//! `maille ticket MESH`: makes a ticket from a mesh and peers to begin with, as text and as a QR code. Needs no password,
//! for a ticket never holds one.

use std::io::IsTerminal;

use clap::Args;
use maille::{BootstrapPeer, PeerMultiaddr, Ticket};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use serde::Serialize;

use super::exit::{Failure, say};
use super::output::{json_line, print_now};
use super::place::{MeshOrTicket, Place, peers_of};

/// What is wrong with a ticket without peers.
const NO_PEERS: &str = "\
a ticket needs a peer to begin with: give --bootstrap and a line that `maille node` printed, such as \
/ip4/192.0.2.1/tcp/6245/p2p/12D3KooW…";

const EXAMPLES: &str = "\
Examples:
  A ticket to a mesh, or to a topic in it, by way of a `maille node`:
    maille ticket chat.example/room --bootstrap /ip4/192.0.2.1/tcp/6245/p2p/12D3KooW…
  What is in a ticket:
    maille ticket --decode maille1…
  Use it:
    maille sub maille1…

A ticket holds at most 3 peers, and never the password.";

/// Make a ticket: what a newcomer needs to find a mesh, as text and QR code
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TicketArgs {
    /// The mesh, an address in it, or a ticket to extend
    #[arg(value_name = "MESH")]
    mesh: Option<MeshOrTicket>,
    /// Take mesh and peers from a ticket
    #[arg(long, value_name = "TICKET")]
    ticket: Option<Ticket>,
    /// A peer to begin with, as `maille node` prints it; several may follow, or repeat the option
    #[arg(long, value_name = "MULTIADDR")]
    bootstrap: Vec<PeerMultiaddr>,
    /// Show what is in a ticket
    #[arg(long, value_name = "TICKET", conflicts_with_all = ["mesh", "ticket", "bootstrap"])]
    decode: Option<Ticket>,
    /// Show the QR code even if standard error is not a terminal
    #[arg(long)]
    qr: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A ticket and its contents, for `--json`.
#[derive(Debug, Serialize)]
struct Contents {
    event: &'static str,
    ticket: String,
    mesh: String,
    topic: Option<String>,
    bootstrap: Vec<String>,
}

/// Runs `maille ticket`.
pub(crate) fn run(args: TicketArgs) -> Result<(), Failure> {
    if let Some(ticket) = args.decode {
        let contents = Contents::of(&ticket);
        return print_now(&if args.json {
            json_line(&contents)
        } else {
            contents.in_words().into_bytes()
        });
    }
    let place = Place::of_mesh(args.mesh, args.ticket)?;
    let mut bootstrap = args.bootstrap;
    bootstrap.extend(place.tickets.iter().flat_map(peers_of));
    let ticket = make(place, &bootstrap)?;
    if args.json {
        print_now(&json_line(&Contents::of(&ticket)))?;
    } else {
        print_now(format!("{ticket}\n").as_bytes())?;
    }
    if args.qr || (!args.json && std::io::stderr().is_terminal()) {
        say(&qr(&ticket)?);
    }
    Ok(())
}

/// The ticket to a place; peers keep their order, which is one of preference.
fn make(place: Place, bootstrap: &[PeerMultiaddr]) -> Result<Ticket, Failure> {
    let mut peers = Vec::new();
    for multiaddr in bootstrap {
        let Some(peer) = multiaddr.peer() else {
            return Err(Failure::Usage(format!(
                "{multiaddr} leaves open which peer is there, and a ticket cannot: add /p2p/ and the peer's id"
            )));
        };
        peers.push(BootstrapPeer {
            peer,
            multiaddrs: vec![multiaddr.without_peer()],
        });
    }
    if peers.is_empty() {
        return Err(Failure::Usage(NO_PEERS.to_owned()));
    }
    let given = peers.len();
    let ticket =
        Ticket::new(place.mesh, place.topic, peers).map_err(|error| Failure::Usage(format!("no ticket: {error}")))?;
    let held: usize = ticket.bootstrap().iter().map(|peer| peer.multiaddrs.len()).sum();
    if held < given {
        say(&format!(
            "note: the ticket has room for {held} of the {given} multiaddrs, the first ones were taken"
        ));
    }
    Ok(ticket)
}

/// A QR code of half blocks, in upper case, which QR codes pack tighter.
fn qr(ticket: &Ticket) -> Result<String, Failure> {
    let code = QrCode::new(ticket.to_upper()).map_err(|error| Failure::other(format!("no QR code: {error}")))?;
    // Most terminals are dark: what is drawn is the light part.
    Ok(code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .build())
}

impl Contents {
    fn of(ticket: &Ticket) -> Self {
        Self {
            event: "ticket",
            ticket: ticket.to_string(),
            mesh: ticket.mesh().to_string(),
            topic: ticket.topic().map(ToString::to_string),
            bootstrap: peers_of(ticket).iter().map(ToString::to_string).collect(),
        }
    }

    fn in_words(&self) -> String {
        let mut lines = format!("mesh       {}\n", self.mesh);
        if let Some(topic) = &self.topic {
            lines.push_str(&format!("topic      {topic}\n"));
        }
        for multiaddr in &self.bootstrap {
            lines.push_str(&format!("bootstrap  {multiaddr}\n"));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "12D3KooWGRUfVRvGCpQ6kQq8mLWmHwEDCFXcKo9AD9i2nGT6Jxqt";

    fn make(mesh: &str, bootstrap: &[&str]) -> Result<Ticket, Failure> {
        let place = Place::of_mesh(Some(mesh.parse().unwrap()), None).unwrap();
        let bootstrap: Vec<PeerMultiaddr> = bootstrap.iter().map(|multiaddr| multiaddr.parse().unwrap()).collect();
        super::make(place, &bootstrap)
    }

    #[test]
    fn what_goes_in_comes_out() {
        let multiaddrs = [
            format!("/ip4/192.0.2.1/tcp/6245/p2p/{PEER}"),
            format!("/ip4/192.0.2.1/udp/6245/quic-v1/p2p/{PEER}"),
        ];
        let multiaddrs: Vec<&str> = multiaddrs.iter().map(String::as_str).collect();
        let ticket = make("market.example/equities/us", &multiaddrs).unwrap();
        assert_eq!(ticket.bootstrap().len(), 1, "two multiaddrs of one peer");
        let contents = Contents::of(&ticket.to_string().parse().unwrap());
        assert_eq!(
            (contents.mesh.as_str(), contents.topic.as_deref()),
            ("market.example", Some("equities/us"))
        );
        assert_eq!(contents.bootstrap, multiaddrs);
        assert_eq!(
            contents.in_words(),
            format!(
                "mesh       market.example\ntopic      equities/us\nbootstrap  {}\nbootstrap  {}\n",
                multiaddrs[0], multiaddrs[1]
            )
        );
    }

    #[test]
    fn a_ticket_needs_peers_that_are_named() {
        assert!(matches!(make("m.example", &[]), Err(Failure::Usage(text)) if text == NO_PEERS));
        let open = make("m.example", &["/dnsaddr/boot.example"]);
        assert!(matches!(open, Err(Failure::Usage(text)) if text.contains("leaves open which peer")));
    }

    #[test]
    fn the_largest_ticket_fits_a_qr_code() {
        let mesh = format!("{}.example", ["a".repeat(60), "b".repeat(60), "c".repeat(60)].join("."));
        let multiaddr = format!("/dns4/{}.example/tcp/6245/p2p/{PEER}", "d".repeat(60));
        let ticket = make(&format!("{mesh}/{}", "t".repeat(100)), &[&multiaddr]).unwrap();
        assert!(ticket.to_string().len() > 600, "{}", ticket.to_string().len());
        let code = qr(&ticket).unwrap();
        let rows = code.lines().count();
        assert!((20..=60).contains(&rows), "{rows} rows");
    }
}
