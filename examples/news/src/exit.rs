//! What the exit codes of these commands mean.

pub(crate) use shared::Failure;

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

#[cfg(test)]
mod tests {
    use std::io;

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
