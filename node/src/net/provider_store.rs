//! Kademlia's `RecordStore` over the fair provider store of `core/providers`. Values are not stored at all.

use std::borrow::Cow;
use std::time::Instant;

use libp2p::kad::store::{Error, RecordStore, Result};
use libp2p::kad::{ProviderRecord, Record, RecordKey};
use libp2p::{Multiaddr, PeerId};
use rand::rngs::StdRng;

use crate::core::providers::Providers;
use crate::types::IpPrefix;

/// The store of one node.
pub(crate) struct ProviderStore(Providers);

impl ProviderStore {
    pub(super) fn new(me: PeerId, rng: StdRng) -> Self {
        Self(Providers::new(me, rng))
    }

    /// Stores what a peer announced of itself, under the address it really came from.
    pub(super) fn announce(&mut self, record: &ProviderRecord, multiaddrs: Vec<Multiaddr>, prefix: IpPrefix) {
        self.0
            .add(record.key.as_ref(), record.provider, multiaddrs, prefix, Instant::now());
    }

    /// Where a provider said it is; empty if it is not in the store.
    pub(super) fn multiaddrs(&self, key: &[u8], provider: &PeerId) -> Vec<Multiaddr> {
        self.0.multiaddrs(key, provider).to_vec()
    }

    pub(super) fn expire(&mut self, now: Instant) {
        self.0.expire(now);
    }
}

impl RecordStore for ProviderStore {
    type RecordsIter<'a> = std::iter::Empty<Cow<'a, Record>>;
    type ProvidedIter<'a> = std::iter::Empty<Cow<'a, ProviderRecord>>;

    fn get(&self, _: &RecordKey) -> Option<Cow<'_, Record>> {
        None
    }

    fn put(&mut self, _: Record) -> Result<()> {
        Err(Error::MaxRecords)
    }

    fn remove(&mut self, _: &RecordKey) {}

    fn records(&self) -> Self::RecordsIter<'_> {
        std::iter::empty()
    }

    /// Only for the node's own announcements: those of others are filtered and come through `announce`.
    fn add_provider(&mut self, record: ProviderRecord) -> Result<()> {
        let kept = self.0.add(
            record.key.as_ref(),
            record.provider,
            Vec::new(),
            IpPrefix::Unknown,
            Instant::now(),
        );
        kept.then_some(()).ok_or(Error::MaxProvidedKeys)
    }

    fn providers(&self, key: &RecordKey) -> Vec<ProviderRecord> {
        let answer = self.0.answer(key.as_ref(), Instant::now());
        // Expiry is the fair store's own: what it answers is fresh.
        let record = |(provider, addresses)| ProviderRecord {
            key: key.clone(),
            provider,
            expires: None,
            addresses,
        };
        answer.into_iter().map(record).collect()
    }

    /// Announcing is ours (`announce.rs`): it also depends on what a node has just learnt.
    fn provided(&self) -> Self::ProvidedIter<'_> {
        std::iter::empty()
    }

    fn remove_provider(&mut self, key: &RecordKey, provider: &PeerId) {
        self.0.remove(key.as_ref(), provider);
    }
}
