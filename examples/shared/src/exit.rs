//! How a command ends: its exit code and its last sentence. Not where errors are found.

use std::{fmt, io};

/// Why a command did not end with 0.
#[derive(Debug)]
pub enum Failure {
    /// What was asked for makes no sense.
    Usage(String),
    /// All peers refused the password.
    Refused(String),
    /// Nobody came in time.
    Nobody(String),
    /// The input cannot be read.
    Unreadable(String),
    /// SIGINT or SIGTERM; the text says what was done until then.
    Interrupted(String),
    /// The reader of standard output went away (`| head`): not worth a word, nor a code.
    OutputClosed,
    /// Anything else.
    Other(String),
}

impl Failure {
    /// The documented exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::Other(_) => 1,
            Self::Usage(_) => 2,
            Self::Refused(_) => 3,
            Self::Nobody(_) => 4,
            Self::Unreadable(_) => 5,
            Self::Interrupted(_) => 130,
        }
    }

    /// Anything else, in the words of its error.
    pub fn other(error: impl fmt::Display) -> Self {
        Self::Other(error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text)
            | Self::Refused(text)
            | Self::Nobody(text)
            | Self::Unreadable(text)
            | Self::Other(text) => f.write_str(text),
            Self::Interrupted(done) if done.is_empty() => f.write_str("interrupted"),
            Self::Interrupted(done) => write!(f, "interrupted: {done}"),
            Self::OutputClosed => f.write_str("standard output was closed"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<io::Error> for Failure {
    /// Errors of standard output and of the terminal; those of files say more.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Other(format!("cannot write to the terminal or standard output: {error}")),
        }
    }
}
