//! The pages of three members: of `party demo`, or those that a variable names.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::thread;

use serde_json::Value;

use crate::browser::PATIENCE;

/// Variable with addresses of three pages, to try the page against another program.
const PAGES_VARIABLE: &str = "PARTY_PAGES";
const MEMBERS: usize = 3;

/// Who serves the pages.
pub(crate) struct Stage {
    program: Option<Child>,
    /// Where each member's page is entered.
    pub(crate) pages: Vec<String>,
}

impl Stage {
    /// Three members who are in one group.
    pub(crate) fn set() -> Self {
        if let Ok(named) = std::env::var(PAGES_VARIABLE) {
            let pages: Vec<String> = named.split_whitespace().map(str::to_owned).collect();
            assert_eq!(pages.len(), MEMBERS, "{PAGES_VARIABLE} names {MEMBERS} pages");
            return Self { program: None, pages };
        }
        let mut program = Command::new(env!("CARGO_BIN_EXE_party"))
            .args(["demo", "--no-browser", "--json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (told, lines) = sync_channel(MEMBERS);
        let out = BufReader::new(program.stdout.take().unwrap());
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                // Read on when the three are known: nobody may wait for a full pipe.
                let _ = told.try_send(line);
            }
        });
        let mut stage = Self {
            program: Some(program),
            pages: Vec::new(),
        };
        while stage.pages.len() < MEMBERS {
            let line = lines.recv_timeout(PATIENCE).expect("`party demo` tells of three pages");
            let line: Value = serde_json::from_str(&line).unwrap();
            stage.pages.extend(line["page"].as_str().map(str::to_owned));
        }
        stage
    }

    /// Ends the program, as Ctrl-C does. Whether there was one to end.
    pub(crate) fn end(&mut self) -> bool {
        let Some(mut program) = self.program.take() else {
            return false;
        };
        let pid = program.id().to_string();
        let _ = Command::new("kill").args(["-INT", &pid]).status();
        let ended = program.wait().unwrap();
        assert!(ended.success(), "{ended}");
        true
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(mut program) = self.program.take() {
            // After a failure; of one that has ended, both fail, which is fine.
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}
