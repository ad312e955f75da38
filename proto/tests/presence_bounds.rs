//! Every bound of what members say about who is there: the largest allowed decodes, the next larger one does not.

mod common;

use maille_proto::{
    ANNOUNCEMENT_BYTES_MAX, CONTROL_FRAME_BYTES_MAX, DOUBT_BYTES_MAX, INTRODUCTION_BYTES_MAX, SUMMARY_MEMBERS_MAX,
    TIDINGS_MAX,
    control::{Announcement, Doubt, Introduction, Message, Presence, PresenceMessage, Summary, Tidings},
    decode_announcement, decode_control, decode_doubt, decode_introduction, encode_control,
};
use prost::Message as _;

fn decodes(message: PresenceMessage) -> bool {
    let message = Message::Presence(Presence { message: Some(message) });
    decode_control(&encode_control(message)).is_ok()
}

fn tidings(announcements: (usize, usize), doubts: (usize, usize)) -> PresenceMessage {
    let of = |(count, bytes)| vec![vec![1; bytes]; count];
    PresenceMessage::Tidings(Tidings {
        announcements: of(announcements),
        doubts: of(doubts),
    })
}

#[test]
fn tidings_are_counted_and_each_has_its_size() {
    assert!(decodes(tidings((TIDINGS_MAX, ANNOUNCEMENT_BYTES_MAX), (0, 0))));
    assert!(decodes(tidings((0, 0), (TIDINGS_MAX, DOUBT_BYTES_MAX))));
    for (announcements, doubts) in [
        ((TIDINGS_MAX + 1, 65), (0, 0)),
        ((0, 0), (TIDINGS_MAX + 1, 65)),
        ((1, 64), (0, 0)),
        ((1, ANNOUNCEMENT_BYTES_MAX + 1), (0, 0)),
        ((0, 0), (1, 64)),
        ((0, 0), (1, DOUBT_BYTES_MAX + 1)),
    ] {
        assert!(!decodes(tidings(announcements, doubts)), "{announcements:?} {doubts:?}");
    }
    let fullest = tidings((TIDINGS_MAX, ANNOUNCEMENT_BYTES_MAX), (0, 0)).encoded_len();
    assert!(fullest < CONTROL_FRAME_BYTES_MAX, "{fullest}");
}

#[test]
fn summaries_hashes_and_introductions_have_their_sizes() {
    let summary = |members, versions| {
        PresenceMessage::Summary(Summary {
            members: vec![1; members],
            versions: vec![1; versions],
            question: false,
        })
    };
    assert!(decodes(summary(SUMMARY_MEMBERS_MAX, SUMMARY_MEMBERS_MAX)));
    assert!(!decodes(summary(SUMMARY_MEMBERS_MAX + 1, 0)));
    assert!(!decodes(summary(0, SUMMARY_MEMBERS_MAX + 1)));
    assert!(decodes(PresenceMessage::Wanted(vec![0; 32])));
    assert!(!decodes(PresenceMessage::Wanted(vec![0; 31])));
    assert!(decodes(PresenceMessage::Introduction(vec![0; INTRODUCTION_BYTES_MAX])));
    assert!(!decodes(PresenceMessage::Introduction(vec![
        0;
        INTRODUCTION_BYTES_MAX + 1
    ])));
}

#[test]
fn statements_fit_their_bounds_and_nothing_larger_does() {
    let largest = Announcement {
        member: vec![1; 32],
        version: u64::MAX,
        since_us: u64::MAX,
        introduction: vec![2; 32],
        again_s: u32::MAX,
        watches: true,
        left: true,
    };
    let bytes = largest.encode_to_vec();
    assert!(bytes.len() + 64 <= ANNOUNCEMENT_BYTES_MAX);
    assert_eq!(decode_announcement(&bytes), Ok(largest.clone()));
    let short = Announcement {
        member: vec![1; 31],
        ..largest.clone()
    };
    assert!(decode_announcement(&short.encode_to_vec()).is_err());
    let short = Announcement {
        introduction: vec![1; 31],
        ..largest
    };
    assert!(decode_announcement(&short.encode_to_vec()).is_err());
    assert!(
        decode_announcement(&[bytes, vec![0x78, 0]].concat()).is_err(),
        "a field that nobody knows"
    );

    let doubt = Doubt {
        by: vec![1; 32],
        member: vec![2; 32],
        version: u64::MAX,
    };
    let bytes = doubt.encode_to_vec();
    assert!(bytes.len() + 64 <= DOUBT_BYTES_MAX);
    assert_eq!(decode_doubt(&bytes), Ok(doubt));
    assert!(decode_doubt(&bytes[34..]).is_err());

    let introduction = Introduction {
        nickname: "n".repeat(64),
        about: vec![1; 4_096],
    };
    let bytes = introduction.encode_to_vec();
    assert!(bytes.len() <= INTRODUCTION_BYTES_MAX);
    assert_eq!(decode_introduction(&bytes), Ok(introduction));
    for (nickname, about) in [(65, 0), (0, 4_097)] {
        let larger = Introduction {
            nickname: "n".repeat(nickname),
            about: vec![1; about],
        };
        assert!(decode_introduction(&larger.encode_to_vec()).is_err());
    }
    assert!(decode_introduction(b"\x0a\x01\xff").is_err(), "not UTF-8");
}
