//! How much of each client's items is had, without gaps. Not deletions, which have no number.

use std::collections::BTreeMap;

use maille_proto::DOCUMENT_CLIENTS_MAX;
use maille_proto::document::Summary;
use yrs::StateVector;
use yrs::block::ClientID;

use super::check::{CLIENT_MAX, CLOCK_MAX};

/// A version vector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vector(BTreeMap<u64, u32>);

impl Vector {
    /// How much of a client is had.
    #[must_use]
    pub fn clock(&self, client: u64) -> u32 {
        self.0.get(&client).copied().unwrap_or_default()
    }

    /// At least so much of a client is had.
    pub fn raise(&mut self, client: u64, clock: u32) {
        if clock > self.clock(client) {
            self.0.insert(client, clock);
        }
    }

    /// Whether all that the other has is had.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.0.iter().all(|(client, clock)| self.clock(*client) >= *clock)
    }

    /// How much of each client is had.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u32)> {
        self.0.iter().map(|(client, clock)| (*client, *clock))
    }

    /// Whether nothing is had.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What both have.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Self {
        let both = self
            .0
            .iter()
            .map(|(client, clock)| (*client, (*clock).min(other.clock(*client))));
        Self(both.filter(|(_, clock)| *clock > 0).collect())
    }

    pub(super) fn to_library(&self) -> StateVector {
        let mut vector = StateVector::default();
        for (client, clock) in &self.0 {
            vector.set_max(ClientID::new(*client), *clock);
        }
        vector
    }

    /// As it travels. Clients beyond the bound are left out, which only lets others answer more than is needed.
    pub(super) fn summary(&self, hash: u64, wanted: bool) -> Summary {
        let told = self.0.iter().take(DOCUMENT_CLIENTS_MAX);
        let (clients, clocks) = told.map(|(client, clock)| (*client, u64::from(*clock))).unzip();
        Summary {
            clients,
            clocks,
            hash,
            wanted,
        }
    }

    /// Nothing if it is none: clients must ascend, and each has a clock above 0.
    pub(super) fn read(summary: &Summary) -> Option<Self> {
        let Summary { clients, clocks, .. } = summary;
        let ascends = clients.is_sorted_by(|one, next| one < next);
        if clients.len() != clocks.len() || !ascends || clients.last().is_some_and(|last| *last > CLIENT_MAX) {
            return None;
        }
        let clock = |clock: &u64| {
            u32::try_from(*clock)
                .ok()
                .filter(|clock| (1..=CLOCK_MAX).contains(clock))
        };
        let pairs = clients.iter().zip(clocks);
        let read: Option<BTreeMap<_, _>> = pairs.map(|(client, told)| Some((*client, clock(told)?))).collect();
        read.map(Self)
    }
}
