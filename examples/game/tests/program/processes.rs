//! Players in processes of their own, and what they say.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The program for users who find each other by the run file alone.
pub(crate) fn program(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_game"));
    command
        .env_clear()
        .env("HOME", home)
        .env("LANG", "C.UTF-8")
        .env("PATH", "/usr/bin:/bin")
        .env("MAILLE_RUN_DIR", home.join("run"))
        .stdin(Stdio::null());
    command
}

/// A bot in a process. Dropping it ends it.
pub(crate) struct Playing {
    child: Child,
    said: Arc<(Mutex<Vec<Value>>, Condvar)>,
}

impl Playing {
    /// One that has the same identity whenever it has the same name.
    pub(crate) fn start(home: &Path, name: &str, players: usize) -> Self {
        let mut child = program(home)
            .args([
                "host",
                "arena.example/den",
                "--headless",
                "--json",
                "--no-mdns",
                "--listen",
                "/ip4/127.0.0.1/tcp/0",
            ])
            .args(["--name", name, "--players", &players.to_string(), "--data-dir"])
            .arg(home.join(name))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said: Arc<(Mutex<Vec<Value>>, Condvar)> = Arc::default();
        let (out, heard) = (child.stdout.take().unwrap(), said.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                heard.0.lock().unwrap().push(serde_json::from_str(&line).unwrap());
                heard.1.notify_all();
            }
        });
        Self { child, said }
    }

    /// The first event of this name for which the condition holds, said already or within the deadline.
    pub(crate) fn event(&self, name: &str, deadline: Duration, holds: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        let mut said = self.said.0.lock().unwrap();
        loop {
            if let Some(event) = said.iter().find(|event| event["event"] == name && holds(event)) {
                return event.clone();
            }
            let left = deadline.saturating_sub(begun.elapsed());
            assert!(
                !left.is_zero(),
                "no {name} within {deadline:?}; the last: {:?}",
                said.iter().rev().take(8).collect::<Vec<_>>()
            );
            said = self.said.1.wait_timeout(said, left).unwrap().0;
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
