//! What goes to standard output: records one a line, or JSON objects of one shape. Not what standard error says.

use std::io::{IsTerminal, Write};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use base64::Engine;
use maille::{Cursor, Position};
use serde::Serialize;
use tokio::sync::{mpsc, watch};

use super::exit::{Failure, printable};

/// Lines that wait for a slow reader of standard output; beyond, the command waits and its subscription may lag, visibly.
const LINES_WAITING_MAX: usize = 64;

/// How long an interrupted command still tries to hand over what it has already printed.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);

/// The JSON shape of a blob that was shared or fetched.
#[derive(Debug, Serialize)]
pub(crate) struct BlobLine<'a> {
    pub(crate) event: &'static str,
    pub(crate) mesh: &'a str,
    pub(crate) blob: String,
    pub(crate) bytes: u64,
    pub(crate) file: String,
}

/// The JSON shape of everything that happens on a topic. Fields that an event does not have are `null`; payload and key
/// are text if they are UTF-8, else in the field of the same name with `_base64`.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct TopicEvent {
    pub(crate) event: &'static str,
    pub(crate) topic: String,
    pub(crate) author: Option<String>,
    pub(crate) incarnation: Option<u64>,
    /// Of a gap: the first one missing.
    pub(crate) sequence: Option<u64>,
    /// Of a gap: the first one that is not missing any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sequence_end: Option<u64>,
    /// Of `lagged`: how many records this subscriber was too slow for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) missed: Option<u64>,
    /// What is wrong, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    pub(crate) key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key_base64: Option<String>,
    pub(crate) sent_at: Option<String>,
    pub(crate) received_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payload: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payload_base64: Option<String>,
}

impl TopicEvent {
    /// Puts the key where it belongs.
    pub(crate) fn with_key(mut self, key: Option<&[u8]>) -> Self {
        (self.key, self.key_base64) = key.map_or((None, None), text_or_base64);
        self
    }

    /// Puts the payload where it belongs.
    pub(crate) fn with_payload(mut self, payload: &[u8]) -> Self {
        (self.payload, self.payload_base64) = text_or_base64(payload);
        self
    }
}

/// RFC 3339 in UTC, to the millisecond; `None` for times that a calendar cannot say, which a hostile clock may send.
pub(crate) fn rfc3339(time: SystemTime) -> Option<String> {
    jiff::Timestamp::try_from(time)
        .ok()
        .map(|timestamp| format!("{timestamp:.3}"))
}

/// `value` as one line of JSON, with its line end.
pub(crate) fn json_line(value: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).expect("plain structs of text and numbers are always JSON");
    line.push(b'\n');
    line
}

/// A record as one line. On a terminal, control characters are escaped: members must not drive it.
pub(crate) fn payload_line(payload: &[u8], on_terminal: bool) -> Vec<u8> {
    let mut line = if on_terminal {
        printable(&String::from_utf8_lossy(payload))
            .replace('\n', "\\n")
            .into_bytes()
    } else {
        payload.to_vec()
    };
    line.push(b'\n');
    line
}

/// Writes to standard output and flushes, for commands that print once.
pub(crate) fn print_now(text: &[u8]) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    output
        .write_all(text)
        .and_then(|()| output.flush())
        .map_err(|error| failed(&error))
}

fn failed(error: &std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::other(format!("cannot write to standard output: {error}")),
    }
}

/// Bytes as JSON has them: text, or else base64.
pub(crate) fn text_or_base64(bytes: &[u8]) -> (Option<String>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(base64::engine::general_purpose::STANDARD.encode(bytes))),
    }
}

/// A line with its end, and the record that is done with once it is out. Empty: there was nothing to print about it.
type Line = (Vec<u8>, Option<Cursor>);

/// Standard output on a thread of its own: a stalled reader holds up the command that prints, not the node.
#[derive(Debug)]
pub(crate) struct Output {
    lines: mpsc::Sender<Line>,
    thread: JoinHandle<std::io::Result<()>>,
    pub(crate) on_terminal: bool,
}

impl Output {
    /// Standard output. Once lines are out, `printed` is told the position after them.
    pub(crate) fn standard(printed: Option<watch::Sender<Position>>) -> Self {
        let on_terminal = std::io::stdout().is_terminal();
        Self {
            on_terminal,
            ..Self::to(std::io::stdout(), printed)
        }
    }

    fn to(writer: impl Write + Send + 'static, printed: Option<watch::Sender<Position>>) -> Self {
        let (lines, queue) = mpsc::channel(LINES_WAITING_MAX);
        let thread = std::thread::spawn(move || write_all(writer, queue, printed.as_ref()));
        Self {
            lines,
            thread,
            on_terminal: false,
        }
    }

    /// Hands one line over; it is flushed as soon as none follows. `false` if nobody reads any more: call
    /// [`finish`](Self::finish) to learn why.
    pub(crate) async fn print(&self, line: Vec<u8>, done: Option<Cursor>) -> bool {
        self.lines.send((line, done)).await.is_ok()
    }

    /// Waits until everything is written, or says what went wrong.
    pub(crate) async fn finish(self) -> Result<(), Failure> {
        drop(self.lines);
        match tokio::task::spawn_blocking(move || self.thread.join()).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error))) => Err(failed(&error)),
            Ok(Err(_)) | Err(_) => Err(Failure::other("writing to standard output stopped short")),
        }
    }

    /// Like [`finish`](Self::finish), but does not wait long for a reader that stalls, nor tell about it.
    pub(crate) async fn finish_soon(self) {
        let _ = tokio::time::timeout(FINISH_TIMEOUT, self.finish()).await;
    }
}

fn write_all(
    writer: impl Write,
    mut queue: mpsc::Receiver<Line>,
    printed: Option<&watch::Sender<Position>>,
) -> std::io::Result<()> {
    let mut writer = std::io::BufWriter::new(writer);
    let mut position = printed.map(|printed| printed.borrow().clone()).unwrap_or_default();
    while let Some(first) = queue.blocking_recv() {
        let mut next = Some(first);
        while let Some((line, done)) = next {
            writer.write_all(&line)?;
            done.map(|done| position.advance(&done));
            next = queue.try_recv().ok();
        }
        writer.flush()?;
        if let Some(printed) = printed {
            printed.send_if_modified(|last| {
                let moved = *last != position;
                last.clone_from(&position);
                moved
            });
        }
    }
    writer.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    fn record() -> TopicEvent {
        TopicEvent {
            event: "record",
            topic: "equities/us".into(),
            author: Some("12D3Koo".into()),
            incarnation: Some(1_764_000_000_000),
            sequence: Some(7),
            sent_at: rfc3339(SystemTime::UNIX_EPOCH + Duration::from_millis(1_764_000_000_123)),
            received_at: rfc3339(SystemTime::UNIX_EPOCH + Duration::from_nanos(1_764_000_000_124_999_999)),
            ..TopicEvent::default()
        }
    }

    fn text(event: &TopicEvent) -> String {
        String::from_utf8(json_line(event)).unwrap()
    }

    #[test]
    fn a_record_has_the_documented_shape() {
        assert_eq!(
            text(
                &record()
                    .with_key(Some(b"AAPL"))
                    .with_payload("30,57 \u{20ac}\n".as_bytes())
            ),
            concat!(
                r#"{"event":"record","topic":"equities/us","author":"12D3Koo","incarnation":1764000000000,"sequence":7,"#,
                r#""key":"AAPL","sent_at":"2025-11-24T16:00:00.123Z","received_at":"2025-11-24T16:00:00.124Z","#,
                r#""payload":"30,57 €\n"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn what_is_not_text_is_base64_and_what_is_missing_is_null() {
        let json = text(&record().with_key(Some(b"\xff")).with_payload(b"\x00\xfe"));
        assert!(json.contains(r#""key":null,"key_base64":"/w==""#), "{json}");
        assert!(json.contains(r#""payload_base64":"AP4="}"#), "{json}");
        let json = text(
            &TopicEvent {
                event: "lagged",
                missed: Some(3),
                ..TopicEvent::default()
            }
            .with_key(None),
        );
        assert_eq!(
            json,
            concat!(
                r#"{"event":"lagged","topic":"","author":null,"incarnation":null,"sequence":null,"missed":3,"key":null,"#,
                r#""sent_at":null,"received_at":null}"#,
                "\n"
            )
        );
    }

    #[test]
    fn impossible_times_are_null() {
        assert_eq!(rfc3339(SystemTime::UNIX_EPOCH).unwrap(), "1970-01-01T00:00:00.000Z");
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 50);
        assert_eq!(rfc3339(far), None);
    }

    #[test]
    fn payloads_are_raw_in_pipes_and_tame_on_terminals() {
        assert_eq!(payload_line(b"a\x1b[2J\xff", false), b"a\x1b[2J\xff\n");
        assert_eq!(payload_line(b"a\x1b[2J\nb", true), b"a\\u{1b}[2J\\nb\n");
    }

    /// Collects what is written, and fails with `kind` once `room` bytes are full.
    #[derive(Clone)]
    struct Sink {
        written: Arc<Mutex<Vec<u8>>>,
        room: usize,
        kind: std::io::ErrorKind,
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let mut written = self.written.lock().unwrap();
            if written.len() + bytes.len() > self.room {
                return Err(self.kind.into());
            }
            written.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    async fn print_lines(sink: Sink, lines: usize) -> (bool, Result<(), Failure>) {
        let output = Output::to(sink, None);
        let mut open = true;
        for number in 0..lines {
            open = output.print(format!("{number}\n").into_bytes(), None).await;
        }
        (open, output.finish().await)
    }

    #[tokio::test]
    async fn everything_printed_is_written_before_the_end() {
        let written = Arc::default();
        let sink = Sink {
            written: Arc::clone(&written),
            room: usize::MAX,
            kind: std::io::ErrorKind::Other,
        };
        let (open, outcome) = print_lines(sink, 1_000).await;
        assert!(open && outcome.is_ok());
        let expected: String = (0..1_000).map(|number| format!("{number}\n")).collect();
        assert_eq!(*written.lock().unwrap(), expected.as_bytes());
    }

    #[tokio::test]
    async fn a_position_is_told_only_of_what_is_out() {
        let cursor = |sequence| Cursor {
            publisher: maille::Keypair::generate_ed25519().public().to_peer_id(),
            incarnation: 1,
            sequence,
        };
        let sink = Sink {
            written: Arc::default(),
            room: 4,
            kind: std::io::ErrorKind::StorageFull,
        };
        let (printed, mut told) = watch::channel(Position::new());
        let output = Output::to(sink, Some(printed));
        let first = cursor(4);
        assert!(output.print(b"one\n".to_vec(), Some(first)).await);
        told.changed().await.unwrap();
        assert!(told.borrow_and_update().covers(&first));
        let second = cursor(5);
        output.print(b"two\n".to_vec(), Some(second)).await;
        assert!(output.finish().await.is_err());
        assert!(told.borrow().covers(&first) && !told.borrow().covers(&second));
    }

    #[tokio::test]
    async fn a_reader_that_left_is_a_quiet_end_and_a_full_disk_is_not() {
        let sink = Sink {
            written: Arc::default(),
            room: 10,
            kind: std::io::ErrorKind::BrokenPipe,
        };
        let (open, outcome) = print_lines(sink, 10_000).await;
        assert!(!open);
        assert!(matches!(outcome, Err(Failure::OutputClosed)), "{outcome:?}");
        let sink = Sink {
            written: Arc::default(),
            room: 10,
            kind: std::io::ErrorKind::StorageFull,
        };
        let (_, outcome) = print_lines(sink, 10_000).await;
        assert!(matches!(outcome, Err(Failure::Other(_))), "{outcome:?}");
    }
}
