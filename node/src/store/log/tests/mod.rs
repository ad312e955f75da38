//! The log against a model that is right by reading, its bounds, and what it says of files that are not as it left them.

mod faulty_file;
mod kills;

use std::fs;

use proptest::prelude::*;

use crate::store::{
    DataDir, RingLimits,
    testing::{Model, assert_same, frame, peer, single, step, steps, topic},
};

use super::*;

const WIDE: LogLimits = LogLimits {
    age_us_max: u64::MAX,
    bytes_max: 1 << 30,
};

fn open(dir: &Path, limits: LogLimits) -> Log {
    Log::open(dir, limits).unwrap()
}

proptest! {
    // A step waits for the disk.
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn answers_as_the_model_does_also_after_a_restart(
        steps in steps(80),
        since_us in 900_u64..2_500,
        last in 0_u32..70,
        sequences in (0_u64..45, 0_u64..45).prop_map(|(a, b)| a.min(b)..a.max(b)),
        bytes_max in 1_usize..300,
        restarts in prop::collection::vec(0_usize..80, 0..3),
    ) {
        let limits = LogLimits { age_us_max: 60, ..WIDE };
        let ring = RingLimits {
            age_us_max: 60,
            records_max: usize::MAX,
            newest_records_max: 0,
            ..RingLimits::default()
        };
        let dir = tempfile::tempdir().unwrap();
        let (mut log, mut model) = (open(dir.path(), limits), Model::new(ring));
        let mut now_us = 1_000_000;
        for (index, one) in steps.into_iter().enumerate() {
            step(&mut log, &mut model, one, &mut now_us).unwrap();
            if restarts.contains(&index) {
                drop(log);
                log = open(dir.path(), limits);
            }
        }
        log.trim(now_us).unwrap();
        model.trim(now_us);
        assert_same(&log, &model, (since_us, last, sequences, bytes_max));
        // Nothing stays of what is too old.
        log.trim(u64::MAX).unwrap();
        prop_assert!(log.topics().unwrap().is_empty());
        log.write(|tables| {
            use redb::ReadableTableMetadata as _;
            let rows = [tables.topics.len()?, tables.runs.len()?, tables.places.len()?, tables.heads.len()?,
                tables.frames.len()?, tables.newest.len()?, tables.newest_frames.len()?];
            assert_eq!((rows, tables.bytes), ([0; 7], 0));
            Ok(())
        }).unwrap();
    }
}

#[test]
fn batches_are_kept_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), WIDE);
    let news = topic("news");
    let mut bad = single(1, 1, 1);
    bad.keys.clear();
    let refused = log.append_all(&[(news.clone(), single(1, 1, 0)), (news.clone(), bad)], 0);
    assert!(matches!(refused, Err(StoreError::Misfit)));
    assert!(log.topics().unwrap().is_empty());
    let batch: Vec<_> = (0..=TOPICS_MAX)
        .map(|index| (topic(&format!("t{index}")), single(1, 1, 0)))
        .collect();
    let refused = log.append_all(&batch, 0);
    assert!(matches!(refused, Err(StoreError::TooManyTopics { .. })), "{refused:?}");
    assert!(
        log.topics().unwrap().is_empty(),
        "a refusal leaves nothing, and the log can be used"
    );
    log.append_all(&batch[1..], 0).unwrap();
    assert_eq!(log.topics().unwrap().len(), TOPICS_MAX);
}

/// The file grows by doubling, and what was not written yet takes nothing of the disk.
#[cfg(unix)]
fn on_disk(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(path).unwrap().blocks() * 512
}

/// More than its size goes through; the file stays within it, and what is newest is there.
#[cfg(unix)]
#[test]
fn the_file_stays_within_its_size() {
    let dir = tempfile::tempdir().unwrap();
    let news = topic("news");
    let limits = LogLimits {
        bytes_max: LOG_BYTES_MIN,
        ..WIDE
    };
    // Each kind of frame displaces the one before.
    for (incarnation, (records, bytes)) in [(1, 250), (4, 1_400), (16, 2_000), (1, 60_000), (64, 140_000)]
        .into_iter()
        .enumerate()
    {
        let incarnation = incarnation as u64;
        let mut log = open(dir.path(), limits);
        let keys = vec![Some("key"); records];
        let (mut next, mut run) = (0, None);
        // Until the first frames of this kind are gone.
        while run.as_ref().is_none_or(|run: &Held| run.first == 0) {
            for _ in 0..8 {
                let kept = |_| {
                    let mut kept = frame(1, incarnation, next..next + records as u64, &keys);
                    kept.wire = vec![next as u8; bytes].into();
                    next += records as u64;
                    (news.clone(), kept)
                };
                let batch: Vec<_> = (0..256.min(4_000_000 / bytes)).map(kept).collect();
                log.append_all(&batch, 0).unwrap();
            }
            run = log.runs(&news, Selector::All).unwrap().pop();
        }
        let run = run.unwrap();
        assert_eq!((run.incarnation, run.next), (incarnation, next));
        let held = (run.next - run.first) / records as u64 * bytes as u64;
        let size = on_disk(&dir.path().join(LOG_FILE));
        eprintln!("frames of {records} records and {bytes} bytes: {held} bytes of them in a file of {size}");
        assert!(size <= LOG_BYTES_MIN, "frames of {bytes} bytes: a file of {size}");
        assert!(
            held > LOG_BYTES_MIN / 8,
            "frames of {bytes} bytes: only {held} bytes are held"
        );
    }
}

#[cfg(unix)]
#[test]
fn is_for_its_owner_alone_in_a_directory_of_its_mesh() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::open(dir.path()).unwrap();
    let history = data.history_dir(&"market.example".parse().unwrap());
    drop(open(&history, WIDE));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&history), mode(&history.join(LOG_FILE))), (0o700, 0o600));
    assert!(history.ends_with("history/market.example"));
    fs::write(dir.path().join("file"), b"").unwrap();
    let refused = Log::open(&dir.path().join("file/inside"), WIDE);
    assert!(matches!(refused, Err(StoreError::File(_))), "{refused:?}");
}

#[test]
fn one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let _log = open(dir.path(), WIDE);
    let second = Log::open(dir.path(), WIDE);
    assert!(matches!(second, Err(StoreError::InUse { .. })), "{second:?}");
}

#[test]
fn another_form_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), WIDE);
    log.write(|tables| {
        tables.meta.insert("form", FORM + 1)?;
        Ok(())
    })
    .unwrap();
    drop(log);
    let refused = Log::open(dir.path(), WIDE);
    assert!(matches!(refused, Err(StoreError::OtherForm { found, known, .. }) if found == known + 1));
}

fn filled(dir: &Path) -> u64 {
    let mut log = open(dir, WIDE);
    let batch: Vec<_> = (0..2_000).map(|at| (topic("news"), single(1, 1, at))).collect();
    log.append_all(&batch, 0).unwrap();
    2_000
}

/// Whether all that is told is what was written.
fn is_true(log: &Log) -> bool {
    let Ok(frames) = log.range(&topic("news"), &peer(1), 1, 0..u64::MAX, usize::MAX) else {
        return false;
    };
    frames.iter().zip(0..).all(|(wire, at)| *wire == single(1, 1, at).wire) && frames.len() == 2_000
}

#[test]
fn a_file_that_is_none_of_ours_or_cut_short_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let path = dir.path().join(LOG_FILE);
    let whole = fs::read(&path).unwrap();
    for cut in [1, 100, 4_096, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..cut]).unwrap();
        let opened = Log::open(dir.path(), WIDE);
        assert!(
            matches!(opened, Err(StoreError::Damaged { .. })),
            "cut to {cut}: {opened:?}"
        );
    }
    fs::write(&path, vec![b'x'; 100_000]).unwrap();
    let opened = Log::open(dir.path(), WIDE);
    assert!(matches!(opened, Err(StoreError::Damaged { .. })), "{opened:?}");
    fs::write(&path, &whole).unwrap();
    assert!(is_true(&open(dir.path(), WIDE)));
}

/// Whatever page is damaged, the log is opened with all that was in it, or not at all.
#[test]
fn a_damaged_page_is_an_error_or_of_no_consequence() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let path = dir.path().join(LOG_FILE);
    let whole = fs::read(&path).unwrap();
    let (mut errors, mut harmless) = (0, 0);
    for at in (0..whole.len()).step_by(4_096 * 3 + 511) {
        let mut bytes = whole.clone();
        let end = (at + 64).min(bytes.len());
        bytes[at..end].iter_mut().for_each(|byte| *byte ^= 0x5a);
        fs::write(&path, bytes).unwrap();
        match Log::open(dir.path(), WIDE) {
            Err(StoreError::Damaged { .. }) => errors += 1,
            Err(other) => panic!("byte {at}: {other:?}"),
            Ok(log) => {
                assert!(is_true(&log), "byte {at}: opened, but something is lost");
                harmless += 1;
            }
        }
    }
    eprintln!("{errors} damaged places are errors, {harmless} held nothing");
    assert!(errors > 10, "{errors} errors, {harmless} harmless");
}
