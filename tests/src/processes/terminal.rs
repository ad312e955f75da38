//! A terminal that a process is started on: what is typed into it, and what it shows. Beside it the process's standard
//! input, output and error are pipes as ever; a program finds its terminal as `/dev/tty`.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use pty_process::blocking::{Command, Pts, open};

/// What is read of a terminal at once.
const CHUNK_BYTES: usize = 1_024;

/// How often its settings are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// All that it showed so far, and that there is more.
type Screen = Arc<(Mutex<Vec<u8>>, Condvar)>;

/// A terminal.
pub struct Terminal {
    keys: Arc<File>,
    screen: Screen,
    /// The side of the process. It opens it only while it asks something, and a terminal that nobody has open is gone.
    side: Pts,
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal")
            .field("screen", &self.screen())
            .finish_non_exhaustive()
    }
}

impl Terminal {
    /// One that nothing runs on yet.
    pub(super) fn new() -> Self {
        let (pty, side) = open().unwrap();
        let (keys, screen) = (Arc::new(File::from(OwnedFd::from(pty))), Screen::default());
        let (pty, shown) = (keys.clone(), screen.clone());
        std::thread::spawn(move || {
            let mut chunk = [0; CHUNK_BYTES];
            // The read fails once the terminal is dropped.
            while let Ok(bytes) = (&*pty).read(&mut chunk)
                && bytes > 0
            {
                shown.0.lock().unwrap().extend_from_slice(&chunk[..bytes]);
                shown.1.notify_all();
            }
        });
        Self { keys, screen, side }
    }

    /// Starts a process with this as its controlling terminal.
    pub(super) fn start(&self, command: std::process::Command) -> std::io::Result<std::process::Child> {
        // Without a word of its own the terminal would take the place of the pipes.
        let pipe = std::process::Stdio::piped;
        let mut command = Command::from(command).stdin(pipe()).stdout(pipe()).stderr(pipe());
        command.spawn_borrowed(&self.side).map_err(std::io::Error::other)
    }

    /// Types on the keyboard; a line ends with `\r`, and `\x03` is Ctrl-C.
    pub fn types(&self, keys: &str) {
        (&*self.keys).write_all(keys.as_bytes()).unwrap();
    }

    /// What it showed so far.
    #[must_use]
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.0.lock().unwrap()).into_owned()
    }

    /// Waits until it shows this prompt, and then hides what is typed: the one comes a moment before the other.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn asks(&self, prompt: &str, deadline: Duration) {
        let end = Instant::now() + deadline;
        self.shows(prompt, deadline);
        // The settings of a terminal can be read at either side of it.
        let hides = || {
            let side = self.keys.try_clone().unwrap();
            let settings = std::process::Command::new("stty").arg("-a").stdin(side).output();
            String::from_utf8_lossy(&settings.unwrap().stdout).contains("-echo ")
        };
        while !hides() {
            assert!(
                Instant::now() < end,
                "what is typed is shown after {prompt:?}, still after {deadline:?}"
            );
            std::thread::sleep(LOOK_INTERVAL);
        }
    }

    /// Waits until it shows this text.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn shows(&self, text: &str, deadline: Duration) {
        let end = Instant::now() + deadline;
        let mut shown = self.screen.0.lock().unwrap();
        while !String::from_utf8_lossy(&shown).contains(text) {
            let left = end.saturating_duration_since(Instant::now());
            let screen = String::from_utf8_lossy(&shown);
            assert!(
                !left.is_zero(),
                "no {text:?} on the terminal within {deadline:?}, but {screen:?}"
            );
            shown = self.screen.1.wait_timeout(shown, left).unwrap().0;
        }
    }
}
