//! A request that anybody may answer: whom to ask whether it is ready, whom to send it to, and when to give up. One member
//! is asked first; the next when it says no, or says nothing for a moment; the first that is ready gets the request.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use libp2p::PeerId;

/// How long a member that was asked has before the next is asked beside it.
const HEDGE_AFTER: Duration = Duration::from_millis(200);
/// Members that are asked for one request.
pub(crate) const ASKED_MAX: usize = 16;
/// Members that the request itself is sent to, one after the other.
const SENT_MAX: usize = 3;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// A member that was asked is ready for the request.
    Ready { peer: PeerId },
    /// A member that was asked is not: it is busy, does not serve it, or cannot be reached.
    NotReady { peer: PeerId, busy: bool },
    /// A member was sent the request and went away without an answer.
    Gone,
    /// The deadline passed.
    TimedOut,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Ask a member. `Ready` or `NotReady` follows.
    Ask { peer: PeerId },
    /// Send the request to a member that is ready, and let the others that were asked go. If the member goes away, `Gone`
    /// follows.
    Send { peer: PeerId },
    /// Nobody answers.
    GiveUp(Why),
}

/// Why nobody answers; what says most about the request, if there are several reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    /// Nobody serves it.
    NotServed,
    /// Who serves it is busy.
    Busy,
    /// Who was sent it went away.
    Gone,
}

/// One such request.
#[derive(Debug)]
pub(crate) struct Search {
    untried: VecDeque<PeerId>,
    asked: BTreeSet<PeerId>,
    /// Asked so far; one that is asked again counts again.
    asked_count: usize,
    /// Who has the request.
    sent_to: Option<PeerId>,
    sent_count: usize,
    why: Why,
    ask_at: Option<Instant>,
}

impl Search {
    /// Begins with the first of `peers`, in the order given.
    pub(crate) fn begin(peers: Vec<PeerId>, now: Instant, out: &mut Vec<Action>) -> Self {
        let mut search = Self {
            untried: peers.into(),
            asked: BTreeSet::new(),
            asked_count: 0,
            sent_to: None,
            sent_count: 0,
            why: Why::NotServed,
            ask_at: None,
        };
        search.ask_next(now, out);
        search
    }

    /// Takes a fact, and says what to do.
    pub(crate) fn handle(&mut self, input: Input, now: Instant, out: &mut Vec<Action>) {
        match input {
            Input::Ready { peer } if self.sent_to.is_none() && self.asked.remove(&peer) => {
                self.sent_to = Some(peer);
                self.sent_count += 1;
                self.ask_at = None;
                // They may be as good as this one, should it go away.
                for other in std::mem::take(&mut self.asked) {
                    self.untried.push_front(other);
                }
                out.push(Action::Send { peer });
            }
            Input::NotReady { peer, busy } if self.asked.remove(&peer) => {
                self.why = self.why.max(if busy { Why::Busy } else { Why::NotServed });
                self.ask_next(now, out);
            }
            Input::Gone if self.sent_to.take().is_some() => {
                self.why = Why::Gone;
                match self.sent_count < SENT_MAX {
                    true => self.ask_next(now, out),
                    false => out.push(Action::GiveUp(self.why)),
                }
            }
            Input::TimedOut if self.ask_at.is_some_and(|at| at <= now) => self.ask_next(now, out),
            // From a member that was let go, or before the deadline.
            _ => {}
        }
    }

    /// When to hand in `TimedOut`.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.ask_at
    }

    fn ask_next(&mut self, now: Instant, out: &mut Vec<Action>) {
        let next = (self.asked_count < ASKED_MAX)
            .then(|| self.untried.pop_front())
            .flatten();
        self.ask_at = next.map(|_| now + HEDGE_AFTER);
        match next {
            Some(peer) => {
                self.asked_count += 1;
                self.asked.insert(peer);
                out.push(Action::Ask { peer });
            }
            None if self.asked.is_empty() => out.push(Action::GiveUp(self.why)),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::neighbours::test_peers::{number, peer};

    fn ask(n: u64) -> Action {
        Action::Ask { peer: peer(n) }
    }

    fn send(n: u64) -> Action {
        Action::Send { peer: peer(n) }
    }

    fn no(n: u64, busy: bool) -> Input {
        Input::NotReady { peer: peer(n), busy }
    }

    /// A search among members 1 to `count`, and what it does about each input.
    struct Run {
        search: Search,
        now: Instant,
        out: Vec<Action>,
    }

    impl Run {
        fn of(count: u64) -> Self {
            let (now, mut out) = (Instant::now(), Vec::new());
            let search = Search::begin((1..=count).map(peer).collect(), now, &mut out);
            Self { search, now, out }
        }

        fn does(&mut self, input: Input) -> Vec<Action> {
            self.out.clear();
            self.search.handle(input, self.now, &mut self.out);
            self.out.clone()
        }

        fn waits(&mut self) -> Vec<Action> {
            self.now = self.search.next_deadline().unwrap();
            self.does(Input::TimedOut)
        }
    }

    #[test]
    fn the_first_that_is_ready_gets_it_and_a_no_asks_the_next_at_once() {
        let mut run = Run::of(3);
        assert_eq!(run.out, [ask(1)]);
        assert_eq!(run.does(no(1, false)), [ask(2)]);
        assert_eq!(run.does(Input::Ready { peer: peer(2) }), [send(2)]);
        assert_eq!(run.search.next_deadline(), None);
    }

    #[test]
    fn a_silent_member_is_hedged_and_still_counts() {
        let mut run = Run::of(3);
        assert_eq!(run.does(Input::TimedOut), []);
        assert_eq!(run.waits(), [ask(2)]);
        assert_eq!(run.does(Input::Ready { peer: peer(1) }), [send(1)]);
        // What the other says now does not matter, until the first goes away.
        assert_eq!(run.does(Input::Ready { peer: peer(2) }), []);
        assert_eq!(run.does(Input::Gone), [ask(2)]);
        assert_eq!(run.does(Input::Ready { peer: peer(2) }), [send(2)]);
    }

    #[test]
    fn it_gives_up_with_the_reason_that_says_most() {
        assert_eq!(Run::of(0).out, [Action::GiveUp(Why::NotServed)]);
        let mut run = Run::of(2);
        run.does(no(1, true));
        assert_eq!(run.does(no(2, false)), [Action::GiveUp(Why::Busy)]);
        let mut run = Run::of(9);
        for n in 1..SENT_MAX as u64 {
            run.does(Input::Ready { peer: peer(n) });
            assert_eq!(run.does(Input::Gone), [ask(n + 1)]);
        }
        run.does(Input::Ready { peer: peer(3) });
        assert_eq!(run.does(Input::Gone), [Action::GiveUp(Why::Gone)]);
    }

    #[test]
    fn a_few_are_asked_of_however_many() {
        let mut run = Run::of(1_000);
        let mut asked = 1;
        while let [Action::Ask { peer }] = run.does(no(asked, false))[..] {
            asked += 1;
            assert_eq!(number(&peer), asked);
        }
        assert_eq!(asked, ASKED_MAX as u64);
        assert_eq!(run.out, [Action::GiveUp(Why::NotServed)]);
        // All silent: nothing more is due, and the caller's deadline ends it.
        let mut run = Run::of(1_000);
        for _ in 1..ASKED_MAX {
            assert_eq!(run.waits().len(), 1);
        }
        assert_eq!(run.waits(), []);
        assert_eq!(run.search.next_deadline(), None);
    }
}
