//! How a member lies: what it makes of honest answers.

use super::world::frames;
use crate::core::catchup::{Answer, Claim, Question, Run, newest::run_of};

/// How one of the members lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lie {
    HidesRange,
    HidesHead,
    HidesPublisher,
    InventsHead,
    InventsRun,
    BesideTheRange,
    Forges,
    EndlessRuns,
    EndlessLatest,
}

/// A made-up run, after all real ones.
pub(super) fn invented() -> Run {
    Run {
        incarnation: 1_000,
        ..*frames().keys().next_back().unwrap()
    }
}

/// What a liar makes of an honest answer. What it hides lies in the first run.
pub(super) fn lied(lie: Lie, what: &Question, mut answer: Answer) -> Answer {
    let first = *frames().keys().next().unwrap();
    match (lie, what, &mut answer) {
        (Lie::HidesRange, Question::Range { .. }, Answer::Frames { frames, .. }) => {
            frames.retain(|frame| run_of(frame) != first || frame.sequences().end <= 4);
            if frames.is_empty() {
                return Answer::Frames {
                    frames: vec![],
                    more: false,
                    rejected: 0,
                };
            }
        }
        (Lie::HidesHead, Question::Runs { .. }, Answer::Runs { claims, .. }) => {
            for claim in claims.iter_mut().filter(|claim| claim.run == first) {
                claim.held = vec![0..4];
            }
        }
        (Lie::HidesPublisher, Question::Runs { .. }, Answer::Runs { claims, more }) => {
            claims.retain(|claim| claim.run != first);
            *more &= !claims.is_empty();
        }
        (Lie::InventsHead, Question::Runs { .. }, Answer::Runs { claims, .. }) => {
            for claim in claims.iter_mut() {
                claim.held.last_mut().unwrap().end += 1_000_000_000_000;
            }
        }
        (Lie::InventsRun, Question::Runs { from, .. }, Answer::Runs { claims, more }) => {
            let run = invented();
            if !*more && from.is_none_or(|from| from <= run) && claims.last().is_none_or(|last| last.run < run) {
                claims.push(Claim {
                    run,
                    held: vec![0..1 << 40],
                    from: 0,
                    newest_us: u64::MAX,
                    proved: None,
                });
            }
        }
        (Lie::BesideTheRange, Question::Range { run, .. }, Answer::Frames { frames: given, .. }) => {
            *given = vec![frames().iter().find(|(other, _)| *other != run).unwrap().1[0].clone()];
        }
        (Lie::Forges, Question::Range { .. } | Question::Latest { .. }, Answer::Frames { rejected, .. }) => {
            *rejected = 1;
        }
        (Lie::EndlessRuns, Question::Runs { .. }, Answer::Runs { claims, more }) => {
            // Always one more run of an endless number.
            if let Question::Runs { from: Some(from), .. } = what {
                *claims = vec![Claim {
                    run: *from,
                    held: vec![0..1],
                    from: 0,
                    newest_us: 0,
                    proved: None,
                }];
            }
            *more = true;
        }
        (
            Lie::EndlessLatest,
            Question::Latest { .. },
            Answer::Frames {
                frames: given, more, ..
            },
        ) => {
            *given = frames()[&first][..2].to_vec();
            *more = true;
        }
        _ => {}
    }
    answer
}
