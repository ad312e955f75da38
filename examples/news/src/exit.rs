//! How a command ends: its exit code and its last sentence. Not where errors are found.

use std::fmt;
use std::io;

/// The exit codes, as `--help` documents them.
pub(crate) const EXIT_CODES_HELP: &str = "\
Exit codes:
  0    done; with --once: a member holds every item that could be read
  1    anything else: an item was lost, a port or the data directory is in use
  2    usage: a wrong option, address, multiaddr or password source
  3    refused: every peer met refused the password, and no member was found
  4    nobody there in time: no member holds the items, or nobody could be asked for them
  5    input unreadable: with --once, no feed could be read
  130  interrupted (Ctrl-C)";

/// Why a command did not end with 0.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was asked for makes no sense.
    Usage(String),
    /// All peers refused the password.
    Refused(String),
    /// Nobody came in time.
    Nobody(String),
    /// No feed can be read.
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
    pub(crate) fn code(&self) -> u8 {
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
    pub(crate) fn other(error: impl fmt::Display) -> Self {
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
    /// Errors of standard output and of the terminal; those of files and feeds say more.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Other(format!("cannot write to the terminal or standard output: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_code_is_the_one_used() {
        let failures = [
            Failure::Other(String::new()),
            Failure::Usage(String::new()),
            Failure::Refused(String::new()),
            Failure::Nobody(String::new()),
            Failure::Unreadable(String::new()),
            Failure::Interrupted(String::new()),
        ];
        let documented: Vec<u8> = EXIT_CODES_HELP
            .lines()
            .skip(2)
            .map(|line| line.split_whitespace().next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(failures.map(|failure| failure.code()).to_vec(), documented);
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).code(), 0);
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::StorageFull)).code(), 1);
    }
}
