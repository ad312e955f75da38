//! Whether this node serves Kademlia or only asks. Not Kademlia itself.
//!
//! libp2p's automatic mode serves once an external address is confirmed, which never happens on loopback and on a LAN:
//! there nobody would serve. Here a node also serves while it has no connection to a globally routable address.

use libp2p::Multiaddr;

use crate::types::is_globally_routable;

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
        self.global_connections = self
            .global_connections
            .saturating_add(usize::from(is_globally_routable(remote)));
    }

    /// A connection to `remote`, the same multiaddr as when it was established, closed.
    pub fn closed(&mut self, remote: &Multiaddr) {
        self.global_connections = self
            .global_connections
            .saturating_sub(usize::from(is_globally_routable(remote)));
    }

    /// An external multiaddr of ours was confirmed.
    pub fn confirmed(&mut self, external: &Multiaddr) {
        self.confirmed = self
            .confirmed
            .saturating_add(usize::from(is_globally_routable(external)));
    }

    /// A confirmed external multiaddr of ours expired.
    pub fn expired(&mut self, external: &Multiaddr) {
        self.confirmed = self
            .confirmed
            .saturating_sub(usize::from(is_globally_routable(external)));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn multiaddr(text: &str) -> Multiaddr {
        text.parse().unwrap()
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
