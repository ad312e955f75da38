//! The game in a real terminal of 80 × 24: what a person sees and types, by tmux.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::SOON;

/// Set by every continuous integration: there, what cannot be tested is a failure.
const CI_VARIABLE: &str = "CI";
/// Where the last screen is kept, to be looked at.
const CAPTURE: &str = "game-screen.txt";

struct Terminal<'a> {
    socket: &'a Path,
}

impl Terminal<'_> {
    fn tmux(&self, arguments: &[&str]) -> Output {
        Command::new("tmux")
            .arg("-S")
            .arg(self.socket)
            .args(arguments)
            .output()
            .unwrap()
    }

    fn screen(&self) -> String {
        let shown = self.tmux(&["capture-pane", "-p", "-t", "game"]);
        String::from_utf8_lossy(&shown.stdout).into_owned()
    }

    fn shows(&self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let screen = self.screen();
            if holds(&screen) {
                return screen;
            }
            assert!(begun.elapsed() < SOON, "{what} is not shown:\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys", "-t", "game"], keys].concat());
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

#[test]
fn a_person_plays_chats_and_leaves() {
    if Command::new("tmux").arg("-V").output().is_err() {
        assert!(std::env::var_os(CI_VARIABLE).is_none(), "there is no tmux; install it");
        eprintln!("SKIPPED: there is no tmux; install it to see the game in a terminal");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("tmux");
    let terminal = Terminal { socket: &socket };
    let line = format!(
        "{} --players 3; echo ended with $?; sleep 600",
        env!("CARGO_BIN_EXE_game")
    );
    terminal.tmux(&[
        "-f",
        "/dev/null",
        "new-session",
        "-d",
        "-s",
        "game",
        "-x",
        "80",
        "-y",
        "24",
        &line,
    ]);

    terminal.shows("the match", |screen| {
        screen.contains("round 1") && screen.contains("you* 0")
    });
    let screen = terminal.shows("a wall", |screen| {
        screen.contains("aa") || screen.lines().filter(|line| line.contains('a')).count() > 8
    });
    assert!(
        screen.contains("arrows or WASD steer") && screen.contains("2 neighbours"),
        "{screen}"
    );
    for rider in ["A ", "B ", "C "] {
        assert!(screen.contains(rider), "{screen}");
    }
    terminal.keys(&["Left", "Up"]);
    terminal.keys(&["Enter"]);
    terminal.shows("what is being said", |screen| screen.contains("say: _"));
    terminal.keys(&["-l", "hello bots"]);
    terminal.keys(&["Enter"]);
    let screen = terminal.shows("the chat", |screen| screen.matches("you: hello bots").count() == 1);
    assert!(
        screen.lines().count() <= 24 && screen.lines().all(|line| line.chars().count() <= 80),
        "{screen}"
    );
    std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join(CAPTURE), &screen).unwrap();
    eprintln!("{screen}");
    terminal.keys(&["q"]);
    terminal.shows("the end", |screen| screen.contains("ended with 0"));
}
