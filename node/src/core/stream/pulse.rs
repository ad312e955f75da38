//! Whether a publisher is still heard: it sends heads after its last frame, so silence means something. Not why.

use std::time::{Duration, Instant};

use super::heads::{HEAD_DELAY, HEADS};

/// How much later than its publisher's clock a head may come before it counts as missed.
pub const PULSE_GRACE: Duration = Duration::from_secs(3);
/// How much earlier than expected one may seem to come.
const JITTER: Duration = Duration::from_millis(500);

/// One publisher's signs of life, by our clock.
#[derive(Debug)]
pub(super) struct Pulse {
    heard: Instant,
    /// When its last frame with records came; `None` if only a head did: then nobody knows which head comes next.
    frame: Option<Instant>,
    silent: bool,
}

impl Pulse {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            heard: now,
            frame: None,
            silent: false,
        }
    }

    /// Something new came of it; whether it had been silent.
    pub(super) fn heard(&mut self, is_head: bool, now: Instant) -> bool {
        self.heard = now;
        if !is_head {
            self.frame = Some(now);
        }
        std::mem::take(&mut self.silent)
    }

    /// Since when nothing was heard, if that is to be reported now, and only once.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Instant> {
        let is_due = self.deadline().is_some_and(|due| due <= now);
        self.silent |= is_due;
        is_due.then_some(self.heard)
    }

    /// When two heads in a row will have been missed, or the last one. After the last head nothing is expected.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let frame = self.frame.filter(|_| !self.silent)?;
        let quiet = self.heard.saturating_duration_since(frame) + JITTER;
        let at = |head: u32| HEAD_DELAY * 2_u32.pow(head);
        let next = (0..HEADS).find(|head| at(*head) > quiet)?;
        Some(frame + at((next + 1).min(HEADS - 1)) + PULSE_GRACE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_publisher_that_sends_its_heads_is_never_silent() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        assert!(!pulse.heard(false, start));
        for seconds in [1, 2, 4, 8, 16, 32, 64] {
            let now = start + SECOND * seconds;
            assert_eq!(pulse.expire(now), None, "{seconds}");
            assert!(!pulse.heard(true, now));
        }
        assert_eq!(pulse.deadline(), None, "idle");
    }

    #[test]
    fn two_missed_heads_are_silence_and_one_is_not() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        assert_eq!(pulse.deadline(), None, "met by a head");
        pulse.heard(false, start);
        assert_eq!(pulse.deadline(), Some(start + 2 * SECOND + PULSE_GRACE));
        pulse.heard(true, start + 2 * SECOND);
        assert_eq!(pulse.deadline(), Some(start + 8 * SECOND + PULSE_GRACE));
        let now = start + 8 * SECOND + PULSE_GRACE;
        assert_eq!(pulse.expire(now - SECOND), None);
        assert_eq!(pulse.expire(now), Some(start + 2 * SECOND));
        assert_eq!((pulse.expire(now), pulse.deadline()), (None, None), "once");
        assert!(pulse.heard(true, now + SECOND), "and resumed");
        assert!(!pulse.heard(true, now + SECOND));
    }
}
