//! Recorded matches: one line of JSON for what was agreed, one for each tick with its inputs and the hash after it. Checking
//! one executes it again.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shared::Failure;

use crate::rules::Arena;
use crate::session::Match;

/// What the first line says.
const FORM: &str = "light cycles 1";
/// A line is not longer.
const LINE_BYTES_MAX: u64 = 65_536;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Begin {
        form: String,
        r#match: Match,
    },
    State {
        tick: u32,
        state: String,
    },
    Tick {
        tick: u32,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        inputs: Vec<(usize, String)>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        joined: Vec<usize>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left: Vec<usize>,
        hash: String,
    },
    End {
        ticks: u32,
    },
}

/// Writes a match down.
#[derive(Debug)]
pub(crate) struct Recorder {
    path: PathBuf,
    file: BufWriter<File>,
    ticks: u32,
}

impl Recorder {
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let file = File::create(path).map_err(|error| Failure::Other(format!("{}: {error}", path.display())))?;
        Ok(Self {
            path: path.to_owned(),
            file: BufWriter::new(file),
            ticks: 0,
        })
    }

    fn write(&mut self, line: &Line) -> Result<(), Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::Other(format!("{}: {error}", self.path.display()));
        let text = serde_json::to_string(line).map_err(|error| failed(&error))?;
        writeln!(self.file, "{text}").map_err(|error| failed(&error))
    }

    pub(crate) fn begin(&mut self, info: &Match) -> Result<(), Failure> {
        self.write(&Line::Begin {
            form: FORM.to_owned(),
            r#match: info.clone(),
        })
    }

    pub(crate) fn state(&mut self, tick: u32, state: &[u8]) -> Result<(), Failure> {
        let state = hex(state);
        self.write(&Line::State { tick, state })
    }

    pub(crate) fn tick(
        &mut self,
        tick: u32,
        inputs: &[(usize, &[u8])],
        joined: &[usize],
        left: &[usize],
        hash: u64,
    ) -> Result<(), Failure> {
        self.ticks += 1;
        self.write(&Line::Tick {
            tick,
            inputs: inputs.iter().map(|(rider, input)| (*rider, hex(input))).collect(),
            joined: joined.to_vec(),
            left: left.to_vec(),
            hash: format!("{hash:016x}"),
        })
    }

    pub(crate) fn end(&mut self) -> Result<(), Failure> {
        self.write(&Line::End { ticks: self.ticks })?;
        let flushed = self.file.flush();
        flushed.map_err(|error| Failure::Other(format!("{}: {error}", self.path.display())))
    }
}

/// A recorded match that is executed again.
pub(crate) struct Replay {
    path: PathBuf,
    file: BufReader<File>,
    pub(crate) info: Match,
    pub(crate) arena: Arena,
    number: u64,
    tick: u32,
    pub(crate) ticks: u32,
}

impl Replay {
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let file = File::open(path).map_err(|error| Failure::Unreadable(format!("{}: {error}", path.display())))?;
        let mut replay = Self {
            path: path.to_owned(),
            file: BufReader::new(file),
            info: Match {
                room: String::new(),
                seed: 0,
                players: Vec::new(),
            },
            arena: Arena::new(0, 0),
            number: 0,
            tick: 0,
            ticks: 0,
        };
        let Some(Line::Begin { form, r#match }) = replay.line()? else {
            return Err(replay.wrong("does not say what was played"));
        };
        if form != FORM || r#match.plan().is_none() {
            return Err(replay.wrong("is of another game"));
        }
        replay.arena = Arena::new(r#match.seed, r#match.players.len());
        replay.info = r#match;
        Ok(replay)
    }

    fn wrong(&self, what: &str) -> Failure {
        Failure::Unreadable(format!("line {} of {} {what}", self.number, self.path.display()))
    }

    fn line(&mut self) -> Result<Option<Line>, Failure> {
        self.number += 1;
        let mut text = String::new();
        let read = (&mut self.file).take(LINE_BYTES_MAX).read_line(&mut text);
        match read {
            Ok(0) => Ok(None),
            Ok(_) => serde_json::from_str(&text)
                .map(Some)
                .map_err(|_| self.wrong("is no record of a match")),
            Err(error) => Err(Failure::Unreadable(format!("{}: {error}", self.path.display()))),
        }
    }

    /// Executes the next tick and checks its hash; whether there was one.
    pub(crate) fn step(&mut self) -> Result<bool, Failure> {
        loop {
            match self.line()? {
                Some(Line::Tick {
                    tick,
                    inputs,
                    joined,
                    left,
                    hash,
                }) => {
                    if tick != self.tick + 1 {
                        return Err(self.wrong("is not of the next tick"));
                    }
                    let bytes = |(rider, text): &(usize, String)| Some((*rider, unhex(text)?));
                    let inputs = inputs.iter().map(bytes).collect::<Option<Vec<_>>>();
                    let inputs = inputs.ok_or_else(|| self.wrong("has an input that is none"))?;
                    let inputs: Vec<(usize, &[u8])> =
                        inputs.iter().map(|(rider, input)| (*rider, &input[..])).collect();
                    self.arena.step(&inputs, &joined, &left);
                    if format!("{:016x}", self.arena.hash()) != hash {
                        return Err(self.wrong("does not give the state that was recorded: one of them was changed"));
                    }
                    (self.tick, self.ticks) = (tick, self.ticks + 1);
                    return Ok(true);
                }
                Some(Line::State { tick, state }) => {
                    let riders = self.info.players.len();
                    let arena = unhex(&state).and_then(|state| Arena::decode(&state, riders));
                    self.arena = arena.ok_or_else(|| self.wrong("has a state that is none"))?;
                    self.tick = tick;
                }
                Some(Line::End { ticks }) if ticks == self.ticks => return Ok(false),
                Some(_) => return Err(self.wrong("is not in its place")),
                None => return Err(self.wrong("is missing: the end was not recorded")),
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits
        .len()
        .is_multiple_of(2)
        .then(|| digits.chunks(2).map(byte).collect())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Player;

    #[test]
    fn a_recorded_match_is_checked_and_a_changed_one_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("match");
        let player = |number: u8| Player {
            id: maille::PeerId::random().to_string(),
            name: format!("p{number}"),
        };
        let info = Match {
            room: "a/1".to_owned(),
            seed: 5,
            players: (0..3).map(player).collect(),
        };
        let mut recorder = Recorder::create(&path).unwrap();
        recorder.begin(&info).unwrap();
        let mut arena = Arena::new(5, 3);
        for tick in 1..=300 {
            let input = [(tick % 4) as u8];
            let inputs: &[(usize, &[u8])] = if tick % 7 == 0 { &[(1, &input)] } else { &[] };
            let left: &[usize] = if tick == 150 { &[2] } else { &[] };
            arena.step(inputs, &[], left);
            recorder.tick(tick, inputs, &[], left, arena.hash()).unwrap();
        }
        recorder.end().unwrap();
        let check = |path: &Path| -> Result<u32, Failure> {
            let mut replay = Replay::open(path)?;
            while replay.step()? {}
            Ok(replay.ticks)
        };
        assert_eq!(check(&path).unwrap(), 300);
        let text = std::fs::read_to_string(&path).unwrap();
        let other = dir.path().join("other");
        for changed in [
            text.replacen("\"02\"", "\"03\"", 1),
            text.replace("\"left\":[2]", "\"left\":[1]"),
            text.replace("\"seed\":5", "\"seed\":6"),
            text.lines()
                .filter(|line| !line.contains("\"tick\":77,"))
                .map(|line| format!("{line}\n"))
                .collect(),
            text.lines().take(200).map(|line| format!("{line}\n")).collect(),
            "{}".to_owned(),
            String::new(),
            "x".repeat(100_000),
        ] {
            assert_ne!(changed, text);
            std::fs::write(&other, changed).unwrap();
            assert!(matches!(check(&other), Err(Failure::Unreadable(_))));
        }
    }
}
