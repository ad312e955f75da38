//! Where a remote peer sits on the network: what budgets count by, because peer ids are free to make. Not who it is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libp2p::{Multiaddr, PeerId, core::ConnectedPoint, multiaddr::Protocol};

/// The part of the network that a remote peer has to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum IpPrefix {
    /// This machine.
    Loopback,
    /// This process: the in-memory transport of tests.
    Memory,
    /// One IPv4 address, a /32.
    V4([u8; 4]),
    /// One IPv6 network, a /64: what a home or a server is given at least.
    V6([u8; 8]),
    /// Behind a relay: all of that relay's peers together.
    Relay(PeerId),
    /// A name, or nothing that tells.
    Unknown,
}

/// A wider part of the network, held by one operator or customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WidePrefix {
    /// IPv4 /24.
    V4([u8; 3]),
    /// IPv6 /48.
    V6([u8; 6]),
}

impl IpPrefix {
    /// Where the peer at `multiaddr` sits.
    #[must_use]
    pub fn of(multiaddr: &Multiaddr) -> Self {
        if let Some(relay) = relay(multiaddr) {
            return relay.map_or(Self::Unknown, Self::Relay);
        }
        let place = multiaddr.iter().find_map(|protocol| match protocol {
            Protocol::Ip4(ip) => Some(Self::of_ip(ip.into())),
            Protocol::Ip6(ip) => Some(Self::of_ip(ip.into())),
            Protocol::Memory(_) => Some(Self::Memory),
            _ => None,
        });
        place.unwrap_or(Self::Unknown)
    }

    /// Where the remote end of a connection sits. Of a peer that comes in through a relay, our own multiaddr tells the
    /// relay; its own holds nothing but its id.
    #[must_use]
    pub fn of_remote(endpoint: &ConnectedPoint) -> Self {
        match endpoint {
            ConnectedPoint::Dialer { address, .. } => Self::of(address),
            ConnectedPoint::Listener { local_addr, .. } if relay(local_addr).is_some() => Self::of(local_addr),
            ConnectedPoint::Listener { send_back_addr, .. } => Self::of(send_back_addr),
        }
    }

    /// The wider network around it; `None` where there is no such thing.
    #[must_use]
    pub fn wider(&self) -> Option<WidePrefix> {
        match *self {
            Self::V4([a, b, c, _]) => Some(WidePrefix::V4([a, b, c])),
            Self::V6([a, b, c, d, e, f, ..]) => Some(WidePrefix::V6([a, b, c, d, e, f])),
            Self::Loopback | Self::Memory | Self::Relay(_) | Self::Unknown => None,
        }
    }

    fn of_ip(ip: IpAddr) -> Self {
        match unwrapped(ip) {
            ip if ip.is_loopback() => Self::Loopback,
            IpAddr::V4(ip) => Self::V4(ip.octets()),
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, g, h, ..] = ip.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

/// Whether anybody on the internet could reach it there: a global IP address, or a name that is not a local one.
#[must_use]
pub fn is_globally_routable(multiaddr: &Multiaddr) -> bool {
    relay(multiaddr).is_none()
        && match location(multiaddr) {
            Some(Location::Ip(ip)) => is_global(ip),
            Some(Location::Name(name)) => !is_local_name(&name),
            None => false,
        }
}

/// Whether it is an address of a local network: private, link-local, or shared by a carrier's customers.
#[must_use]
pub fn is_private(multiaddr: &Multiaddr) -> bool {
    relay(multiaddr).is_none() && matches!(location(multiaddr), Some(Location::Ip(ip)) if is_private_ip(ip))
}

/// Whether it is an address of this machine.
#[must_use]
pub fn is_loopback(multiaddr: &Multiaddr) -> bool {
    relay(multiaddr).is_none() && matches!(location(multiaddr), Some(Location::Ip(ip)) if ip.is_loopback())
}

enum Location {
    Ip(IpAddr),
    Name(String),
}

fn location(multiaddr: &Multiaddr) -> Option<Location> {
    multiaddr.iter().find_map(|protocol| match protocol {
        Protocol::Ip4(ip) => Some(Location::Ip(ip.into())),
        Protocol::Ip6(ip) => Some(Location::Ip(unwrapped(ip.into()))),
        Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) | Protocol::Dnsaddr(name) => {
            Some(Location::Name(name.into_owned()))
        }
        _ => None,
    })
}

/// `None`: not through a relay. `Some(None)`: through one that is not named.
fn relay(multiaddr: &Multiaddr) -> Option<Option<PeerId>> {
    let mut before = None;
    for protocol in multiaddr {
        match protocol {
            Protocol::P2pCircuit => return Some(before),
            Protocol::P2p(peer) => before = Some(peer),
            _ => {}
        }
    }
    None
}

/// The IPv4 address that an IPv6 one stands for, if it does: mapped (RFC 4291), NAT64 (RFC 6052), 6to4 (RFC 3056). One
/// IPv4 address must not count as many IPv6 networks.
fn unwrapped(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            Ipv4Addr::new(a, b, c, d).into()
        }
        _ => ip,
    }
}

/// By the special-purpose address registries of IANA.
fn is_global(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            let special = matches!(
                (a, b, c),
                (0 | 127 | 224.., ..)
                    | (192, 0, 0 | 2)
                    | (192, 88, 99)
                    | (198, 18 | 19, _)
                    | (198, 51, 100)
                    | (203, 0, 113)
            );
            !special && !is_private_ip(ip.into())
        }
        IpAddr::V6(ip) => {
            let [a, b, ..] = ip.segments();
            // 2000::/3 without 2001::/23 (protocols), 2001:db8::/32 and 3fff::/20 (documentation).
            a & 0xe000 == 0x2000 && !(a == 0x2001 && (b < 0x200 || b == 0xdb8)) && !(a == 0x3fff && b < 0x1000)
        }
    }
}

fn is_private_ip(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local() || is_shared(ip),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local() || is_site_local(ip),
    }
}

/// 100.64.0.0/10: behind a carrier's NAT (RFC 6598).
fn is_shared(ip: Ipv4Addr) -> bool {
    matches!(ip.octets(), [100, 64..=127, ..])
}

/// fec0::/10: deprecated, still found on old equipment (RFC 3879).
fn is_site_local(ip: Ipv6Addr) -> bool {
    ip.segments()[0] & 0xffc0 == 0xfec0
}

/// Names that only a local network or this machine resolves.
fn is_local_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    !name.contains('.')
        || ["localhost", "local", "internal", "lan", "home.arpa"]
            .iter()
            .any(|local| name.strip_suffix(local).is_some_and(|rest| rest.ends_with('.')))
}

#[cfg(test)]
mod tests {
    use libp2p::core::{Endpoint, transport::PortUse};
    use proptest::prelude::*;

    use super::*;

    const RELAY: &str = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
    const OTHER: &str = "QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC";

    fn multiaddr(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    fn of(text: &str) -> IpPrefix {
        IpPrefix::of(&multiaddr(text))
    }

    #[test]
    fn a_peer_sits_in_its_prefix() {
        assert_eq!(of("/ip4/203.0.113.9/tcp/1"), IpPrefix::V4([203, 0, 113, 9]));
        let v6 = IpPrefix::V6([0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 2]);
        assert_eq!(of("/ip6/2001:db8:1:2::5/udp/1/quic-v1"), v6);
        assert_eq!(of("/ip6/2001:db8:1:2:3:4:5:6/tcp/1"), v6, "one /64");
        assert_eq!(
            of("/ip6zone/eth0/ip6/fe80::1/tcp/1"),
            IpPrefix::V6([0xfe, 0x80, 0, 0, 0, 0, 0, 0])
        );
        for mapped in [
            "::ffff:203.0.113.9",
            "64:ff9b::203.0.113.9",
            "2002:cb00:7109::1",
            "2002:cb00:7109:ffff::2",
        ] {
            assert_eq!(
                of(&format!("/ip6/{mapped}/tcp/1")),
                IpPrefix::V4([203, 0, 113, 9]),
                "{mapped}"
            );
        }
        for loopback in [
            "/ip4/127.0.0.1/tcp/1",
            "/ip4/127.9.9.9/tcp/1",
            "/ip6/::1/tcp/1",
            "/ip6/::ffff:127.0.0.1/tcp/1",
        ] {
            assert_eq!(of(loopback), IpPrefix::Loopback, "{loopback}");
        }
        assert_eq!(of("/memory/5"), IpPrefix::Memory);
        assert_eq!(of("/dns4/boot.example/tcp/1"), IpPrefix::Unknown);
        assert_eq!(IpPrefix::of(&Multiaddr::empty()), IpPrefix::Unknown);
    }

    #[test]
    fn a_relayed_peer_sits_at_its_relay() {
        let relay = IpPrefix::Relay(RELAY.parse().unwrap());
        assert_eq!(
            of(&format!("/ip4/203.0.113.9/tcp/1/p2p/{RELAY}/p2p-circuit/p2p/{OTHER}")),
            relay
        );
        assert_eq!(of(&format!("/p2p/{RELAY}/p2p-circuit")), relay);
        assert_eq!(of("/ip4/203.0.113.9/tcp/1/p2p-circuit"), IpPrefix::Unknown);

        let local_addr = multiaddr(&format!("/ip4/203.0.113.9/tcp/1/p2p/{RELAY}/p2p-circuit"));
        let relayed = ConnectedPoint::Listener {
            local_addr,
            send_back_addr: multiaddr(&format!("/p2p/{OTHER}")),
        };
        assert_eq!(IpPrefix::of_remote(&relayed), relay);
        let local_addr = multiaddr("/ip4/10.0.0.1/tcp/6245");
        let direct = ConnectedPoint::Listener {
            local_addr,
            send_back_addr: multiaddr("/ip4/198.51.100.7/tcp/9"),
        };
        assert_eq!(IpPrefix::of_remote(&direct), IpPrefix::V4([198, 51, 100, 7]));
        let address = multiaddr("/ip4/198.51.100.7/tcp/9");
        let dialled = ConnectedPoint::Dialer {
            address,
            role_override: Endpoint::Dialer,
            port_use: PortUse::New,
        };
        assert_eq!(IpPrefix::of_remote(&dialled), IpPrefix::V4([198, 51, 100, 7]));
    }

    #[test]
    fn prefixes_widen() {
        assert_eq!(
            of("/ip4/203.0.113.9/tcp/1").wider(),
            Some(WidePrefix::V4([203, 0, 113]))
        );
        assert_eq!(
            of("/ip6/2001:db8:1:2::5/tcp/1").wider(),
            Some(WidePrefix::V6([0x20, 0x01, 0x0d, 0xb8, 0, 1]))
        );
        for narrow in [
            IpPrefix::Loopback,
            IpPrefix::Memory,
            IpPrefix::Unknown,
            IpPrefix::Relay(RELAY.parse().unwrap()),
        ] {
            assert_eq!(narrow.wider(), None);
        }
    }

    #[test]
    fn routable_private_and_loopback_are_told_apart() {
        let kinds = |location: &str| {
            let multiaddr = multiaddr(location);
            [
                is_globally_routable(&multiaddr),
                is_private(&multiaddr),
                is_loopback(&multiaddr),
            ]
        };
        for ip in "1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 172.15.0.1 172.32.0.1".split(' ') {
            assert_eq!(kinds(&format!("/ip4/{ip}/tcp/1")), [true, false, false], "{ip}");
        }
        for ip in "10.0.0.0 10.255.0.1 100.64.0.1 100.127.0.1 169.254.1.1 172.16.0.1 172.31.0.1 192.168.1.1".split(' ')
        {
            assert_eq!(kinds(&format!("/ip4/{ip}/tcp/1")), [false, true, false], "{ip}");
        }
        for ip in "0.0.0.0 192.0.0.1 192.0.2.1 192.88.99.1 198.18.0.1 198.19.9.9 203.0.113.1 224.0.0.1 255.255.255.255"
            .split(' ')
        {
            assert_eq!(kinds(&format!("/ip4/{ip}/tcp/1")), [false, false, false], "{ip}");
        }
        assert_eq!(kinds("/ip4/127.0.0.1/tcp/1"), [false, false, true]);
        for ip in
            "2606:4700::1111 2001:4860:4860::8888 2a00::1 2002:101:101::1 64:ff9b::1.1.1.1 3fff:1000::1".split(' ')
        {
            assert_eq!(kinds(&format!("/ip6/{ip}/tcp/1")), [true, false, false], "{ip}");
        }
        for ip in "fe80::1 fd00::1 fc00::1 fec0::1 ::ffff:10.0.0.1 2002:a00:1::1".split(' ') {
            assert_eq!(kinds(&format!("/ip6/{ip}/tcp/1")), [false, true, false], "{ip}");
        }
        for ip in ":: 2001:db8::1 2001::1 2001:20::1 3fff::1 ff02::1 64:ff9b:1::1 100::1".split(' ') {
            assert_eq!(kinds(&format!("/ip6/{ip}/tcp/1")), [false, false, false], "{ip}");
        }
        assert_eq!(kinds("/ip6/::1/tcp/1"), [false, false, true]);
        assert_eq!(kinds("/ip6/::ffff:127.0.0.1/tcp/1"), [false, false, true]);
        assert_eq!(kinds("/memory/1"), [false, false, false]);
        for name in ["boot.example", "localhost.example", "a.mylocal"] {
            assert_eq!(kinds(&format!("/dns4/{name}/tcp/1")), [true, false, false], "{name}");
        }
        for name in "localhost nas nas.local nas.Local. x.home.arpa db.internal a.localhost".split(' ') {
            assert_eq!(kinds(&format!("/dns/{name}/tcp/1")), [false, false, false], "{name}");
        }
        assert_eq!(
            kinds(&format!("/ip4/1.1.1.1/tcp/1/p2p/{RELAY}/p2p-circuit")),
            [false, false, false]
        );
    }

    proptest! {
        #[test]
        fn every_address_has_one_kind(v4: u32, v6: u128) {
            for multiaddr in [Multiaddr::from(Ipv4Addr::from(v4)), Multiaddr::from(Ipv6Addr::from(v6))] {
                let kinds = [is_globally_routable(&multiaddr), is_private(&multiaddr), is_loopback(&multiaddr)];
                prop_assert!(kinds.iter().filter(|kind| **kind).count() <= 1);
                prop_assert_eq!(is_loopback(&multiaddr), IpPrefix::of(&multiaddr) == IpPrefix::Loopback);
                prop_assert_eq!(IpPrefix::of(&multiaddr).wider().is_some(), !is_loopback(&multiaddr));
            }
        }
    }
}
