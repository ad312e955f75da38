//! Why bytes are not a message.

/// Why bytes are not the message they should be. A peer that sent them is at fault; a file that holds them is damaged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Longer than such a message may be; nothing of it was decoded.
    #[error("{what} of {bytes} bytes is longer than the {bytes_max} bytes allowed")]
    TooLong {
        /// Which message.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The longest allowed.
        bytes_max: usize,
    },
    /// Not protobuf, cut short, or with a field of another type than the message has.
    #[error("malformed protobuf, or cut short")]
    Malformed,
    /// Protobuf, but not of this message, as text that is not UTF-8.
    #[error("not this protobuf message")]
    Protobuf(#[from] prost::DecodeError),
    /// A field is shorter or longer than it may be.
    #[error("{field} has {bytes} bytes instead of {bytes_min} to {bytes_max}")]
    Length {
        /// Which field.
        field: &'static str,
        /// Its length.
        bytes: usize,
        /// The shortest allowed.
        bytes_min: usize,
        /// The longest allowed.
        bytes_max: usize,
    },
    /// A field is missing, or present too often.
    #[error("{field} is present {count} times instead of {count_min} to {count_max}")]
    Count {
        /// Which field.
        field: &'static str,
        /// How often it was met before decoding stopped.
        count: usize,
        /// The fewest allowed.
        count_min: usize,
        /// The most allowed.
        count_max: usize,
    },
    /// A frame carries none or several of the messages of which it carries one.
    #[error("{what} carries {count} messages instead of one")]
    NotOneMessage {
        /// Which frame.
        what: &'static str,
        /// How many it carries.
        count: usize,
    },
    /// A handshake message of a later version.
    #[error("unknown handshake message {number}: this version knows 1 to 5")]
    UnknownMessage {
        /// Its field number.
        number: u32,
    },
    /// A content type with spaces, control or non-ASCII characters.
    #[error("the content type holds something else than visible ASCII characters")]
    ContentType,
    /// The sequence numbers of a frame's records do not fit 64 bits.
    #[error("the sequence number after {first_sequence} + {records} records does not fit 64 bits")]
    SequenceOverflow {
        /// The first record's sequence number.
        first_sequence: u64,
        /// How many records there are.
        records: usize,
    },
    /// Well-formed, but not the one encoding that this message has.
    #[error("{what} is not in its canonical encoding")]
    NotCanonical {
        /// Which message.
        what: &'static str,
    },
    /// A length before a message that is not a minimal LEB128 number.
    #[error("the length before the message is not a minimal LEB128 number")]
    LengthPrefix,
}
