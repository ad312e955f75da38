//! The hashes of a blob's chunks, checked against its id: then each chunk can be checked by itself, whoever it comes from.

use blake3::hazmat::{ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root};
use maille_proto::{BLOB_CHUNK_BYTES, BLOB_CHUNKS_MAX, HASH_BYTES};

use super::BlobId;

/// What is known of a blob beside its bytes, and proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// One a chunk; none for a blob of one chunk, whose hash is the id.
    hashes: Vec<ChainingValue>,
    last_bytes: usize,
}

impl Outline {
    /// An outline, if these hashes merge to the id and the last chunk has the last of them at its place.
    ///
    /// Hashes alone would not do: those of a level above the chunks merge to the id just as well, and no chunk would ever
    /// fit. What fits the last of them at its place is the last chunk, and with that the level and the size are proved.
    #[must_use]
    pub fn verified(id: &BlobId, hashes: &[u8], last: &[u8]) -> Option<Self> {
        let (hashes, rest) = hashes.as_chunks::<HASH_BYTES>();
        if !rest.is_empty() || hashes.len() == 1 || hashes.len() > BLOB_CHUNKS_MAX || last.len() > BLOB_CHUNK_BYTES {
            return None;
        }
        let outline = Self {
            hashes: hashes.to_vec(),
            last_bytes: last.len(),
        };
        let holds = (hashes.is_empty() || (!last.is_empty() && root(hashes) == *id))
            && outline.fits(id, outline.chunks() - 1, last);
        holds.then_some(outline)
    }

    /// How many chunks there are; at least one.
    #[must_use]
    pub fn chunks(&self) -> u32 {
        u32::try_from(self.hashes.len().max(1)).expect("at most BLOB_CHUNKS_MAX")
    }

    /// How many bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        offset(self.chunks() - 1) + self.last_bytes as u64
    }

    /// How many bytes of it are in these chunks.
    #[must_use]
    pub fn bytes_of(&self, held: &super::ChunkSet) -> u64 {
        let last = held.contains(self.chunks() - 1);
        offset(held.held() - u32::from(last)) + if last { self.last_bytes as u64 } else { 0 }
    }

    /// How many bytes a chunk has; none if there is no such chunk.
    #[must_use]
    pub fn chunk_bytes(&self, index: u32) -> usize {
        match (index + 1).cmp(&self.chunks()) {
            std::cmp::Ordering::Less => BLOB_CHUNK_BYTES,
            std::cmp::Ordering::Equal => self.last_bytes,
            std::cmp::Ordering::Greater => 0,
        }
    }

    /// Whether these are the bytes of that chunk.
    #[must_use]
    pub fn fits(&self, id: &BlobId, index: u32, bytes: &[u8]) -> bool {
        if index >= self.chunks() || bytes.len() != self.chunk_bytes(index) {
            return false;
        }
        match self.hashes.get(index as usize) {
            Some(hash) => chunk_hash(index, bytes) == *hash,
            None => BlobId::of(bytes) == *id,
        }
    }

    /// The hashes one after the other; nothing for a blob of one chunk.
    #[must_use]
    pub fn hashes(&self) -> Vec<u8> {
        self.hashes.concat()
    }
}

/// Makes the outline of new bytes.
#[derive(Debug, Default)]
pub struct OutlineBuilder {
    hashes: Vec<ChainingValue>,
    /// The hash of the first chunk, if it should be the only one.
    only: Option<BlobId>,
    last_bytes: usize,
}

impl OutlineBuilder {
    /// Takes the next chunk: whole, unless it is the last; whether there is room for one more.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        debug_assert!(bytes.len() <= BLOB_CHUNK_BYTES && self.last_bytes.is_multiple_of(BLOB_CHUNK_BYTES));
        if self.hashes.len() == BLOB_CHUNKS_MAX {
            return false;
        }
        let index = u32::try_from(self.hashes.len()).expect("at most BLOB_CHUNKS_MAX");
        self.only.get_or_insert_with(|| BlobId::of(bytes));
        self.last_bytes = bytes.len();
        // The empty blob's one chunk has no hash but its own.
        let hash = if bytes.is_empty() {
            [0; HASH_BYTES]
        } else {
            chunk_hash(index, bytes)
        };
        self.hashes.push(hash);
        true
    }

    /// The id of what was pushed, and its outline.
    #[must_use]
    pub fn finish(self) -> (BlobId, Outline) {
        let (id, hashes) = match self.hashes.len() {
            0 | 1 => (self.only.unwrap_or_else(|| BlobId::of(&[])), Vec::new()),
            _ => (root(&self.hashes), self.hashes),
        };
        let last_bytes = self.last_bytes;
        (id, Outline { hashes, last_bytes })
    }
}

/// Where a chunk begins.
fn offset(index: u32) -> u64 {
    u64::from(index) * BLOB_CHUNK_BYTES as u64
}

fn chunk_hash(index: u32, bytes: &[u8]) -> ChainingValue {
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(offset(index)).update(bytes).finalize_non_root()
}

/// The id that two or more hashes merge to.
fn root(hashes: &[ChainingValue]) -> BlobId {
    let (left, right) = hashes.split_at(left_len(hashes.len()));
    BlobId::from_bytes(*merge_subtrees_root(&merged(left), &merged(right), Mode::Hash).as_bytes())
}

fn merged(hashes: &[ChainingValue]) -> ChainingValue {
    if let [hash] = hashes {
        return *hash;
    }
    let (left, right) = hashes.split_at(left_len(hashes.len()));
    merge_subtrees_non_root(&merged(left), &merged(right), Mode::Hash)
}

/// How many of so many chunks are in the left subtree, as the crate says it of bytes.
fn left_len(chunks: usize) -> usize {
    let bytes = left_subtree_len((chunks * BLOB_CHUNK_BYTES) as u64);
    usize::try_from(bytes).expect("fewer than there are") / BLOB_CHUNK_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ChunkSet;

    fn outlined(bytes: &[u8]) -> (BlobId, Outline) {
        let mut builder = OutlineBuilder::default();
        if bytes.is_empty() {
            assert!(builder.push(bytes));
        }
        for chunk in bytes.chunks(BLOB_CHUNK_BYTES) {
            assert!(builder.push(chunk));
        }
        builder.finish()
    }

    fn noise(bytes: usize) -> Vec<u8> {
        let mut noise = vec![0; bytes];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        noise
    }

    const C: usize = BLOB_CHUNK_BYTES;

    #[test]
    fn ids_are_plain_hashes_and_outlines_prove_every_chunk() {
        for length in [
            0,
            1,
            1_024,
            C - 1,
            C,
            C + 1,
            2 * C,
            3 * C - 7,
            4 * C,
            5 * C + 1_023,
            9 * C,
        ] {
            let bytes = noise(length);
            let (id, outline) = outlined(&bytes);
            assert_eq!(id, BlobId::of(&bytes), "{length}");
            assert_eq!(outline.bytes(), length as u64);
            assert_eq!(outline.bytes_of(&ChunkSet::all(outline.chunks())), length as u64);
            assert_eq!(outline.bytes_of(&ChunkSet::none(outline.chunks())), 0);
            let chunks: Vec<&[u8]> = match length {
                0 => vec![&[]],
                _ => bytes.chunks(C).collect(),
            };
            assert_eq!(chunks.len(), outline.chunks() as usize);
            let last = chunks[chunks.len() - 1];
            assert_eq!(Outline::verified(&id, &outline.hashes(), last).as_ref(), Some(&outline));
            for (index, chunk) in (0..).zip(&chunks) {
                assert!(outline.fits(&id, index, chunk));
                assert!(!outline.fits(&id, index + 1, chunk), "at another place");
                let mut wrong = chunk.to_vec();
                wrong.push(0);
                assert!(!outline.fits(&id, index, &wrong));
                wrong.pop();
                if let Some(byte) = wrong.last_mut() {
                    *byte ^= 1;
                    assert!(!outline.fits(&id, index, &wrong));
                }
            }
        }
    }

    #[test]
    fn outlines_that_do_not_prove_the_size_are_refused() {
        let bytes = noise(4 * C);
        let (id, outline) = outlined(&bytes);
        let (hashes, last) = (outline.hashes(), &bytes[3 * C..]);
        assert!(Outline::verified(&id, &hashes, last).is_some());
        // The level above the chunks merges to the id, but no chunk is at its places.
        let above: Vec<u8> = hashes
            .as_chunks::<HASH_BYTES>()
            .0
            .chunks(2)
            .flat_map(|pair| merge_subtrees_non_root(&pair[0], &pair[1], Mode::Hash))
            .collect();
        assert_eq!(root(above.as_chunks().0), id);
        for last in [last, &bytes[C..2 * C], &bytes[2 * C..3 * C], &[]] {
            assert!(Outline::verified(&id, &above, last).is_none());
        }
        // Cut short, too long, doubled, of another blob.
        let mut more = hashes.clone();
        more.extend(&hashes[..HASH_BYTES]);
        let other = BlobId::of(b"other");
        for (id, hashes, last) in [
            (&id, &hashes[..3 * HASH_BYTES], &bytes[2 * C..3 * C]),
            (&id, &hashes[..HASH_BYTES], last),
            (&id, &hashes[..HASH_BYTES + 1], last),
            (&id, &[][..], last),
            (&id, &more, last),
            (&id, &hashes, &last[1..]),
            (&id, &hashes, &[]),
            (&other, &hashes, last),
        ] {
            assert!(Outline::verified(id, hashes, last).is_none());
        }
    }

    #[test]
    fn there_is_a_largest_blob() {
        let mut builder = OutlineBuilder {
            hashes: vec![[7; HASH_BYTES]; BLOB_CHUNKS_MAX - 1],
            only: None,
            last_bytes: C,
        };
        assert!(builder.push(&[1; C]));
        assert!(!builder.push(&[1]));
        let too_many = vec![7; (BLOB_CHUNKS_MAX + 1) * HASH_BYTES];
        assert!(Outline::verified(&BlobId::of(&[]), &too_many, &[1]).is_none());
    }
}
