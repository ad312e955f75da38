//! Whose fullness counts when something is full: the network around a remote peer. Not where the peer sits, which is
//! its prefix.

use crate::types::{IpPrefix, WidePrefix};

/// The widest part of the network that one customer holds: whoever has an address in it may have them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Network {
    /// An IPv4 /24 or an IPv6 /48.
    Wide(WidePrefix),
    /// This machine, or behind one relay, or nobody knows.
    Whole(IpPrefix),
}

impl Network {
    pub(super) fn around(prefix: IpPrefix) -> Self {
        prefix.wider().map_or(Network::Whole(prefix), Network::Wide)
    }
}
