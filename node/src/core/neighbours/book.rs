//! The book: records of members that are not neighbours now, to pass on and to remember. Not whom to approach: that is
//! for the candidates.

use std::{collections::BTreeMap, time::Instant};

use libp2p::PeerId;
use rand::{rngs::StdRng, seq::IteratorRandom};

use super::MemberRecord;

/// Records in the book.
pub const BOOK_RECORDS_MAX: usize = 64;
/// Of these, records of former neighbours that hearsay does not push out.
const MET_RECORDS_KEPT: usize = BOOK_RECORDS_MAX / 2;

#[derive(Debug)]
struct Entry {
    record: MemberRecord,
    /// When the member stopped being our neighbour, if it ever was.
    met_at: Option<Instant>,
}

/// A bounded set of records, one a member, the newest of each.
#[derive(Debug, Default)]
pub(super) struct Book {
    entries: BTreeMap<PeerId, Entry>,
}

impl Book {
    /// Enters hearsay. A record older than the one at hand is ignored; in a full book a random record makes room.
    pub(super) fn insert(&mut self, record: MemberRecord, rng: &mut StdRng) {
        self.enter(record, None, rng);
    }

    /// Enters the record of a neighbour that has just gone.
    pub(super) fn insert_met(&mut self, record: MemberRecord, now: Instant, rng: &mut StdRng) {
        self.enter(record, Some(now), rng);
    }

    /// Takes the record of a member that has become a neighbour.
    pub(super) fn take(&mut self, peer: &PeerId) -> Option<MemberRecord> {
        self.entries.remove(peer).map(|entry| entry.record)
    }

    /// Strikes out hearsay that turned out to lead nowhere; former neighbours stay.
    pub(super) fn strike(&mut self, peer: &PeerId) {
        if self.entries.get(peer).is_some_and(|entry| entry.met_at.is_none()) {
            self.entries.remove(peer);
        }
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &MemberRecord> {
        self.entries.values().map(|entry| &entry.record)
    }

    /// Records of former neighbours, the last one met first.
    pub(super) fn met(&self) -> Vec<&MemberRecord> {
        let mut met: Vec<_> = self.entries.values().filter(|entry| entry.met_at.is_some()).collect();
        met.sort_by_key(|entry| std::cmp::Reverse(entry.met_at));
        met.into_iter().map(|entry| &entry.record).collect()
    }

    fn enter(&mut self, record: MemberRecord, met_at: Option<Instant>, rng: &mut StdRng) {
        if let Some(known) = self.entries.get_mut(&record.peer) {
            if record.sequence >= known.record.sequence {
                known.record = record;
            }
            known.met_at = known.met_at.max(met_at);
            return;
        }
        if self.entries.len() >= BOOK_RECORDS_MAX {
            self.make_room(rng);
        }
        self.entries.insert(record.peer, Entry { record, met_at });
    }

    fn make_room(&mut self, rng: &mut StdRng) {
        let met = self.entries.values().filter(|entry| entry.met_at.is_some()).count();
        let met_may_go = met > MET_RECORDS_KEPT;
        let gone = self
            .entries
            .iter()
            .filter(|(_, entry)| met_may_go || entry.met_at.is_none())
            .map(|(peer, _)| *peer);
        if let Some(gone) = gone.choose(rng) {
            self.entries.remove(&gone);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rand::SeedableRng;

    use super::{super::test_peers::*, *};

    #[test]
    fn the_newest_record_wins_whichever_comes_first() {
        let mut rng = StdRng::seed_from_u64(1);
        for order in [[1, 2], [2, 1]] {
            let mut book = Book::default();
            for sequence in order {
                book.insert(
                    MemberRecord {
                        sequence,
                        ..record(7, &[])
                    },
                    &mut rng,
                );
            }
            assert_eq!(book.records().map(|record| record.sequence).collect::<Vec<_>>(), [2]);
        }
    }

    #[test]
    fn a_flood_of_hearsay_keeps_the_bound_and_half_of_those_met() {
        let mut rng = StdRng::seed_from_u64(2);
        let mut book = Book::default();
        let start = Instant::now();
        for n in 0..40 {
            book.insert_met(record(n, &[]), start + Duration::from_secs(n), &mut rng);
        }
        for n in 1_000..3_000 {
            book.insert(record(n, &[]), &mut rng);
            assert!(book.records().count() <= BOOK_RECORDS_MAX);
        }
        assert_eq!(book.records().count(), BOOK_RECORDS_MAX);
        let met = book.met();
        assert_eq!(met.len(), MET_RECORDS_KEPT);
        assert!(
            met.windows(2)
                .all(|pair| pair[0].sequence == 1 && number(&pair[0].peer) > number(&pair[1].peer))
        );
    }

    #[test]
    fn striking_out_spares_those_met() {
        let mut rng = StdRng::seed_from_u64(3);
        let mut book = Book::default();
        book.insert(record(1, &[]), &mut rng);
        book.insert_met(record(2, &[]), Instant::now(), &mut rng);
        book.strike(&peer(1));
        book.strike(&peer(2));
        assert_eq!(book.records().map(|record| record.peer).collect::<Vec<_>>(), [peer(2)]);
        assert!(book.take(&peer(2)).is_some() && book.take(&peer(2)).is_none());
    }
}
