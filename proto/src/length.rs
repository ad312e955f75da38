//! Lengths before byte strings: unsigned LEB128, minimal, as on streams and in everything that is hashed or signed.

use crate::DecodeError;

/// A 64-bit number in groups of 7 bits.
const LENGTH_BYTES_MAX: usize = 10;

/// Appends `bytes` behind their length: `lv(bytes)` in the .proto files.
pub fn append_lv(out: &mut Vec<u8>, bytes: &[u8]) {
    append_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// A message behind its length, as it travels on a stream.
#[must_use]
pub fn with_length(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + LENGTH_BYTES_MAX);
    append_lv(&mut out, message);
    out
}

/// Reads the length before a message from the first bytes of a stream: the length, and how many bytes it took.
///
/// `None`: more bytes are needed. A length above `bytes_max` is an error as soon as it is certain, before anything of
/// the message is there.
///
/// # Errors
/// [`DecodeError::TooLong`], or [`DecodeError::LengthPrefix`] for an encoding that is not minimal.
pub fn read_length(bytes: &[u8], what: &'static str, bytes_max: usize) -> Result<Option<(usize, usize)>, DecodeError> {
    let mut length = 0_u64;
    for (index, byte) in bytes.iter().enumerate() {
        let group = u64::from(byte & 0x7f);
        let shift = 7 * u32::try_from(index).unwrap_or(u32::MAX);
        if index >= LENGTH_BYTES_MAX || group.checked_shl(shift).is_none_or(|part| part >> shift != group) {
            return Err(DecodeError::LengthPrefix);
        }
        length |= group << shift;
        let bytes = usize::try_from(length).unwrap_or(usize::MAX);
        if bytes > bytes_max {
            return Err(DecodeError::TooLong { what, bytes, bytes_max });
        }
        if byte & 0x80 == 0 {
            // A last group of zero could have been left out.
            return if group == 0 && index > 0 {
                Err(DecodeError::LengthPrefix)
            } else {
                Ok(Some((bytes, index + 1)))
            };
        }
    }
    Ok(None)
}

fn append_length(out: &mut Vec<u8>, length: usize) {
    let mut rest = length;
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_leb128() {
        for (length, expected) in [
            (0, &[0][..]),
            (127, &[127]),
            (128, &[0x80, 1]),
            (16_384, &[0x80, 0x80, 1]),
        ] {
            let mut out = vec![];
            append_length(&mut out, length);
            assert_eq!(out, expected);
            assert_eq!(read_length(&out, "message", length), Ok(Some((length, expected.len()))));
            assert_eq!(read_length(&out[..expected.len() - 1], "message", length), Ok(None));
        }
        let mut out = vec![9];
        append_lv(&mut out, b"abc");
        assert_eq!(out, [9, 3, b'a', b'b', b'c']);
        assert_eq!(with_length(b"abc"), out[1..]);
    }

    #[test]
    fn bad_lengths_are_refused() {
        let too_long = |bytes| {
            Err(DecodeError::TooLong {
                what: "message",
                bytes,
                bytes_max: 512,
            })
        };
        assert_eq!(read_length(&[0x81, 0x04], "message", 512), too_long(513));
        // Certain after two bytes, although a third is announced.
        assert_eq!(read_length(&[0x81, 0x84], "message", 512), too_long(513));
        assert_eq!(
            read_length(&[0x80, 0x00], "message", 512),
            Err(DecodeError::LengthPrefix)
        );
        assert_eq!(read_length(&[0x80; 11], "message", 512), Err(DecodeError::LengthPrefix));
        let mut overflowing = [0x80; 10];
        overflowing[9] = 0x02;
        assert_eq!(
            read_length(&overflowing, "message", usize::MAX),
            Err(DecodeError::LengthPrefix)
        );
        overflowing[9] = 0x01;
        assert_eq!(
            read_length(&overflowing, "message", usize::MAX),
            Ok(Some((1 << 63, 10)))
        );
        assert_eq!(read_length(&[], "message", 512), Ok(None));
    }
}
