//! A process that runs: written to, read line by line with deadlines, and killed when dropped; and what is left of it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::SOON;

/// How often the end of a process is looked for.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// How much of a stream is shown when a test fails.
const SHOWN_LINES_MAX: usize = 40;

/// Writes what it is sent to standard input, on a thread: a process that does not read must not hold up its test.
fn writer(mut stdin: ChildStdin) -> Sender<Vec<u8>> {
    let (sender, chunks) = channel::<Vec<u8>>();
    std::thread::spawn(move || {
        // A process may end without reading all of it.
        while let Ok(chunk) = chunks.recv()
            && stdin.write_all(&chunk).is_ok()
        {}
    });
    sender
}

/// The lines of a stream so far, without their ends, and whether it ended.
#[derive(Debug, Default)]
struct Read {
    lines: Vec<Vec<u8>>,
    ended: bool,
    /// Nothing is read for now.
    paused: bool,
}

/// A stream that a thread reads.
#[derive(Clone, Debug)]
struct Stream(Arc<(Mutex<Read>, Condvar)>);

impl Stream {
    fn read(source: impl std::io::Read + Send + 'static) -> Self {
        let stream = Self(Arc::default());
        let writing = stream.clone();
        std::thread::spawn(move || {
            let mut source = BufReader::new(source);
            let (read, changed) = &*writing.0;
            loop {
                drop(changed.wait_while(read.lock().unwrap(), |read| read.paused).unwrap());
                let mut line = Vec::new();
                let ended = !matches!(source.read_until(b'\n', &mut line), Ok(bytes) if bytes > 0);
                if line.last() == Some(&b'\n') {
                    line.pop();
                }
                let mut read = read.lock().unwrap();
                if !ended {
                    read.lines.push(line);
                }
                read.ended = ended;
                changed.notify_all();
                if ended {
                    return;
                }
            }
        });
        stream
    }

    fn pause(&self, paused: bool) {
        let (read, changed) = &*self.0;
        read.lock().unwrap().paused = paused;
        changed.notify_all();
    }

    /// Waits until `look` finds something in the lines; `None` when they ended, or the time is up.
    fn find<T>(&self, deadline: Duration, mut look: impl FnMut(&[Vec<u8>]) -> Option<T>) -> Option<T> {
        let (read, changed) = &*self.0;
        let end = Instant::now() + deadline;
        let mut read = read.lock().unwrap();
        loop {
            if let Some(found) = look(&read.lines) {
                return Some(found);
            }
            let left = end.saturating_duration_since(Instant::now());
            if read.ended || left.is_zero() {
                return None;
            }
            read = changed.wait_timeout(read, left).unwrap().0;
        }
    }

    /// Waits for the end of the stream; a grandchild could hold it open, so not for ever.
    fn all(&self) -> Vec<Vec<u8>> {
        let (read, changed) = &*self.0;
        let read = read.lock().unwrap();
        changed
            .wait_timeout_while(read, SOON, |read| !read.ended)
            .unwrap()
            .0
            .lines
            .clone()
    }

    fn shown(&self) -> String {
        let read = self.0.0.lock().unwrap();
        let skipped = read.lines.len().saturating_sub(SHOWN_LINES_MAX);
        let lines = read.lines[skipped..].iter().map(|line| String::from_utf8_lossy(line));
        let before = (skipped > 0).then(|| format!("… {skipped} lines before").into());
        before.into_iter().chain(lines).collect::<Vec<_>>().join("\n")
    }
}

/// A process that runs. Killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdin: Option<Sender<Vec<u8>>>,
    stdout: Stream,
    stderr: Stream,
    what: String,
    started: Instant,
}

impl Running {
    /// A child that was just spawned, with pipes on all its streams; `what` is its command line.
    pub(super) fn new(mut child: Child, what: String, started: Instant) -> Self {
        Self {
            stdin: Some(writer(child.stdin.take().unwrap())),
            stdout: Stream::read(child.stdout.take().unwrap()),
            stderr: Stream::read(child.stderr.take().unwrap()),
            child,
            what,
            started,
        }
    }

    /// Writes to standard input, without waiting until it is read.
    ///
    /// # Panics
    /// When standard input was closed.
    pub fn write(&self, bytes: impl Into<Vec<u8>>) {
        let stdin = self.stdin.as_ref().expect("standard input is open");
        // The writing thread ends early if the process does.
        let _ = stdin.send(bytes.into());
    }

    /// Ends standard input, after what was written.
    pub fn close_input(&mut self) {
        self.stdin = None;
    }

    /// Sends a signal, such as `INT`.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().unwrap();
        assert!(sent.success(), "{}: no SIG{name}", self.what);
    }

    /// Kills it at once, with no time to clean up.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Kills it, and gives the lines that it had written to standard output by then.
    #[must_use]
    pub fn kill_and_read(mut self) -> Vec<Vec<u8>> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.stdout.all()
    }

    /// The id of the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of standard output that begins so, and returns the rest of it.
    pub fn stdout_line(&self, start: &str, deadline: Duration) -> String {
        self.line(&self.stdout, "standard output", start, deadline)
    }

    /// Waits for a line of standard error that begins so, and returns the rest of it.
    pub fn stderr_line(&self, start: &str, deadline: Duration) -> String {
        self.line(&self.stderr, "standard error", start, deadline)
    }

    fn line(&self, stream: &Stream, of: &str, start: &str, deadline: Duration) -> String {
        let mut looked = 0;
        let found = stream.find(deadline, |lines| {
            let fresh = &lines[looked..];
            looked = lines.len();
            let rest = |line: &Vec<u8>| String::from_utf8_lossy(line).strip_prefix(start).map(ToOwned::to_owned);
            fresh.iter().find_map(rest)
        });
        found.unwrap_or_else(|| self.fail(&format!("no line {start:?} on {of} within {deadline:?}")))
    }

    /// Whether a line that begins so is on standard error by now.
    #[must_use]
    pub fn has_said(&self, start: &str) -> bool {
        let read = self.stderr.0.0.lock().unwrap();
        read.lines.iter().any(|line| line.starts_with(start.as_bytes()))
    }

    /// Waits until standard output has so many lines.
    pub fn stdout_count(&self, count: usize, deadline: Duration) {
        let enough = |lines: &[Vec<u8>]| (lines.len() >= count).then_some(());
        if self.stdout.find(deadline, enough).is_none() {
            let lines = self.stdout_lines().len();
            self.fail(&format!(
                "{lines} of {count} lines on standard output within {deadline:?}"
            ));
        }
    }

    /// Reads nothing more of standard output, but for a line that is awaited already: the process writes into a pipe that
    /// nobody empties. Or goes on.
    pub fn pause_reading(&self, paused: bool) {
        self.stdout.pause(paused);
    }

    /// Bytes of memory that it occupies now.
    ///
    /// # Panics
    /// When the system does not tell.
    #[must_use]
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = kilobytes.and_then(|rest| rest.trim().strip_suffix("kB"));
        kilobytes.unwrap().trim().parse::<u64>().unwrap() * 1_024
    }

    /// The lines of standard output so far.
    #[must_use]
    pub fn stdout_lines(&self) -> Vec<String> {
        let lines = &self.stdout.0.0.lock().unwrap().lines;
        lines
            .iter()
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect()
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Since it was started.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end in time.
    #[must_use]
    pub fn wait(mut self, deadline: Duration) -> Ended {
        let end = Instant::now() + deadline;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > end {
                self.fail(&format!("still running after {deadline:?}"));
            }
            std::thread::sleep(LOOK_INTERVAL);
        };
        let took = self.started.elapsed();
        let (stdout, stderr) = (self.stdout.all(), self.stderr.all());
        Ended {
            what: self.what.clone(),
            code: status.code(),
            stdout,
            stderr: stderr
                .iter()
                .map(|line| String::from_utf8_lossy(line).into_owned())
                .collect(),
            took,
        }
    }

    fn fail(&self, why: &str) -> ! {
        panic!(
            "{}: {why}\n--- standard error:\n{}\n--- standard output:\n{}\n---",
            self.what,
            self.stderr.shown(),
            self.stdout.shown()
        )
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process that ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its command line.
    pub what: String,
    /// Its exit code; nothing if a signal ended it.
    pub code: Option<i32>,
    /// The lines of standard output, as bytes.
    pub stdout: Vec<Vec<u8>>,
    /// The lines of standard error.
    pub stderr: Vec<String>,
    /// From its start to its end.
    pub took: Duration,
}

impl Ended {
    /// Checks the exit code, and shows everything if it is another.
    ///
    /// # Panics
    /// When it is.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Checks that standard error has all these words in it, and nothing of Rust's own error texts.
    ///
    /// # Panics
    /// When it has not.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        let text = self.stderr.join("\n");
        for word in words {
            assert!(text.contains(word), "{word:?} is not in:\n{self}");
        }
        for rust in [
            "panicked",
            "RUST_BACKTRACE",
            "Some(",
            "None)",
            "Os {",
            "Error {",
            "kind:",
        ] {
            assert!(!text.contains(rust), "{rust:?} is no word for people:\n{self}");
        }
        self
    }

    /// Standard output as text.
    ///
    /// # Panics
    /// When it is not UTF-8.
    #[must_use]
    pub fn text(&self) -> Vec<String> {
        let lines = self.stdout.iter().cloned();
        lines.map(|line| String::from_utf8(line).unwrap()).collect()
    }

    /// The last line of standard error.
    #[must_use]
    pub fn last_word(&self) -> &str {
        self.stderr.last().map_or("", String::as_str)
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let skipped = self.stdout.len().saturating_sub(SHOWN_LINES_MAX);
        let shown = self.stdout[skipped..].iter().map(|line| String::from_utf8_lossy(line));
        write!(
            f,
            "{} ended with {:?} after {:?}\n--- standard error:\n{}\n--- standard output ({skipped} lines before):\n{}\n---",
            self.what,
            self.code,
            self.took,
            self.stderr.join("\n"),
            shown.collect::<Vec<_>>().join("\n"),
        )
    }
}
