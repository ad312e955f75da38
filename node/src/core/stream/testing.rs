//! What the tests of streams share. Nothing of it is in the library.

use std::time::{Duration, Instant};

use libp2p::{PeerId, multihash::Multihash};

use proptest::test_runner::{Config, RngSeed};

use super::{
    Context, Frame, Inbox, SigningKey,
    inbox::{Action, Input},
};

/// Seeded, unless `PROPTEST_RNG_SEED` says otherwise.
pub(super) fn cases(cases: u32) -> Config {
    let config = Config::with_cases(cases);
    let rng_seed = match config.rng_seed {
        RngSeed::Random => RngSeed::Fixed(16),
        fixed => fixed,
    };
    Config {
        rng_seed,
        failure_persistence: None,
        ..config
    }
}

/// A peer that is the same in every run.
pub(super) fn peer(number: u32) -> PeerId {
    let mut digest = [0; 32];
    digest[..4].copy_from_slice(&number.to_be_bytes());
    let multihash = Multihash::wrap(0, &digest).expect("32 bytes fit");
    PeerId::from_multihash(multihash).expect("an identity multihash of at most 42 bytes")
}

/// A key that is the same in every run.
pub(super) fn signing_key(number: u8) -> SigningKey {
    SigningKey::from_secret(&[number; 32])
}

/// A topic.
pub(super) fn context() -> Context {
    context_of("market.example", 1, "equities/us")
}

pub(super) fn context_of(mesh: &str, epoch: u64, topic: &str) -> Context {
    Context::new(&mesh.parse().unwrap(), epoch, &topic.parse().unwrap())
}

/// An inbox whose clock is turned by hand. What it does is noted.
pub(super) struct Clocked {
    pub(super) inbox: Inbox,
    pub(super) start: Instant,
    now: Instant,
    /// What it did, and how many milliseconds after the start.
    pub(super) done: Vec<(u64, Action)>,
}

impl Clocked {
    pub(super) fn new() -> Self {
        let start = Instant::now();
        Self {
            inbox: Inbox::new(start),
            start,
            now: start,
            done: vec![],
        }
    }

    /// Lets the clock run until this many milliseconds after the start, with every deadline on the way.
    pub(super) fn run_to(&mut self, ms: u64) {
        let until = self.start + Duration::from_millis(ms);
        while let Some(due) = self.inbox.next_deadline().filter(|due| *due <= until) {
            self.expire(due);
        }
        self.now = self.now.max(until);
    }

    /// Lets the clock run until nothing is awaited.
    pub(super) fn run_out(&mut self) {
        while let Some(due) = self.inbox.next_deadline() {
            self.expire(due);
        }
    }

    pub(super) fn receive(&mut self, ms: u64, frame: Frame, deliverer: PeerId) {
        self.run_to(ms);
        self.give(Input::Received { frame, deliverer });
    }

    /// What it did since last asked, without what it passed on, acknowledged or asked for, or noticed of silence.
    pub(super) fn events(&mut self) -> Vec<Action> {
        let done = self.done.drain(..).map(|(_, action)| action);
        done.filter(|action| {
            !matches!(
                action,
                Action::Forward { .. }
                    | Action::Ack { .. }
                    | Action::Repair { .. }
                    | Action::Silent { .. }
                    | Action::Resumed { .. }
            )
        })
        .collect()
    }

    fn expire(&mut self, due: Instant) {
        self.now = self.now.max(due);
        self.give(Input::TimedOut);
        let next = self.inbox.next_deadline();
        assert!(next.is_none_or(|next| next > due), "a deadline that stays");
    }

    pub(super) fn give(&mut self, input: Input) {
        let mut out = vec![];
        self.inbox.handle(input, self.now, &mut out);
        let ms = u64::try_from((self.now - self.start).as_millis()).unwrap();
        self.done.extend(out.into_iter().map(|action| (ms, action)));
    }
}
