//! What happens on a topic, in words and in the one JSON shape. Not where it is printed.

use bytes::Bytes;
use maille::{Cursor, Event, Received};

use super::common::counted_u64;
use super::output::{TopicEvent, rfc3339};

/// An event in the JSON shape; `None` for kinds this version does not know.
pub(crate) fn topic_event(topic: &str, event: &Event<Bytes>) -> Option<TopicEvent> {
    let shape = TopicEvent {
        topic: topic.to_owned(),
        ..TopicEvent::default()
    };
    Some(match event {
        Event::Record(received) => record_event(shape, received),
        Event::Gap {
            publisher,
            incarnation,
            from,
            to,
        } => TopicEvent {
            event: "gap",
            author: Some(publisher.to_string()),
            incarnation: Some(*incarnation),
            sequence: Some(*from),
            sequence_end: Some(*to),
            missed: Some(to.saturating_sub(*from)),
            ..shape
        },
        Event::Lagged { missed } => TopicEvent {
            event: "lagged",
            missed: Some(*missed),
            ..shape
        },
        Event::Restarted { publisher, incarnation } => TopicEvent {
            event: "restarted",
            author: Some(publisher.to_string()),
            incarnation: Some(*incarnation),
            ..shape
        },
        Event::Fork {
            publisher,
            incarnation,
            sequence,
            ..
        } => TopicEvent {
            event: "fork",
            author: Some(publisher.to_string()),
            incarnation: Some(*incarnation),
            sequence: Some(*sequence),
            ..shape
        },
        Event::Silent { publisher, since } => TopicEvent {
            event: "silent",
            author: Some(publisher.to_string()),
            received_at: rfc3339(*since),
            ..shape
        },
        Event::Resumed { publisher } => TopicEvent {
            event: "resumed",
            author: Some(publisher.to_string()),
            ..shape
        },
        Event::Unanswered => TopicEvent {
            event: "unanswered",
            ..shape
        },
        Event::CaughtUp => TopicEvent {
            event: "caught_up",
            ..shape
        },
        Event::Undecodable { cursor, error } => TopicEvent {
            event: "undecodable",
            author: Some(cursor.publisher.to_string()),
            incarnation: Some(cursor.incarnation),
            sequence: Some(cursor.sequence),
            reason: Some(error.to_string()),
            ..shape
        },
        _ => return None,
    })
}

fn record_event(shape: TopicEvent, received: &Received<Bytes>) -> TopicEvent {
    TopicEvent {
        event: "record",
        author: Some(received.author.to_string()),
        incarnation: Some(received.cursor.incarnation),
        sequence: Some(received.cursor.sequence),
        sent_at: rfc3339(received.sent_at),
        received_at: rfc3339(received.received_at),
        ..shape
    }
    .with_key(received.key.as_deref())
    .with_payload(&received.value)
}

/// An event in words; `None` for records, for what nobody needs to be told, and for kinds this version does not know.
pub(crate) fn sentence(event: &Event<Bytes>) -> Option<String> {
    Some(match event {
        Event::Gap {
            publisher,
            incarnation,
            from,
            to,
        } => format!(
            "gap: {} of {publisher} are missing (incarnation {incarnation}, from {from} to before {to})",
            counted_u64(to.saturating_sub(*from), "record")
        ),
        Event::Lagged { missed } => format!(
            "lagged: {} lost here, because standard output was read too slowly; filter with --key or --publisher",
            counted_u64(*missed, "record")
        ),
        Event::Restarted { publisher, incarnation } => format!("{publisher} started again (incarnation {incarnation})"),
        Event::Fork {
            publisher,
            incarnation,
            sequence,
            ..
        } => format!(
            "fork: {publisher} signed two things for record {sequence} of incarnation {incarnation}; nothing more of it follows"
        ),
        Event::Silent { publisher, since } => match rfc3339(*since) {
            Some(since) => format!("silent: {publisher} was last heard at {since}"),
            None => format!("silent: {publisher} is not heard any more"),
        },
        Event::Resumed { publisher } => format!("resumed: {publisher} is heard again"),
        Event::Unanswered => "nobody answered yet what was published before".to_owned(),
        Event::Undecodable { cursor, error } => format!("record {cursor} cannot be decoded: {error}"),
        _ => return None,
    })
}

/// The last record that an event says something about: what lies before it is done with.
pub(crate) fn cursor_of(event: &Event<Bytes>) -> Option<Cursor> {
    match event {
        Event::Record(received) => Some(received.cursor),
        Event::Undecodable { cursor, .. } => Some(*cursor),
        Event::Gap {
            publisher,
            incarnation,
            to,
            ..
        } => Some(Cursor {
            publisher: *publisher,
            incarnation: *incarnation,
            sequence: to.saturating_sub(1),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use maille::PeerId;

    use super::super::output::json_line;
    use super::*;

    const PEER: &str = "12D3KooWGRUfVRvGCpQ6kQq8mLWmHwEDCFXcKo9AD9i2nGT6Jxqt";

    fn json(event: &Event<Bytes>) -> String {
        String::from_utf8(json_line(&topic_event("equities/us", event).unwrap())).unwrap()
    }

    #[test]
    fn what_is_not_a_record_has_the_same_shape() {
        let publisher: PeerId = PEER.parse().unwrap();
        let gap = Event::Gap {
            publisher,
            incarnation: 9,
            from: 5,
            to: 8,
        };
        assert_eq!(
            json(&gap),
            format!(
                "{{\"event\":\"gap\",\"topic\":\"equities/us\",\"author\":\"{PEER}\",\"incarnation\":9,\"sequence\":5,\
                 \"sequence_end\":8,\"missed\":3,\"key\":null,\"sent_at\":null,\"received_at\":null}}\n"
            )
        );
        assert!(
            sentence(&gap)
                .unwrap()
                .starts_with(&format!("gap: 3 records of {PEER} are missing"))
        );
        let lagged = topic_event("x", &Event::Lagged { missed: 7 }).unwrap();
        assert_eq!((lagged.event, lagged.missed), ("lagged", Some(7)));
        let restarted = Event::Restarted {
            publisher,
            incarnation: 10,
        };
        let restarted = topic_event("x", &restarted).unwrap();
        assert_eq!((restarted.event, restarted.incarnation), ("restarted", Some(10)));
    }

    #[test]
    fn what_happens_to_the_past_and_to_publishers_has_it_too() {
        let publisher: PeerId = PEER.parse().unwrap();
        let bare = |event: &str| {
            format!(
                "{{\"event\":\"{event}\",\"topic\":\"equities/us\",\"author\":null,\"incarnation\":null,\"sequence\":null,\
                 \"key\":null,\"sent_at\":null,\"received_at\":null}}\n"
            )
        };
        assert_eq!(json(&Event::CaughtUp), bare("caught_up"));
        assert_eq!(json(&Event::Unanswered), bare("unanswered"));
        let since = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        let silent = json(&Event::Silent { publisher, since });
        assert!(silent.starts_with("{\"event\":\"silent\""), "{silent}");
        assert!(
            silent.ends_with("\"received_at\":\"1970-01-01T00:00:01.000Z\"}\n"),
            "{silent}"
        );
        assert!(
            json(&Event::Resumed { publisher })
                .contains(&format!("\"resumed\",\"topic\":\"equities/us\",\"author\":\"{PEER}\""))
        );
        let fork = Event::Fork {
            publisher,
            incarnation: 9,
            sequence: 5,
            first: None,
            second: Bytes::new(),
        };
        assert!(
            json(&fork).contains("\"incarnation\":9,\"sequence\":5,"),
            "{}",
            json(&fork)
        );
        assert!(sentence(&fork).unwrap().contains("two things for record 5"));
        assert_eq!(sentence(&Event::CaughtUp), None);
    }

    #[test]
    fn a_gap_is_done_with_up_to_its_end() {
        let publisher: PeerId = PEER.parse().unwrap();
        let gap = Event::Gap {
            publisher,
            incarnation: 9,
            from: 5,
            to: 8,
        };
        assert_eq!(cursor_of(&gap).map(|cursor| cursor.sequence), Some(7));
        assert_eq!(cursor_of(&Event::CaughtUp), None);
    }
}
