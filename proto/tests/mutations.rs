//! Mutated messages: no decoder panics, none lets through what it should refuse, none grows the process.
//!
//! 20,000 inputs a decoder; another number with `MAILLE_MUTATIONS=1000000`, another seed with `MAILLE_SEED=7`. One
//! test, because it reads the process's peak memory.

mod common;

use std::{env, fmt::Debug};

use maille_proto::{
    DecodeError, FRAME_BODY_BYTES_MAX, FRAME_RECORDS_MAX, KEY_BYTES_MAX, blobs, catchup::AnswerKind, decode_admission,
    decode_announcement, decode_blob_answer, decode_blob_request, decode_catchup_answer, decode_catchup_request,
    decode_control, decode_document, decode_doubt, decode_frame_body, decode_introduction, decode_lease,
    decode_lockstep_record, decode_lockstep_snapshot, decode_peer_cache, decode_request_call, decode_request_reply,
    decode_ticket, decode_welcome, document, encode_admission, encode_control, encode_document, encode_lease, leases,
    lockstep, read_length, with_length,
};
use prost::Message;

const MUTATIONS: u64 = 20_000;
const SEED: u64 = 6_245;
const GROWTH_KIB_MAX: usize = 16 * 1_024;
/// Samples grow by splicing; this keeps the run quick without keeping it from the size caps.
const INPUT_BYTES_MAX: usize = 20_000;

fn lockstep_moves(seat: u32) -> lockstep::Moves {
    let admits = Some(lockstep::Admission { seat, run: 5, from: 90 });
    let moves = (0..8).map(|number| lockstep::Move {
        input: vec![number; usize::from(number)],
        admits: admits.filter(|_| number == 3),
    });
    lockstep::Moves {
        seat,
        first: 70,
        moves: moves.collect(),
    }
}

fn lockstep_change() -> Option<lockstep::Change> {
    Some(lockstep::Change {
        keep: 5,
        dropped: vec![lockstep_moves(1)],
    })
}

fn of_lockstep(run: &mut Run) {
    let record = lockstep::LockstepRecord {
        session: 1,
        run: 2,
        joining: false,
        view: 3,
        executed: 70,
        first: 60,
        moves: lockstep_moves(2).moves,
        held: vec![70, 71, 72],
        hashed: 70,
        hashes: vec![1, 2, 3],
        promised: 9,
        accepted: 9,
        proposal: lockstep_change(),
        report: vec![lockstep_moves(0), lockstep_moves(1)],
        last: lockstep_change(),
    };
    run.decoder(
        "lockstep record",
        &[record.encode_to_vec()],
        decode_lockstep_record,
        |record, bytes| {
            assert_eq!(record.encode_to_vec(), bytes);
            assert!(record.moves.len() <= 256 && record.held.len() <= 8 && record.hashes.len() <= 16);
            let changes = record.proposal.iter().chain(&record.last);
            let spans = record.report.iter().chain(changes.flat_map(|change| &change.dropped));
            let mut moves = record.moves.iter().chain(spans.flat_map(|span| &span.moves));
            assert!(moves.all(|made| made.input.len() <= 64));
        },
    );
    let seat = lockstep::Seat {
        run: 4,
        from: 1,
        gone: 80,
        moves: lockstep_moves(0).moves,
    };
    let snapshot = lockstep::LockstepSnapshot {
        session: 1,
        view: 2,
        executed: 70,
        voters: 3,
        present: 3,
        seats: vec![seat; 3],
        last: lockstep_change(),
        state: vec![7; 100],
    };
    run.decoder(
        "lockstep snapshot",
        &[snapshot.encode_to_vec()],
        decode_lockstep_snapshot,
        |snapshot, bytes| {
            assert_eq!(snapshot.encode_to_vec(), bytes);
            assert!(snapshot.seats.len() <= 8 && snapshot.seats.iter().all(|seat| seat.moves.len() <= 128));
        },
    );
}

fn documents() -> Vec<Vec<u8>> {
    let edits = document::Edits {
        run: 7,
        updates: vec![vec![1, 2], vec![3; 200]],
    };
    let summary = document::Summary {
        clients: vec![1, 2, 3],
        clocks: vec![4, 5, 6],
        hash: 7,
        wanted: true,
    };
    let state = document::State {
        id: 1,
        part: 2,
        parts: 3,
        bytes: vec![4; 300],
        whole: true,
    };
    let records = [
        document::Record::Edits(edits),
        document::Record::Summary(summary),
        document::Record::State(state),
    ];
    records.map(encode_document).to_vec()
}

fn leases(run: &mut Run) {
    let claim = |key: &[u8], number| leases::Claim {
        key: key.to_vec(),
        number,
    };
    let lease = leases::LeaseRecord {
        lease_ms: 5_000,
        offers: true,
        leaves: false,
        claims: vec![claim(b"a", 1), claim(&[b'b'; 128], u64::MAX)],
        ended: Some(claim(b"c", 300)),
    };
    run.decoder(
        "lease record",
        &[encode_lease(&lease)],
        decode_lease,
        |record, bytes| {
            assert_eq!(encode_lease(&record), bytes);
            assert!(record.claims.len() <= 256);
            assert!(
                record
                    .claims
                    .iter()
                    .chain(&record.ended)
                    .all(|claim| (1..=128).contains(&claim.key.len()))
            );
        },
    );
}

#[test]
fn mutated_inputs_are_refused_or_valid() {
    let number = |name: &str, default| env::var(name).map_or(default, |value| value.parse().unwrap());
    let (mutations, seed) = (number("MAILLE_MUTATIONS", MUTATIONS), number("MAILLE_SEED", SEED));
    eprintln!("{mutations} mutated inputs a decoder, MAILLE_SEED={seed}");
    let mut run = Run {
        random: SplitMix64(seed),
        mutations,
    };
    let before_kib = common::peak_memory_kib();

    run.decoder("admission", &common::handshake(), decode_admission, |message, _| {
        let again = encode_admission(message.clone());
        assert_eq!(decode_admission(&again), Ok(message));
    });
    run.decoder("welcome", &common::welcomes(), decode_welcome, |welcome, _| {
        assert!(welcome.session.len() == 16 && welcome.sample.len() <= 16);
        assert!(
            welcome
                .sample
                .iter()
                .all(|member| member.envelope.len() <= 1_024 && member.topics.len() <= 64)
        );
    });
    run.decoder("control", &common::controls(), decode_control, |message, _| {
        let Some(message) = message else { return };
        assert_eq!(decode_control(&encode_control(message.clone())), Ok(Some(message)));
    });
    of_presence(&mut run);
    run.decoder("frame body", &common::frames(), decode_frame_body, |body, bytes| {
        assert_eq!(body.encode_to_vec(), bytes);
        assert!(bytes.len() <= FRAME_BODY_BYTES_MAX && body.records.len() <= FRAME_RECORDS_MAX);
        assert!(body.publisher.len() == 32 && [0, 32].contains(&body.previous.len()));
        assert!(
            body.records
                .iter()
                .all(|record| record.key.as_ref().is_none_or(|key| key.len() <= KEY_BYTES_MAX))
        );
    });
    run.decoder("ticket", &common::tickets(), decode_ticket, |ticket, bytes| {
        assert_eq!(ticket.encode_to_vec(), bytes);
        assert!((1..=253).contains(&ticket.mesh.len()) && ticket.topic.len() <= 255 && ticket.bootstrap.len() <= 3);
    });
    run.decoder(
        "peer cache",
        &common::peer_caches(),
        decode_peer_cache,
        |cache, bytes| {
            assert_eq!(cache.encode_to_vec(), bytes);
            assert!(cache.meshes.len() <= 256 && cache.meshes.iter().all(|mesh| mesh.members.len() <= 64));
        },
    );
    of_the_past(&mut run);
    of_blobs(&mut run);
    calls_and_replies(&mut run);
    run.decoder("document record", &documents(), decode_document, |record, bytes| {
        assert_eq!(encode_document(record.clone()), bytes);
        match record {
            document::Record::Edits(edits) => assert!((1..=1_024).contains(&edits.updates.len())),
            document::Record::Summary(summary) => assert!(summary.clients.len() <= 12_288),
            document::Record::State(state) => assert!((1..=196_608).contains(&state.bytes.len())),
        }
    });
    leases(&mut run);
    of_lockstep(&mut run);
    let lengths: Vec<_> = [1, 127, 128, 512].map(|bytes| with_length(&vec![0; bytes])).to_vec();
    run.decoder(
        "length",
        &lengths,
        |bytes| read_length(bytes, "message", 512),
        |read, _| {
            assert!(read.is_none_or(|(length, taken)| length <= 512 && (1..=2).contains(&taken)));
        },
    );

    if let (Some(before_kib), Some(after_kib)) = (before_kib, common::peak_memory_kib()) {
        let growth_kib = after_kib - before_kib;
        eprintln!("peak memory grew by {growth_kib} KiB");
        assert!(growth_kib < GROWTH_KIB_MAX, "peak memory grew by {growth_kib} KiB");
    }
}

fn of_presence(run: &mut Run) {
    run.decoder(
        "announcement",
        &common::announcements(),
        decode_announcement,
        |said, bytes| {
            assert_eq!(said.encode_to_vec(), bytes);
            assert!(said.member.len() == 32 && [0, 32].contains(&said.introduction.len()));
        },
    );
    run.decoder("doubt", &common::doubts(), decode_doubt, |doubt, bytes| {
        assert_eq!(doubt.encode_to_vec(), bytes);
        assert!(doubt.by.len() == 32 && doubt.member.len() == 32);
    });
    run.decoder(
        "introduction",
        &common::introductions(),
        decode_introduction,
        |said, bytes| {
            assert_eq!(said.encode_to_vec(), bytes);
            assert!(said.nickname.len() <= 64 && said.about.len() <= 4_096);
        },
    );
}

fn of_blobs(run: &mut Run) {
    let questions = [
        blobs::Question::Have(blobs::HaveQuestion {}),
        blobs::Question::Outline(blobs::OutlineQuestion {}),
        blobs::Question::Chunk(blobs::ChunkQuestion { index: 7 }),
    ];
    let request = |question| blobs::Request {
        blob: vec![1; 32],
        question: Some(question),
    };
    let requests = questions.map(|question| request(question).encode_to_vec());
    run.decoder("blob request", &requests, decode_blob_request, |request, bytes| {
        assert_eq!(request.encode_to_vec(), bytes);
        assert!(request.blob.len() == 32 && request.question.is_some());
    });
    let answers = [
        blobs::AnswerKind::Holding(blobs::Holding { chunks: vec![5; 9] }),
        blobs::AnswerKind::Outline(blobs::Outline {
            hashes: vec![2; 96],
            last: vec![3; 100],
        }),
        blobs::AnswerKind::Missing(blobs::Missing {}),
        blobs::AnswerKind::Busy(blobs::Busy {}),
    ];
    let answers = answers.map(|answer| blobs::Answer { answer: Some(answer) }.encode_to_vec());
    run.decoder("blob answer", &answers, decode_blob_answer, |answer, bytes| {
        assert_eq!(answer.encode_to_vec(), bytes);
        match answer.answer.unwrap() {
            blobs::AnswerKind::Holding(holding) => assert!(holding.chunks.len() <= 4_096),
            blobs::AnswerKind::Outline(outline) => assert!(outline.last.len() <= 131_072),
            blobs::AnswerKind::Chunk(chunk) => assert_eq!(chunk.bytes.len(), 131_072),
            blobs::AnswerKind::Missing(_) | blobs::AnswerKind::Busy(_) => {}
        }
    });
}

fn of_the_past(run: &mut Run) {
    run.decoder(
        "catch-up request",
        &common::catchup_requests(),
        decode_catchup_request,
        |request, bytes| {
            assert_eq!(request.encode_to_vec(), bytes);
            assert!(bytes.len() <= 512 && request.question.is_some() && request.topic.len() <= 255);
        },
    );
    run.decoder(
        "catch-up answer",
        &common::catchup_answers(),
        decode_catchup_answer,
        |answer, bytes| {
            assert_eq!(answer.encode_to_vec(), bytes);
            match answer.answer.unwrap() {
                AnswerKind::Runs(answer) => assert!(
                    answer
                        .runs
                        .iter()
                        .all(|run| run.run.is_some() && (1..=64).contains(&run.held.len()))
                ),
                AnswerKind::Frames(answer) => assert!(answer.frames.iter().all(|frame| frame.len() > 64)),
                AnswerKind::Topics(answer) => assert!(answer.topics.iter().all(|topic| !topic.name.is_empty())),
                AnswerKind::Busy(_) => {}
            }
        },
    );
}

fn calls_and_replies(run: &mut Run) {
    run.decoder("call", &common::request_calls(), decode_request_call, |call, bytes| {
        assert_eq!(call.encode_to_vec(), bytes);
        assert!(bytes.len() <= 512 && (1..=255).contains(&call.service.len()));
    });
    run.decoder(
        "reply",
        &common::request_replies(),
        decode_request_reply,
        |reply, bytes| {
            assert_eq!(reply.encode_to_vec(), bytes);
            assert!(reply.reason.len() <= 1_024);
        },
    );
}

struct Run {
    random: SplitMix64,
    mutations: u64,
}

impl Run {
    fn decoder<T: Debug>(
        &mut self,
        name: &str,
        samples: &[Vec<u8>],
        decode: impl Fn(&[u8]) -> Result<T, DecodeError>,
        check: impl Fn(T, &[u8]),
    ) {
        let mut accepted = 0_u64;
        for _ in 0..self.mutations {
            let bytes = self.random.mutate(samples);
            if let Ok(message) = decode(&bytes) {
                accepted += 1;
                check(message, &bytes);
            }
        }
        eprintln!("{name}: {accepted} of {} accepted", self.mutations);
        // Otherwise the mutations are too gentle or too rough to show anything.
        assert!(
            (self.mutations / 200..self.mutations).contains(&accepted),
            "{name}: {accepted} accepted"
        );
    }
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators".
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        start..start + self.below(length - start + 1)
    }

    fn mutate(&mut self, samples: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = samples[self.below(samples.len())].clone();
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len() + 1);
            match self.below(8) {
                0 | 1 => bytes
                    .get_mut(at)
                    .into_iter()
                    .for_each(|byte| *byte ^= 1 << self.below(8)),
                2 => bytes.get_mut(at).into_iter().for_each(|byte| *byte = self.next() as u8),
                3 => bytes.truncate(at),
                4 => bytes.extend((0..self.below(20)).map(|_| self.next() as u8)),
                5 => {
                    let other = &samples[self.below(samples.len())];
                    let (from, to) = (self.range(other.len()), self.range(bytes.len()));
                    bytes.splice(to, other[from].iter().copied());
                }
                // A number that promises more than there is.
                6 => drop(bytes.splice(at..at, [0xff, 0xff, 0xff, 0xff, 0x0f].into_iter().skip(self.below(5)))),
                _ => {
                    let range = self.range(bytes.len());
                    let part = bytes[range].to_vec();
                    let times = self.below(4).min(INPUT_BYTES_MAX / (bytes.len() + part.len() + 1));
                    bytes.splice(at..at, part.repeat(times));
                }
            }
        }
        bytes
    }
}
