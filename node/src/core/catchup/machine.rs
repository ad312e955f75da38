//! The machine: routes inputs to sessions, repairs and digests, and answers to whoever asked. The rules of each are in its
//! own file.

use std::{collections::BTreeMap, time::Instant};

use libp2p::PeerId;
use rand::rngs::StdRng;

use super::{
    Action, Answer, Fault, Input, Question, RequestId, Run, SESSIONS_MAX, SessionId,
    asker::{Asker, Owner, Pending},
    digest::Digests,
    doubt::Doubts,
    judge::{judge, next_page},
    repair::Repair,
    session::{Session, World},
};

/// Bytes of frames that all sessions hold together, but for what the head of each line needs.
pub const SESSIONS_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Catch-up on one topic.
#[derive(Debug)]
pub struct Catchup {
    rng: StdRng,
    asker: Asker,
    sessions: BTreeMap<SessionId, Session>,
    repair: Repair,
    digests: Digests,
    doubts: Doubts,
    /// The time of the last input.
    now: Option<Instant>,
}

impl Catchup {
    /// A node that knows nobody. Give it an input to set its clocks.
    #[must_use]
    pub fn new(me: PeerId, rng: StdRng) -> Self {
        Self {
            rng,
            asker: Asker::new(me),
            sessions: BTreeMap::new(),
            repair: Repair::default(),
            digests: Digests::new(),
            doubts: Doubts::default(),
            now: None,
        }
    }

    /// Takes in what happened and says what to do.
    pub fn handle(&mut self, input: Input, now: Instant, out: &mut Vec<Action>) {
        self.now = Some(now);
        match input {
            Input::Members(members) => {
                // What nobody can be asked for may as well not be claimed: else a liar need only leave in time.
                for gone in self.asker.set_members(members, now) {
                    self.sessions.values_mut().for_each(|session| session.drop_peer(&gone));
                }
            }
            Input::Begin { session, start } => {
                if self.sessions.len() < SESSIONS_MAX {
                    self.sessions
                        .entry(session)
                        .or_insert_with(|| Session::new(session, start, now));
                } else {
                    out.push(Action::Unanswered { session });
                    out.push(Action::CaughtUp {
                        session,
                        reached: vec![],
                        claimed: vec![],
                        others_are_new: false,
                        since_us: None,
                    });
                }
            }
            Input::End { session } => drop(self.sessions.remove(&session)),
            Input::Room { session, open } => {
                if let Some(session) = self.sessions.get_mut(&session) {
                    session.set_room(open);
                }
            }
            Input::Answered { request, from, answer } => self.answered(request, from, answer, now, out),
            Input::Failed { request } => {
                if let Some(asked) = self.asker.end(request, None) {
                    self.failed(request, asked, false);
                }
            }
            Input::Missing { run, sequences } => self.repair.add(run, sequences, true, now, out),
            Input::Withdrawn { run, sequences } => self.repair.withdraw(run, &sequences),
            Input::Live { session, next } => {
                if let Some(session) = self.sessions.get_mut(&session) {
                    session.compare(next, out);
                }
            }
            Input::Digest {
                from,
                theirs,
                ours,
                since_us,
            } => {
                if theirs != ours {
                    self.digests.differs(from, since_us, &mut self.asker, now, out);
                }
            }
            Input::Heads(heads) => self.heads(&heads, now, out),
            Input::TimedOut => {}
        }
        for (request, asked) in self.asker.expire(now) {
            self.failed(request, asked, false);
        }
        self.step(now, out);
    }

    /// When to call [`Catchup::handle`] with [`Input::TimedOut`].
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let now = self.now?;
        let sessions = self.sessions.values().filter_map(|session| session.next_deadline(now));
        let others = [
            self.asker.next_deadline(),
            self.digests.next_deadline(),
            self.repair.next_deadline(&self.asker, now),
        ];
        sessions.chain(others.into_iter().flatten()).min()
    }

    /// Sessions that are not over.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Bytes of frames that sessions hold.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.sessions.values().map(Session::bytes).sum()
    }

    /// Questions that wait for answers.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.asker.pending()
    }

    fn step(&mut self, now: Instant, out: &mut Vec<Action>) {
        let mut held = self.held_bytes();
        let doubted = self.doubts.peers();
        for session in self.sessions.values_mut() {
            held -= session.bytes();
            let mut world = World {
                asker: &mut self.asker,
                rng: &mut self.rng,
                now,
                doubted: &doubted,
                may_look_ahead: held < SESSIONS_BYTES_MAX,
                out,
            };
            session.step(&mut world);
            held += session.bytes();
        }
        self.sessions.retain(|_, session| !session.is_over());
        self.repair.step(&mut self.asker, &mut self.rng, now, out);
        self.doubts.step(&mut self.asker, now, out);
        self.digests.step(&self.asker, &mut self.rng, now, out);
    }

    fn answered(&mut self, request: RequestId, from: PeerId, answer: Answer, now: Instant, out: &mut Vec<Action>) {
        // Too late, asked of somebody else, or answered before.
        let Some(asked) = self.asker.end(request, Some(from)) else {
            return;
        };
        if answer == Answer::Busy {
            self.asker.pause(from, now);
            self.failed(request, asked, true);
            return;
        }
        if let Err(fault) = judge(&asked.what, &answer) {
            self.failed(request, asked, false);
            self.penalise(from, fault, out);
            return;
        }
        let next = next_page(&asked.what, &answer);
        let fault = match (asked.what, answer) {
            (Question::Runs { .. }, Answer::Runs { claims, .. }) => match asked.owner {
                Owner::Session(session) => self
                    .sessions
                    .get_mut(&session)
                    .and_then(|session| session.runs(request, from, &claims, next)),
                Owner::Digest => {
                    self.digests.runs(request, claims, next, &mut self.asker, now, out);
                    None
                }
                Owner::Doubt => {
                    if let Some((run, held)) = self.doubts.runs(request, from, &claims) {
                        let sessions = self.sessions.values_mut();
                        sessions.for_each(|session| session.limit(&from, run, &held));
                    }
                    None
                }
                Owner::Repair(_) => None,
            },
            (Question::Latest { .. }, Answer::Frames { frames, .. }) => match asked.owner {
                Owner::Session(session) => self
                    .sessions
                    .get_mut(&session)
                    .and_then(|session| session.latest(request, from, frames, next)),
                _ => None,
            },
            (Question::Range { run, sequences }, Answer::Frames { frames, more, .. }) => {
                // What there was no room for will be asked again.
                let last = frames.last().map_or(sequences.start, |frame| frame.sequences().end);
                let end = if more { last.min(sequences.end) } else { sequences.end };
                match asked.owner {
                    Owner::Session(session) => {
                        let unmet = self
                            .sessions
                            .get_mut(&session)
                            .and_then(|session| session.range(request, from, run, &(sequences.start..end), frames));
                        self.doubt(from, run, unmet);
                        None
                    }
                    Owner::Repair(run) => {
                        self.repair.answered(request, from, run, frames, out);
                        None
                    }
                    Owner::Doubt => self.doubts.frames(request, from, &frames).then_some(Fault::Unfounded),
                    Owner::Digest => None,
                }
            }
            _ => None,
        };
        if let Some(fault) = fault {
            self.penalise(from, fault, out);
        }
    }

    fn failed(&mut self, request: RequestId, asked: Pending, busy: bool) {
        match asked.owner {
            Owner::Session(session) => {
                if let Some(session) = self.sessions.get_mut(&session) {
                    session.failed(request, asked.peer, asked.what, busy);
                }
            }
            Owner::Repair(run) => self.repair.failed(request, asked.peer, run, busy),
            Owner::Digest => self.digests.failed(request),
            Owner::Doubt => self.doubts.failed(request, asked.peer),
        }
    }

    fn heads(&mut self, heads: &[(Run, u64)], now: Instant, out: &mut Vec<Action>) {
        for (_, run, sequences) in self.digests.heads(heads) {
            self.repair.add(run, sequences, false, now, out);
        }
    }

    fn doubt(&mut self, peer: PeerId, run: Run, unmet: Option<std::ops::Range<u64>>) {
        if let Some(sequences) = unmet
            && peer != self.asker.me()
        {
            self.doubts.raise(peer, run, sequences);
        }
    }

    fn penalise(&mut self, peer: PeerId, why: Fault, out: &mut Vec<Action>) {
        // The local store may be damaged; nobody is to blame.
        if peer == self.asker.me() || !self.asker.ban(peer) {
            return;
        }
        self.sessions.values_mut().for_each(|session| session.drop_peer(&peer));
        out.push(Action::Penalise { peer, why });
    }
}
