//! Which mesh and topic a command means: a name, an address, or a ticket. Not how the mesh is found.

use std::str::FromStr;

use maille::{Address, MeshName, Multiaddr, PeerMultiaddr, Ticket, TopicName};

use super::exit::Failure;

/// How every ticket begins, in upper or lower case.
const TICKET_START: &str = "maille1";

/// A positional ADDRESS: an address, or a ticket in its place.
#[derive(Debug, Clone)]
pub(crate) enum AddressOrTicket {
    Address(Address),
    Ticket(Ticket),
}

/// A positional MESH: its name, an address in it, or a ticket in their place.
#[derive(Debug, Clone)]
pub(crate) enum MeshOrTicket {
    Mesh(MeshName, Option<TopicName>),
    Ticket(Ticket),
}

/// Where to go, and whom to ask first.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) mesh: MeshName,
    pub(crate) topic: Option<TopicName>,
    /// From the ticket in its place and from `--ticket`.
    pub(crate) tickets: Vec<Ticket>,
}

impl Place {
    /// The place that ADDRESS and `--ticket` name together; they must not contradict each other.
    pub(crate) fn of_address(
        positional: Option<AddressOrTicket>,
        ticket: Option<Ticket>,
    ) -> Result<(Self, Address), Failure> {
        let positional = positional.map(|positional| match positional {
            AddressOrTicket::Address(address) => Self::named(address.mesh().clone(), Some(address.topic().clone())),
            AddressOrTicket::Ticket(ticket) => Self::from(ticket),
        });
        let place = Self::join(positional, ticket, "an ADDRESS such as market.example/equities/us")?;
        let Some(topic) = &place.topic else {
            let mesh = &place.mesh;
            return Err(Failure::Usage(format!(
                "the ticket leads to {mesh} but names no topic: give the ADDRESS too, such as {mesh}/chat"
            )));
        };
        let address = Address::new(place.mesh.clone(), topic.clone());
        Ok((place, address))
    }

    /// The place that MESH and `--ticket` name together.
    pub(crate) fn of_mesh(positional: Option<MeshOrTicket>, ticket: Option<Ticket>) -> Result<Self, Failure> {
        let positional = positional.map(|positional| match positional {
            MeshOrTicket::Mesh(mesh, topic) => Self::named(mesh, topic),
            MeshOrTicket::Ticket(ticket) => Self::from(ticket),
        });
        Self::join(positional, ticket, "a MESH such as market.example")
    }

    fn named(mesh: MeshName, topic: Option<TopicName>) -> Self {
        Self {
            mesh,
            topic,
            tickets: Vec::new(),
        }
    }

    fn join(positional: Option<Self>, ticket: Option<Ticket>, wanted: &str) -> Result<Self, Failure> {
        let Some(ticket) = ticket.map(Self::from) else {
            return positional.ok_or_else(|| Failure::Usage(format!("give {wanted}, or a ticket")));
        };
        let Some(mut place) = positional else { return Ok(ticket) };
        if place.mesh != ticket.mesh {
            return Err(Failure::Usage(format!(
                "the ticket leads to {}, not to {}: leave one of them out",
                ticket.mesh, place.mesh
            )));
        }
        place.topic = place.topic.or(ticket.topic);
        place.tickets.extend(ticket.tickets);
        Ok(place)
    }
}

impl From<Ticket> for Place {
    fn from(ticket: Ticket) -> Self {
        Self {
            mesh: ticket.mesh().clone(),
            topic: ticket.topic().cloned(),
            tickets: vec![ticket],
        }
    }
}

/// The peers of a ticket, each multiaddr whole.
pub(crate) fn peers_of(ticket: &Ticket) -> Vec<PeerMultiaddr> {
    let multiaddrs = ticket.bootstrap().iter().flat_map(|peer| {
        let whole = |location: &Multiaddr| PeerMultiaddr::new(location.clone(), peer.peer).ok();
        peer.multiaddrs.iter().filter_map(whole)
    });
    multiaddrs.collect()
}

impl FromStr for AddressOrTicket {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_ticket(text) {
            return text
                .parse()
                .map(Self::Ticket)
                .map_err(|error: <Ticket as FromStr>::Err| error.to_string());
        }
        text.parse()
            .map(Self::Address)
            .map_err(|error: <Address as FromStr>::Err| error.to_string())
    }
}

impl FromStr for MeshOrTicket {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_ticket(text) {
            return text
                .parse()
                .map(Self::Ticket)
                .map_err(|error: <Ticket as FromStr>::Err| error.to_string());
        }
        if text.contains('/') {
            let address: Address = text
                .parse()
                .map_err(|error: <Address as FromStr>::Err| error.to_string())?;
            return Ok(Self::Mesh(address.mesh().clone(), Some(address.topic().clone())));
        }
        text.parse()
            .map(|mesh| Self::Mesh(mesh, None))
            .map_err(|error: <MeshName as FromStr>::Err| error.to_string())
    }
}

/// No name has this beginning with so much after it and neither `.` nor `/`, so a damaged ticket is told as one.
fn is_ticket(text: &str) -> bool {
    const MESH_LABEL_BYTES_MAX: usize = 63;
    let starts = text
        .get(..TICKET_START.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(TICKET_START));
    starts && text.len() > MESH_LABEL_BYTES_MAX && !text.contains(['.', '/'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use maille::BootstrapPeer;

    const PEER: &str = "12D3KooWGRUfVRvGCpQ6kQq8mLWmHwEDCFXcKo9AD9i2nGT6Jxqt";

    fn a_ticket(mesh: &str, topic: Option<&str>) -> Ticket {
        let multiaddrs = vec!["/ip4/192.0.2.1/tcp/6245".parse().unwrap()];
        let peer = BootstrapPeer {
            peer: PEER.parse().unwrap(),
            multiaddrs,
        };
        Ticket::new(
            mesh.parse().unwrap(),
            topic.map(|topic| topic.parse().unwrap()),
            vec![peer],
        )
        .unwrap()
    }

    fn usage<T: std::fmt::Debug>(outcome: Result<T, Failure>) -> String {
        match outcome {
            Err(Failure::Usage(text)) => text,
            other => panic!("not a usage error: {other:?}"),
        }
    }

    #[test]
    fn a_ticket_may_stand_where_an_address_does() {
        let ticket = a_ticket("market.example", Some("equities/us"));
        for text in [ticket.to_string(), ticket.to_string().to_uppercase()] {
            let positional: AddressOrTicket = text.parse().unwrap();
            let (place, address) = Place::of_address(Some(positional), None).unwrap();
            assert_eq!(address.to_string(), "maille://market.example/equities/us");
            let bootstrap: Vec<String> = peers_of(&place.tickets[0]).iter().map(ToString::to_string).collect();
            assert_eq!(bootstrap, [format!("/ip4/192.0.2.1/tcp/6245/p2p/{PEER}")]);
        }
        let (_, address) = Place::of_address(None, Some(ticket)).unwrap();
        assert_eq!(address.to_string(), "maille://market.example/equities/us");
    }

    #[test]
    fn an_address_chooses_the_topic_and_a_ticket_adds_peers() {
        let positional: AddressOrTicket = "market.example/news".parse().unwrap();
        let ticket = a_ticket("market.example", Some("equities/us"));
        let (place, address) = Place::of_address(Some(positional), Some(ticket)).unwrap();
        assert_eq!(
            (address.to_string().as_str(), place.tickets.len()),
            ("maille://market.example/news", 1)
        );
    }

    #[test]
    fn what_is_missing_or_contradicts_is_told() {
        assert!(usage(Place::of_address(None, None)).contains("give an ADDRESS"));
        assert!(usage(Place::of_address(None, Some(a_ticket("m.example", None)))).contains("names no topic"));
        let other: AddressOrTicket = "b.example/x".parse().unwrap();
        let told = usage(Place::of_address(Some(other), Some(a_ticket("a.example", None))));
        assert!(told.contains("leads to a.example, not to b.example"), "{told}");
    }

    #[test]
    fn a_mesh_may_be_a_name_an_address_or_a_ticket() {
        let place = |text: &str| Place::of_mesh(Some(text.parse().unwrap()), None).unwrap();
        assert_eq!(place("market.example").topic, None);
        assert_eq!(place("maille://market.example/a/b").topic.unwrap().to_string(), "a/b");
        assert_eq!(place(&a_ticket("market.example", None).to_string()).tickets.len(), 1);
    }

    #[test]
    fn damaged_tickets_and_bad_names_are_refused() {
        let mut text = a_ticket("market.example", Some("equities/us")).to_string();
        let last = text.pop().unwrap();
        text.push(if last == 'q' { 'p' } else { 'q' });
        assert!(
            text.parse::<AddressOrTicket>()
                .unwrap_err()
                .contains("the ticket is damaged")
        );
        assert!(
            text.parse::<MeshOrTicket>()
                .unwrap_err()
                .contains("the ticket is damaged")
        );
        let long = format!("{}/x", "a".repeat(300));
        for bad in [
            "",
            "/",
            "market.example",
            "a..b/x",
            "a/../b",
            "a b/x",
            "a/\u{7}",
            "🙂/x",
            "A.example/x",
            &long,
        ] {
            assert!(bad.parse::<AddressOrTicket>().is_err(), "{bad:?}");
        }
        // A short name is a name, however it begins.
        assert!("maille1/x".parse::<AddressOrTicket>().is_ok());
        assert!("maille1.example".parse::<MeshOrTicket>().is_ok());
    }
}
