//! The programs as processes of their own: built once, started in a clean environment, read line by line with deadlines,
//! and killed when dropped. Knows nothing of meshes.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Times that the project promises may take so much longer where many tests share few cores.
pub const PATIENCE: u32 = 5;
/// For what should take a moment.
pub const SOON: Duration = Duration::from_secs(60);
/// A strong password.
pub const PASSWORD: &str = "shrine-wobbly-cane-deduct-plural";
/// One that differs in two letters.
pub const WRONG_PASSWORD: &str = "shrine-wobbly-cane-deduct-rural";
/// Options that keep a node to this machine, whatever network it has.
pub const LOOPBACK: [&str; 3] = ["--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0"];
/// The same over QUIC.
pub const LOOPBACK_QUIC: [&str; 3] = ["--no-mdns", "--listen", "/ip4/127.0.0.1/udp/0/quic-v1"];
/// How often the end of a process is looked for.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// How much of a stream is shown when a test fails.
const SHOWN_LINES_MAX: usize = 40;

/// Where the built programs are: of the same profile as the test that asks.
static PROGRAMS: LazyLock<PathBuf> = LazyLock::new(build);

/// Builds all programs, once in a run of a test target; cargo does nothing if they are fresh.
fn build() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // …/target/<profile>/deps/<test>
    let profile = test.ancestors().nth(2).unwrap().to_owned();
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(workspace())
        .args(["build", "--workspace", "--bins", "--locked", "--target-dir"])
        .arg(profile.parent().unwrap());
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    // What cargo tells this test about its package would make build scripts that watch these variables run again.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let of_package = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
        if of_package.iter().any(|start| text.starts_with(start)) || text == "CARGO_PRIMARY_PACKAGE" {
            cargo.env_remove(&name);
        }
    }
    let built = cargo.env_remove("LD_LIBRARY_PATH").output().unwrap();
    assert!(
        built.status.success(),
        "the programs do not build:\n{}",
        String::from_utf8_lossy(&built.stderr)
    );
    profile
}

/// Where the built programs are.
#[must_use]
pub fn programs() -> &'static Path {
    &PROGRAMS
}

/// The root of the workspace.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A user at a machine: a home, a runtime directory, and nothing else of the environment. Users do not find each other by
/// the run file.
#[derive(Debug)]
pub struct User {
    home: TempDir,
}

impl Default for User {
    fn default() -> Self {
        Self::new()
    }
}

impl User {
    /// A user that has nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        for directory in ["run", "tmp"] {
            std::fs::create_dir(home.path().join(directory)).unwrap();
        }
        Self { home }
    }

    /// A path in the home directory, whether something is there or not.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The same as text, for arguments.
    #[must_use]
    pub fn arg(&self, name: &str) -> String {
        self.path(name).into_os_string().into_string().unwrap()
    }

    /// Writes a file, and returns its path as text.
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        std::fs::write(self.path(name), bytes).unwrap();
        self.arg(name)
    }

    /// `maille` with these arguments, about to be started, with the [`PASSWORD`] in its environment.
    pub fn maille<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Launch {
        self.launch("maille", arguments)
    }

    /// `ticker` likewise.
    pub fn ticker<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Launch {
        self.launch("ticker", arguments)
    }

    /// A line typed into a shell that has these programs on its path, behind those in the home's `bin`.
    pub fn shell(&self, line: &str) -> Launch {
        let path = [
            self.path("bin"),
            programs().to_owned(),
            "/usr/bin".into(),
            "/bin".into(),
        ];
        let path = std::env::join_paths(path).unwrap();
        self.clean(Command::new("sh"), ["-c", line]).env("PATH", path)
    }

    fn launch<A: AsRef<OsStr>>(&self, program: &str, arguments: impl IntoIterator<Item = A>) -> Launch {
        self.clean(Command::new(programs().join(program)), arguments)
    }

    fn clean<A: AsRef<OsStr>>(&self, mut command: Command, arguments: impl IntoIterator<Item = A>) -> Launch {
        let home = self.home.path();
        command
            .env_clear()
            .env("HOME", home)
            .env("LANG", "C.UTF-8")
            .env("TMPDIR", home.join("tmp"))
            .env("XDG_RUNTIME_DIR", home.join("run"))
            .env("MAILLE_RUN_DIR", home.join("run").join("maille"))
            .env("XDG_DATA_HOME", home.join("data"))
            .env("XDG_CONFIG_HOME", home.join("config"))
            .env("XDG_STATE_HOME", home.join("state"))
            .env("XDG_CACHE_HOME", home.join("cache"))
            .env("MAILLE_PASSWORD", PASSWORD)
            .current_dir(home);
        command.args(arguments);
        Launch { command, input: None }
    }
}

/// A process about to be started.
#[derive(Debug)]
pub struct Launch {
    command: Command,
    input: Option<Vec<u8>>,
}

impl Launch {
    /// More arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    /// One more variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.command.env(name, value.into());
        self
    }

    /// Another password in the environment.
    #[must_use]
    pub fn password(self, password: impl Into<OsString>) -> Self {
        self.env("MAILLE_PASSWORD", password)
    }

    /// No password in the environment.
    #[must_use]
    pub fn no_password(mut self) -> Self {
        self.command.env_remove("MAILLE_PASSWORD");
        self
    }

    /// All of standard input. Without it, standard input stays open until [`Running::close_input`].
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// Starts it.
    #[must_use]
    pub fn start(mut self) -> Running {
        let (program, arguments) = (self.command.get_program(), self.command.get_args());
        let name = Path::new(program).file_name().unwrap().to_string_lossy();
        let words: Vec<_> = arguments.map(OsStr::to_string_lossy).collect();
        let what = format!("{name} {}", words.join(" "));
        let started = Instant::now();
        let mut child = self
            .command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        let mut running = Running {
            stdin: Some(writer(child.stdin.take().unwrap())),
            stdout: Stream::read(child.stdout.take().unwrap()),
            stderr: Stream::read(child.stderr.take().unwrap()),
            child,
            what,
            started,
        };
        if let Some(bytes) = self.input {
            running.write(bytes);
            running.close_input();
        }
        running
    }

    /// Runs it to its end, with nothing more on standard input.
    #[must_use]
    pub fn run(self, deadline: Duration) -> Ended {
        let mut running = self.start();
        running.close_input();
        running.wait(deadline)
    }
}

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
