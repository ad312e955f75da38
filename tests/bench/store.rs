//! How fast history is kept and told, on real ticks: the memory ring, the durable log, and the log behind its thread. By
//! command, not part of the tests: `cargo bench -p maille-tests --bench store`.

use std::{
    io::Write as _,
    ops::Range,
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use maille::{
    Keypair, TopicName,
    store::{AppendError, Budget, COMMIT_FRAMES_MAX, Kept, Log, LogLimits, Ring, RingLimits, Store, spawn},
    types::Selector,
};
use maille_tests::ticks;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

/// Names another number of ticks.
const TICKS_VARIABLE: &str = "MAILLE_BENCH_TICKS";
const TICKS: usize = 1_000_000;
/// Ticks in the file that are used; they come again and again.
const RECORDED: usize = 98_371;
const RANGES: usize = 2_000;
const RANGE_FRAMES: u64 = 100;
/// What a frame has besides its records: signature, publisher, hash of the one before, numbers. It does not compress.
const FRAME_BYTES: usize = 64 + 100;
/// A tick as a record.
const RECORD_BYTES: usize = 100;
const SEED: u64 = 7;

fn main() -> anyhow::Result<()> {
    let Some(lines) = ticks::lines(RECORDED) else {
        return Ok(());
    };
    let ticks = std::env::var(TICKS_VARIABLE).map_or(Ok(TICKS), |ticks| ticks.parse())?;
    for records in [1, 16, 256] {
        let frames = frames(&lines, ticks, records);
        let bytes: usize = frames.iter().map(|kept| kept.wire.len()).sum();
        say(&format!(
            "{ticks} ticks as {} frames of {records}: {} MB",
            frames.len(),
            bytes / 1_000_000
        ))?;
        let mut ring = Ring::new(RingLimits::default(), Budget::default());
        measure("ring", &mut ring, &frames)?;
        let dir = tempfile::tempdir()?;
        let mut log = Log::open(dir.path(), LogLimits::default())?;
        measure("log", &mut log, &frames)?;
        drop(log);
        let began = Instant::now();
        drop(Log::open(dir.path(), LogLimits::default())?);
        say(&format!(
            "  log   opened, all of it checked, in {:.2?}; {} MB on disk",
            began.elapsed(),
            megabytes(dir.path())?
        ))?;
        let dir = tempfile::tempdir()?;
        behind_its_thread(dir.path(), &frames)?;
    }
    Ok(())
}

fn say(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{line}")
}

fn topic() -> TopicName {
    "equities/us".parse().expect("a topic name")
}

fn frames(lines: &[String], ticks: usize, records: usize) -> Vec<Kept> {
    let mut rng = StdRng::seed_from_u64(SEED);
    let publisher = Keypair::generate_ed25519().public().to_peer_id();
    let mut lines = lines.iter().cycle();
    let mut frame = |first: usize| {
        let mut wire: Vec<u8> = (0..FRAME_BYTES).map(|_| rng.random()).collect();
        let sequences = first as u64..(first + records).min(ticks) as u64;
        let mut keys = Vec::new();
        for line in lines.by_ref().take((sequences.end - sequences.start) as usize) {
            let key = line.split(',').nth(1).unwrap_or_default();
            keys.push(Some(Bytes::copy_from_slice(key.as_bytes())));
            wire.extend(line.bytes().chain(std::iter::repeat(b' ')).take(RECORD_BYTES));
        }
        Kept {
            publisher,
            incarnation: 1,
            sent_us: first as u64 * 100,
            sequences,
            keys,
            wire: wire.into(),
        }
    };
    (0..ticks).step_by(records).map(&mut frame).collect()
}

fn measure(name: &str, store: &mut dyn Store, frames: &[Kept]) -> anyhow::Result<()> {
    let topic = topic();
    let batches = frames
        .chunks(COMMIT_FRAMES_MAX)
        .map(|chunk| chunk.iter().map(|kept| (topic.clone(), kept.clone())));
    let batches: Vec<Vec<_>> = batches.map(Iterator::collect).collect();
    let mut worst = Duration::ZERO;
    let began = Instant::now();
    for batch in &batches {
        let one = Instant::now();
        store.append_all(batch, 0)?;
        worst = worst.max(one.elapsed());
    }
    rates(name, frames, began.elapsed(), &format!("longest batch {worst:.1?}"))?;
    let held = store.runs(&topic, Selector::All)?.remove(0);
    let (publisher, records) = (held.publisher, frames[0].sequences.end);
    let mut rng = StdRng::seed_from_u64(SEED);
    let began = Instant::now();
    let mut bytes = 0;
    for _ in 0..RANGES {
        let from = rng.random_range(held.first..held.next);
        let range: Range<u64> = from..from + RANGE_FRAMES * records;
        let frames = store.range(&topic, &publisher, 1, range, 1 << 20)?;
        bytes += frames.iter().map(Bytes::len).sum::<usize>();
    }
    let seconds = began.elapsed().as_secs_f64();
    let began = Instant::now();
    for selector in [
        Selector::All,
        Selector::Since(held.newest_us / 2),
        Selector::Last(10_000),
    ] {
        store.runs(&topic, selector)?;
    }
    let selected = began.elapsed();
    let began = Instant::now();
    let (latest, _) = store.latest(&topic, 0, 1 << 20)?;
    say(&format!(
        "  {name:5} {RANGES} ranges of up to {RANGE_FRAMES} frames or 1 MiB: {:.0} a second, {:.0} MB/s; three selections {selected:.1?}; \
         latest, {} frames, {:.1?}",
        RANGES as f64 / seconds,
        bytes as f64 / 1e6 / seconds,
        latest.len(),
        began.elapsed()
    ))?;
    Ok(())
}

fn behind_its_thread(dir: &Path, frames: &[Kept]) -> anyhow::Result<()> {
    let dir = dir.to_owned();
    let (log, mut outcomes, opened) = spawn(move || Log::open(&dir, LogLimits::default()))?;
    let topic = topic();
    tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
        opened.await??;
        let began = Instant::now();
        let (mut next, mut stored) = (0, 0);
        let all = frames.last().map_or(0, |last| last.sequences.end);
        let mut longest = Duration::ZERO;
        while stored < all {
            while next < frames.len() {
                let one = Instant::now();
                let taken = log.append(&topic, frames[next].clone());
                longest = longest.max(one.elapsed());
                match taken {
                    Ok(()) => next += 1,
                    Err(AppendError::Full) => break,
                    Err(error) => return Err(error.into()),
                }
            }
            let Some(outcome) = outcomes.recv().await else { break };
            outcome.result?;
            stored = outcome.sequences.end;
        }
        rates(
            "thread",
            frames,
            began.elapsed(),
            &format!("longest append {longest:.1?}"),
        )
    })
}

fn rates(name: &str, frames: &[Kept], elapsed: Duration, more: &str) -> anyhow::Result<()> {
    let seconds = elapsed.as_secs_f64();
    let records = frames.last().map_or(0, |last| last.sequences.end);
    say(&format!(
        "  {name:5} appended in {seconds:.2} s: {:.0} records a second, {:.0} frames a second, {more}",
        records as f64 / seconds,
        frames.len() as f64 / seconds
    ))?;
    Ok(())
}

fn megabytes(dir: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes / 1_000_000)
}
