//! How many requests are under way, and how much of them is held in memory: of each peer and of all. What is over a limit
//! is turned away at once; nothing waits here.

use std::collections::HashMap;

use libp2p::PeerId;

/// The most at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Of all peers.
    pub(crate) places: usize,
    /// Of one.
    pub(crate) places_peer: usize,
    /// Bytes of requests and answers of all peers.
    pub(crate) bytes: usize,
    /// Of one.
    pub(crate) bytes_peer: usize,
}

/// There is no place left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    places: usize,
    bytes: usize,
}

/// The places of one node.
#[derive(Debug)]
pub(crate) struct Places {
    limits: Limits,
    all: Taken,
    /// Only peers that have a place.
    peers: HashMap<PeerId, Taken>,
}

impl Places {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            all: Taken::default(),
            peers: HashMap::new(),
        }
    }

    /// Takes a place that holds nothing yet.
    pub(crate) fn take(&mut self, peer: PeerId) -> Result<(), Full> {
        let of_peer = self.peers.get(&peer).copied().unwrap_or_default();
        if self.all.places >= self.limits.places || of_peer.places >= self.limits.places_peer {
            return Err(Full);
        }
        self.all.places += 1;
        self.peers.entry(peer).or_default().places += 1;
        Ok(())
    }

    /// A place that held `before` bytes holds `after` instead; unchanged, if that is too much. Less is always allowed.
    pub(crate) fn hold(&mut self, peer: PeerId, before: usize, after: usize) -> Result<(), Full> {
        let Some(of_peer) = self.peers.get_mut(&peer) else {
            return Err(Full);
        };
        let all = self.all.bytes.saturating_sub(before).saturating_add(after);
        let own = of_peer.bytes.saturating_sub(before).saturating_add(after);
        if after > before && (all > self.limits.bytes || own > self.limits.bytes_peer) {
            return Err(Full);
        }
        (self.all.bytes, of_peer.bytes) = (all, own);
        Ok(())
    }

    /// Gives a place back, and the `bytes` that it held.
    pub(crate) fn free(&mut self, peer: PeerId, bytes: usize) {
        let Some(of_peer) = self.peers.get_mut(&peer) else {
            return;
        };
        for taken in [&mut self.all, &mut *of_peer] {
            taken.places = taken.places.saturating_sub(1);
            taken.bytes = taken.bytes.saturating_sub(bytes);
        }
        if of_peer.places == 0 {
            self.peers.remove(&peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::neighbours::test_peers::peer;

    const LIMITS: Limits = Limits {
        places: 5,
        places_peer: 3,
        bytes: 100,
        bytes_peer: 60,
    };

    #[test]
    fn one_peer_leaves_room_for_others() {
        let mut places = Places::new(LIMITS);
        let taken = |places: &mut Places, n| (0..10).filter(|_| places.take(peer(n)).is_ok()).count();
        assert_eq!(taken(&mut places, 1), 3);
        assert_eq!(taken(&mut places, 2), 2);
        assert_eq!(taken(&mut places, 3), 0);
        places.free(peer(1), 0);
        assert_eq!(taken(&mut places, 3), 1);
    }

    #[test]
    fn bytes_are_bounded_a_peer_and_in_all() {
        let mut places = Places::new(LIMITS);
        for n in [1, 2] {
            places.take(peer(n)).unwrap();
        }
        assert_eq!(places.hold(peer(1), 0, 61), Err(Full));
        assert_eq!(places.hold(peer(1), 0, 60), Ok(()));
        assert_eq!(places.hold(peer(2), 0, 41), Err(Full));
        assert_eq!(places.hold(peer(2), 0, 40), Ok(()));
        // The answer takes the place of the request.
        assert_eq!(places.hold(peer(1), 60, 10), Ok(()));
        assert_eq!(places.hold(peer(2), 40, 60), Ok(()));
        assert_eq!(places.hold(peer(3), 0, 1), Err(Full));
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Take(u64),
        Hold(usize, usize),
        Free(usize),
    }

    proptest! {
        #[test]
        fn what_is_given_back_is_all_that_was_taken(steps in prop::collection::vec(
            prop_oneof![
                (0..4_u64).prop_map(Step::Take),
                (0..9_usize, 0..80_usize).prop_map(|(at, bytes)| Step::Hold(at, bytes)),
                (0..9_usize).prop_map(Step::Free),
            ], 0..200)) {
            let mut places = Places::new(LIMITS);
            let mut held: Vec<(u64, usize)> = Vec::new();
            for step in steps {
                match step {
                    Step::Take(n) => if places.take(peer(n)).is_ok() { held.push((n, 0)) },
                    Step::Hold(at, bytes) => if let Some((n, before)) = held.get_mut(at)
                        && places.hold(peer(*n), *before, bytes).is_ok() { *before = bytes },
                    Step::Free(at) => if at < held.len() {
                        let (n, bytes) = held.swap_remove(at);
                        places.free(peer(n), bytes);
                    },
                }
                prop_assert!(held.len() <= LIMITS.places);
                prop_assert!(held.iter().map(|(_, bytes)| bytes).sum::<usize>() <= LIMITS.bytes);
                for n in 0..4 {
                    let own = held.iter().filter(|(of, _)| *of == n);
                    prop_assert!(own.clone().count() <= LIMITS.places_peer);
                    prop_assert!(own.map(|(_, bytes)| bytes).sum::<usize>() <= LIMITS.bytes_peer);
                }
                prop_assert_eq!(places.all.places, held.len());
            }
            for (n, bytes) in held {
                places.free(peer(n), bytes);
            }
            prop_assert_eq!((places.all.places, places.all.bytes, places.peers.len()), (0, 0, 0));
        }
    }
}
