//! Standard input as records: one line each, bounded, with the place of what is wrong. Not what a line means.

use std::io::BufRead;

use tokio::sync::mpsc;

/// Lines read ahead of the publisher. With records of at most 256 KiB, 16 MiB.
const LINES_AHEAD_MAX: usize = 64;

/// A line that cannot become a record. Lines count from 1, bytes of a line too.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    #[error("line {line} is longer than a record may be ({bytes_max} bytes): split it, or share it as a file")]
    TooLong { line: u64, bytes_max: usize },
    #[error(
        "line {line} is not valid UTF-8 at its byte {byte}: convert it, or use --binary to publish bytes as they are"
    )]
    NotUtf8 { line: u64, byte: usize },
    #[error("cannot read line {line} of standard input: {source}")]
    Unreadable { line: u64, source: std::io::Error },
}

/// One line of input, without its line end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Counts from 1.
    pub(crate) number: u64,
    pub(crate) bytes: Vec<u8>,
}

/// Reads lines that end with LF or CRLF; the last one may end with the input. Never holds more than one line's bound.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    reader: R,
    bytes_max: usize,
    text: bool,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    /// `text`: lines that are not UTF-8 are errors.
    pub(crate) fn new(reader: R, bytes_max: usize, text: bool) -> Self {
        Self {
            reader,
            bytes_max,
            text,
            number: 0,
        }
    }

    /// The next line, or `None` at the end of the input.
    pub(crate) fn next_line(&mut self) -> Result<Option<Line>, LineError> {
        let line = self.number + 1;
        let mut bytes = Vec::new();
        let mut ended = false;
        while !ended {
            let chunk = match self.reader.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(LineError::Unreadable { line, source }),
            };
            if chunk.is_empty() {
                if bytes.is_empty() {
                    return Ok(None);
                }
                break;
            }
            let line_end = chunk.iter().position(|&byte| byte == b'\n');
            let taken = line_end.unwrap_or(chunk.len());
            // One byte more than a record, for the CR that a line end may still need.
            if bytes.len() + taken > self.bytes_max + 1 {
                return Err(LineError::TooLong {
                    line,
                    bytes_max: self.bytes_max,
                });
            }
            bytes.extend_from_slice(&chunk[..taken]);
            ended = line_end.is_some();
            self.reader.consume(taken + usize::from(ended));
        }
        if ended && bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        if bytes.len() > self.bytes_max {
            return Err(LineError::TooLong {
                line,
                bytes_max: self.bytes_max,
            });
        }
        if self.text
            && let Err(error) = std::str::from_utf8(&bytes)
        {
            return Err(LineError::NotUtf8 {
                line,
                byte: error.valid_up_to() + 1,
            });
        }
        self.number = line;
        Ok(Some(Line { number: line, bytes }))
    }
}

/// Reads standard input on a thread of its own, from now on: reads block, and must not hold up the runtime or its end.
pub(crate) fn read_standard_input(bytes_max: usize, text: bool) -> mpsc::Receiver<Result<Line, LineError>> {
    let (sender, receiver) = mpsc::channel(LINES_AHEAD_MAX);
    std::thread::spawn(move || {
        let mut lines = Lines::new(std::io::stdin().lock(), bytes_max, text);
        loop {
            let item = match lines.next_line() {
                Ok(Some(line)) => Ok(line),
                Ok(None) => return,
                Err(error) => Err(error),
            };
            let failed = item.is_err();
            if sender.blocking_send(item).is_err() || failed {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufReader, Read};

    fn all(input: &[u8], bytes_max: usize, text: bool) -> (Vec<Vec<u8>>, Option<LineError>) {
        // A tiny buffer, so that lines span many reads.
        let mut lines = Lines::new(BufReader::with_capacity(3, input), bytes_max, text);
        let mut read = Vec::new();
        loop {
            match lines.next_line() {
                Ok(Some(line)) => {
                    read.push(line.bytes);
                    assert_eq!(line.number, read.len() as u64);
                }
                Ok(None) => return (read, None),
                Err(error) => return (read, Some(error)),
            }
        }
    }

    #[test]
    fn line_ends_are_stripped_and_empty_lines_are_records() {
        let (read, error) = all(b"one\ntwo\r\n\n\r\nfi\rve\nlast", 100, true);
        assert!(error.is_none());
        assert_eq!(read, [&b"one"[..], b"two", b"", b"", b"fi\rve", b"last"]);
        assert_eq!(all(b"", 100, true).0.len(), 0);
        assert_eq!(all(b"x\n", 100, true).0.len(), 1);
        // Without a line end, a CR is data.
        assert_eq!(all(b"x\r", 100, true).0, [b"x\r"]);
    }

    #[test]
    fn the_record_limit_is_exact_for_every_line_end() {
        for end in ["", "\n", "\r\n"] {
            let fits = format!("12345678{end}");
            let (read, error) = all(fits.as_bytes(), 8, true);
            assert_eq!((read.len(), error.is_none()), (1, true), "{end:?}");
            let over = format!("ok\n123456789{end}");
            let (read, error) = all(over.as_bytes(), 8, true);
            assert_eq!(read.len(), 1, "{end:?}");
            assert!(
                matches!(error, Some(LineError::TooLong { line: 2, bytes_max: 8 })),
                "{end:?}: {error:?}"
            );
        }
    }

    #[test]
    fn an_endless_line_is_not_read_to_its_end() {
        struct Endless(u64);
        impl Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                self.0 += buffer.len() as u64;
                buffer.fill(b'a');
                Ok(buffer.len())
            }
        }
        let mut endless = BufReader::with_capacity(1024, Endless(0));
        let error = Lines::new(&mut endless, 10_000, true).next_line().unwrap_err();
        assert!(matches!(error, LineError::TooLong { line: 1, .. }));
        assert!(endless.get_ref().0 <= 12_000, "read {} bytes", endless.get_ref().0);
    }

    #[test]
    fn invalid_utf8_names_line_and_byte_unless_bytes_are_wanted() {
        let input = b"good\nb\xc3\xa4d\xff\nnever";
        let (read, error) = all(input, 100, true);
        assert_eq!(read.len(), 1);
        assert!(
            matches!(error, Some(LineError::NotUtf8 { line: 2, byte: 5 })),
            "{error:?}"
        );
        assert_eq!(all(input, 100, false).0.len(), 3);
    }

    #[test]
    fn a_failing_reader_is_told_with_its_line() {
        struct Fails;
        impl Read for Fails {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(std::io::Error::other("gone"))
            }
        }
        let error = Lines::new(BufReader::new(b"a\n".chain(Fails)), 9, true)
            .reader_after_one()
            .unwrap_err();
        assert_eq!(error.to_string(), "cannot read line 2 of standard input: gone");
    }

    impl<R: BufRead> Lines<R> {
        fn reader_after_one(&mut self) -> Result<Option<Line>, LineError> {
            self.next_line()?;
            self.next_line()
        }
    }
}
