//! Lines of a file or of standard input, gzipped or plain, in bounded memory. Knows nothing of what is in them.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

/// Longest line. Longer ones are skipped to their end without being kept.
pub(crate) const LINE_BYTES_MAX: usize = 64 * 1024;
/// How every gzip member begins (RFC 1952, section 2.3.1).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// How a text file may begin when an editor or a spreadsheet saved it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads lines one by one and counts them.
pub(crate) struct Lines {
    reader: Box<dyn BufRead + Send>,
    number: u64,
    bytes: Vec<u8>,
}

/// What stands on one line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// Its text, without the line's end.
    Text(&'a str),
    /// More than [`LINE_BYTES_MAX`] bytes.
    TooLong,
    /// Bytes that are no UTF-8.
    NotUtf8,
}

impl Lines {
    /// Looks at the first two bytes to tell gzip from plain text.
    pub(crate) fn new(mut input: impl Read + Send + 'static) -> io::Result<Self> {
        let mut start = [0; GZIP_MAGIC.len()];
        let mut filled = 0;
        while filled < start.len() {
            match input.read(&mut start[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let whole = BufReader::new(Cursor::new(start[..filled].to_vec()).chain(input));
        let reader: Box<dyn BufRead + Send> = if start[..filled] == GZIP_MAGIC {
            Box::new(BufReader::new(MultiGzDecoder::new(whole)))
        } else {
            Box::new(whole)
        };
        Ok(Self {
            reader,
            number: 0,
            bytes: Vec::new(),
        })
    }

    /// The number of the line read last; the first is 1.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The next line, or none at the end.
    pub(crate) fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        self.bytes.clear();
        let mut any = false;
        let mut too_long = false;
        loop {
            let chunk = match self.reader.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if chunk.is_empty() {
                break;
            }
            any = true;
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let text = &chunk[..end.unwrap_or(chunk.len())];
            if self.bytes.len() + text.len() > LINE_BYTES_MAX {
                too_long = true;
            } else {
                self.bytes.extend_from_slice(text);
            }
            let used = text.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() {
                break;
            }
        }
        if !any {
            return Ok(None);
        }
        self.number += 1;
        if too_long {
            return Ok(Some(Line::TooLong));
        }
        let mut text = self.bytes.as_slice();
        if self.number == 1 {
            text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        }
        text = text.strip_suffix(b"\r").unwrap_or(text);
        Ok(Some(std::str::from_utf8(text).map_or(Line::NotUtf8, Line::Text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn read_all(bytes: Vec<u8>) -> Vec<String> {
        let mut lines = Lines::new(Cursor::new(bytes)).unwrap();
        let mut all = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            let text = match line {
                Line::Text(text) => text.to_owned(),
                other => format!("{other:?}"),
            };
            all.push(format!("{}:{text}", all.len() + 1));
        }
        assert_eq!(lines.number(), all.len() as u64);
        all
    }

    #[test]
    fn lines_of_every_ending_are_counted() {
        assert_eq!(
            read_all(b"\xef\xbb\xbfa\r\n\nb\nc".to_vec()),
            ["1:a", "2:", "3:b", "4:c"]
        );
        assert_eq!(read_all(Vec::new()), [""; 0]);
        assert_eq!(read_all(b"x".to_vec()), ["1:x"]);
    }

    #[test]
    fn gzip_is_noticed_and_several_members_are_one_text() {
        let member = |text: &str| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(text.as_bytes()).unwrap();
            encoder.finish().unwrap()
        };
        let mut bytes = member("a\nb");
        bytes.extend(member("c\n"));
        assert_eq!(read_all(bytes.clone()), ["1:a", "2:bc"]);
        bytes.truncate(bytes.len() - 9);
        let mut lines = Lines::new(Cursor::new(bytes)).unwrap();
        let mut outcome = Ok(());
        while outcome.is_ok() {
            match lines.next_line() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("a cut gzip file must not look complete"),
                Err(error) => outcome = Err(error),
            }
        }
    }

    #[test]
    fn a_line_without_end_is_never_kept() {
        let mut bytes = vec![b'x'; LINE_BYTES_MAX * 3];
        bytes.extend_from_slice(b"\nok\n\xff\xfe\n");
        let mut lines = Lines::new(Cursor::new(bytes)).unwrap();
        assert_eq!(lines.next_line().unwrap(), Some(Line::TooLong));
        assert!(lines.bytes.capacity() <= LINE_BYTES_MAX * 2);
        assert_eq!(lines.next_line().unwrap(), Some(Line::Text("ok")));
        assert_eq!(lines.next_line().unwrap(), Some(Line::NotUtf8));
        assert_eq!(lines.next_line().unwrap(), None);
        let exact = vec![b'y'; LINE_BYTES_MAX];
        let mut lines = Lines::new(Cursor::new(exact)).unwrap();
        assert!(matches!(lines.next_line().unwrap(), Some(Line::Text(text)) if text.len() == LINE_BYTES_MAX));
    }
}
