//! Every bound of the wire formats by name, as the .proto files state them.

/// Version of the admission handshake.
pub const ADMISSION_VERSION: u32 = 1;
/// A handshake message, except `Accept`, without the length before it.
pub const HANDSHAKE_FRAME_BYTES_MAX: usize = 512;
/// An `Accept`, without the length before it.
pub const ACCEPT_FRAME_BYTES_MAX: usize = 8_192;
/// A control message, without the length before it.
pub const CONTROL_FRAME_BYTES_MAX: usize = 16_384;

/// A random nonce of the handshake.
pub const NONCE_BYTES: usize = 32;
/// A ristretto255 element.
pub const SHARE_BYTES: usize = 32;
/// A key confirmation.
pub const MAC_BYTES: usize = 32;
/// A blinded mesh tag.
pub const TAG_BYTES: usize = 16;
/// A name for one join of one node.
pub const SESSION_BYTES: usize = 16;
/// What ChaCha20-Poly1305 adds to a sealed text.
pub const SEAL_BYTES: usize = 16;
/// A `Welcome` before it is sealed: what an `Accept` has room for beside its own fields (3 bytes of the oneof, the mac
/// behind 2 bytes, 3 bytes of the welcome field).
pub const WELCOME_BYTES_MAX: usize = ACCEPT_FRAME_BYTES_MAX - 3 - (2 + MAC_BYTES) - 3 - SEAL_BYTES;

/// A member's signed peer record.
pub const MEMBER_ENVELOPE_BYTES_MAX: usize = 1_024;
/// Topics that a member record names.
pub const MEMBER_TOPICS_MAX: usize = 64;
/// Member records in a welcome, a swap or a farewell.
pub const SAMPLE_RECORDS_MAX: usize = 16;
/// Acknowledgements in one control message.
pub const ACKS_MAX: usize = 64;

/// A member's announcement: signature and body.
pub const ANNOUNCEMENT_BYTES_MAX: usize = 192;
/// A member's doubt of another: signature and body.
pub const DOUBT_BYTES_MAX: usize = 160;
/// Announcements, or doubts, in one control message.
pub const TIDINGS_MAX: usize = 64;
/// Members in a summary: as many as are listed, and the sender.
pub const SUMMARY_MEMBERS_MAX: usize = 257;
/// A nickname.
pub const NICKNAME_BYTES_MAX: usize = 64;
/// What a member says about itself beside its nickname.
pub const ABOUT_BYTES_MAX: usize = 4_096;
/// An introduction: both, and what protobuf adds.
pub const INTRODUCTION_BYTES_MAX: usize = 4_170;
/// The longest time a member may announce until it announces itself again, in seconds.
pub const AGAIN_S_MAX: u32 = 900;

/// A mesh name.
pub const MESH_NAME_BYTES_MAX: usize = 253;
/// A topic name.
pub const TOPIC_NAME_BYTES_MAX: usize = 255;

/// The signature before a frame's body.
pub const SIGNATURE_BYTES: usize = 64;
/// A frame: signature and body.
pub const FRAME_BYTES_MAX: usize = 524_288;
/// A frame's body.
pub const FRAME_BODY_BYTES_MAX: usize = FRAME_BYTES_MAX - SIGNATURE_BYTES;
/// Records in one frame; there is at least one.
pub const FRAME_RECORDS_MAX: usize = 1_024;
/// An Ed25519 public key.
pub const PUBLISHER_BYTES: usize = 32;
/// A BLAKE3 hash of a frame's body.
pub const HASH_BYTES: usize = 32;
/// A frame's content type.
pub const CONTENT_TYPE_BYTES_MAX: usize = 64;
/// A record's key.
pub const KEY_BYTES_MAX: usize = 256;
/// A record's payload.
pub const RECORD_BYTES_MAX: usize = 262_144;

/// An update of a shared document in one record, and a part of a larger one.
pub const DOCUMENT_PART_BYTES_MAX: usize = 196_608;
/// Updates in one record of a shared document.
pub const DOCUMENT_UPDATES_MAX: usize = 1_024;
/// Clients in a summary of a shared document.
pub const DOCUMENT_CLIENTS_MAX: usize = 12_288;
/// Parts of one update of a shared document.
pub const DOCUMENT_PARTS_MAX: u32 = 96;
/// A shared document as one update.
pub const DOCUMENT_BYTES_MAX: usize = 16_777_216;

/// One record of a lease group.
pub const LEASE_RECORD_BYTES_MAX: usize = 65_536;
/// Keys that one member claims in one lease group.
pub const LEASE_CLAIMS_MAX: usize = 256;
/// A key of a lease group.
pub const LEASE_KEY_BYTES_MAX: usize = 128;
/// Players of a lockstep session.
pub const LOCKSTEP_PLAYERS_MAX: usize = 8;
/// What one player does in one tick of a lockstep session.
pub const LOCKSTEP_INPUT_BYTES_MAX: usize = 64;
/// Moves that one record repeats.
pub const LOCKSTEP_MOVES_MAX: usize = 256;
/// Moves of one seat that are told for it.
pub const LOCKSTEP_SPAN_MAX: usize = 128;
/// Hashes in one record.
pub const LOCKSTEP_HASHES_MAX: usize = 16;
/// An application's state.
pub const LOCKSTEP_STATE_BYTES_MAX: usize = 983_040;
/// A snapshot: an answer to a request.
pub const LOCKSTEP_SNAPSHOT_BYTES_MAX: usize = REQUEST_BODY_BYTES_MAX;

/// Version of the ticket's text form.
pub const TICKET_VERSION: u8 = 1;
/// A ticket before bech32m: its version byte and its message.
pub const TICKET_BYTES_MAX: usize = 512;
/// A ticket's message.
pub const TICKET_BODY_BYTES_MAX: usize = TICKET_BYTES_MAX - 1;
/// Bootstrap peers in a ticket.
pub const TICKET_PEERS_MAX: usize = 3;
/// Multiaddrs of one bootstrap peer in a ticket; there is at least one.
pub const TICKET_MULTIADDRS_MAX: usize = 4;
/// A binary `PeerId`: a multihash of at most 42 bytes of key or of a SHA-256, with room for others.
pub const PEER_ID_BYTES_MAX: usize = 64;

/// The peer cache.
pub const PEER_CACHE_BYTES_MAX: usize = 1_048_576;
/// Meshes in the peer cache.
pub const PEER_CACHE_MESHES_MAX: usize = 256;
/// Members of one mesh in the peer cache.
pub const PEER_CACHE_MEMBERS_MAX: usize = 64;

/// A question about the past.
pub const CATCHUP_REQUEST_BYTES_MAX: usize = 512;
/// What an answer is filled up to, unless its one frame is larger.
pub const CATCHUP_FILL_BYTES: usize = 1_048_576;
/// An answer: filled, or one frame; and what protobuf adds.
pub const CATCHUP_ANSWER_BYTES_MAX: usize = CATCHUP_FILL_BYTES + FRAME_BYTES_MAX;
/// Runs in one answer.
pub const CATCHUP_RUNS_MAX: usize = 1_024;
/// Spans of one run in an answer; there is at least one.
pub const CATCHUP_SPANS_MAX: usize = 64;
/// Frames in one answer.
pub const CATCHUP_FRAMES_MAX: usize = 16_384;
/// Topics in one answer.
pub const CATCHUP_TOPICS_MAX: usize = 1_024;
/// A signed head in an answer.
pub const CATCHUP_HEAD_BYTES_MAX: usize = 512;
/// Records that may be asked for as the newest of a topic.
pub const CATCHUP_LAST_MAX: u32 = 10_000;

/// A call of a service, without the length before it and the request behind it.
pub const REQUEST_CALL_BYTES_MAX: usize = 512;
/// A reply to it, without the length before it and the answer behind it.
pub const REQUEST_REPLY_BYTES_MAX: usize = 1_152;
/// The name of a service.
pub const SERVICE_NAME_BYTES_MAX: usize = TOPIC_NAME_BYTES_MAX;
/// A request, or an answer.
pub const REQUEST_BODY_BYTES_MAX: usize = 1_048_576;
/// What a service says when it refuses.
pub const REQUEST_REASON_BYTES_MAX: usize = 1_024;

/// A chunk of a blob: what is asked for, checked and stored as one. A power of two, of at least 16 KiB.
pub const BLOB_CHUNK_BYTES: usize = 131_072;
/// Chunks of a blob: 4 GiB. A power of two, as many bits as a holding has.
pub const BLOB_CHUNKS_MAX: usize = 32_768;
/// A question about a blob.
pub const BLOB_REQUEST_BYTES_MAX: usize = 64;
/// An answer about a blob: the largest outline, and what protobuf adds.
pub const BLOB_ANSWER_BYTES_MAX: usize = BLOB_CHUNKS_MAX * HASH_BYTES + BLOB_CHUNK_BYTES + 64;
