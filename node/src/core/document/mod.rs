//! Shared documents: what a document holds (`value`), edits and their undoing (`edit`, `undo`), the replica behind which the
//! CRDT library stays (`replica`), what may be in an update before the library sees it (`check`), what changed since somebody
//! looked (`touched`, `changes`), and when which member tells what (`machine`, `telling`). Not the streams that carry it, and not its files.

mod changes;
mod check;
mod edit;
mod machine;
mod parts;
mod replica;
mod telling;
#[cfg(test)]
mod tests;
mod touched;
mod undo;
mod value;
mod vector;
mod waiting;

use std::time::Duration;

use libp2p::PeerId;
pub use maille_proto::DOCUMENT_BYTES_MAX;

pub use self::{
    changes::Changes,
    check::{Extent, Flaw, check},
    edit::{Edit, EditError},
    machine::{Action, Edited, Input, Machine, OwnUpdate},
    replica::Replica,
    touched::Reader,
    value::{
        Contents, FIELD_BYTES_MAX, FIELDS_MAX, ITEM_BYTES_MAX, Item, NAME_BYTES_MAX, StateHash, VALUE_BYTES_MAX, Value,
    },
    vector::Vector,
};

/// A document that this node may still edit, as one update. Hostile members may fill it further, up to
/// [`DOCUMENT_BYTES_MAX`].
pub const EDITABLE_BYTES_MAX: usize = DOCUMENT_BYTES_MAX / 2;
/// Operations of one edit.
pub const OPERATIONS_MAX: usize = 4_096;
/// Bytes of names and values in one edit.
pub const EDIT_BYTES_MAX: usize = 1_048_576;
/// Edits that can be undone.
pub const UNDO_MAX: usize = 256;
/// Bytes that undone edits may bring back, all together.
pub const UNDO_BYTES_MAX: usize = 4 * 1_024 * 1_024;
/// Updates that wait for others before them.
pub const WAITING_MAX: usize = 1_024;
/// Bytes of those.
pub const WAITING_BYTES_MAX: usize = 4 * 1_024 * 1_024;
/// Members whose parts are put together at the same time.
pub const ASSEMBLIES_MAX: usize = 16;
/// Bytes of parts that wait for the rest, of all members.
pub const ASSEMBLIES_BYTES_MAX: usize = 2 * DOCUMENT_BYTES_MAX;
/// How long the edits that follow one gather.
pub const LINGER: Duration = Duration::from_millis(10);
/// Bytes of edits since the last whole state, or as many as the document has, after which a member publishes one, so that who comes needs no more.
pub const WHOLE_EVERY_BYTES: usize = 1_048_576;
/// The age of the last whole state after which a member publishes one: well below the 7 days of a durable log.
pub const WHOLE_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// The client number under which a member edits in one run.
#[must_use]
pub fn client_of(author: &PeerId, run: u64) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key("maille 1 document client");
    hasher.update(&author.to_bytes());
    hasher.update(&run.to_be_bytes());
    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    u64::from_be_bytes(first) >> 11
}
