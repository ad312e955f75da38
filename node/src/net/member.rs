//! Member records between the wire and the core: signed by their member, verified here.

use bytes::Bytes;
use libp2p::core::{PeerRecord, SignedEnvelope};
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, PeerId};
use maille_proto::admission::MemberRecord as WireRecord;
use maille_proto::{MEMBER_ENVELOPE_BYTES_MAX, MEMBER_TOPICS_MAX};

use crate::core::neighbours::MemberRecord;
use crate::types::{TopicHint, is_globally_routable, is_loopback};

/// Multiaddrs a record names.
const RECORD_MULTIADDRS_MAX: usize = 4;

/// This node's own record.
pub(super) fn own(key: &Keypair, multiaddrs: &[Multiaddr], topics: &[TopicHint]) -> Option<WireRecord> {
    let multiaddrs = multiaddrs.iter().take(RECORD_MULTIADDRS_MAX).cloned().collect();
    let envelope = PeerRecord::new(key, multiaddrs)
        .ok()?
        .into_signed_envelope()
        .into_protobuf_encoding();
    let topics = topics.iter().take(MEMBER_TOPICS_MAX).map(|topic| topic.0).collect();
    (envelope.len() <= MEMBER_ENVELOPE_BYTES_MAX).then_some(WireRecord { envelope, topics })
}

/// A record that came from somewhere; nothing if its signature does not hold.
pub(super) fn verified(wire: WireRecord) -> Option<MemberRecord> {
    let envelope = SignedEnvelope::from_protobuf_encoding(&wire.envelope).ok()?;
    let record = PeerRecord::from_signed_envelope(envelope).ok()?;
    Some(MemberRecord {
        peer: record.peer_id(),
        sequence: record.seq(),
        multiaddrs: record.addresses().iter().take(RECORD_MULTIADDRS_MAX).cloned().collect(),
        topics: wire.topics.into_iter().map(TopicHint).collect(),
        envelope: Bytes::from(wire.envelope),
    })
}

/// All that hold.
pub(super) fn all_verified(wire: Vec<WireRecord>) -> Vec<MemberRecord> {
    wire.into_iter().filter_map(verified).collect()
}

/// A record as it travels.
pub(super) fn to_wire(record: &MemberRecord) -> WireRecord {
    WireRecord {
        envelope: record.envelope.to_vec(),
        topics: record
            .topics
            .iter()
            .take(MEMBER_TOPICS_MAX)
            .map(|topic| topic.0)
            .collect(),
    }
}

/// Of a node's listen multiaddrs those worth telling others: loopback only where there is nothing else.
pub(super) fn worth_telling(listen: &[Multiaddr], announce: &[Multiaddr]) -> Vec<Multiaddr> {
    let mut told: Vec<Multiaddr> = announce.to_vec();
    let mut others: Vec<&Multiaddr> = listen.iter().filter(|multiaddr| !is_loopback(multiaddr)).collect();
    others.sort_by_key(|multiaddr| !is_globally_routable(multiaddr));
    told.extend(others.into_iter().cloned());
    if told.is_empty() {
        told.extend(listen.iter().cloned());
    }
    told.dedup();
    told
}

/// Of what a peer says of itself, what can be true where it is: nobody reaches another machine's loopback.
pub(super) fn plausible(claimed: Vec<Multiaddr>, remote: &Multiaddr) -> Vec<Multiaddr> {
    let from_here = is_loopback(remote) || is_memory(remote);
    let from_near = from_here || !is_globally_routable(remote);
    let plausible = claimed.into_iter().filter(|multiaddr| {
        let here = is_loopback(multiaddr) || is_memory(multiaddr);
        is_globally_routable(multiaddr) || (from_near && !here) || from_here
    });
    plausible
        .filter(|multiaddr| !is_unspecified(multiaddr))
        .take(RECORD_MULTIADDRS_MAX * 2)
        .collect()
}

fn is_memory(multiaddr: &Multiaddr) -> bool {
    matches!(multiaddr.iter().next(), Some(libp2p::multiaddr::Protocol::Memory(_)))
}

fn is_unspecified(multiaddr: &Multiaddr) -> bool {
    match multiaddr.iter().next() {
        Some(libp2p::multiaddr::Protocol::Ip4(ip)) => ip.is_unspecified(),
        Some(libp2p::multiaddr::Protocol::Ip6(ip)) => ip.is_unspecified(),
        _ => false,
    }
}

/// A multiaddr with `/p2p/<peer>` at its end.
pub(super) fn with_peer(multiaddr: &Multiaddr, peer: PeerId) -> Multiaddr {
    multiaddr.clone().with_p2p(peer).unwrap_or_else(|already| already)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn multiaddrs(texts: &[&str]) -> Vec<Multiaddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn records_are_those_of_their_signer_only() {
        let key = Keypair::generate_ed25519();
        let wire = own(&key, &multiaddrs(&["/ip4/127.0.0.1/tcp/1"]), &[TopicHint(7)]).unwrap();
        let record = verified(wire.clone()).unwrap();
        assert_eq!(
            (record.peer, &record.topics[..]),
            (key.public().to_peer_id(), &[TopicHint(7)][..])
        );
        assert_eq!(to_wire(&record), wire);
        let flipped = (0..wire.envelope.len()).filter(|at| {
            let mut wire = wire.clone();
            wire.envelope[*at] ^= 1;
            verified(wire).is_some_and(|forged| forged.peer == record.peer && forged.multiaddrs != record.multiaddrs)
        });
        assert_eq!(flipped.count(), 0);
    }

    #[test]
    fn loopback_is_told_only_where_there_is_nothing_else() {
        let loopback = multiaddrs(&["/ip4/127.0.0.1/tcp/1", "/ip6/::1/tcp/1"]);
        assert_eq!(worth_telling(&loopback, &[]), loopback);
        let listen = multiaddrs(&["/ip4/127.0.0.1/tcp/1", "/ip4/192.168.1.2/tcp/1", "/ip4/8.8.4.4/tcp/1"]);
        assert_eq!(
            worth_telling(&listen, &[]),
            multiaddrs(&["/ip4/8.8.4.4/tcp/1", "/ip4/192.168.1.2/tcp/1"])
        );
        let announce = multiaddrs(&["/dns4/node.example/tcp/6245"]);
        assert_eq!(worth_telling(&listen, &announce)[0], announce[0]);
    }

    #[test]
    fn what_a_peer_claims_must_fit_where_it_is() {
        let claimed = || {
            multiaddrs(&[
                "/ip4/127.0.0.1/tcp/1",
                "/ip4/192.168.1.2/tcp/1",
                "/ip4/8.8.4.4/tcp/1",
                "/ip4/0.0.0.0/tcp/1",
            ])
        };
        let from = |remote: &str| plausible(claimed(), &remote.parse().unwrap()).len();
        assert_eq!(from("/ip4/127.0.0.1/tcp/9"), 3);
        assert_eq!(from("/ip4/192.168.1.9/tcp/9"), 2);
        assert_eq!(from("/ip4/1.1.1.1/tcp/9"), 1);
    }
}
