//! The thread: what is acknowledged, what is not, and that nobody waits for it.

use std::sync::{Condvar, Mutex};

use crate::store::{
    Budget, Fault, Faults, Faulty, Ring, RingLimits,
    testing::{frame, single, topic},
};

use super::*;
use crate::store::FileError;

const SOON: Duration = Duration::from_secs(30);

fn ring() -> Ring {
    Ring::new(RingLimits::default(), Budget::default())
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, what).await.expect("in time")
}

#[tokio::test]
async fn what_is_stored_is_told_in_runs_and_can_be_read() {
    let (log, mut outcomes, opened) = spawn(|| Ok(ring())).unwrap();
    soon(opened).await.unwrap().unwrap();
    let news = topic("news");
    for sequence in 0..1_000 {
        log.append(&news, single(1, 7, sequence)).unwrap();
    }
    let runs = soon(log.runs(&news, Selector::All).unwrap()).await.unwrap().unwrap();
    assert_eq!(
        (runs[0].first, runs[0].next),
        (0, 1_000),
        "a question sees what was given before it"
    );
    let mut next = 0;
    while next < 1_000 {
        let outcome = soon(outcomes.recv()).await.unwrap();
        assert_eq!((outcome.sequences.start, outcome.incarnation), (next, 7));
        outcome.result.unwrap();
        next = outcome.sequences.end;
    }
    let publisher = runs[0].publisher;
    let range = log.range(&news, publisher, 7, 10..12, usize::MAX).unwrap();
    let wires = vec![single(1, 7, 10).wire, single(1, 7, 11).wire];
    assert_eq!(soon(range).await.unwrap().unwrap(), wires);
    let latest = log.latest(&news, 0, usize::MAX).unwrap();
    assert_eq!(
        soon(latest).await.unwrap().unwrap(),
        (vec![single(1, 7, 999).wire], false)
    );
    assert_eq!(soon(log.topics().unwrap()).await.unwrap().unwrap(), [news]);
    let mut bad = single(1, 7, 5);
    bad.keys.clear();
    assert_eq!(log.append(&topic("news"), bad), Err(AppendError::Misfit));
}

#[tokio::test]
async fn the_last_handle_writes_what_is_left() {
    let (log, mut outcomes, _) = spawn(|| Ok(ring())).unwrap();
    for sequence in 0..10 {
        log.append(&topic("news"), single(1, 7, sequence)).unwrap();
    }
    log.append(&topic("news"), frame(1, 7, 10..10, &[])).unwrap();
    drop(log);
    let mut stored = 0;
    while let Some(outcome) = soon(outcomes.recv()).await {
        outcome.result.unwrap();
        stored += outcome.frames;
    }
    assert_eq!(stored, 11);
}

#[tokio::test]
async fn a_failing_store_says_so_and_is_used_again() {
    let faults = Faults::default();
    let inner = faults.clone();
    let (log, mut outcomes, opened) = spawn(move || Ok(Faulty::new(ring(), inner))).unwrap();
    soon(opened).await.unwrap().unwrap();
    let news = topic("news");
    for (sequence, fault) in [
        Fault::Full,
        Fault::ReadOnly,
        Fault::Nth(0),
        Fault::Short(0),
        Fault::Broken,
    ]
    .into_iter()
    .enumerate()
    {
        faults.set(Some(fault));
        log.append(&news, single(1, 7, sequence as u64)).unwrap();
        let error = soon(outcomes.recv()).await.unwrap().result.unwrap_err();
        let fits = match &*error {
            StoreError::File(FileError::NoSpace { .. }) => matches!(fault, Fault::Full | Fault::Short(_)),
            StoreError::File(FileError::Denied { .. }) => fault == Fault::ReadOnly,
            StoreError::File(FileError::Failed { .. }) => matches!(fault, Fault::Nth(_) | Fault::Broken),
            _ => false,
        };
        assert!(fits, "{fault:?}: {error:?}");
        if fault == Fault::Broken {
            assert!(soon(log.topics().unwrap()).await.unwrap().is_err());
        }
    }
    faults.set(None);
    log.append(&news, single(1, 7, 9)).unwrap();
    soon(outcomes.recv()).await.unwrap().result.unwrap();
    let runs = soon(log.runs(&news, Selector::All).unwrap()).await.unwrap().unwrap();
    assert_eq!((runs[0].first, runs[0].next), (9, 10), "what failed is not there");
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_ends_the_thread() {
    let (log, mut outcomes, opened) = spawn(|| Err::<Ring, _>(StoreError::Stopped)).unwrap();
    assert!(soon(opened).await.unwrap().is_err());
    assert!(soon(outcomes.recv()).await.is_none());
    assert_eq!(log.append(&topic("news"), single(1, 7, 0)), Err(AppendError::Stopped));
    assert!(log.topics().is_err());
}

#[tokio::test]
async fn frames_beyond_the_bounds_are_refused_not_waited_for() {
    // The thread is held up while it opens its store.
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let inner = Arc::clone(&gate);
    let (log, mut outcomes, _) = spawn(move || {
        let mut open = inner.0.lock().unwrap();
        while !*open {
            open = inner.1.wait(open).unwrap();
        }
        Ok(ring())
    })
    .unwrap();
    let news = topic("news");
    for sequence in 0..QUEUE_FRAMES_MAX as u64 {
        log.append(&news, single(1, 7, sequence)).unwrap();
    }
    let one_more = single(1, 7, QUEUE_FRAMES_MAX as u64);
    assert_eq!(log.append(&news, one_more.clone()), Err(AppendError::Full));
    let questions: Vec<_> = (0..QUESTIONS_MAX).map(|_| log.topics().unwrap()).collect();
    assert_eq!(log.topics().unwrap_err(), AppendError::Full);
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    for answer in questions {
        soon(answer).await.unwrap().unwrap();
    }
    assert_eq!(
        log.append(&news, one_more.clone()),
        Err(AppendError::Full),
        "outcomes wait as well"
    );
    soon(outcomes.recv()).await.unwrap();
    log.append(&news, one_more).unwrap();
    let mut large = single(2, 7, 0);
    large.wire = vec![0; QUEUE_BYTES_MAX].into();
    assert_eq!(log.append(&news, large), Err(AppendError::Full));
}
