//! The programs as processes of their own: built once, and started in a clean environment. Knows nothing of meshes.

mod running;
#[cfg(target_os = "linux")]
mod terminal;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub use running::{Ended, Running};
#[cfg(target_os = "linux")]
pub use terminal::Terminal;

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
    pub fn start(self) -> Running {
        self.start_by(|mut command| {
            let pipe = Stdio::piped;
            command.stdin(pipe()).stdout(pipe()).stderr(pipe()).spawn()
        })
    }

    /// Starts it at a terminal, which is beside its standard input, output and error, not in their place.
    #[cfg(target_os = "linux")]
    #[must_use]
    pub fn start_at_terminal(self) -> (Running, Terminal) {
        let terminal = Terminal::new();
        (self.start_by(|command| terminal.start(command)), terminal)
    }

    fn start_by(self, spawn: impl FnOnce(Command) -> std::io::Result<Child>) -> Running {
        let (program, arguments) = (self.command.get_program(), self.command.get_args());
        let name = Path::new(program).file_name().unwrap().to_string_lossy();
        let words: Vec<_> = arguments.map(OsStr::to_string_lossy).collect();
        let what = format!("{name} {}", words.join(" "));
        let started = Instant::now();
        let child = spawn(self.command).unwrap_or_else(|error| panic!("{what}: {error}"));
        let mut running = Running::new(child, what, started);
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
