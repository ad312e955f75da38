//! The rules: light cycles that leave walls behind them. Pure and deterministic, integers only: the same state and the same
//! inputs give the same state on every machine. Nothing of networks or terminals.

/// Cells of the arena, so that it fits a terminal of 80 × 24.
pub(crate) const WIDTH: i16 = 78;
/// See [`WIDTH`].
pub(crate) const HEIGHT: i16 = 16;
/// Cells and what else a state holds.
const CELLS: usize = 78 * 16;
/// Riders, as many as a session has players.
pub(crate) const RIDERS_MAX: usize = 8;
/// Riders move in every second tick.
const TICKS_A_MOVE: u32 = 2;
/// Ticks before a round, and after it.
const PAUSE: u16 = 40;
/// The form of an encoded state.
const VERSION: u8 = 1;

/// Where a rider heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heading {
    Up,
    Right,
    Down,
    Left,
}

pub(crate) const HEADINGS: [Heading; 4] = [Heading::Up, Heading::Right, Heading::Down, Heading::Left];

impl Heading {
    fn step(self) -> (i16, i16) {
        match self {
            Self::Up => (0, -1),
            Self::Right => (1, 0),
            Self::Down => (0, 1),
            Self::Left => (-1, 0),
        }
    }

    fn is_opposite(self, other: Self) -> bool {
        let ((ax, ay), (bx, by)) = (self.step(), other.step());
        ax + bx == 0 && ay + by == 0
    }

    /// As an input on the wire.
    pub(crate) fn input(self) -> [u8; 1] {
        [self as u8]
    }

    /// Any other input does nothing.
    fn from_input(input: &[u8]) -> Option<Self> {
        match input {
            [number] => HEADINGS.get(usize::from(*number)).copied(),
            _ => None,
        }
    }
}

/// One rider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rider {
    pub(crate) x: i16,
    pub(crate) y: i16,
    pub(crate) heading: Heading,
    pub(crate) alive: bool,
    /// Its player is in the session. One who is not rides on straight, and sits out the next round.
    pub(crate) seated: bool,
    /// Rounds won.
    pub(crate) score: u32,
}

/// The whole state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arena {
    random: u64,
    pub(crate) tick: u32,
    pub(crate) round: u32,
    /// Ticks until riders move.
    pub(crate) pause: u16,
    pub(crate) riders: Vec<Rider>,
    /// 0, or one more than the rider whose wall it is.
    cells: Vec<u8>,
}

impl Arena {
    /// Before the first tick.
    pub(crate) fn new(seed: u64, riders: usize) -> Self {
        let rider = Rider {
            x: 0,
            y: 0,
            heading: Heading::Up,
            alive: false,
            seated: true,
            score: 0,
        };
        let mut arena = Self {
            random: seed | 1,
            tick: 0,
            round: 0,
            pause: 0,
            riders: vec![rider; riders.min(RIDERS_MAX)],
            cells: vec![0; CELLS],
        };
        arena.begin_round();
        arena
    }

    /// Executes a tick.
    pub(crate) fn step(&mut self, inputs: &[(usize, &[u8])], joined: &[usize], left: &[usize]) {
        self.tick = self.tick.wrapping_add(1);
        for (changed, seated) in [(joined, true), (left, false)] {
            for rider in changed {
                if let Some(rider) = self.riders.get_mut(*rider) {
                    rider.seated = seated;
                }
            }
        }
        for (rider, input) in inputs {
            let turned = Heading::from_input(input).zip(self.riders.get_mut(*rider));
            if let Some((heading, rider)) = turned.filter(|(heading, rider)| !heading.is_opposite(rider.heading)) {
                rider.heading = heading;
            }
        }
        if self.pause > 0 {
            self.pause -= 1;
            if self.pause == 0 && self.is_over() {
                self.begin_round();
            }
        } else if self.tick.is_multiple_of(TICKS_A_MOVE) {
            self.ride();
        }
    }

    /// A hash of all of it (FNV-1a, 64 bits).
    pub(crate) fn hash(&self) -> u64 {
        let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        self.encode().iter().fold(0xcbf2_9ce4_8422_2325, fold)
    }

    /// Whose wall is there, if any; the border of the arena is nobody's.
    pub(crate) fn wall(&self, x: i16, y: i16) -> Option<usize> {
        let cell = self.cells.get(place(x, y)?)?;
        usize::from(*cell).checked_sub(1)
    }

    pub(crate) fn is_free(&self, x: i16, y: i16) -> bool {
        place(x, y).is_some_and(|place| self.cells[place] == 0)
    }

    /// How far a rider could go straight this way.
    pub(crate) fn room(&self, rider: &Rider, heading: Heading) -> u16 {
        let (dx, dy) = heading.step();
        let (mut x, mut y, mut room) = (rider.x + dx, rider.y + dy, 0);
        while self.is_free(x, y) {
            (x, y, room) = (x + dx, y + dy, room + 1);
        }
        room
    }

    /// Nobody is left to ride against.
    fn is_over(&self) -> bool {
        let alive = self.riders.iter().filter(|rider| rider.alive).count();
        let rivals = self.riders.iter().filter(|rider| rider.seated || rider.alive).count();
        alive == 0 || (alive == 1 && rivals > 1)
    }

    fn ride(&mut self) {
        let heads: Vec<Option<(i16, i16)>> = self
            .riders
            .iter()
            .map(|rider| {
                let (dx, dy) = rider.heading.step();
                rider.alive.then_some((rider.x + dx, rider.y + dy))
            })
            .collect();
        for (number, head) in heads.iter().enumerate() {
            let Some((x, y)) = *head else { continue };
            let meets = heads
                .iter()
                .enumerate()
                .any(|(other, one)| other != number && one == head);
            let crashes = meets || !self.is_free(x, y);
            let rider = &mut self.riders[number];
            rider.alive = !crashes;
            if !crashes {
                (rider.x, rider.y) = (x, y);
            }
        }
        self.build_walls();
        if self.is_over() {
            for rider in self.riders.iter_mut().filter(|rider| rider.alive) {
                rider.score += 1;
            }
            self.pause = PAUSE;
        }
    }

    fn build_walls(&mut self) {
        for (wall, rider) in (1..).zip(&self.riders) {
            if let Some(place) = place(rider.x, rider.y).filter(|_| rider.alive) {
                self.cells[place] = wall;
            }
        }
    }

    /// Everybody who is there, evenly spread, each heading somewhere else in each round.
    fn begin_round(&mut self) {
        self.round += 1;
        self.pause = PAUSE;
        self.cells.fill(0);
        for number in 0..self.riders.len() {
            // Xorshift (Marsaglia, 2003).
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            let heading = HEADINGS[(self.random >> 32) as usize % 4];
            let (column, row) = ((number % 4) as i16, (number / 4) as i16);
            let rows = if self.riders.len() > 4 { 2 } else { 1 };
            let rider = &mut self.riders[number];
            rider.alive = rider.seated;
            rider.heading = heading;
            (rider.x, rider.y) = (WIDTH / 8 + column * WIDTH / 4, (2 * row + 1) * HEIGHT / (2 * rows));
        }
        self.build_walls();
    }

    /// For a player who comes later.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION, u8::try_from(self.riders.len()).unwrap_or(u8::MAX)];
        bytes.extend(self.random.to_be_bytes());
        bytes.extend(self.tick.to_be_bytes());
        bytes.extend(self.round.to_be_bytes());
        bytes.extend(self.pause.to_be_bytes());
        for rider in &self.riders {
            bytes.extend(rider.x.to_be_bytes());
            bytes.extend(rider.y.to_be_bytes());
            bytes.extend([rider.heading as u8, u8::from(rider.alive), u8::from(rider.seated)]);
            bytes.extend(rider.score.to_be_bytes());
        }
        bytes.extend(&self.cells);
        bytes
    }

    /// Nothing if this is no state of a game with so many riders: it comes from somebody else.
    pub(crate) fn decode(bytes: &[u8], riders: usize) -> Option<Self> {
        let mut rest = bytes;
        let head = take::<2>(&mut rest)?;
        if head != [VERSION, u8::try_from(riders).ok()?] {
            return None;
        }
        let random = u64::from_be_bytes(take(&mut rest)?);
        let tick = u32::from_be_bytes(take(&mut rest)?);
        let round = u32::from_be_bytes(take(&mut rest)?);
        let pause = u16::from_be_bytes(take(&mut rest)?);
        let rider = |rest: &mut &[u8]| {
            let (x, y) = (i16::from_be_bytes(take(rest)?), i16::from_be_bytes(take(rest)?));
            place(x, y)?;
            let [heading, alive, seated] = take(rest)?;
            (alive <= 1 && seated <= 1).then_some(())?;
            Some(Rider {
                x,
                y,
                heading: Heading::from_input(&[heading])?,
                alive: alive == 1,
                seated: seated == 1,
                score: u32::from_be_bytes(take(rest)?).min(u32::MAX / 2),
            })
        };
        let riders = (0..riders).map(|_| rider(&mut rest)).collect::<Option<Vec<Rider>>>()?;
        let fits = rest.len() == CELLS && rest.iter().all(|cell| usize::from(*cell) <= riders.len()) && random != 0;
        fits.then(|| Self {
            random,
            tick,
            round: round.min(u32::MAX / 2),
            pause,
            riders,
            cells: rest.to_vec(),
        })
    }
}

fn place(x: i16, y: i16) -> Option<usize> {
    let inside = (0..WIDTH).contains(&x) && (0..HEIGHT).contains(&y);
    inside.then(|| (y * WIDTH + x) as usize)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, others) = rest.split_first_chunk::<N>()?;
    *rest = others;
    Some(*taken)
}

/// What a player that is no person does: it turns where there is more room, and now and then for no reason.
pub(crate) fn whim(arena: &Arena, rider: usize, chance: u8) -> Option<Heading> {
    let rider = arena.riders.get(rider).filter(|rider| rider.alive)?;
    let ahead = arena.room(rider, rider.heading);
    if ahead > 3 && chance > 4 {
        return None;
    }
    let ways = HEADINGS
        .into_iter()
        .filter(|heading| !heading.is_opposite(rider.heading));
    let widest = ways.max_by_key(|heading| arena.room(rider, *heading))?;
    (widest != rider.heading).then_some(widest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(seed: u64, riders: usize, ticks: u32) -> Arena {
        let mut arena = Arena::new(seed, riders);
        let mut chance = seed;
        for tick in 0..ticks {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let turns: Vec<(usize, [u8; 1])> = (0..riders)
                .filter_map(|rider| Some((rider, whim(&arena, rider, (chance >> (33 + rider)) as u8)?.input())))
                .collect();
            let inputs: Vec<(usize, &[u8])> = turns.iter().map(|(rider, input)| (*rider, &input[..])).collect();
            let (joined, left): (&[usize], &[usize]) = match tick {
                200 => (&[], &[1]),
                500 => (&[1], &[]),
                _ => (&[], &[]),
            };
            arena.step(&inputs, joined, left);
        }
        arena
    }

    #[test]
    fn the_same_inputs_give_the_same_state() {
        for riders in [1, 2, 4, 8] {
            let one = played(7, riders, 2_000);
            assert_eq!(one.hash(), played(7, riders, 2_000).hash());
            assert_ne!(one.hash(), played(8, riders, 2_000).hash());
            assert!(one.round > 1, "{riders} riders had {} rounds", one.round);
            assert!(riders == 1 || one.riders.iter().map(|rider| rider.score).sum::<u32>() > 0);
        }
        // So that a change of the rules is noticed: replays of before would not verify.
        assert_eq!(format!("{:016x}", played(7, 4, 2_000).hash()), GOLDEN);
    }

    const GOLDEN: &str = "9cd39a14ea67c036";

    #[test]
    fn states_come_back_and_what_is_none_is_not_taken() {
        let arena = played(3, 5, 777);
        let bytes = arena.encode();
        assert_eq!(Arena::decode(&bytes, 5), Some(arena));
        assert_eq!(Arena::decode(&bytes, 4), None);
        for length in 0..bytes.len() {
            assert_eq!(Arena::decode(&bytes[..length], 5), None);
        }
        for place in 0..bytes.len() {
            for value in [0, 1, 9, 127, 255] {
                let mut other = bytes.clone();
                other[place] = value;
                if let Some(mut arena) = Arena::decode(&other, 5) {
                    (0..200).for_each(|_| arena.step(&[(0, &[1]), (9, &[2]), (1, &[7, 7])], &[9], &[9]));
                }
            }
        }
    }

    #[test]
    fn walls_and_other_heads_end_a_ride_and_the_last_one_wins() {
        let mut arena = Arena::new(1, 2);
        arena.pause = 0;
        let set = |rider: &mut Rider, x, heading| (rider.x, rider.y, rider.heading) = (x, 5, heading);
        set(&mut arena.riders[0], 10, Heading::Right);
        set(&mut arena.riders[1], 14, Heading::Left);
        // Nobody turns back.
        for _ in 0..4 {
            arena.step(&[(0, &Heading::Left.input())], &[], &[]);
        }
        assert_eq!(
            arena.riders.iter().map(|rider| rider.alive).collect::<Vec<_>>(),
            [false, false],
            "{:?}",
            arena.riders
        );
        assert_eq!(arena.wall(11, 5), Some(0));
        assert!(arena.pause > 0 && arena.round == 1);
        (0..PAUSE).for_each(|_| arena.step(&[], &[], &[1]));
        assert_eq!((arena.round, arena.riders[1].alive), (2, false), "who left sits out");
    }
}
