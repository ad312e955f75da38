//! How a command ends: the documented exit codes, and the sentences that go with them. Not where errors are made.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

/// What `maille --help` says about exit codes; [`Failure::code`] is the same table for the compiler.
pub(crate) const EXIT_CODES_HELP: &str = "\
Exit codes:
  0    done
  1    anything else: a port or data directory in use, a full disk, records not acknowledged
  2    usage: a wrong option, name, multiaddr, ticket or password source
  3    refused: for 20 s every peer met refused the password, and no member was found
  4    nobody there in time
  5    input unreadable: a line that is too long, not UTF-8, or without its key
  6    --count not reached
  130  interrupted (SIGINT, SIGTERM; `maille node` ends with 0 on SIGTERM)";

/// Why a command did not end with 0. Every text is one or a few plain sentences for people.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was asked for makes no sense, or cannot be used.
    Usage(String),
    /// Peers were met, and all of them refused.
    Refused(String),
    /// Nobody came in time.
    NobodyThere(String),
    /// Standard input held something that is not a record.
    UnreadableInput(String),
    /// `--count` records did not come in time.
    CountNotReached(String),
    /// SIGINT or SIGTERM; the text, if any, says what was done until then.
    Interrupted(String),
    /// The reader of standard output went away (`| head`): not worth a word.
    OutputClosed,
    /// Anything else.
    Other(anyhow::Error),
}

impl Failure {
    /// A failure of kind "anything else", from a sentence.
    pub(crate) fn other(sentence: impl fmt::Display + fmt::Debug + Send + Sync + 'static) -> Self {
        Self::Other(anyhow::Error::msg(sentence))
    }

    /// The documented exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::Other(_) => 1,
            Self::Usage(_) => 2,
            Self::Refused(_) => 3,
            Self::NobodyThere(_) => 4,
            Self::UnreadableInput(_) => 5,
            Self::CountNotReached(_) => 6,
            Self::Interrupted(_) => 130,
        }
    }

    /// What standard error says, without a line end; empty if there is nothing to say.
    fn sentence(&self) -> String {
        match self {
            Self::OutputClosed => String::new(),
            Self::Other(error) => format!("error: {}", chain(error)),
            Self::Interrupted(done) if done.is_empty() => String::new(),
            Self::Interrupted(done) => format!("interrupted: {done}"),
            Self::Usage(text)
            | Self::Refused(text)
            | Self::NobodyThere(text)
            | Self::UnreadableInput(text)
            | Self::CountNotReached(text) => format!("error: {text}"),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

/// Says on standard error how the command ended, and gives the process its exit code.
pub(crate) fn report(outcome: Result<(), Failure>) -> ExitCode {
    let Err(failure) = outcome else {
        return ExitCode::SUCCESS;
    };
    let sentence = failure.sentence();
    if !sentence.is_empty() {
        say(&sentence);
    }
    ExitCode::from(failure.code())
}

/// Writes one line to standard error. A closed standard error is no reason to fail.
pub(crate) fn say(line: &str) {
    let mut text = printable(line);
    text.push('\n');
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// `text` with control characters other than line ends escaped: names and paths from elsewhere must not drive the terminal.
pub(crate) fn printable(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => clean.push(character),
            control if control.is_control() => clean.extend(control.escape_default()),
            other => clean.push(other),
        }
    }
    clean
}

/// An error, and those of its causes that it does not already quote, each on a line of its own.
fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str("\ncause: ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ending_has_its_documented_code() {
        let cases = [
            (Failure::OutputClosed, 0),
            (Failure::other("x"), 1),
            (Failure::Usage("x".into()), 2),
            (Failure::Refused("x".into()), 3),
            (Failure::NobodyThere("x".into()), 4),
            (Failure::UnreadableInput("x".into()), 5),
            (Failure::CountNotReached("x".into()), 6),
            (Failure::Interrupted(String::new()), 130),
        ];
        for (failure, code) in cases {
            assert_eq!(failure.code(), code, "{failure:?}");
            assert!(
                EXIT_CODES_HELP.contains(&format!("\n  {code} ")),
                "code {code} is not documented"
            );
        }
    }

    #[test]
    fn causes_are_told_once() {
        let error = anyhow::anyhow!("disk full")
            .context("cannot keep the key")
            .context("cannot start: disk full");
        assert_eq!(chain(&error), "cannot start: disk full\ncause: cannot keep the key");
    }

    #[test]
    fn closed_output_and_a_plain_interrupt_say_nothing() {
        assert_eq!(Failure::OutputClosed.sentence(), "");
        assert_eq!(Failure::Interrupted(String::new()).sentence(), "");
        assert_eq!(
            Failure::Interrupted("published 1 record".into()).sentence(),
            "interrupted: published 1 record"
        );
    }

    #[test]
    fn terminals_are_not_driven_by_names() {
        assert_eq!(printable("a\u{1b}[2Jb\r\u{9b}c\nd"), "a\\u{1b}[2Jb\\r\\u{9b}c\nd");
        assert_eq!(printable("naïve 🙂\t."), "naïve 🙂\t.");
    }
}
