//! Stand-ins until `types` has them.

/// Stand-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicHint(pub u64);

/// Stand-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IpPrefix {
    /// This machine.
    Loopback,
    /// In-memory transport.
    Memory,
    /// IPv4 address.
    V4([u8; 4]),
    /// First 64 bits of an IPv6 address.
    V6([u8; 8]),
    /// Relayed.
    Relay(libp2p::PeerId),
    /// Not known.
    Unknown,
}

impl IpPrefix {
    /// The /24 or /48.
    pub fn wider(self) -> Self {
        match self {
            IpPrefix::V4([a, b, c, _]) => IpPrefix::V4([a, b, c, 0]),
            IpPrefix::V6([a, b, c, d, e, f, _, _]) => IpPrefix::V6([a, b, c, d, e, f, 0, 0]),
            other => other,
        }
    }
}
