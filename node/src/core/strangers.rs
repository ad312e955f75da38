//! Connections on which nobody was admitted to a mesh: few, not idle, and no network may crowd out the others. Not the
//! handshakes on them: those have budgets of their own.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::network::Network;
use crate::types::IpPrefix;

/// Strangers' connections of a member.
pub const MEMBER_STRANGERS_MAX: usize = 64;
/// Strangers' connections of a helper.
pub const HELPER_STRANGERS_MAX: usize = 512;
/// A stranger's connection without activity goes after this.
pub const STRANGER_IDLE_MAX: Duration = Duration::from_secs(30);

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A connection was established.
    Connected {
        /// Which; numbers are not used again.
        connection: u64,
        /// From where, or to where.
        prefix: IpPrefix,
        /// Whether it may idle, because we want it: a peer to begin with.
        kept: bool,
    },
    /// Something was asked or answered on it.
    Active {
        /// On which.
        connection: u64,
    },
    /// It carries an admission, or one more.
    Admitted {
        /// Which.
        connection: u64,
    },
    /// One admission on it ended.
    Released {
        /// Which.
        connection: u64,
    },
    /// It is closed.
    Closed {
        /// Which.
        connection: u64,
    },
    /// The deadline passed.
    TimedOut,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Close this connection. It is no longer counted.
    Disconnect(u64),
}

/// One connection, a stranger's unless it carries admissions.
#[derive(Debug)]
struct Connection {
    prefix: IpPrefix,
    kept: bool,
    since: Instant,
    admissions: usize,
    /// When it goes if nothing happens; `None` for members' and kept ones.
    idle_at: Option<Instant>,
}

/// All connections of this node. Those of members are remembered only to know them when they are strangers again; the
/// swarm bounds their number.
#[derive(Debug)]
pub struct Strangers {
    max: usize,
    connections: BTreeMap<u64, Connection>,
    strangers: BTreeSet<u64>,
    idle: BTreeSet<(Instant, u64)>,
}

impl Strangers {
    /// Without connections; at most `max` of strangers ([`MEMBER_STRANGERS_MAX`], [`HELPER_STRANGERS_MAX`]).
    pub fn new(max: usize) -> Self {
        Strangers {
            max,
            connections: BTreeMap::new(),
            strangers: BTreeSet::new(),
            idle: BTreeSet::new(),
        }
    }

    /// Takes a fact, and says what to do.
    pub fn handle(&mut self, input: Input, now: Instant, out: &mut Vec<Action>) {
        match input {
            Input::Connected {
                connection,
                prefix,
                kept,
            } => {
                let entry = Connection {
                    prefix,
                    kept,
                    since: now,
                    admissions: 0,
                    idle_at: None,
                };
                self.connections.insert(connection, entry);
                self.become_stranger(connection, now);
            }
            Input::Active { connection } => self.rest(connection, Some(now)),
            Input::Admitted { connection } => self.admitted(connection),
            Input::Released { connection } => self.released(connection, now),
            Input::Closed { connection } => self.forget(connection),
            Input::TimedOut => {}
        }
        while let Some((at, connection)) = self.idle.first().copied()
            && at <= now
        {
            self.disconnect(connection, out);
        }
        while self.strangers.len() > self.max
            && let Some(connection) = self.least_deserving()
        {
            self.disconnect(connection, out);
        }
    }

    /// When to hand in `TimedOut`.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.idle.first().map(|(at, _)| *at)
    }

    /// How many connections carry no admission.
    pub fn count(&self) -> usize {
        self.strangers.len()
    }

    fn become_stranger(&mut self, connection: u64, now: Instant) {
        self.strangers.insert(connection);
        self.rest(connection, Some(now));
    }

    fn admitted(&mut self, connection: u64) {
        let Some(entry) = self.connections.get_mut(&connection) else {
            return;
        };
        entry.admissions = entry.admissions.saturating_add(1);
        self.strangers.remove(&connection);
        self.rest(connection, None);
    }

    fn released(&mut self, connection: u64, now: Instant) {
        let Some(entry) = self.connections.get_mut(&connection) else {
            return;
        };
        entry.admissions = entry.admissions.saturating_sub(1);
        if entry.admissions == 0 {
            entry.since = now;
            self.become_stranger(connection, now);
        }
    }

    /// Starts the idle clock of a stranger's connection anew, or stops it.
    fn rest(&mut self, connection: u64, since: Option<Instant>) {
        let Some(entry) = self.connections.get_mut(&connection) else {
            return;
        };
        if let Some(at) = entry.idle_at.take() {
            self.idle.remove(&(at, connection));
        }
        if let Some(since) = since
            && entry.admissions == 0
            && !entry.kept
        {
            let at = since + STRANGER_IDLE_MAX;
            entry.idle_at = Some(at);
            self.idle.insert((at, connection));
        }
    }

    /// The oldest of the fullest prefix; kept ones only if there are no others.
    fn least_deserving(&self) -> Option<u64> {
        let stranger = |id: &u64| self.connections.get(id).map(|entry| (*id, entry));
        let mut counts: BTreeMap<Network, usize> = BTreeMap::new();
        for (_, entry) in self.strangers.iter().filter_map(stranger) {
            *counts.entry(Network::around(entry.prefix)).or_default() += 1;
        }
        let fullness = |entry: &Connection| counts.get(&Network::around(entry.prefix)).copied().unwrap_or(0);
        let by_merit = |(id, entry): &(u64, &Connection)| (entry.kept, usize::MAX - fullness(entry), entry.since, *id);
        self.strangers
            .iter()
            .filter_map(stranger)
            .min_by_key(by_merit)
            .map(|(id, _)| id)
    }

    fn disconnect(&mut self, connection: u64, out: &mut Vec<Action>) {
        self.forget(connection);
        out.push(Action::Disconnect(connection));
    }

    fn forget(&mut self, connection: u64) {
        self.rest(connection, None);
        self.connections.remove(&connection);
        self.strangers.remove(&connection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle(strangers: &mut Strangers, input: Input, now: Instant) -> Vec<u64> {
        let mut out = Vec::new();
        strangers.handle(input, now, &mut out);
        out.into_iter()
            .map(|Action::Disconnect(connection)| connection)
            .collect()
    }

    fn connect(connection: u64, prefix: IpPrefix) -> Input {
        Input::Connected {
            connection,
            prefix,
            kept: false,
        }
    }

    const NONE: [u64; 0] = [];
    const HOME: IpPrefix = IpPrefix::V4([192, 0, 2, 1]);

    #[test]
    fn idle_strangers_go_after_thirty_seconds_and_members_never() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut strangers = Strangers::new(MEMBER_STRANGERS_MAX);
        for connection in 1..=4 {
            assert_eq!(handle(&mut strangers, connect(connection, HOME), start), NONE);
        }
        let kept = Input::Connected {
            connection: 5,
            prefix: HOME,
            kept: true,
        };
        handle(&mut strangers, kept, start);
        handle(&mut strangers, Input::Active { connection: 2 }, at(20));
        handle(&mut strangers, Input::Admitted { connection: 3 }, at(1));
        handle(&mut strangers, Input::Admitted { connection: 4 }, at(1));
        handle(&mut strangers, Input::Active { connection: 4 }, at(2));
        assert_eq!(strangers.next_deadline(), Some(at(30)));
        assert_eq!(handle(&mut strangers, Input::TimedOut, at(29)), NONE);
        assert_eq!(handle(&mut strangers, Input::TimedOut, at(30)), [1]);
        assert_eq!(handle(&mut strangers, Input::Released { connection: 4 }, at(45)), NONE);
        assert_eq!(handle(&mut strangers, Input::TimedOut, at(50)), [2]);
        assert_eq!(handle(&mut strangers, Input::TimedOut, at(75)), [4]);
        assert_eq!(handle(&mut strangers, Input::TimedOut, at(1_000)), NONE);
        assert_eq!((strangers.count(), strangers.next_deadline()), (1, None));
    }

    #[test]
    fn a_connection_of_two_meshes_is_a_strangers_after_the_second_release() {
        let now = Instant::now();
        let mut strangers = Strangers::new(MEMBER_STRANGERS_MAX);
        handle(&mut strangers, connect(1, HOME), now);
        for input in [Input::Admitted { connection: 1 }, Input::Admitted { connection: 1 }] {
            handle(&mut strangers, input, now);
        }
        handle(&mut strangers, Input::Released { connection: 1 }, now);
        assert_eq!((strangers.count(), strangers.next_deadline()), (0, None));
        handle(&mut strangers, Input::Released { connection: 1 }, now);
        assert_eq!(
            (strangers.count(), strangers.next_deadline()),
            (1, Some(now + STRANGER_IDLE_MAX))
        );
        handle(&mut strangers, Input::Closed { connection: 1 }, now);
        assert_eq!(
            (
                strangers.count(),
                strangers.next_deadline(),
                strangers.connections.len()
            ),
            (0, None, 0)
        );
    }

    #[test]
    fn one_network_cannot_crowd_out_the_others() {
        let start = Instant::now();
        let mut strangers = Strangers::new(MEMBER_STRANGERS_MAX);
        for connection in 0..10 {
            let elsewhere = IpPrefix::V4([203, 0, connection as u8, 1]);
            handle(&mut strangers, connect(connection, elsewhere), start);
        }
        // A flood from one /48, each from a /64 of its own.
        for connection in 100..1_100_u64 {
            let [.., a, b] = connection.to_be_bytes();
            let flood = IpPrefix::V6([0x20, 1, 2, 3, 4, 5, a, b]);
            let now = start + Duration::from_millis(connection);
            let gone = handle(&mut strangers, connect(connection, flood), now);
            let expected: &[u64] = if connection < 154 { &[] } else { &[connection - 54] };
            assert_eq!(gone, expected, "the oldest of the flood goes");
            assert!(strangers.count() <= MEMBER_STRANGERS_MAX);
        }
        assert!((0..10).all(|connection| strangers.strangers.contains(&connection)));
    }

    #[test]
    fn kept_connections_go_last() {
        let start = Instant::now();
        let mut strangers = Strangers::new(2);
        for connection in 0..2 {
            handle(
                &mut strangers,
                Input::Connected {
                    connection,
                    prefix: HOME,
                    kept: true,
                },
                start,
            );
        }
        assert_eq!(handle(&mut strangers, connect(2, IpPrefix::Loopback), start), [2]);
        let third = Input::Connected {
            connection: 3,
            prefix: IpPrefix::Loopback,
            kept: true,
        };
        assert_eq!(handle(&mut strangers, third, start), [0]);
    }
}
