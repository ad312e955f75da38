//! Where ticks come from: files and standard input, in layouts told apart by their first line. Reads in a stream; what
//! it keeps is one line and, of daily files, one day.

pub(crate) mod columns;
mod daily;
mod lines;
mod quotes;
mod row;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};

use tokio::sync::mpsc;

use self::columns::{Columns, JsonLines, NamedCsv};
use self::daily::Daily;
use self::lines::{LINE_BYTES_MAX, Line, Lines};
use self::quotes::Quotes;
use self::row::{Fault, Header};
use crate::tick::Tick;

/// The daily file that comes with the program: see data/README.md.
pub(crate) const STOCKS: &[u8] = include_bytes!("../../data/stocks.csv");
/// How many ticks a reading thread is ahead of the publisher.
const TICKS_AHEAD_MAX: usize = 1_024;

/// How to read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// The columns of a layout that is not known by its header.
    pub(crate) columns: Option<Columns>,
    /// Count bad rows and go on, instead of stopping at the first.
    pub(crate) skip_bad: bool,
}

/// Ticks of one file, in its order.
pub(crate) struct Source {
    name: String,
    lines: Lines,
    layout: Layout,
    ready: VecDeque<Tick>,
    skip_bad: bool,
    skipped: u64,
    ended: bool,
}

/// Why a source gives no (further) tick. All of these mean: the input is unreadable.
#[derive(Debug)]
pub(crate) enum SourceError {
    /// It cannot be opened or read.
    Io {
        /// The file's name, or `standard input`.
        name: String,
        /// What the system said.
        error: io::Error,
    },
    /// A row that is not what the header promised.
    Row {
        /// The file's name.
        name: String,
        /// The line; the header is line 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { name, error } => write!(f, "{name}: {error}"),
            Self::Row { name, line, what } => write!(f, "{name}:{line}: {what}"),
        }
    }
}

impl std::error::Error for SourceError {}

/// What a reading thread hands over.
#[derive(Debug)]
pub(crate) enum Supply {
    /// The next tick.
    Tick(Tick),
    /// All was read.
    End {
        /// Bad rows left out, with `skip_bad`.
        skipped: u64,
    },
    /// Reading stopped.
    Failed(SourceError),
}

enum Layout {
    Daily(Header, Daily),
    Quotes(Header, Quotes),
    Named(Header, NamedCsv),
    Json(JsonLines),
}

impl Source {
    /// Opens a file; `-` is standard input.
    pub(crate) fn open(file: &str, options: &Options) -> Result<Self, SourceError> {
        if file == "-" {
            return Self::new("standard input", io::stdin(), options);
        }
        match File::open(file) {
            Ok(input) => Self::new(file, input, options),
            Err(error) => Err(SourceError::Io {
                name: file.to_owned(),
                error,
            }),
        }
    }

    /// The stock prices that come with the program.
    pub(crate) fn built_in() -> Result<Self, SourceError> {
        Self::new("stocks.csv", STOCKS, &Options::default())
    }

    /// Reads the first line and chooses the layout.
    pub(crate) fn new(name: &str, input: impl Read + Send + 'static, options: &Options) -> Result<Self, SourceError> {
        let io_error = |error| SourceError::Io {
            name: name.to_owned(),
            error,
        };
        let mut lines = Lines::new(input).map_err(io_error)?;
        let mut ready = VecDeque::new();
        let mut first = Ok(None);
        while let Ok(None) = first {
            first = match lines.next_line().map_err(io_error)? {
                Some(Line::Text(text)) if text.trim().is_empty() => Ok(None),
                Some(Line::Text(text)) => Ok(Some(text.to_owned())),
                Some(line) => Err(unusable(&line)),
                None => Err(Fault("no header: the input is empty".to_owned())),
            };
        }
        let header_line = lines.number();
        let at = |line: u64, fault: Fault| SourceError::Row {
            name: name.to_owned(),
            line,
            what: fault.0,
        };
        // The loop above ends only with a text or a fault.
        let first = first
            .map(Option::unwrap_or_default)
            .map_err(|fault| at(header_line.max(1), fault))?;
        let layout = Layout::choose(&first, options).map_err(|fault| at(header_line, fault))?;
        let mut skipped = 0;
        if let Layout::Json(json) = &layout {
            // JSON lines have no header: the first line is a row already.
            match json.line(&first, &mut ready) {
                Ok(()) => {}
                Err(_) if options.skip_bad => skipped = 1,
                Err(fault) => return Err(at(header_line, fault)),
            }
        }
        Ok(Self {
            name: name.to_owned(),
            lines,
            layout,
            ready,
            skip_bad: options.skip_bad,
            skipped,
            ended: false,
        })
    }

    /// The next tick, or none at the end.
    pub(crate) fn next_tick(&mut self) -> Result<Option<Tick>, SourceError> {
        loop {
            if let Some(tick) = self.ready.pop_front() {
                return Ok(Some(tick));
            }
            if self.ended {
                return Ok(None);
            }
            let parsed = match self.lines.next_line() {
                Ok(Some(Line::Text(text))) if text.trim().is_empty() => Ok(()),
                Ok(Some(Line::Text(text))) => self.layout.line(text, &mut self.ready),
                Ok(Some(line)) => Err(unusable(&line)),
                Ok(None) => {
                    self.ended = true;
                    self.layout.finish(&mut self.ready);
                    Ok(())
                }
                Err(error) => {
                    return Err(SourceError::Io {
                        name: self.name.clone(),
                        error,
                    });
                }
            };
            match parsed {
                Ok(()) => {}
                Err(_) if self.skip_bad => self.skipped += 1,
                Err(fault) => {
                    self.ended = true;
                    return Err(SourceError::Row {
                        name: self.name.clone(),
                        line: self.lines.number(),
                        what: fault.0,
                    });
                }
            }
        }
    }

    /// Bad rows left out so far.
    pub(crate) fn skipped(&self) -> u64 {
        self.skipped
    }
}

/// Reads on a thread of its own, because a file, and standard input all the more, may block.
pub(crate) fn supply(open: impl FnOnce() -> Result<Source, SourceError> + Send + 'static) -> mpsc::Receiver<Supply> {
    let (sender, receiver) = mpsc::channel(TICKS_AHEAD_MAX);
    std::thread::spawn(move || {
        let mut source = match open() {
            Ok(source) => source,
            // Nobody listens any more: then nobody wants the error either, here as below.
            Err(error) => return drop(sender.blocking_send(Supply::Failed(error))),
        };
        loop {
            let (item, last) = match source.next_tick() {
                Ok(Some(tick)) => (Supply::Tick(tick), false),
                Ok(None) => (
                    Supply::End {
                        skipped: source.skipped(),
                    },
                    true,
                ),
                Err(error) => (Supply::Failed(error), true),
            };
            if sender.blocking_send(item).is_err() || last {
                return;
            }
        }
    });
    receiver
}

impl Layout {
    fn choose(first: &str, options: &Options) -> Result<Self, Fault> {
        let first_character = first.trim_start().chars().next();
        if let Some(columns) = &options.columns {
            return match first_character {
                Some('{') => Ok(Self::Json(JsonLines::new(columns.clone()))),
                Some('[') => Err(Fault("a JSON array: give one object a line".to_owned())),
                _ => {
                    let header = Header::parse(first)?;
                    let named = NamedCsv::find(&header, columns)?;
                    Ok(Self::Named(header, named))
                }
            };
        }
        if matches!(first_character, Some('{' | '[')) {
            return Err(Fault(
                "JSON lines: name their members with --time, --key and --value".to_owned(),
            ));
        }
        let header = Header::parse(first)?;
        if let Some(daily) = Daily::recognise(&header) {
            return Ok(Self::Daily(header, daily));
        }
        if let Some(quotes) = Quotes::recognise(&header) {
            return Ok(Self::Quotes(header, quotes));
        }
        Err(Fault(format!(
            "neither the daily nor the quote/trade layout: name its columns with --time, --key and --value; there are: {}",
            header.listing()
        )))
    }

    fn line(&mut self, line: &str, out: &mut VecDeque<Tick>) -> Result<(), Fault> {
        match self {
            Self::Daily(header, daily) => daily.row(&header.row(line)?, out),
            Self::Quotes(header, quotes) => quotes.row(&header.row(line)?, out),
            Self::Named(header, named) => named.row(&header.row(line)?, out),
            Self::Json(json) => json.line(line, out),
        }
    }

    fn finish(&mut self, out: &mut VecDeque<Tick>) {
        if let Self::Daily(_, daily) = self {
            daily.finish(out);
        }
    }
}

fn unusable(line: &Line<'_>) -> Fault {
    match line {
        Line::TooLong => Fault(format!("longer than {LINE_BYTES_MAX} bytes")),
        Line::NotUtf8 | Line::Text(_) => Fault("not UTF-8 text".to_owned()),
    }
}
