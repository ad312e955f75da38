//! A process that stores is killed again and again while it does; what it had acknowledged must be there, byte for byte.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::store::{history::Kept, writer};

use super::*;

/// Names the number of times the process is killed.
const KILLS_VARIABLE: &str = "MAILLE_KILLS";
const KILLS: usize = 10;
/// Tells the child where to store.
const DIR_VARIABLE: &str = "MAILLE_KILLS_DIR";
const CHILD: &str = "store::log::tests::kills::child_that_stores_until_it_is_killed";
/// The log is small, so that its oldest frames are dropped while it is killed.
const LIMITS: LogLimits = LogLimits {
    age_us_max: u64::MAX,
    bytes_max: 24 * 1024 * 1024,
};
fn small(dir: &Path) -> Result<Log, StoreError> {
    Log::open_with(dir, LIMITS, Box::new(open_file), REOPEN_AFTER)
}

/// Runs whose frames come in turn.
const RUNS: u8 = 3;

/// The frame that every process makes for this number: of one to four records, up to some 6,000 bytes.
fn made(run: u8, number: u64) -> Kept {
    let mut rng = StdRng::seed_from_u64(number * 10 + u64::from(run));
    let length = if number.is_multiple_of(9) { 6_000 } else { 300 };
    let records = 4;
    let mut kept = frame(
        run,
        1,
        number * records..(number + 1) * records,
        &[Some("a"), None, Some("b"), None],
    );
    kept.wire = (0..rng.random_range(1..length)).map(|_| rng.random::<u8>()).collect();
    kept
}

/// Not a test: the process that is killed. It goes on where its file ends, and says what is acknowledged.
#[test]
#[ignore = "started by the test beside it"]
fn child_that_stores_until_it_is_killed() {
    let Some(dir) = std::env::var_os(DIR_VARIABLE) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (log, mut outcomes, opened) = writer::spawn(move || small(Path::new(&dir))).unwrap();
        opened.await.unwrap().unwrap();
        let news = topic("news");
        let held = log.runs(&news, Selector::All).unwrap().await.unwrap().unwrap();
        let next = |run: u8| {
            held.iter()
                .find(|held| held.publisher == peer(run))
                .map_or(0, |held| held.next / 4)
        };
        let mut next: Vec<u64> = (0..RUNS).map(next).collect();
        let mut output = std::io::stdout();
        let mut waiting = 0;
        loop {
            while waiting < 600 {
                for run in 0..RUNS {
                    log.append(&news, made(run, next[run as usize])).unwrap();
                    next[run as usize] += 1;
                    waiting += 1;
                }
            }
            let outcome = outcomes.recv().await.unwrap();
            outcome.result.unwrap();
            waiting -= (outcome.sequences.end - outcome.sequences.start) as usize / 4;
            let run = (0..RUNS).find(|run| peer(*run) == outcome.publisher).unwrap();
            writeln!(output, "stored {run} {}", outcome.sequences.end / 4).unwrap();
        }
    });
}

#[test]
fn a_kill_loses_nothing_that_was_acknowledged() {
    let kills = std::env::var(KILLS_VARIABLE).map_or(KILLS, |kills| kills.parse().unwrap());
    let seed = rand::random();
    eprintln!("seed {seed}, {kills} kills");
    let mut rng = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let (mut stored, mut repaired) = ([0_u64; RUNS as usize], 0);
    for kill in 0..kills {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", CHILD, "--ignored", "--nocapture", "--test-threads=1"])
            .env(DIR_VARIABLE, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut left = rng.random_range(1..4_000);
        let mut seen = 0;
        for line in lines {
            // The line that the kill cut in two says nothing.
            let Ok(line) = line else { break };
            let mut words = line.split(' ');
            let (Some("stored"), Some(run), Some(next)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            let (run, next): (usize, u64) = (run.parse().unwrap(), next.parse().unwrap());
            stored[run] = stored[run].max(next);
            seen += 1;
            left -= 1;
            if left == 0 {
                // Lines come when a commit is over: the kill is to come at any point of the next.
                std::thread::sleep(Duration::from_micros(rng.random_range(0..8_000)));
                child.kill().unwrap();
                break;
            }
        }
        let status = child.wait().unwrap();
        assert!(
            left == 0 && !status.success(),
            "kill {kill}: the child ended by itself ({status}) after {seen} lines"
        );
        let log = small(dir.path()).unwrap();
        for run in 0..RUNS {
            repaired += check(&log, run, stored[run as usize], kill);
        }
    }
    eprintln!("acknowledged {stored:?}; {repaired} frames were there beyond that");
    assert!(stored.iter().all(|next| *next > 0), "{stored:?}");
}

/// All frames held of a run are as they were made, without a hole, up to at least the acknowledged one; returns how many
/// are there beyond it.
fn check(log: &Log, run: u8, stored: u64, kill: usize) -> u64 {
    let news = topic("news");
    let held = log.runs(&news, Selector::All).unwrap();
    let Some(held) = held.iter().find(|held| held.publisher == peer(run)) else {
        assert_eq!(stored, 0, "kill {kill}: run {run} is gone");
        return 0;
    };
    assert!(
        held.next / 4 >= stored,
        "kill {kill}: run {run} ends at {held:?}, acknowledged were {stored}"
    );
    let frames = log.range(&news, &peer(run), 1, 0..u64::MAX, usize::MAX).unwrap();
    assert_eq!(
        frames.len() as u64,
        (held.next - held.first) / 4,
        "kill {kill}: run {run} has holes"
    );
    for (wire, number) in frames.iter().zip(held.first / 4..) {
        assert_eq!(
            *wire,
            made(run, number).wire,
            "kill {kill}: frame {number} of run {run}"
        );
    }
    held.next / 4 - stored
}
