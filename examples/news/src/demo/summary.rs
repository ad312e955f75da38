//! The end of the demo: what was published, what arrived, and whether that is well. Measures nothing.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

/// How one listener fared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    /// Who.
    pub(crate) name: &'static str,
    /// Items that arrived.
    pub(crate) delivered: u64,
    /// Of these, items that had arrived before.
    pub(crate) duplicates: u64,
    /// What else arrived: gaps, records that are no items.
    pub(crate) notes: u64,
}

impl Seat {
    /// Different items that arrived.
    pub(crate) fn distinct(&self) -> u64 {
        self.delivered - self.duplicates
    }

    fn lost(&self, published: u64) -> u64 {
        published.saturating_sub(self.distinct())
    }
}

/// Everything the demo found out.
#[derive(Debug)]
pub(crate) struct Summary {
    /// Items in all editions of the feeds that can be read.
    pub(crate) expected: u64,
    /// Items that were published and are held.
    pub(crate) published: u64,
    /// Questions to feeds.
    pub(crate) polls: u64,
    /// Answers that nothing had changed.
    pub(crate) not_modified: u64,
    /// Feeds that could not be read, and why.
    pub(crate) failed: Vec<(String, String)>,
    /// How many were broken on purpose.
    pub(crate) expected_failures: usize,
    /// Every listener.
    pub(crate) seats: Vec<Seat>,
    /// From the start until all had met.
    pub(crate) met_after: Duration,
    /// From the start to the end.
    pub(crate) took: Duration,
}

impl Summary {
    /// What went wrong, or none.
    pub(crate) fn complaint(&self) -> Option<String> {
        let lost: u64 = self.seats.iter().map(|seat| seat.lost(self.published)).sum();
        let duplicates: u64 = self.seats.iter().map(|seat| seat.duplicates).sum();
        let mut faults = Vec::new();
        if self.published != self.expected {
            faults.push(format!(
                "{} items were published, not {}",
                self.published, self.expected
            ));
        }
        if lost > 0 {
            faults.push(format!("{lost} items were lost"));
        }
        if duplicates > 0 {
            faults.push(format!("{duplicates} items came twice"));
        }
        if self.failed.len() != self.expected_failures {
            faults.push(format!(
                "{} feeds failed, not {}",
                self.failed.len(),
                self.expected_failures
            ));
        }
        if self.not_modified == 0 {
            faults.push("no server said that nothing changed".to_owned());
        }
        (!faults.is_empty()).then(|| faults.join("; "))
    }

    /// The object that `--json` ends with.
    pub(crate) fn json(&self) -> Value {
        let seat = |seat: &Seat| {
            json!({
                "name": seat.name,
                "delivered": seat.delivered,
                "lost": seat.lost(self.published),
                "duplicates": seat.duplicates,
            })
        };
        let failed = |(feed, why): &(String, String)| json!({ "feed": feed, "error": why });
        json!({
            "event": "summary",
            "published": self.published,
            "readers": self.seats.iter().map(seat).collect::<Vec<_>>(),
            "polls": self.polls,
            "not_modified": self.not_modified,
            "failed_feeds": self.failed.iter().map(failed).collect::<Vec<_>>(),
            "met_after_s": self.met_after.as_secs_f64(),
            "took_s": self.took.as_secs_f64(),
        })
    }

    /// The same for people.
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "\npublished {} items in {:.1} s; the nodes had met after {:.1} s\n",
            self.published,
            self.took.as_secs_f64(),
            self.met_after.as_secs_f64()
        );
        let mut line = |arguments: std::fmt::Arguments<'_>| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{arguments}");
        };
        for seat in &self.seats {
            line(format_args!(
                "{:<10} delivered {:>3}  lost {:>2}  twice {:>2}",
                seat.name,
                seat.delivered,
                seat.lost(self.published),
                seat.duplicates
            ));
        }
        line(format_args!(
            "{:<10} {} questions, {} times \"nothing changed\" (304)",
            "feeds", self.polls, self.not_modified
        ));
        for (feed, why) in &self.failed {
            line(format_args!("{:<10} {feed}: {why}", "broken"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        let seat = |name| Seat {
            name,
            delivered: 20,
            duplicates: 0,
            notes: 0,
        };
        Summary {
            expected: 20,
            published: 20,
            polls: 24,
            not_modified: 9,
            failed: vec![("http://a/".to_owned(), "HTTP 404 Not Found".to_owned())],
            expected_failures: 1,
            seats: vec![seat("reader 1"), seat("keeper")],
            met_after: Duration::from_secs(1),
            took: Duration::from_secs(2),
        }
    }

    #[test]
    fn losses_and_repetitions_are_complaints() {
        assert_eq!(summary().complaint(), None);
        let faulty = |change: fn(&mut Summary)| {
            let mut summary = summary();
            change(&mut summary);
            summary.complaint().unwrap_or_default()
        };
        assert_eq!(faulty(|s| s.seats[1].delivered = 17), "3 items were lost");
        assert_eq!(
            faulty(|s| s.seats[0] = Seat {
                delivered: 21,
                duplicates: 1,
                ..s.seats[0].clone()
            }),
            "1 items came twice"
        );
        assert_eq!(faulty(|s| s.expected = 21), "20 items were published, not 21");
        assert_eq!(faulty(|s| s.failed.clear()), "0 feeds failed, not 1");
        assert_eq!(faulty(|s| s.not_modified = 0), "no server said that nothing changed");
    }

    #[test]
    fn both_forms_tell_the_same() {
        let value = summary().json();
        assert_eq!(
            (&value["published"], &value["polls"], &value["not_modified"]),
            (&20.into(), &24.into(), &9.into())
        );
        assert_eq!(
            value["readers"][0],
            json!({"name": "reader 1", "delivered": 20, "lost": 0, "duplicates": 0})
        );
        let text = summary().text();
        for part in [
            "published 20 items",
            "keeper     delivered  20  lost  0  twice  0",
            "9 times",
            "HTTP 404",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
