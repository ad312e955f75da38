//! The end of the demo: what was published, what arrived, and whether that is well. Measures nothing.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::board::state::Seat;
use crate::stats::shown_ms;

/// Most subscribers whose lines stand in the text; the JSON object has all.
const SEATS_SHOWN_MAX: usize = 16;

/// Everything the demo found out.
#[derive(Debug)]
pub(crate) struct Summary {
    /// Ticks published.
    pub(crate) published: u64,
    /// Every subscriber.
    pub(crate) seats: Vec<Seat>,
    /// Ticks that arrived altered, twice or out of order, over all subscribers.
    pub(crate) strange: u64,
    /// Anything the stranger received.
    pub(crate) stranger_delivered: u64,
    /// Peers that refused the stranger.
    pub(crate) stranger_refused_by: usize,
    /// What the publisher's node sent, in all, while ticks were published.
    pub(crate) upload_bytes: u64,
    /// From the start of the nodes until every subscriber had heard the publisher.
    pub(crate) met_after: Duration,
    /// From the first tick until the last was acknowledged.
    pub(crate) published_in: Duration,
}

impl Summary {
    /// Bytes the publisher's node sent for one tick.
    pub(crate) fn upload_bytes_per_tick(&self) -> f64 {
        if self.published == 0 {
            return 0.0;
        }
        // Both are far below 2^52, where an f64 is exact.
        #[allow(clippy::cast_precision_loss)]
        let exact = self.upload_bytes as f64 / self.published as f64;
        (exact * 10.0).round() / 10.0
    }

    /// What went wrong, or none.
    pub(crate) fn complaint(&self) -> Option<String> {
        let lost: u64 = self.seats.iter().map(|seat| seat.lost).sum();
        let mut faults = Vec::new();
        if self.published == 0 {
            faults.push("nothing was published".to_owned());
        }
        if lost > 0 {
            faults.push(format!("{lost} ticks were lost"));
        }
        if self.strange > 0 {
            faults.push(format!("{} ticks arrived altered, twice or out of order", self.strange));
        }
        if self.stranger_delivered > 0 {
            faults.push(format!("the stranger received {} ticks", self.stranger_delivered));
        }
        (!faults.is_empty()).then(|| faults.join("; "))
    }

    /// The object that `--json` ends with.
    pub(crate) fn json(&self) -> Value {
        let seat = |seat: &Seat| json!({ "delivered": seat.delivered, "lost": seat.lost, "p50_ms": seat.p50_ms, "p99_ms": seat.p99_ms });
        json!({
            "event": "summary",
            "published": self.published,
            "subscribers": self.seats.iter().map(seat).collect::<Vec<_>>(),
            "stranger_delivered": self.stranger_delivered,
            "stranger_refused_by": self.stranger_refused_by,
            "upload_bytes_per_tick": self.upload_bytes_per_tick(),
            "met_after_s": self.met_after.as_secs_f64(),
            "published_in_s": self.published_in.as_secs_f64(),
        })
    }

    /// The same for people.
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "\npublished {} ticks in {:.1} s; the nodes had met after {:.1} s\n",
            self.published,
            self.published_in.as_secs_f64(),
            self.met_after.as_secs_f64()
        );
        for seat in self.seats.iter().take(SEATS_SHOWN_MAX) {
            let (p50, p99) = (shown_ms(seat.p50_ms), shown_ms(seat.p99_ms));
            line(
                &mut text,
                format_args!(
                    "{:<14} delivered {:>6}  lost {:>3}  latency p50 {p50:>8}  p99 {p99:>8}",
                    seat.name, seat.delivered, seat.lost
                ),
            );
        }
        let others = self.seats.get(SEATS_SHOWN_MAX..).unwrap_or_default();
        if !others.is_empty() {
            let lost: u64 = others.iter().map(|seat| seat.lost).sum();
            let least = others.iter().map(|seat| seat.delivered).min().unwrap_or(0);
            line(
                &mut text,
                format_args!(
                    "and {} more   delivered {least:>6} or more each, {lost} lost in all",
                    others.len()
                ),
            );
        }
        line(
            &mut text,
            format_args!(
                "{:<14} delivered {:>6}  with a wrong password, refused by {} peers",
                "stranger", self.stranger_delivered, self.stranger_refused_by
            ),
        );
        let upload = self.upload_bytes_per_tick();
        line(
            &mut text,
            format_args!(
                "{:<14} {upload:.1} bytes of upload a tick, for {} subscribers",
                "publisher",
                self.seats.len()
            ),
        );
        text
    }
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{arguments}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(lost: u64, stranger_delivered: u64) -> Summary {
        let seat = |number: u64, lost: u64| Seat {
            name: format!("subscriber {number}"),
            delivered: 2_400 - lost,
            lost,
            p50_ms: Some(1.5),
            p99_ms: None,
        };
        Summary {
            published: 2_400,
            seats: vec![seat(1, 0), seat(2, lost)],
            strange: 0,
            stranger_delivered,
            stranger_refused_by: 4,
            upload_bytes: 2_400 * 250 + 600,
            met_after: Duration::from_millis(1_250),
            published_in: Duration::from_secs(8),
        }
    }

    #[test]
    fn the_json_object_has_the_promised_fields() {
        let value = summary(3, 0).json();
        assert_eq!(value["published"], 2_400);
        assert_eq!(
            value["subscribers"][1],
            json!({"delivered": 2_397, "lost": 3, "p50_ms": 1.5, "p99_ms": null})
        );
        assert_eq!(value["stranger_delivered"], 0);
        assert_eq!(value["upload_bytes_per_tick"], 250.3);
        assert!(!value.to_string().contains('\n'));
    }

    #[test]
    fn a_loss_or_a_leak_is_a_complaint() {
        assert_eq!(summary(0, 0).complaint(), None);
        assert_eq!(summary(3, 0).complaint().unwrap(), "3 ticks were lost");
        assert_eq!(summary(0, 1).complaint().unwrap(), "the stranger received 1 ticks");
        assert_eq!(
            Summary {
                strange: 2,
                ..summary(0, 0)
            }
            .complaint()
            .unwrap(),
            "2 ticks arrived altered, twice or out of order"
        );
        assert_eq!(
            Summary {
                published: 0,
                ..summary(0, 0)
            }
            .complaint()
            .unwrap(),
            "nothing was published"
        );
    }

    #[test]
    fn the_text_names_everyone() {
        let text = summary(3, 0).text();
        for part in [
            "published 2400 ticks in 8.0 s",
            "subscriber 2   delivered   2397  lost   3",
            "refused by 4 peers",
            "250.3 bytes",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let mut large = summary(0, 0);
        large.seats = (1..=60).map(|_| large.seats[0].clone()).collect();
        assert!(large.text().contains("and 44 more"), "{}", large.text());
    }
}
