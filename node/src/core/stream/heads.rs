//! When a publisher that has nothing to say repeats how far its run goes. Not the head itself.

use std::time::{Duration, Instant};

/// After its last frame a publisher sends a head after 1 s, and whenever that time has doubled ...
pub const HEAD_DELAY: Duration = Duration::from_secs(1);
/// ... so many times in all: after 1, 2, 4 ... 64 s, then none.
pub const HEADS: u32 = 7;

/// The heads of one run.
#[derive(Debug, Default)]
pub(super) struct Heads {
    /// When the last frame left; and how many heads since.
    since: Option<(Instant, u32)>,
}

impl Heads {
    /// A frame with records left.
    pub(super) fn frame_left(&mut self, now: Instant) {
        self.since = Some((now, 0));
    }

    /// Whether a head is to leave now, which is then taken as sent. Those that are overdue leave as one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let is_due = self.deadline().is_some_and(|due| due <= now);
        while self.deadline().is_some_and(|due| due <= now) {
            let Some((_, sent)) = &mut self.since else { break };
            *sent += 1;
        }
        is_due
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let (left, sent) = self.since.filter(|(_, sent)| *sent < HEADS)?;
        Some(left + HEAD_DELAY * 2_u32.pow(sent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_1_to_64_seconds_then_none() {
        let start = Instant::now();
        let mut heads = Heads::default();
        assert_eq!((heads.deadline(), heads.take(start)), (None, false));
        heads.frame_left(start);
        let mut sent = vec![];
        for ms in 0..200_000 {
            if heads.take(start + Duration::from_millis(ms)) {
                sent.push(ms);
            }
        }
        assert_eq!(sent, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000]);
        assert_eq!(heads.deadline(), None);
        heads.frame_left(start);
        assert!(heads.take(start + Duration::from_secs(5)), "late");
        assert_eq!(heads.deadline(), Some(start + Duration::from_secs(8)));
    }
}
