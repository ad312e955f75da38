//! How often an opener may try its password, one budget a mesh: every handshake shows a peer one guess, and a source may
//! name any number of peers that are none. Not whom to try: that is the neighbourhood's choice.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use libp2p::PeerId;
use rand::{RngExt, rngs::StdRng};

use super::bucket::{Bucket, Rate};

/// The first back-off after a refusal; it doubles with each.
pub const BACK_OFF_MIN: Duration = Duration::from_secs(15);
/// The longest back-off, before jitter.
pub const BACK_OFF_MAX: Duration = Duration::from_secs(10 * 60);
/// Jitter: a back-off is this much shorter or longer, in percent.
const BACK_OFF_JITTER_PERCENT: u32 = 20;
/// Peers that a source named for the mesh: 30 at once, then 1 a minute.
const NAMED: Rate = Rate::new(30, 1);
/// Peers that merely speak admission: 10 at once, then 1 a minute.
const OTHERS: Rate = Rate::new(10, 1);
/// Peers remembered. Forgetting one loses its back-off; the budget still holds.
const PEERS_MAX: usize = 1_024;

/// The guesses an opener spends on one mesh.
#[derive(Debug)]
pub struct Guesses {
    named: Bucket,
    others: Bucket,
    peers: HashMap<PeerId, Tried>,
    rng: StdRng,
}

/// What is remembered of a peer that was tried.
#[derive(Debug)]
struct Tried {
    at: Instant,
    /// Refusals in a row.
    refusals: u32,
    /// Nothing before.
    until: Instant,
    /// The budget that paid for the open handshake, and may get it back.
    paid: Option<Purse>,
}

#[derive(Clone, Copy, Debug)]
enum Purse {
    Named,
    Others,
}

impl Guesses {
    /// Both budgets full.
    #[must_use]
    pub fn new(rng: StdRng) -> Self {
        Guesses {
            named: Bucket::full(NAMED),
            others: Bucket::full(OTHERS),
            peers: HashMap::new(),
            rng,
        }
    }

    /// Pays for one handshake with a peer; `named` if a source named it for this mesh. Paid handshakes that do not end
    /// in [`admitted`](Self::admitted) or [`withdrawn`](Self::withdrawn) are spent, whatever became of them: a peer that
    /// drops the stream after our proof has had its guess.
    ///
    /// # Errors
    /// The instant from which it is worth asking again.
    pub fn try_open(&mut self, peer: PeerId, named: bool, now: Instant) -> Result<(), Instant> {
        if let Some(tried) = self.peers.get(&peer).filter(|tried| tried.until > now) {
            return Err(tried.until);
        }
        let purse = if named { Purse::Named } else { Purse::Others };
        self.purse(purse).take(now)?;
        self.make_room(&peer);
        let tried = self.peers.entry(peer).or_insert(Tried {
            at: now,
            refusals: 0,
            until: now,
            paid: None,
        });
        tried.at = now;
        tried.paid = Some(purse);
        Ok(())
    }

    /// The peer refused us ([`Failure::is_guess`](crate::core::admission::Failure::is_guess)): it is left alone for a
    /// while, longer each time.
    pub fn refused(&mut self, peer: PeerId, now: Instant) {
        let jitter = self
            .rng
            .random_range(100 - BACK_OFF_JITTER_PERCENT..=100 + BACK_OFF_JITTER_PERCENT);
        self.make_room(&peer);
        let tried = self.peers.entry(peer).or_insert(Tried {
            at: now,
            refusals: 0,
            until: now,
            paid: None,
        });
        let back_off = BACK_OFF_MIN
            .saturating_mul(1 << tried.refusals.min(16))
            .min(BACK_OFF_MAX);
        tried.refusals = tried.refusals.saturating_add(1);
        tried.until = now + back_off * jitter / 100;
        tried.paid = None;
    }

    /// The peer admitted us: it is no stranger, and what was paid comes back.
    pub fn admitted(&mut self, peer: &PeerId) {
        self.withdrawn(peer);
        self.peers.remove(peer);
    }

    /// We ended the handshake ourselves before our proof left, or the stream never stood: what was paid comes back.
    pub fn withdrawn(&mut self, peer: &PeerId) {
        if let Some(purse) = self.peers.get_mut(peer).and_then(|tried| tried.paid.take()) {
            self.purse(purse).refund();
        }
    }

    fn purse(&mut self, purse: Purse) -> &mut Bucket {
        match purse {
            Purse::Named => &mut self.named,
            Purse::Others => &mut self.others,
        }
    }

    /// Forgets the peer that was tried longest ago, if one more would be too many.
    fn make_room(&mut self, newcomer: &PeerId) {
        if self.peers.len() < PEERS_MAX || self.peers.contains_key(newcomer) {
            return;
        }
        // The id breaks ties, so that the same seed gives the same run.
        if let Some(oldest) = self
            .peers
            .iter()
            .min_by_key(|(peer, tried)| (tried.at, **peer))
            .map(|(peer, _)| *peer)
        {
            self.peers.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn guesses() -> Guesses {
        Guesses::new(StdRng::seed_from_u64(1))
    }

    fn peers(count: usize) -> Vec<PeerId> {
        (0..count).map(|_| PeerId::random()).collect()
    }

    /// A thousand fakes for an hour, each tried whenever the budget lets us, each ending as `ending` says.
    fn handshakes_in_an_hour(named: bool, ending: impl Fn(&mut Guesses, PeerId, Instant)) -> usize {
        let (start, peers, mut guesses) = (Instant::now(), peers(1_000), guesses());
        let mut handshakes = 0;
        for s in (0..3_600).step_by(10) {
            let now = start + Duration::from_secs(s);
            for peer in &peers {
                if guesses.try_open(*peer, named, now).is_ok() {
                    handshakes += 1;
                    ending(&mut guesses, *peer, now);
                }
            }
        }
        handshakes
    }

    #[test]
    fn t6_a_thousand_fake_providers_cost_at_most_90_handshakes_in_the_first_hour() {
        let refusing = handshakes_in_an_hour(true, |guesses, peer, now| guesses.refused(peer, now));
        let silent = handshakes_in_an_hour(true, |_, _, _| {});
        let others = handshakes_in_an_hour(false, |guesses, peer, now| guesses.refused(peer, now));
        eprintln!("named and refusing {refusing}, named and silent {silent}, not named {others}");
        assert!(
            (80..=90).contains(&refusing) && (80..=90).contains(&silent),
            "{refusing} {silent}"
        );
        assert!((60..=70).contains(&others), "{others}");
    }

    #[test]
    fn admitted_and_withdrawn_handshakes_are_free() {
        let (now, mut guesses) = (Instant::now(), guesses());
        for peer in peers(200) {
            assert_eq!(guesses.try_open(peer, true, now), Ok(()));
            guesses.admitted(&peer);
            assert_eq!(guesses.try_open(peer, false, now), Ok(()));
            guesses.withdrawn(&peer);
            guesses.withdrawn(&peer);
        }
        assert!(guesses.named.is_full(now) && guesses.others.is_full(now));
    }

    #[test]
    fn the_budget_for_others_leaves_the_named_alone() {
        let (now, mut guesses, peers) = (Instant::now(), guesses(), peers(50));
        assert_eq!(
            peers
                .iter()
                .filter(|peer| guesses.try_open(**peer, false, now).is_ok())
                .count(),
            10
        );
        assert_eq!(
            peers
                .iter()
                .filter(|peer| guesses.try_open(**peer, true, now).is_ok())
                .count(),
            30
        );
        assert_eq!(
            guesses.try_open(peers[0], true, now),
            Err(now + Duration::from_secs(60))
        );
    }

    #[test]
    fn refusals_back_off_from_15_s_to_10_min_and_success_forgets() {
        let (mut now, mut guesses, peer) = (Instant::now(), guesses(), PeerId::random());
        for nominal in [15, 30, 60, 120, 240, 480, 600, 600, 600] {
            assert_eq!(guesses.try_open(peer, true, now), Ok(()));
            guesses.refused(peer, now);
            let until = guesses.try_open(peer, true, now).unwrap_err();
            let waited = (until - now).as_secs_f64() / f64::from(nominal);
            assert!((0.8..=1.2).contains(&waited), "{waited} of {nominal} s");
            assert_eq!(
                guesses.try_open(peer, true, until - Duration::from_millis(1)),
                Err(until)
            );
            now = until;
        }
        guesses.try_open(peer, true, now).unwrap();
        guesses.admitted(&peer);
        guesses.try_open(peer, true, now).unwrap();
        guesses.refused(peer, now);
        assert!(guesses.try_open(peer, true, now).unwrap_err() - now <= BACK_OFF_MIN * 12 / 10);
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_goes() {
        let (start, mut guesses, peers) = (Instant::now(), guesses(), peers(PEERS_MAX + 100));
        for (ms, peer) in (0..).zip(&peers) {
            guesses.refused(*peer, start + Duration::from_millis(ms));
        }
        assert_eq!(guesses.peers.len(), PEERS_MAX);
        assert!(!guesses.peers.contains_key(&peers[99]) && guesses.peers.contains_key(&peers[PEERS_MAX + 99]));
    }
}
