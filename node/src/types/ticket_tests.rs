//! Tickets, whole and damaged.

use bech32::{Bech32, ByteIterExt, Fe32IterExt};
use libp2p::identity::Keypair;
use maille_proto::TICKET_BYTES_MAX;
use proptest::{collection::vec, prelude::*};

use super::*;

fn peer(seed: u8) -> PeerId {
    Keypair::ed25519_from_bytes([seed; 32]).unwrap().public().to_peer_id()
}

fn multiaddr(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

fn bootstrap(seed: u8, multiaddrs: &[&str]) -> BootstrapPeer {
    BootstrapPeer {
        peer: peer(seed),
        multiaddrs: multiaddrs.iter().map(|text| multiaddr(text)).collect(),
    }
}

fn sample() -> Ticket {
    let peers = vec![
        bootstrap(1, &["/ip4/192.0.2.1/tcp/6245", "/ip4/192.0.2.1/udp/6245/quic-v1"]),
        bootstrap(2, &["/dns4/boot.example/tcp/6245"]),
    ];
    Ticket::new(
        "market.example".parse().unwrap(),
        Some("equities/us".parse().unwrap()),
        peers,
    )
    .unwrap()
}

fn tcp(ip: [u8; 4], port: u16) -> Multiaddr {
    Multiaddr::from(std::net::Ipv4Addr::from(ip)).with(Protocol::Tcp(port))
}

fn parse(text: &str) -> Result<Ticket, TicketParseError> {
    text.parse()
}

fn encoded(bytes: &[u8]) -> String {
    bech32::encode::<Bech32m>(prefix(), bytes).unwrap()
}

#[test]
fn a_ticket_is_read_in_either_case() {
    let ticket = sample();
    let text = ticket.to_string();
    assert_eq!(
        (ticket.mesh().as_str(), ticket.topic().unwrap().as_str()),
        ("market.example", "equities/us")
    );
    assert_eq!(ticket.bootstrap().len(), 2);
    assert!(
        text.starts_with("maille1")
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    );
    for text in [text.clone(), ticket.to_upper(), format!(" {text}\r\n")] {
        assert_eq!(parse(&text), Ok(ticket.clone()));
    }
    assert_eq!(format!("{ticket}"), text);
}

#[test]
fn what_does_not_fit_is_left_out() {
    let mesh: MeshName = ["a".repeat(63), "b".repeat(63)].join(".").parse().unwrap();
    let long = |n: usize| format!("/dns4/{}.example/tcp/{n}", "x".repeat(40));
    let multiaddrs: Vec<_> = (0..6).map(long).collect();
    let multiaddrs: Vec<_> = multiaddrs.iter().map(String::as_str).collect();
    let peers = vec![
        bootstrap(1, &multiaddrs),
        bootstrap(2, &multiaddrs),
        bootstrap(3, &multiaddrs),
        bootstrap(4, &multiaddrs),
    ];
    let ticket = Ticket::new(mesh, None, peers).unwrap();
    assert!(ticket.encoded_len() <= TICKET_BODY_BYTES_MAX);
    assert!(
        ticket.encoded_len() > TICKET_BODY_BYTES_MAX - 60,
        "no more is left out than must be"
    );
    let kept: Vec<_> = ticket
        .bootstrap()
        .iter()
        .map(|peer| (peer.peer, peer.multiaddrs.len()))
        .collect();
    assert_eq!(
        kept,
        [(peer(1), 2), (peer(2), 1), (peer(3), 1)],
        "peers stay before multiaddrs do"
    );
    assert_eq!(
        ticket.bootstrap()[0].multiaddrs,
        [multiaddr(&long(0)), multiaddr(&long(1))],
        "the first are preferred"
    );
    assert_eq!(parse(&ticket.to_string()), Ok(ticket));
}

#[test]
fn the_longest_ticket_fits_its_text() {
    let mesh: MeshName = [&"a".repeat(63)[..], &"b".repeat(63), &"c".repeat(63), &"d".repeat(61)]
        .join(".")
        .parse()
        .unwrap();
    let ticket = |topic: usize| Ticket::new(mesh.clone(), Some("t".repeat(topic).parse().unwrap()), vec![]);
    let longest = ticket(252).unwrap();
    assert_eq!(longest.encoded_len() + 1, TICKET_BYTES_MAX);
    assert_eq!(longest.to_string().len(), TEXT_CHARS_MAX);
    assert_eq!(parse(&longest.to_string()), Ok(longest));
    assert_eq!(ticket(253), Err(TicketError::NamesTooLong { bytes: 512 }));
}

#[test]
fn peers_are_kept_in_one_form() {
    let own = format!("/ip4/192.0.2.1/tcp/6245/p2p/{}", peer(1));
    let mesh = || "m".parse::<MeshName>().unwrap();
    let same = vec![
        bootstrap(1, &[&own, "/ip4/192.0.2.1/tcp/6245"]),
        bootstrap(2, &[]),
        bootstrap(1, &["/ip4/192.0.2.2/tcp/1"]),
    ];
    let ticket = Ticket::new(mesh(), None, same).unwrap();
    assert_eq!(
        ticket.bootstrap(),
        [bootstrap(1, &["/ip4/192.0.2.1/tcp/6245", "/ip4/192.0.2.2/tcp/1"])]
    );
    let error = Ticket::new(mesh(), None, vec![bootstrap(2, &[&own])]).unwrap_err();
    assert_eq!(error.to_string(), format!("{own} is not a multiaddr of {}", peer(2)));
    let relayed = format!("/ip4/192.0.2.1/tcp/1/p2p/{}/p2p-circuit", peer(3));
    let ticket = Ticket::new(mesh(), None, vec![bootstrap(1, &[&relayed])]).unwrap();
    assert_eq!(ticket.bootstrap()[0].multiaddrs, [multiaddr(&relayed)]);

    // The same in bytes that another program made.
    let twice = [
        bootstrap(1, &["/ip4/192.0.2.1/tcp/1"]),
        bootstrap(1, &["/ip4/192.0.2.1/tcp/2"]),
    ];
    let twice = Ticket {
        mesh: mesh(),
        topic: None,
        bootstrap: twice.to_vec(),
    };
    assert_eq!(parse(&twice.to_string()), Err(TicketParseError::Peer));
    let named = Ticket {
        mesh: mesh(),
        topic: None,
        bootstrap: vec![bootstrap(1, &[&own])],
    };
    assert_eq!(parse(&named.to_string()), Err(TicketParseError::Peer));
}

#[test]
fn every_mistyped_or_lost_character_is_noticed() {
    let ticket = sample();
    let text = ticket.to_string();
    for at in TEXT_START.len()..text.len() {
        let lost = [&text[..at], &text[at + 1..]].concat();
        let other = if &text[at..=at] == "q" { "p" } else { "q" };
        let mistyped = [&text[..at], other, &text[at + 1..]].concat();
        for damaged in [lost, mistyped] {
            assert_eq!(parse(&damaged), Err(TicketParseError::Damaged), "byte {at}");
        }
    }
    assert_eq!(parse(&text[..text.len() - 40]), Err(TicketParseError::Damaged));
}

#[test]
fn a_ticket_has_one_text() {
    let mut characters: Vec<Fe32> = [1, 10, 1, b'm'].into_iter().bytes_to_fes().collect();
    let text = |characters: &[Fe32]| -> String {
        characters
            .iter()
            .copied()
            .with_checksum::<Bech32m>(&prefix())
            .chars()
            .collect()
    };
    assert!(parse(&text(&characters)).is_ok());
    // 32 bits in 7 characters: the last 3 bits mean nothing, and the checksum is right whatever they are.
    let last = characters.last_mut().unwrap();
    *last = Fe32::try_from(last.to_u8() | 1).unwrap();
    assert_eq!(parse(&text(&characters)), Err(TicketParseError::Damaged));
}

#[test]
fn errors_say_what_to_do() {
    let text = sample().to_string();
    let message = |text: &str| parse(text).unwrap_err().to_string();
    for other in [
        "",
        "maille",
        "market.example/equities/us",
        "lnbc1qqqq",
        "🦀🦀🦀",
        "mailleé1qq",
    ] {
        assert_eq!(
            message(other),
            "this is not a ticket: a ticket begins with \"maille1\"",
            "{other}"
        );
    }
    let again = "is in no ticket: copy the ticket again, without anything around it";
    assert_eq!(
        message(&format!("{text} or so")),
        format!("' ' at byte {} {again}", text.len())
    );
    assert_eq!(
        message(&text.replacen("maille1q", "maille1é", 1)),
        format!("'é' at byte 7 {again}")
    );
    assert_eq!(
        message(&text.replacen("maille1q", "maille1b", 1)),
        format!("'b' at byte 7 {again}")
    );
    assert_eq!(
        message(&text.replacen("maille1q", "maille1\u{7}", 1)),
        format!("'\\u{{7}}' at byte 7 {again}")
    );
    assert_eq!(
        message(&text.replacen("maille1q", "maille11", 1)),
        format!("'1' at byte 7 {again}")
    );
    let mixed = "the ticket mixes upper and lower case: write it in one of them";
    assert_eq!(message(&text.replacen("maille1", "Maille1", 1)), mixed);
    let damaged = "the ticket is damaged, a character was mistyped or lost: copy it again";
    for broken in ["maille1", "maille1qq", &encoded(&[])] {
        assert_eq!(message(broken), damaged, "{broken}");
    }
    let old = bech32::encode::<Bech32>(prefix(), &[1, 10, 1, b'm']).unwrap();
    assert_eq!(message(&old), damaged, "bech32 before bech32m");
    assert_eq!(
        message(&format!("maille1{}", "q".repeat(9_999))),
        "this is longer than a ticket can be: copy one ticket alone"
    );
    assert_eq!(
        message(&encoded(&[2, 99])),
        "the ticket is of version 2, which a newer maille made: update maille"
    );
    assert_eq!(parse(&encoded(&[1, 10, 1, b'm'])).unwrap().mesh().as_str(), "m");
    let made = "the ticket was not made by maille: ";
    assert!(message(&encoded(&[1, 10, 1, b'M'])).starts_with(&format!("{made}'M' at byte 0 of the mesh name")));
    assert_eq!(
        message(&encoded(&[1, 10, 1, b'm', 0x18, 0])),
        format!("{made}malformed protobuf, or cut short")
    );
    assert_eq!(
        message(&encoded(&[1, 10, 1, b'm', 0x78, 1])),
        format!("{made}a ticket is not in its canonical encoding")
    );
}

proptest! {
    #[test]
    fn tickets_round_trip(
        mesh in "[a-z0-9]{1,20}(\\.[a-z]{1,9}){0,3}",
        topic in proptest::option::of("[A-Za-z0-9_-]{1,40}"),
        peers in vec((any::<u8>(), vec((any::<[u8; 4]>(), any::<u16>()), 0..6)), 0..5),
    ) {
        let peers = peers.into_iter().map(|(seed, multiaddrs)| BootstrapPeer {
            peer: peer(seed),
            multiaddrs: multiaddrs.into_iter().map(|(ip, port)| tcp(ip, port)).collect(),
        });
        let topic = topic.map(|topic| topic.parse().unwrap());
        let ticket = Ticket::new(mesh.parse().unwrap(), topic, peers.collect()).unwrap();
        let text = ticket.to_string();
        prop_assert!(text.len() <= TEXT_CHARS_MAX);
        prop_assert_eq!(parse(&text), Ok(ticket));
    }

    #[test]
    fn any_text_is_a_ticket_or_an_error(text in any::<String>(), data in "[02-9ac-hj-np-z]{0,80}") {
        prop_assert!(parse(&text).is_err());
        let data = format!("maille1{data}");
        prop_assert!(parse(&data).is_err());
    }

    #[test]
    fn any_bytes_are_a_ticket_or_an_error(bytes in vec(any::<u8>(), 0..64)) {
        for bytes in [bytes.clone(), [&[1, 10, 1, b'm'], &bytes[..]].concat()] {
            if let Ok(ticket) = parse(&encoded(&bytes)) {
                prop_assert_eq!(ticket.to_string(), encoded(&bytes));
            }
        }
    }
}
