//! Whether this node serves Kademlia or only asks. Not Kademlia itself.
//!
//! libp2p's automatic mode serves once an external address is confirmed, which never happens on loopback and on a LAN:
//! there nobody would serve. Here a node also serves while it has no connection to a globally routable address.

use core::net::{Ipv4Addr, Ipv6Addr};

use libp2p::{Multiaddr, multiaddr::Protocol};

/// What a node is in the DHT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KadMode {
    /// Stores provider records and answers.
    Server,
    /// Only asks.
    Client,
}

/// The decision, and what it depends on.
#[derive(Clone, Debug)]
pub struct KadModeRule {
    helper: bool,
    confirmed: usize,
    global_connections: usize,
}

impl KadModeRule {
    /// Of a node without connections; helpers always serve.
    pub fn new(helper: bool) -> Self {
        KadModeRule {
            helper,
            confirmed: 0,
            global_connections: 0,
        }
    }

    /// A connection to `remote` was established.
    pub fn connected(&mut self, remote: &Multiaddr) {
        self.global_connections = self.global_connections.saturating_add(usize::from(is_global(remote)));
    }

    /// A connection to `remote`, the same multiaddr as when it was established, closed.
    pub fn closed(&mut self, remote: &Multiaddr) {
        self.global_connections = self.global_connections.saturating_sub(usize::from(is_global(remote)));
    }

    /// An external multiaddr of ours was confirmed.
    pub fn confirmed(&mut self, external: &Multiaddr) {
        self.confirmed = self.confirmed.saturating_add(usize::from(is_global(external)));
    }

    /// A confirmed external multiaddr of ours expired.
    pub fn expired(&mut self, external: &Multiaddr) {
        self.confirmed = self.confirmed.saturating_sub(usize::from(is_global(external)));
    }

    /// The mode to be in now.
    pub fn mode(&self) -> KadMode {
        if self.helper || self.confirmed > 0 || self.global_connections == 0 {
            KadMode::Server
        } else {
            KadMode::Client
        }
    }
}

/// Whether a multiaddr leads to a globally routable address. A DNS name does, unless it is that of this machine: in
/// doubt a node asks rather than promise to answer.
pub fn is_global(multiaddr: &Multiaddr) -> bool {
    match multiaddr.iter().next() {
        Some(Protocol::Ip4(ip)) => is_global_v4(ip),
        Some(Protocol::Ip6(ip)) => is_global_v6(ip),
        Some(Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) | Protocol::Dnsaddr(name)) => {
            name != "localhost" && !name.ends_with(".localhost") && !name.ends_with(".local")
        }
        _ => false,
    }
}

/// The special-purpose blocks of RFC 6890 that no route leads to from elsewhere.
fn is_global_v4(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    let is_shared = a == 100 && (64..128).contains(&b);
    let is_benchmark = a == 198 && (18..20).contains(&b);
    let is_special = ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_documentation();
    // 0/8 is "this network", 224/4 multicast, 240/4 reserved.
    a != 0 && a < 224 && !is_special && !is_shared && !is_benchmark
}

fn is_global_v6(ip: Ipv6Addr) -> bool {
    if let Some(ip) = ip.to_ipv4_mapped() {
        return is_global_v4(ip);
    }
    let [first, second, ..] = ip.segments();
    // All global unicast is in 2000::/3; 2001:db8::/32 is for documentation.
    first & 0xe000 == 0x2000 && !(first == 0x2001 && second == 0x0db8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn multiaddr(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    #[test]
    fn global_is_what_can_be_routed_to() {
        let global = [
            "/ip4/8.8.8.8/tcp/1",
            "/ip6/2a00:1450::1/udp/1/quic-v1",
            "/dns4/helper.example/tcp/6245",
        ];
        let local = [
            "/ip4/127.0.0.1/tcp/1",
            "/ip4/10.1.2.3/tcp/1",
            "/ip4/172.31.0.1/tcp/1",
            "/ip4/192.168.0.1/tcp/1",
            "/ip4/169.254.1.1/tcp/1",
            "/ip4/100.64.0.1/tcp/1",
            "/ip4/198.18.0.1/tcp/1",
            "/ip4/224.0.0.1/tcp/1",
            "/ip4/0.0.0.0/tcp/1",
            "/ip6/::1/tcp/1",
            "/ip6/fe80::1/tcp/1",
            "/ip6/fd00::1/tcp/1",
            "/ip6/2001:db8::1/tcp/1",
            "/ip6/::ffff:10.0.0.1/tcp/1",
            "/dns/localhost/tcp/1",
            "/memory/1",
        ];
        for text in global {
            assert!(is_global(&multiaddr(text)), "{text}");
        }
        for text in local {
            assert!(!is_global(&multiaddr(text)), "{text}");
        }
        assert!(!is_global(&Multiaddr::empty()));
    }

    #[test]
    fn a_member_serves_until_it_reaches_the_world() {
        let (lan, world) = (multiaddr("/ip4/192.168.0.2/tcp/1"), multiaddr("/ip4/8.8.8.8/tcp/1"));
        let mut rule = KadModeRule::new(false);
        assert_eq!(rule.mode(), KadMode::Server);
        rule.connected(&lan);
        assert_eq!(rule.mode(), KadMode::Server);
        rule.connected(&world);
        rule.connected(&world);
        assert_eq!(rule.mode(), KadMode::Client);
        rule.closed(&lan);
        rule.closed(&world);
        assert_eq!(rule.mode(), KadMode::Client, "one connection to the world is left");
        rule.closed(&world);
        assert_eq!(rule.mode(), KadMode::Server);
    }

    #[test]
    fn helpers_and_reachable_members_always_serve() {
        let world = multiaddr("/ip4/8.8.8.8/tcp/1");
        let mut helper = KadModeRule::new(true);
        helper.connected(&world);
        assert_eq!(helper.mode(), KadMode::Server);
        let mut member = KadModeRule::new(false);
        member.connected(&world);
        member.confirmed(&multiaddr("/ip4/192.168.0.2/tcp/1"));
        assert_eq!(member.mode(), KadMode::Client, "a private address proves nothing");
        member.confirmed(&world);
        assert_eq!(member.mode(), KadMode::Server);
        member.expired(&world);
        assert_eq!(member.mode(), KadMode::Client);
    }
}
