//! Connections on which nobody was admitted to a mesh: few, and no network may crowd out the others. Not the
//! handshakes on them, which have budgets of their own; nor idleness: the swarm closes what nobody uses.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use super::network::Network;
use crate::types::IpPrefix;

/// Strangers' connections of a member.
pub const MEMBER_STRANGERS_MAX: usize = 64;
/// Strangers' connections of a helper.
pub const HELPER_STRANGERS_MAX: usize = 512;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A connection was established.
    Connected {
        /// Which; numbers are not used again.
        connection: u64,
        /// From where, or to where.
        prefix: IpPrefix,
        /// Whether we want it: a peer to begin with.
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
    /// When something last happened on it.
    active: Instant,
    admissions: usize,
}

/// All connections of this node. Those of members are remembered only to know them when they are strangers again; the
/// swarm bounds their number.
#[derive(Debug)]
pub struct Strangers {
    max: usize,
    connections: BTreeMap<u64, Connection>,
    strangers: BTreeSet<u64>,
}

impl Strangers {
    /// Without connections; at most `max` of strangers ([`MEMBER_STRANGERS_MAX`], [`HELPER_STRANGERS_MAX`]).
    pub fn new(max: usize) -> Self {
        Strangers {
            max,
            connections: BTreeMap::new(),
            strangers: BTreeSet::new(),
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
                    active: now,
                    admissions: 0,
                };
                self.connections.insert(connection, entry);
                self.strangers.insert(connection);
            }
            Input::Active { connection } => self.active(connection, now),
            Input::Admitted { connection } => self.admitted(connection),
            Input::Released { connection } => self.released(connection, now),
            Input::Closed { connection } => self.forget(connection),
        }
        while self.strangers.len() > self.max
            && let Some(connection) = self.least_deserving()
        {
            self.disconnect(connection, out);
        }
    }

    /// How many connections carry no admission.
    pub fn count(&self) -> usize {
        self.strangers.len()
    }

    fn active(&mut self, connection: u64, now: Instant) {
        if let Some(entry) = self.connections.get_mut(&connection) {
            entry.active = now;
        }
    }

    fn admitted(&mut self, connection: u64) {
        let Some(entry) = self.connections.get_mut(&connection) else {
            return;
        };
        entry.admissions = entry.admissions.saturating_add(1);
        self.strangers.remove(&connection);
    }

    fn released(&mut self, connection: u64, now: Instant) {
        let Some(entry) = self.connections.get_mut(&connection) else {
            return;
        };
        entry.admissions = entry.admissions.saturating_sub(1);
        if entry.admissions == 0 {
            entry.active = now;
            self.strangers.insert(connection);
        }
    }

    /// The one of the fullest prefix on which nothing happened for longest: a handshake under way is not cut off for an idle
    /// newcomer. Kept ones only if there are no others.
    fn least_deserving(&self) -> Option<u64> {
        let stranger = |id: &u64| self.connections.get(id).map(|entry| (*id, entry));
        let mut counts: BTreeMap<Network, usize> = BTreeMap::new();
        for (_, entry) in self.strangers.iter().filter_map(stranger) {
            *counts.entry(Network::around(entry.prefix)).or_default() += 1;
        }
        let fullness = |entry: &Connection| counts.get(&Network::around(entry.prefix)).copied().unwrap_or(0);
        let by_merit = |(id, entry): &(u64, &Connection)| (entry.kept, usize::MAX - fullness(entry), entry.active, *id);
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
        self.connections.remove(&connection);
        self.strangers.remove(&connection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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
    fn when_there_are_too_many_the_one_longest_without_use_goes() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut strangers = Strangers::new(2);
        assert_eq!(handle(&mut strangers, connect(1, HOME), at(0)), NONE);
        assert_eq!(handle(&mut strangers, connect(2, HOME), at(1)), NONE);
        handle(&mut strangers, Input::Active { connection: 1 }, at(2));
        assert_eq!(
            handle(&mut strangers, connect(3, HOME), at(3)),
            [2],
            "the older one is in use"
        );
        handle(&mut strangers, Input::Admitted { connection: 1 }, at(4));
        assert_eq!(
            handle(&mut strangers, connect(4, HOME), at(5)),
            NONE,
            "members do not count"
        );
        assert_eq!(strangers.count(), 2);
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
        assert_eq!(strangers.count(), 0);
        handle(&mut strangers, Input::Released { connection: 1 }, now);
        assert_eq!(strangers.count(), 1);
        handle(&mut strangers, Input::Closed { connection: 1 }, now);
        assert_eq!((strangers.count(), strangers.connections.len()), (0, 0));
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
