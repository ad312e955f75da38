//! Valid messages to begin with, and the memory of this process. Not a test.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs;

use maille_proto::{
    admission::{Accept, Challenge, Hello, MemberRecord, Message as Handshake, Proof, Ready, Welcome},
    catchup::{self, AnswerKind},
    control::{
        Ack, Acks, Announcement, Clock, Doubt, Farewell, Introduction, Message as Control, Presence, PresenceMessage,
        Profile, Register, Summary, Swap, Tidings,
    },
    encode_admission, encode_control,
    frame::{FrameBody, Predecessor, Record},
    peers::{MeshPeers, PeerCache},
    requests,
    ticket::{BootstrapPeer, Ticket},
};
use prost::Message as _;

pub(crate) fn member(topics: usize, envelope_bytes: usize) -> MemberRecord {
    MemberRecord {
        envelope: vec![7; envelope_bytes],
        topics: (0..topics as u64).map(|n| n << 40 | n).collect(),
    }
}

pub(crate) fn handshake() -> Vec<Vec<u8>> {
    let hello = Hello {
        version: 1,
        tag: vec![1; 16],
        session: vec![2; 16],
        nonce: vec![3; 32],
    };
    [
        Handshake::Hello(hello),
        Handshake::Challenge(Challenge {
            nonce: vec![4; 32],
            share: vec![5; 32],
        }),
        Handshake::Proof(Proof {
            share: vec![6; 32],
            mac: vec![7; 32],
        }),
        Handshake::Accept(Accept {
            mac: vec![8; 32],
            welcome: vec![9; 200],
        }),
        Handshake::Ready(Ready {}),
    ]
    .map(encode_admission)
    .to_vec()
}

pub(crate) fn welcomes() -> Vec<Vec<u8>> {
    let samples = [
        vec![],
        vec![member(3, 180)],
        vec![member(0, 40), member(64, 1)],
        vec![member(1, 300); 16],
    ];
    samples
        .map(|sample| {
            Welcome {
                session: vec![1; 16],
                sample,
            }
            .encode_to_vec()
        })
        .to_vec()
}

pub(crate) fn controls() -> Vec<Vec<u8>> {
    let ack = |n: u64| Ack {
        topic: format!("equities/{n}"),
        incarnation: 1_700_000_000_000 + n,
        next: n * n,
    };
    [
        Control::Acks(Acks {
            acks: (0..3).map(ack).collect(),
        }),
        Control::Acks(Acks {
            acks: (0..64).map(ack).collect(),
        }),
        Control::Profile(Profile {
            member: Some(member(5, 190)),
        }),
        Control::Swap(Swap {
            records: vec![member(2, 100); 8],
            answer: true,
        }),
        Control::Clock(Clock {
            origin_us: 1_700_000_000_000_000,
            answer_us: 0,
        }),
        Control::Farewell(Farewell {
            sample: vec![member(1, 150); 3],
            replaced: vec![7; 16],
        }),
        presence(PresenceMessage::Tidings(Tidings {
            announcements: vec![vec![1; 160]; 3],
            doubts: vec![vec![2; 140]; 2],
        })),
        presence(PresenceMessage::Register(Register { members: 1 << 50 })),
        presence(PresenceMessage::Summary(Summary {
            members: (0..257).map(|n| n << 40).collect(),
            versions: vec![1_700_000_000_000; 257],
            question: true,
        })),
        presence(PresenceMessage::Wanted(vec![3; 32])),
        presence(PresenceMessage::Introduction(vec![4; 300])),
        presence(PresenceMessage::Probe(true)),
    ]
    .map(encode_control)
    .to_vec()
}

fn presence(message: PresenceMessage) -> Control {
    Control::Presence(Presence { message: Some(message) })
}

pub(crate) fn announcements() -> Vec<Vec<u8>> {
    let said = Announcement {
        member: vec![1; 32],
        version: 1_700_000_000_000,
        since_us: 1_700_000_000_000_000,
        introduction: vec![2; 32],
        again_s: 60,
        watches: true,
        left: false,
    };
    let plain = Announcement {
        introduction: vec![],
        left: true,
        ..said.clone()
    };
    [said, plain].map(|said| said.encode_to_vec()).to_vec()
}

pub(crate) fn doubts() -> Vec<Vec<u8>> {
    let doubt = Doubt {
        by: vec![1; 32],
        member: vec![2; 32],
        version: 1_700_000_000_000,
    };
    vec![doubt.encode_to_vec()]
}

pub(crate) fn introductions() -> Vec<Vec<u8>> {
    let said = |nickname: &str, about: usize| Introduction {
        nickname: nickname.into(),
        about: vec![7; about],
    };
    [said("Ann", 0), said("", 20), said("Zoë", 900)]
        .map(|said| said.encode_to_vec())
        .to_vec()
}

pub(crate) fn frame(records: usize, payload_bytes: usize) -> FrameBody {
    let record = |n: usize| Record {
        key: [None, Some(vec![]), Some(b"AAPL".to_vec())][n % 3].clone(),
        payload: vec![b'1'; payload_bytes],
    };
    FrameBody {
        publisher: vec![1; 32],
        incarnation: 1_700_000_000_000,
        first_sequence: 12,
        previous: vec![2; 32],
        sent_us: 1_700_000_000_000_000,
        content_type: "application/json".into(),
        lifetime_ms: 5_000,
        predecessor: Some(Predecessor {
            incarnation: 1_600_000_000_000,
            next_sequence: 9,
        }),
        records: (0..records).map(record).collect(),
    }
}

pub(crate) fn frames() -> Vec<Vec<u8>> {
    let plain = FrameBody {
        previous: vec![],
        content_type: String::new(),
        predecessor: None,
        ..frame(1, 0)
    };
    [plain, frame(1, 20), frame(3, 5), frame(40, 60)]
        .map(|body| body.encode_to_vec())
        .to_vec()
}

pub(crate) fn tickets() -> Vec<Vec<u8>> {
    let peer = |n: u8, multiaddrs: usize| BootstrapPeer {
        peer: vec![n; 38],
        multiaddrs: vec![vec![4; 8]; multiaddrs],
    };
    let ticket = |topic: &str, bootstrap| Ticket {
        mesh: "market.example".into(),
        topic: topic.into(),
        bootstrap,
    };
    [
        ticket("", vec![]),
        ticket("equities/us", vec![peer(1, 1)]),
        ticket("a", vec![peer(1, 4), peer(2, 2), peer(3, 1)]),
    ]
    .map(|ticket| ticket.encode_to_vec())
    .to_vec()
}

pub(crate) fn peer_caches() -> Vec<Vec<u8>> {
    let mesh = |members| MeshPeers {
        mesh: "market.example".into(),
        members,
    };
    [
        vec![],
        vec![mesh(vec![])],
        vec![mesh(vec![member(2, 150), member(0, 90)]), mesh(vec![member(9, 200)])],
    ]
    .map(|meshes| PeerCache { meshes }.encode_to_vec())
    .to_vec()
}

pub(crate) fn catchup_requests() -> Vec<Vec<u8>> {
    let name = || {
        Some(catchup::RunName {
            publisher: vec![3; 38],
            incarnation: 1_700_000_000_000,
        })
    };
    let after = "equities/us".to_owned();
    [
        catchup::Question::Runs(catchup::RunsQuestion {
            selector: Some(catchup::Selector::Last(100)),
            from: name(),
        }),
        catchup::Question::Runs(catchup::RunsQuestion::default()),
        catchup::Question::Range(catchup::RangeQuestion {
            run: name(),
            from: 7,
            to: 300,
        }),
        catchup::Question::Latest(catchup::LatestQuestion { skip: 3 }),
        catchup::Question::Topics(catchup::TopicsQuestion { after }),
    ]
    .map(|question| {
        let topic = "equities/us".into();
        let question = Some(question);
        catchup::Request { topic, question }.encode_to_vec()
    })
    .to_vec()
}

pub(crate) fn catchup_run(spans: u64, head_bytes: usize) -> catchup::Run {
    catchup::Run {
        run: Some(catchup::RunName {
            publisher: vec![3; 38],
            incarnation: 9,
        }),
        held: (0..spans)
            .map(|n| catchup::Span {
                from: n * 10,
                to: n * 10 + 5,
            })
            .collect(),
        from: 2,
        newest_us: 1_700_000_000_000_000,
        head: vec![4; head_bytes],
    }
}

pub(crate) fn catchup_answer(answer: AnswerKind) -> Vec<u8> {
    let answer = Some(answer);
    catchup::Answer { answer }.encode_to_vec()
}

pub(crate) fn catchup_answers() -> Vec<Vec<u8>> {
    let topic = |n: u32| catchup::Topic {
        name: format!("equities/{n}"),
        publishers: n,
        newest_us: 5,
        kept: n > 1,
    };
    [
        AnswerKind::Runs(catchup::Runs {
            runs: vec![catchup_run(1, 0), catchup_run(3, 150)],
            more: true,
        }),
        AnswerKind::Frames(catchup::Frames {
            frames: vec![vec![1; 90], vec![2; 200]],
            more: false,
        }),
        AnswerKind::Topics(catchup::Topics {
            topics: (0..4).map(topic).collect(),
            more: false,
        }),
        AnswerKind::Busy(catchup::Busy {}),
    ]
    .map(catchup_answer)
    .to_vec()
}

/// The most memory this process ever had resident, in KiB; `None` where the system does not tell.
pub(crate) fn peak_memory_kib() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

pub(crate) fn request_calls() -> Vec<Vec<u8>> {
    [("greet", 0, false), ("photos/thumbnail", 70_000, true)]
        .map(|(service, bytes, ask)| {
            let call = requests::Call {
                service: service.into(),
                bytes,
                time_ms: 10_000,
                ask,
            };
            call.encode_to_vec()
        })
        .to_vec()
}

pub(crate) fn request_replies() -> Vec<Vec<u8>> {
    use requests::Outcome::{Answer, Busy, Refused, TooLarge};
    [
        (Answer, 1_000, ""),
        (Busy, 0, ""),
        (TooLarge, 1_048_576, ""),
        (Refused, 0, "not today"),
    ]
    .map(|(outcome, bytes, reason)| {
        let reply = requests::Reply {
            outcome: outcome.into(),
            bytes,
            reason: reason.into(),
        };
        reply.encode_to_vec()
    })
    .to_vec()
}
