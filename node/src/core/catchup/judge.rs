//! Whether an answer is one to the question that was asked, as far as the two alone show. Not whether it is complete.

use super::{Answer, Claim, Fault, Question, Run};
use crate::core::stream::Frame;

/// What is wrong with an answer that is not [`Answer::Busy`].
pub(super) fn judge(what: &Question, answer: &Answer) -> Result<(), Fault> {
    match (what, answer) {
        (_, Answer::Busy) => Ok(()),
        (Question::Runs { from, .. }, Answer::Runs { claims, more }) => {
            let in_order = claims.windows(2).all(|pair| pair[0].run < pair[1].run);
            let fits = claims.first().is_none_or(|first| Some(first.run) >= *from);
            check(in_order && fits && claims.iter().all(is_well_formed))?;
            ends(claims.is_empty(), *more)
        }
        (Question::Range { run, sequences }, Answer::Frames { frames, more, rejected }) => {
            signed(*rejected)?;
            let fits = |frame: &Frame| {
                let held = frame.sequences();
                let same = (frame.publisher, frame.incarnation) == (run.publisher, run.incarnation);
                same && held.start < sequences.end && held.end > sequences.start
            };
            let in_order = |pair: &[Frame]| pair[0].sequences().start < pair[1].sequences().start;
            check(frames.iter().all(fits) && frames.windows(2).all(in_order))?;
            ends(frames.is_empty(), *more)
        }
        (Question::Latest { .. }, Answer::Frames { frames, more, rejected }) => {
            signed(*rejected)?;
            check(frames.iter().all(|frame| !frame.sequences().is_empty()))?;
            ends(frames.is_empty(), *more)
        }
        _ => Err(Fault::BesideTheQuestion),
    }
}

/// The question after the last one, if there is more.
pub(super) fn next_page(what: &Question, answer: &Answer) -> Option<Question> {
    match (what, answer) {
        (Question::Runs { selector, .. }, Answer::Runs { claims, more: true }) => {
            let last = claims.last()?.run;
            let incarnation = last.incarnation.checked_add(1)?;
            Some(Question::Runs {
                selector: *selector,
                from: Some(Run { incarnation, ..last }),
            })
        }
        (Question::Latest { skip }, Answer::Frames { frames, more: true, .. }) => Some(Question::Latest {
            skip: skip.checked_add(u32::try_from(frames.len()).ok()?)?,
        }),
        _ => None,
    }
}

fn is_well_formed(claim: &Claim) -> bool {
    let apart = claim.held.windows(2).all(|pair| pair[0].end < pair[1].start);
    !claim.held.is_empty() && apart && claim.held.iter().all(|span| !span.is_empty())
}

fn check(fits: bool) -> Result<(), Fault> {
    if fits { Ok(()) } else { Err(Fault::BesideTheQuestion) }
}

fn signed(rejected: usize) -> Result<(), Fault> {
    if rejected == 0 { Ok(()) } else { Err(Fault::Forged) }
}

fn ends(is_empty: bool, more: bool) -> Result<(), Fault> {
    if is_empty && more { Err(Fault::Endless) } else { Ok(()) }
}
