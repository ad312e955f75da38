//! What the exit codes of these commands mean.

pub(crate) use shared::Failure;

use crate::source::SourceError;

/// The exit codes, as `--help` documents them.
pub(crate) const EXIT_CODES_HELP: &str = "\
Exit codes:
  0    done
  1    anything else: a tick was lost, a port is in use
  2    usage: a wrong option, address, multiaddr or password source
  3    refused: every peer met refused the password, and no member was found
  4    nobody there in time
  5    input unreadable: a missing file, a bad row
  130  interrupted (Ctrl-C)";

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        Self::Unreadable(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn every_documented_code_is_the_one_used() {
        let unreadable = SourceError::Row {
            name: "x.csv".to_owned(),
            line: 17,
            what: "bad".to_owned(),
        };
        let failures = [
            Failure::Other(String::new()),
            Failure::Usage(String::new()),
            Failure::Refused(String::new()),
            Failure::Nobody(String::new()),
            Failure::from(unreadable),
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
