//! Records of a lease group between the wire and the machine: checked for what the wire's own bounds do not say.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use maille_proto::leases::{Claim, LeaseRecord};
use maille_proto::{decode_lease, encode_lease};

use super::{LEASE_MAX, LEASE_MIN};

/// All that one member says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) lease: Duration,
    pub(super) offers: bool,
    pub(super) leaves: bool,
    pub(super) claims: BTreeMap<Bytes, u64>,
    pub(super) ended: Option<(Bytes, u64)>,
}

/// The highest number.
pub(super) const NUMBER_MAX: u64 = (1 << 63) - 1;

impl Statement {
    /// Nothing, if it is not what any honest member says.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let record = decode_lease(bytes).ok()?;
        let lease = Duration::from_millis(record.lease_ms.into());
        let ascend = record.claims.is_sorted_by(|before, after| before.key < after.key);
        let numbers = record.claims.iter().chain(&record.ended).map(|claim| claim.number);
        let are_numbers = numbers.into_iter().all(|number| (1..=NUMBER_MAX).contains(&number));
        let fits = (LEASE_MIN..=LEASE_MAX).contains(&lease) && ascend && are_numbers;
        let silent = !record.leaves || (record.claims.is_empty() && !record.offers);
        let pair = |claim: Claim| (Bytes::from(claim.key), claim.number);
        (fits && silent).then(|| Self {
            lease,
            offers: record.offers,
            leaves: record.leaves,
            claims: record.claims.into_iter().map(pair).collect(),
            ended: record.ended.map(pair),
        })
    }

    pub(super) fn encode(&self) -> Bytes {
        let claim = |(key, number): (&Bytes, &u64)| Claim {
            key: key.to_vec(),
            number: *number,
        };
        let record = LeaseRecord {
            lease_ms: u32::try_from(self.lease.as_millis()).unwrap_or(u32::MAX),
            offers: self.offers,
            leaves: self.leaves,
            claims: self.claims.iter().map(claim).collect(),
            ended: self.ended.as_ref().map(|(key, number)| claim((key, number))),
        };
        encode_lease(&record).into()
    }
}
