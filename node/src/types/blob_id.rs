//! The name of a blob: the BLAKE3 hash of its bytes. As text it has a checksum. Not where the bytes are.

use std::{fmt, str::FromStr};

use bech32::{Bech32m, Hrp, primitives::decode::CheckedHrpstring};
use maille_proto::HASH_BYTES;

const PREFIX: &str = "blob";
/// `blob1`, 32 bytes in characters of 5 bits, 6 characters of checksum.
const TEXT_CHARS: usize = 63;

/// Names a blob by what is in it: the BLAKE3 hash of its bytes.
///
/// As text it is bech32m (BIP 350), `blob1…`, 63 characters: a checksum finds typing mistakes, and upper and lower case
/// are the same. Whoever is in the mesh and knows the id can fetch the blob.
///
/// ```
/// use maille::BlobId;
///
/// let id = BlobId::of(b"a picture");
/// let text = id.to_string();
/// assert!(text.starts_with("blob1") && text.len() == 63);
/// assert_eq!(text.parse::<BlobId>()?, id);
/// # Ok::<(), maille::BlobIdError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId([u8; HASH_BYTES]);

/// Why a text is not the id of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlobIdError {
    /// It does not look like one.
    #[error("not the id of a blob: it begins with `blob1` and has {TEXT_CHARS} characters")]
    Form,
    /// It looks like one, but was mistyped or cut.
    #[error("the id of the blob is mistyped: copy it again, all of its {TEXT_CHARS} characters")]
    Checksum,
}

impl BlobId {
    /// The id of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The id with this hash.
    #[must_use]
    pub const fn from_bytes(hash: [u8; HASH_BYTES]) -> Self {
        Self(hash)
    }

    /// The hash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; HASH_BYTES] {
        &self.0
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = bech32::encode::<Bech32m>(prefix(), &self.0).map_err(|_| fmt::Error)?;
        f.pad(&text)
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for BlobId {
    type Err = BlobIdError;

    fn from_str(text: &str) -> Result<Self, BlobIdError> {
        let looks_right = text.len() == TEXT_CHARS
            && text
                .get(..=PREFIX.len())
                .is_some_and(|start| start.eq_ignore_ascii_case("blob1"));
        if !looks_right {
            return Err(BlobIdError::Form);
        }
        let checked = CheckedHrpstring::new::<Bech32m>(text).map_err(|_| BlobIdError::Checksum)?;
        let bytes: Vec<u8> = checked.byte_iter().collect();
        let id = bytes.try_into().map(Self).map_err(|_| BlobIdError::Form)?;
        // Bits of the last character that stand for nothing could make two texts of one id.
        match id.to_string().eq_ignore_ascii_case(text) {
            true => Ok(id),
            false => Err(BlobIdError::Form),
        }
    }
}

fn prefix() -> Hrp {
    Hrp::parse_unchecked(PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_in_either_case_and_no_other_is_one() {
        for bytes in [&b""[..], b"a", &[7; 70_000]] {
            let id = BlobId::of(bytes);
            let text = id.to_string();
            assert_eq!(text.parse(), Ok(id));
            assert_eq!(text.to_uppercase().parse(), Ok(id));
            assert_eq!(format!("{id:?}"), text);
        }
        let text = BlobId::of(b"a").to_string();
        for at in 5..text.len() {
            let mut wrong = text.clone().into_bytes();
            wrong[at] = if wrong[at] == b'q' { b'p' } else { b'q' };
            let wrong = String::from_utf8(wrong).unwrap();
            assert_eq!(wrong.parse::<BlobId>(), Err(BlobIdError::Checksum), "{wrong}");
        }
        for bad in [
            "",
            "blob1",
            "../../etc/passwd",
            &text[..62],
            &format!("{text}q"),
            &"é".repeat(32),
        ] {
            assert_eq!(bad.parse::<BlobId>(), Err(BlobIdError::Form), "{bad}");
        }
    }
}
