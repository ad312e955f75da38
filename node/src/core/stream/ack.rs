//! When a run is acknowledged again: after so many frames or so long after the first. Not the acknowledgement itself.

use std::time::{Duration, Instant};

/// Frames after which an acknowledgement leaves without waiting.
pub const ACK_FRAMES: u32 = 256;
/// How long the first frame that is not acknowledged waits for others.
pub const ACK_DELAY: Duration = Duration::from_millis(50);

/// The pace of one run's acknowledgements, which are cumulative.
#[derive(Debug, Default)]
pub(super) struct Pacer {
    frames: u32,
    due: Option<Instant>,
}

impl Pacer {
    /// `frames` more arrived in order, or gaps before them were given up.
    pub(super) fn advance(&mut self, frames: u32, now: Instant) {
        self.frames = self.frames.saturating_add(frames);
        self.due.get_or_insert(now + ACK_DELAY);
    }

    /// Whether an acknowledgement leaves now, which is then taken as sent.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let ready = self.frames >= ACK_FRAMES || self.due.is_some_and(|due| due <= now);
        if ready {
            *self = Self::default();
        }
        ready
    }

    /// What arrived is acknowledged now, if something did: there will be no later.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.due = self.due.map(|due| due.min(now));
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_256_frames_or_50_ms() {
        let start = Instant::now();
        let mut pacer = Pacer::default();
        assert!(
            !pacer.take(start) && pacer.deadline().is_none(),
            "nothing to acknowledge"
        );
        for _ in 0..255 {
            pacer.advance(1, start);
            assert!(!pacer.take(start));
        }
        pacer.advance(1, start);
        assert!(pacer.take(start));
        assert_eq!(pacer.deadline(), None);

        pacer.hurry(start);
        assert!(!pacer.take(start), "nothing came since");
        pacer.advance(1, start);
        pacer.hurry(start);
        assert!(pacer.take(start));

        let later = start + Duration::from_millis(10);
        pacer.advance(1, start);
        pacer.advance(1, later);
        assert_eq!(pacer.deadline(), Some(start + ACK_DELAY), "counted from the first");
        assert!(!pacer.take(start + Duration::from_millis(49)));
        assert!(pacer.take(start + ACK_DELAY));
        assert!(!pacer.take(start + ACK_DELAY));
    }
}
