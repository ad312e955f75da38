//! Real market data for tests: recorded ticks, which are not part of the project, and the daily prices, which are.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use flate2::read::MultiGzDecoder;

use crate::processes::workspace;

/// Names another file of recorded ticks.
pub const TICKS_VARIABLE: &str = "MAILLE_TICKS";

/// The file of recorded ticks, gzipped CSV with a header; nothing, and a loud word, where it is absent.
#[must_use]
pub fn file() -> Option<PathBuf> {
    let named = std::env::var_os(TICKS_VARIABLE).map(PathBuf::from);
    let path = named.unwrap_or_else(|| workspace().join("../shared/data/ticks.csv.gz"));
    if path.is_file() {
        return Some(path);
    }
    eprintln!(
        "SKIPPED: no recorded ticks at {}; name a file of them in {TICKS_VARIABLE}",
        path.display()
    );
    None
}

/// The first `count` recorded ticks, as lines without their header.
#[must_use]
pub fn lines(count: usize) -> Option<Vec<String>> {
    let file = std::fs::File::open(file()?).unwrap();
    let lines = BufReader::new(MultiGzDecoder::new(file)).lines().skip(1).take(count);
    let lines: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(lines.len(), count, "the file of recorded ticks is too short");
    Some(lines)
}

/// The daily prices that come with the ticker.
#[must_use]
pub fn daily_file() -> PathBuf {
    workspace().join("examples/ticker/data/stocks.csv")
}

/// Lines as the bytes of a standard input.
#[must_use]
pub fn input(lines: &[String]) -> Vec<u8> {
    lines
        .iter()
        .flat_map(|line| [line.as_bytes(), b"\n"].concat())
        .collect()
}
