//! How much of the past this node tells to whom: questions and bytes a second, of one member and of all. Not the answers.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use libp2p::PeerId;

use super::asker::MEMBERS_MAX;
use crate::core::bucket::{Bucket, Rate};

/// Questions of one member: as many at once, then ten a second.
pub const QUESTIONS: (u32, u32) = (40, 600);
/// Bytes a second for one member.
pub const MEMBER_BYTES_PER_SECOND: u64 = 8 * 1024 * 1024;
/// Bytes a second for all members together.
pub const TOTAL_BYTES_PER_SECOND: u64 = 32 * 1024 * 1024;
/// Questions that are answered at the same time.
pub const SERVING_MAX: usize = 8;
/// Questions of one member that are answered at the same time.
pub const SERVING_MEMBER_MAX: usize = 2;

/// The number of a question from outside; the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InboundId(pub u64);

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponderInput {
    /// A member asks something.
    Asked {
        /// The number of the question.
        request: InboundId,
        /// Who asks.
        peer: PeerId,
    },
    /// The answer to a question left, or will never.
    Served {
        /// The number of the question.
        request: InboundId,
        /// How long it was.
        bytes: usize,
    },
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponderAction {
    /// Answer it from the store, and say [`ResponderInput::Served`] afterwards.
    Serve {
        /// The number of the question.
        request: InboundId,
    },
    /// Answer that it is too much now.
    Refuse {
        /// The number of the question.
        request: InboundId,
    },
}

/// The limits, for all topics of a mesh. It has no deadlines.
#[derive(Debug, Default)]
pub struct Responder {
    members: BTreeMap<PeerId, Member>,
    serving: BTreeMap<InboundId, PeerId>,
    /// When the bytes sent to anybody will have been paid for.
    paid_at: Option<Instant>,
}

#[derive(Debug)]
struct Member {
    questions: Bucket,
    paid_at: Option<Instant>,
}

impl Responder {
    /// Takes in what happened and says what to do.
    pub fn handle(&mut self, input: ResponderInput, now: Instant, out: &mut Vec<ResponderAction>) {
        match input {
            ResponderInput::Asked { request, peer } => {
                out.push(if self.admits(request, peer, now) {
                    self.serving.insert(request, peer);
                    ResponderAction::Serve { request }
                } else {
                    ResponderAction::Refuse { request }
                });
            }
            ResponderInput::Served { request, bytes } => self.served(request, bytes, now),
        }
    }

    /// There is no deadline: whoever is refused asks again.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        None
    }

    fn admits(&mut self, request: InboundId, peer: PeerId, now: Instant) -> bool {
        if !self.members.contains_key(&peer) {
            self.forget(now);
        }
        if self.members.len() >= MEMBERS_MAX && !self.members.contains_key(&peer) {
            return false;
        }
        let member = self.members.entry(peer).or_insert_with(|| Member {
            questions: Bucket::full(Rate::new(QUESTIONS.0, QUESTIONS.1)),
            paid_at: None,
        });
        let of_member = self.serving.values().filter(|served| **served == peer).count();
        let is_paid = |at: Option<Instant>| at.is_none_or(|at| at <= now);
        // The token last: what is refused for another reason does not cost one.
        self.serving.len() < SERVING_MAX
            && of_member < SERVING_MEMBER_MAX
            && !self.serving.contains_key(&request)
            && is_paid(self.paid_at)
            && is_paid(member.paid_at)
            && member.questions.take(now).is_ok()
    }

    fn served(&mut self, request: InboundId, bytes: usize, now: Instant) {
        let Some(peer) = self.serving.remove(&request) else {
            return;
        };
        pay(&mut self.paid_at, bytes, TOTAL_BYTES_PER_SECOND, now);
        if let Some(member) = self.members.get_mut(&peer) {
            pay(&mut member.paid_at, bytes, MEMBER_BYTES_PER_SECOND, now);
        }
    }

    /// Members that owe nothing are as good as new ones.
    fn forget(&mut self, now: Instant) {
        self.members
            .retain(|_, member| !member.questions.is_full(now) || member.paid_at.is_some_and(|at| at > now));
    }
}

fn pay(paid_at: &mut Option<Instant>, bytes: usize, per_second: u64, now: Instant) {
    let micros = (bytes as u64).saturating_mul(1_000_000) / per_second;
    let from = paid_at.map_or(now, |at| at.max(now));
    *paid_at = Some(from + Duration::from_micros(micros));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::catchup::tests::peer;

    fn ask(responder: &mut Responder, request: u64, peer: PeerId, now: Instant) -> bool {
        let (mut out, request) = (vec![], InboundId(request));
        responder.handle(ResponderInput::Asked { request, peer }, now, &mut out);
        out == [ResponderAction::Serve { request }]
    }

    fn serve(responder: &mut Responder, request: u64, bytes: usize, now: Instant) {
        let request = InboundId(request);
        responder.handle(ResponderInput::Served { request, bytes }, now, &mut vec![]);
    }

    /// What members get that ask every millisecond for `seconds`: bytes of each.
    fn greed(members: u32, bytes: usize, seconds: u64) -> Vec<u64> {
        let (start, mut responder) = (Instant::now(), Responder::default());
        let mut got = vec![0; members as usize];
        let mut request = 0;
        for ms in 0..seconds * 1_000 {
            let now = start + Duration::from_millis(ms);
            for (number, got) in (0..members).zip(&mut got) {
                request += 1;
                if ask(&mut responder, request, peer(number), now) {
                    serve(&mut responder, request, bytes, now);
                    *got += bytes as u64;
                }
            }
        }
        got
    }

    #[test]
    fn bytes_are_rationed() {
        let mib = 1024 * 1024;
        let got = greed(1, mib, 2);
        assert!((16..=17).contains(&(got[0] / mib as u64)), "{got:?}");
        let got = greed(20, mib, 2);
        let total: u64 = got.iter().sum();
        assert!((62..=65).contains(&(total / mib as u64)), "{got:?}");
    }

    #[test]
    fn questions_are_rationed() {
        let got = greed(1, 1, 3);
        assert!((69..=70).contains(&got[0]), "40 at once, 10 a second: {got:?}");
    }

    #[test]
    fn few_are_served_at_once() {
        let (now, mut responder) = (Instant::now(), Responder::default());
        let served = (0..100).filter(|request| ask(&mut responder, *request, peer(*request as u32 / 10), now));
        let served: Vec<u64> = served.collect();
        assert_eq!(served, [0, 1, 10, 11, 20, 21, 30, 31]);
        assert!(!ask(&mut responder, 200, peer(9), now));
        serve(&mut responder, 0, 0, now);
        assert!(!ask(&mut responder, 201, peer(1), now), "it is served twice already");
        assert!(ask(&mut responder, 202, peer(9), now));
    }

    #[test]
    fn members_remembered_are_bounded() {
        let (now, mut responder) = (Instant::now(), Responder::default());
        for number in 0..2_000_u32 {
            if ask(&mut responder, number.into(), peer(number), now) {
                serve(&mut responder, number.into(), 0, now);
            }
        }
        assert_eq!(responder.members.len(), MEMBERS_MAX);
        assert!(ask(&mut responder, 9_999, peer(9_999), now + Duration::from_secs(60)));
        assert_eq!(responder.members.len(), 1, "who owes nothing is forgotten");
    }
}
