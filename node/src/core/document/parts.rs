//! Updates too large for one record: cut into parts, and put together again, bounded. Not what is in them.

use std::collections::VecDeque;

use bytes::Bytes;
use libp2p::PeerId;
use maille_proto::document::State;
use maille_proto::{DOCUMENT_BYTES_MAX, DOCUMENT_PART_BYTES_MAX, DOCUMENT_PARTS_MAX};

use super::{ASSEMBLIES_BYTES_MAX, ASSEMBLIES_MAX};

/// The parts of an update.
pub(super) fn parts(update: &[u8], id: u64, whole: bool) -> impl Iterator<Item = State> {
    let parts = u32::try_from(update.len().div_ceil(DOCUMENT_PART_BYTES_MAX)).unwrap_or(u32::MAX);
    let numbered = (0..).zip(update.chunks(DOCUMENT_PART_BYTES_MAX));
    numbered.map(move |(part, bytes)| State {
        id,
        part,
        parts,
        bytes: bytes.to_vec(),
        whole,
    })
}

#[derive(Debug)]
struct Assembly {
    author: PeerId,
    id: u64,
    next: u32,
    parts: u32,
    bytes: Vec<u8>,
}

/// Updates of which parts are missing, one for each member, the one that grew last at the end.
#[derive(Debug, Default)]
pub(super) struct Assemblies(VecDeque<Assembly>);

impl Assemblies {
    /// Takes the next part of a member's update; the whole, once it is. A part out of its order ends the assembly: parts
    /// come in the order of their publisher's stream, or are lost.
    pub(super) fn push(&mut self, author: PeerId, state: State) -> Option<Bytes> {
        let State {
            id, part, parts, bytes, ..
        } = state;
        let at = self.0.iter().position(|assembly| assembly.author == author);
        let begun = at.and_then(|at| self.0.remove(at));
        let mut assembly = match begun.filter(|begun| (begun.id, begun.next, begun.parts) == (id, part, parts)) {
            Some(begun) => begun,
            None if part == 0 && (1..=DOCUMENT_PARTS_MAX).contains(&parts) => Assembly {
                author,
                id,
                next: 0,
                parts,
                bytes: Vec::new(),
            },
            None => return None,
        };
        assembly.bytes.extend(bytes);
        assembly.next += 1;
        if assembly.bytes.len() > DOCUMENT_BYTES_MAX {
            return None;
        }
        if assembly.next == parts {
            return Some(assembly.bytes.into());
        }
        self.0.push_back(assembly);
        while self.0.len() > ASSEMBLIES_MAX || self.bytes() > ASSEMBLIES_BYTES_MAX {
            self.0.pop_front();
        }
        None
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(|assembly| assembly.bytes.capacity()).sum()
    }
}
