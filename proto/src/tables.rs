//! The bounds of the .proto files' comments, a table for each outermost message: which lengths and counts its fields may have.

use std::ops::RangeInclusive;

use crate::{bounds::*, wire::Rule};

const fn exactly(number: u32, name: &'static str, bytes: usize) -> Rule {
    Rule::bytes(number, name, bytes, bytes).required()
}

pub(crate) const MEMBER_RECORD: &[Rule] = &[
    Rule::bytes(1, "member_record.envelope", 1, MEMBER_ENVELOPE_BYTES_MAX).required(),
    Rule::fixed64(2, "member_record.topics", MEMBER_TOPICS_MAX),
];

pub(crate) const ADMISSION_FRAME: &[Rule] = &[
    Rule::message(
        1,
        "hello",
        &[
            exactly(2, "hello.tag", TAG_BYTES),
            exactly(3, "hello.session", SESSION_BYTES),
            exactly(4, "hello.nonce", NONCE_BYTES),
        ],
    ),
    Rule::message(
        2,
        "challenge",
        &[
            exactly(1, "challenge.nonce", NONCE_BYTES),
            exactly(2, "challenge.share", SHARE_BYTES),
        ],
    ),
    Rule::message(
        3,
        "proof",
        &[
            exactly(1, "proof.share", SHARE_BYTES),
            exactly(2, "proof.mac", MAC_BYTES),
        ],
    ),
    Rule::message(
        4,
        "accept",
        &[
            exactly(1, "accept.mac", MAC_BYTES),
            Rule::bytes(2, "accept.welcome", SEAL_BYTES, WELCOME_BYTES_MAX + SEAL_BYTES).required(),
        ],
    ),
    Rule::message(5, "ready", &[]),
];
pub(crate) const ACCEPT_FIELD: u32 = 4;
pub(crate) const ADMISSION_FIELD_MAX: u32 = 5;

pub(crate) const WELCOME: &[Rule] = &[
    exactly(1, "welcome.session", SESSION_BYTES),
    Rule::message(2, "welcome.sample", MEMBER_RECORD).up_to(SAMPLE_RECORDS_MAX),
];

pub(crate) const CONTROL_FRAME: &[Rule] = &[
    Rule::message(
        1,
        "acks",
        &[Rule::message(
            1,
            "acks.acks",
            &[Rule::bytes(1, "ack.topic", 1, TOPIC_NAME_BYTES_MAX).required()],
        )
        .up_to(ACKS_MAX)],
    ),
    Rule::message(
        2,
        "profile",
        &[Rule::message(1, "profile.member", MEMBER_RECORD).required()],
    ),
    Rule::message(
        3,
        "swap",
        &[Rule::message(1, "swap.records", MEMBER_RECORD).up_to(SAMPLE_RECORDS_MAX)],
    ),
    Rule::message(4, "clock", &[]),
    Rule::message(
        5,
        "farewell",
        &[
            Rule::message(1, "farewell.sample", MEMBER_RECORD).up_to(SAMPLE_RECORDS_MAX),
            Rule::bytes(2, "farewell.replaced", SESSION_BYTES, SESSION_BYTES),
        ],
    ),
    Rule::message(
        6,
        "digest",
        &[Rule::bytes(1, "digest.topic", 1, TOPIC_NAME_BYTES_MAX).required()],
    ),
    Rule::message(7, "presence", PRESENCE),
];
pub(crate) const CONTROL_FIELD_MAX: u32 = 7;

pub(crate) const PRESENCE: &[Rule] = &[
    Rule::message(
        1,
        "tidings",
        &[
            Rule::bytes(1, "tidings.announcements", SIGNATURE_BYTES + 1, ANNOUNCEMENT_BYTES_MAX).up_to(TIDINGS_MAX),
            Rule::bytes(2, "tidings.doubts", SIGNATURE_BYTES + 1, DOUBT_BYTES_MAX).up_to(TIDINGS_MAX),
        ],
    ),
    Rule::message(2, "register", &[]),
    Rule::message(
        3,
        "summary",
        &[
            Rule::fixed64(1, "summary.members", SUMMARY_MEMBERS_MAX),
            Rule::fixed64(2, "summary.versions", SUMMARY_MEMBERS_MAX),
        ],
    ),
    Rule::bytes(4, "presence.wanted", HASH_BYTES, HASH_BYTES),
    Rule::bytes(5, "presence.introduction", 1, INTRODUCTION_BYTES_MAX),
];

pub(crate) const ANNOUNCEMENT: &[Rule] = &[
    exactly(1, "announcement.member", PUBLISHER_BYTES),
    Rule::bytes(4, "announcement.introduction", HASH_BYTES, HASH_BYTES),
];

pub(crate) const DOUBT: &[Rule] = &[
    exactly(1, "doubt.by", PUBLISHER_BYTES),
    exactly(2, "doubt.member", PUBLISHER_BYTES),
];

pub(crate) const INTRODUCTION: &[Rule] = &[
    Rule::bytes(1, "introduction.nickname", 1, NICKNAME_BYTES_MAX),
    Rule::bytes(2, "introduction.about", 1, ABOUT_BYTES_MAX),
];

pub(crate) const FRAME_BODY: &[Rule] = &[
    exactly(1, "frame_body.publisher", PUBLISHER_BYTES),
    Rule::bytes(4, "frame_body.previous", HASH_BYTES, HASH_BYTES),
    Rule::bytes(6, "frame_body.content_type", 1, CONTENT_TYPE_BYTES_MAX),
    Rule::message(8, "frame_body.predecessor", &[]),
    Rule::message(
        9,
        "frame_body.records",
        &[
            Rule::bytes(1, "record.key", 0, KEY_BYTES_MAX),
            Rule::bytes(2, "record.payload", 1, RECORD_BYTES_MAX),
        ],
    )
    .up_to(FRAME_RECORDS_MAX),
];

pub(crate) const TICKET: &[Rule] = &[
    Rule::bytes(1, "ticket.mesh", 1, MESH_NAME_BYTES_MAX).required(),
    Rule::bytes(2, "ticket.topic", 1, TOPIC_NAME_BYTES_MAX),
    Rule::message(
        3,
        "ticket.bootstrap",
        &[
            Rule::bytes(1, "bootstrap_peer.peer", 1, PEER_ID_BYTES_MAX).required(),
            Rule::bytes(2, "bootstrap_peer.multiaddrs", 1, TICKET_BODY_BYTES_MAX)
                .required()
                .up_to(TICKET_MULTIADDRS_MAX),
        ],
    )
    .up_to(TICKET_PEERS_MAX),
];

pub(crate) const PEER_CACHE: &[Rule] = &[Rule::message(
    1,
    "peer_cache.meshes",
    &[
        Rule::bytes(1, "mesh_peers.mesh", 1, MESH_NAME_BYTES_MAX).required(),
        Rule::message(2, "mesh_peers.members", MEMBER_RECORD).up_to(PEER_CACHE_MEMBERS_MAX),
    ],
)
.up_to(PEER_CACHE_MESHES_MAX)];

pub(crate) const RUN_NAME: &[Rule] = &[Rule::bytes(1, "run_name.publisher", 1, PEER_ID_BYTES_MAX).required()];

pub(crate) const CATCHUP_REQUEST: &[Rule] = &[
    Rule::bytes(1, "request.topic", 1, TOPIC_NAME_BYTES_MAX),
    Rule::message(2, "runs", &[Rule::message(3, "runs.from", RUN_NAME)]),
    Rule::message(3, "range", &[Rule::message(1, "range.run", RUN_NAME).required()]),
    Rule::message(4, "latest", &[]),
    Rule::message(5, "topics", &[Rule::bytes(1, "topics.after", 1, TOPIC_NAME_BYTES_MAX)]),
];
pub(crate) const CATCHUP_QUESTIONS: RangeInclusive<u32> = 2..=5;

pub(crate) const CATCHUP_ANSWER: &[Rule] = &[
    Rule::message(
        1,
        "runs",
        &[Rule::message(
            1,
            "runs.runs",
            &[
                Rule::message(1, "run.run", RUN_NAME).required(),
                Rule::message(2, "run.held", &[]).required().up_to(CATCHUP_SPANS_MAX),
                Rule::bytes(5, "run.head", SIGNATURE_BYTES + 1, CATCHUP_HEAD_BYTES_MAX),
            ],
        )
        .up_to(CATCHUP_RUNS_MAX)],
    ),
    Rule::message(
        2,
        "frames",
        &[Rule::bytes(1, "frames.frames", SIGNATURE_BYTES + 1, FRAME_BYTES_MAX).up_to(CATCHUP_FRAMES_MAX)],
    ),
    Rule::message(
        3,
        "topics",
        &[Rule::message(
            1,
            "topics.topics",
            &[Rule::bytes(1, "topic.name", 1, TOPIC_NAME_BYTES_MAX).required()],
        )
        .up_to(CATCHUP_TOPICS_MAX)],
    ),
    Rule::message(4, "busy", &[]),
];

pub(crate) const REQUEST_CALL: &[Rule] = &[Rule::bytes(1, "call.service", 1, SERVICE_NAME_BYTES_MAX).required()];
pub(crate) const REQUEST_REPLY: &[Rule] = &[Rule::bytes(3, "reply.reason", 1, REQUEST_REASON_BYTES_MAX)];
pub(crate) const DOCUMENT_RECORD: &[Rule] = &[
    Rule::message(
        1,
        "edits",
        &[Rule::bytes(2, "edits.updates", 2, DOCUMENT_PART_BYTES_MAX)
            .required()
            .up_to(DOCUMENT_UPDATES_MAX)],
    ),
    Rule::message(
        2,
        "summary",
        &[
            Rule::fixed64(1, "summary.clients", DOCUMENT_CLIENTS_MAX),
            Rule::fixed64(2, "summary.clocks", DOCUMENT_CLIENTS_MAX),
        ],
    ),
    Rule::message(
        3,
        "state",
        &[Rule::bytes(4, "state.bytes", 1, DOCUMENT_PART_BYTES_MAX).required()],
    ),
];

const LEASE_CLAIM: &[Rule] = &[Rule::bytes(1, "claim.key", 1, LEASE_KEY_BYTES_MAX).required()];
pub(crate) const LEASE_RECORD: &[Rule] = &[
    Rule::message(4, "lease.claims", LEASE_CLAIM).up_to(LEASE_CLAIMS_MAX),
    Rule::message(5, "lease.ended", LEASE_CLAIM),
];

const LOCKSTEP_MOVE: &[Rule] = &[
    Rule::bytes(1, "move.input", 1, LOCKSTEP_INPUT_BYTES_MAX),
    Rule::message(2, "move.admits", &[]),
];
const LOCKSTEP_MOVES: &[Rule] = &[Rule::message(3, "moves.moves", LOCKSTEP_MOVE).up_to(LOCKSTEP_SPAN_MAX)];
const LOCKSTEP_CHANGE: &[Rule] = &[Rule::message(2, "change.dropped", LOCKSTEP_MOVES).up_to(LOCKSTEP_PLAYERS_MAX - 1)];
pub(crate) const LOCKSTEP_RECORD: &[Rule] = &[
    Rule::message(7, "lockstep_record.moves", LOCKSTEP_MOVE).up_to(LOCKSTEP_MOVES_MAX),
    Rule::fixed64(8, "lockstep_record.held", LOCKSTEP_PLAYERS_MAX),
    Rule::fixed64(10, "lockstep_record.hashes", LOCKSTEP_HASHES_MAX),
    Rule::message(13, "lockstep_record.proposal", LOCKSTEP_CHANGE),
    Rule::message(14, "lockstep_record.report", LOCKSTEP_MOVES).up_to(LOCKSTEP_PLAYERS_MAX),
    Rule::message(15, "lockstep_record.last", LOCKSTEP_CHANGE),
];
pub(crate) const LOCKSTEP_SNAPSHOT: &[Rule] = &[
    Rule::message(
        6,
        "lockstep_snapshot.seats",
        &[Rule::message(4, "seat.moves", LOCKSTEP_MOVE).up_to(LOCKSTEP_SPAN_MAX)],
    )
    .up_to(LOCKSTEP_PLAYERS_MAX),
    Rule::message(7, "lockstep_snapshot.last", LOCKSTEP_CHANGE),
    Rule::bytes(8, "lockstep_snapshot.state", 1, LOCKSTEP_STATE_BYTES_MAX),
];

pub(crate) const BLOB_REQUEST: &[Rule] = &[
    exactly(1, "request.blob", HASH_BYTES),
    Rule::message(2, "have", &[]),
    Rule::message(3, "outline", &[]),
    Rule::message(4, "chunk", &[]),
];
pub(crate) const BLOB_QUESTIONS: RangeInclusive<u32> = 2..=4;

pub(crate) const BLOB_ANSWER: &[Rule] = &[
    Rule::message(
        1,
        "holding",
        &[Rule::bytes(1, "holding.chunks", 1, BLOB_CHUNKS_MAX / 8)],
    ),
    Rule::message(
        2,
        "outline",
        &[
            Rule::bytes(1, "outline.hashes", 2 * HASH_BYTES, BLOB_CHUNKS_MAX * HASH_BYTES),
            Rule::bytes(2, "outline.last", 1, BLOB_CHUNK_BYTES),
        ],
    ),
    Rule::message(3, "chunk", &[exactly(1, "chunk.bytes", BLOB_CHUNK_BYTES)]),
    Rule::message(4, "missing", &[]),
    Rule::message(5, "busy", &[]),
];
