//! Any other CSV or JSON lines, by the names of three columns: time, key, value. So that scores and weather work as
//! prices do.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use serde_json::value::RawValue;

use super::row::{Fault, Header, Row, number, quoted, symbol, time};
use crate::tick::{Kind, Tick};

/// The names of the three columns. In JSON lines a name that begins with `/` is a JSON pointer through objects
/// (RFC 6901): `/main/temp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Columns {
    /// When it happened.
    pub(crate) time: String,
    /// What it is about: shown as the symbol.
    pub(crate) key: String,
    /// The number.
    pub(crate) value: String,
}

/// Parser of a CSV file whose columns were named.
#[derive(Debug)]
pub(crate) struct NamedCsv {
    time: usize,
    key: usize,
    value: usize,
}

impl NamedCsv {
    /// Finds the columns, or says which one is missing.
    pub(crate) fn find(header: &Header, columns: &Columns) -> Result<Self, Fault> {
        let position = |name: &str| {
            let missing = || Fault(format!("no column {}; there are: {}", quoted(name), header.listing()));
            header.position(name).ok_or_else(missing)
        };
        Ok(Self {
            time: position(&columns.time)?,
            key: position(&columns.key)?,
            value: position(&columns.value)?,
        })
    }

    /// Takes one row, which is one tick.
    pub(crate) fn row(&self, row: &Row<'_>, out: &mut VecDeque<Tick>) -> Result<(), Fault> {
        let time = row.time(self.time)?;
        out.push_back(Tick::priced(
            row.symbol(self.key)?,
            Kind::Value,
            &row.number(self.value)?,
            time,
        ));
        Ok(())
    }
}

/// Parser of JSON lines. Numbers are taken as the text they stand there in, never through a float.
#[derive(Debug)]
pub(crate) struct JsonLines {
    columns: Columns,
}

impl JsonLines {
    /// Remembers the columns; every line is looked at by itself.
    pub(crate) fn new(columns: Columns) -> Self {
        Self { columns }
    }

    /// Takes one line, which is one tick.
    pub(crate) fn line(&self, line: &str, out: &mut VecDeque<Tick>) -> Result<(), Fault> {
        let when = scalar(line, &self.columns.time)?;
        let key = scalar(line, &self.columns.key)?;
        let value = scalar(line, &self.columns.value)?;
        let value = number(&self.columns.value, &value)?;
        let symbol = symbol(&self.columns.key, &key)?;
        out.push_back(Tick::priced(
            symbol,
            Kind::Value,
            &value,
            time(&self.columns.time, &when)?,
        ));
        Ok(())
    }
}

/// The string or number at `name` in one JSON object.
fn scalar<'a>(object: &'a str, name: &str) -> Result<Cow<'a, str>, Fault> {
    let mut rest = object;
    let pointer: Vec<String> = match name.strip_prefix('/') {
        Some(path) => path
            .split('/')
            .map(|step| step.replace("~1", "/").replace("~0", "~"))
            .collect(),
        None => vec![name.to_owned()],
    };
    for step in &pointer {
        let members: BTreeMap<String, &'a RawValue> = serde_json::from_str(rest)
            .map_err(|error| Fault(format!("not a JSON object: {}", without_place(&error))))?;
        rest = members
            .get(step)
            .ok_or_else(|| Fault(format!("no member {}", quoted(name))))?
            .get();
    }
    match rest.as_bytes().first() {
        Some(b'"') => serde_json::from_str(rest)
            .map(Cow::Owned)
            .map_err(|error| Fault(format!("{name} is not text: {error}"))),
        Some(b'-' | b'0'..=b'9') => Ok(Cow::Borrowed(rest)),
        _ => Err(Fault(format!("{name} is neither a number nor text: {}", quoted(rest)))),
    }
}

/// A JSON error with its column; its line would always be 1, while ours is the file's.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.split_once(" at line ") {
        Some((what, _)) => format!("{what} at column {}", error.column()),
        None => text,
    }
}
