//! Members that did not give what they claim. An honest one may have forgotten it meanwhile, for what it holds is bounded:
//! it is asked what it claims now, and if that is still the same, for the frames once more. Only then it is named.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    time::Instant,
};

use libp2p::PeerId;

use super::{
    Action, Claim, Question, RequestId, Run,
    asker::{Asker, Owner},
    spans::Spans,
};
use crate::{core::stream::Frame, types::Selector};

/// Members in doubt at once; what others do meanwhile is not looked into.
pub const DOUBTS_MAX: usize = 64;
/// Questions to a member in doubt before it is let go.
const QUESTIONS_MAX: u32 = 6;

#[derive(Debug, Default)]
pub(super) struct Doubts(BTreeMap<PeerId, Doubt>);

#[derive(Debug)]
struct Doubt {
    run: Run,
    sequences: Range<u64>,
    /// It claims them still: asks for them.
    confirmed: bool,
    asked: Option<RequestId>,
    questions: u32,
}

impl Doubts {
    pub(super) fn raise(&mut self, peer: PeerId, run: Run, sequences: Range<u64>) {
        if self.0.len() < DOUBTS_MAX {
            self.0.entry(peer).or_insert(Doubt {
                run,
                sequences,
                confirmed: false,
                asked: None,
                questions: 0,
            });
        }
    }

    /// Who is in doubt: what it claims is neither used nor given up until that is settled.
    pub(super) fn peers(&self) -> BTreeSet<PeerId> {
        self.0.keys().copied().collect()
    }

    pub(super) fn step(&mut self, asker: &mut Asker, now: Instant, out: &mut Vec<Action>) {
        self.0
            .retain(|peer, doubt| asker.usable(peer) && (doubt.asked.is_some() || doubt.questions < QUESTIONS_MAX));
        for (peer, doubt) in &mut self.0 {
            if doubt.asked.is_some() || !asker.free(peer, now) {
                continue;
            }
            let (run, sequences) = (doubt.run, doubt.sequences.clone());
            let what = if doubt.confirmed {
                Question::Range { run, sequences }
            } else {
                Question::Runs {
                    selector: Selector::All,
                    from: Some(run),
                }
            };
            doubt.questions += 1;
            doubt.asked = Some(asker.ask(*peer, Owner::Doubt, what, now, out));
        }
    }

    /// What it claims now; of which run, and what of it is held, if that settles the doubt.
    pub(super) fn runs(&mut self, request: RequestId, peer: PeerId, claims: &[Claim]) -> Option<(Run, Spans)> {
        let doubt = self.asked(request, peer)?;
        let claim = claims.first().filter(|claim| claim.run == doubt.run);
        let held: Spans = claim.into_iter().flat_map(|claim| claim.held.iter().cloned()).collect();
        match held.within(&doubt.sequences).first() {
            Some(still) => {
                doubt.sequences = still.clone();
                doubt.confirmed = true;
                None
            }
            None => self.0.remove(&peer).map(|doubt| (doubt.run, held)),
        }
    }

    /// The frames that it claims twice; whether it lied.
    pub(super) fn frames(&mut self, request: RequestId, peer: PeerId, frames: &[Frame]) -> bool {
        let Some(doubt) = self.asked(request, peer) else {
            return false;
        };
        let first = doubt.sequences.start;
        let lied = doubt.confirmed && !frames.iter().any(|frame| frame.sequences().contains(&first));
        self.0.remove(&peer);
        lied
    }

    /// No answer: it will be asked again.
    pub(super) fn failed(&mut self, request: RequestId, peer: PeerId) {
        self.asked(request, peer);
    }

    fn asked(&mut self, request: RequestId, peer: PeerId) -> Option<&mut Doubt> {
        let doubt = self.0.get_mut(&peer).filter(|doubt| doubt.asked == Some(request))?;
        doubt.asked = None;
        Some(doubt)
    }
}
