//! One CSV line as fields, and what may be wrong with a row. Not a CSV file reader: here a record is one line, so that a
//! forgotten quote spoils one row and not the rest of the file.

use std::fmt;

use crate::decimal::Decimal;
use crate::tick::{MarketTime, check_symbol};

/// How much of a wrong field an error message shows.
const SHOWN_CHARS_MAX: usize = 40;

/// What is wrong with one row, in words that name the column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault(pub String);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The columns' names, from a file's first line.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    names: Vec<String>,
}

impl Header {
    /// Reads the first line.
    pub(crate) fn parse(line: &str) -> Result<Self, Fault> {
        Ok(Self { names: split(line)? })
    }

    /// Where a column stands, by its name in any case.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|own| own.eq_ignore_ascii_case(name))
    }

    /// Where all these columns stand, or none if one is missing.
    pub(crate) fn positions<const N: usize>(&self, names: [&str; N]) -> Option<[usize; N]> {
        let mut places = [0; N];
        for (place, name) in places.iter_mut().zip(names) {
            *place = self.position(name)?;
        }
        Some(places)
    }

    /// The columns, to show somebody who has to choose among them.
    pub(crate) fn listing(&self) -> String {
        let shown: String = self.names.join(", ").chars().take(SHOWN_CHARS_MAX * 8).collect();
        shown.escape_debug().to_string()
    }

    /// The fields of one line, as many as there are columns.
    pub(crate) fn row<'a>(&'a self, line: &str) -> Result<Row<'a>, Fault> {
        let fields = split(line)?;
        if fields.len() == self.names.len() {
            Ok(Row { header: self, fields })
        } else {
            Err(Fault(format!(
                "{} fields, but the header has {}",
                fields.len(),
                self.names.len()
            )))
        }
    }
}

/// The fields of one row.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    header: &'a Header,
    fields: Vec<String>,
}

impl Row<'_> {
    /// The text of a column; positions come from the same [`Header`].
    pub(crate) fn text(&self, position: usize) -> &str {
        self.fields.get(position).map_or("", String::as_str)
    }

    /// A column that holds a number.
    pub(crate) fn number(&self, position: usize) -> Result<Decimal, Fault> {
        number(&self.header.names[position], self.text(position))
    }

    /// A column that holds a number or nothing.
    pub(crate) fn optional_number(&self, position: usize) -> Result<Option<Decimal>, Fault> {
        if self.text(position).is_empty() {
            Ok(None)
        } else {
            self.number(position).map(Some)
        }
    }

    /// A column that holds a time.
    pub(crate) fn time(&self, position: usize) -> Result<MarketTime, Fault> {
        time(&self.header.names[position], self.text(position))
    }

    /// A column that holds a symbol.
    pub(crate) fn symbol(&self, position: usize) -> Result<&str, Fault> {
        symbol(&self.header.names[position], self.text(position))
    }
}

/// A number, or what is wrong with it.
pub(crate) fn number(column: &str, text: &str) -> Result<Decimal, Fault> {
    if text.is_empty() {
        return Err(Fault(format!("{column} is empty")));
    }
    text.parse()
        .map_err(|error| Fault(format!("{column} is {error}: {}", quoted(text))))
}

/// A time, or what is wrong with it.
pub(crate) fn time(column: &str, text: &str) -> Result<MarketTime, Fault> {
    MarketTime::parse(text).ok_or_else(|| Fault(format!("{column} is not a date or time: {}", quoted(text))))
}

/// A symbol, or what is wrong with it.
pub(crate) fn symbol<'a>(column: &str, text: &'a str) -> Result<&'a str, Fault> {
    match check_symbol(text) {
        Ok(()) => Ok(text),
        Err(_) if text.is_empty() => Err(Fault(format!("{column} is empty"))),
        Err(_) => Err(Fault(format!(
            "{column} is too long or not printable: {}",
            quoted(text)
        ))),
    }
}

/// A field in quotes, cut to a size that fits a message, nothing in it left that could move a cursor.
pub(crate) fn quoted(text: &str) -> String {
    let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    let dots = if shown.len() < text.len() { "…" } else { "" };
    format!("\"{}{dots}\"", shown.escape_debug())
}

/// The fields of a line, trimmed.
fn split(line: &str) -> Result<Vec<String>, Fault> {
    if !line.contains('"') {
        return Ok(line.split(',').map(|field| field.trim().to_owned()).collect());
    }
    if line.matches('"').count() % 2 == 1 {
        return Err(Fault("a quotation mark is not closed on its line".to_owned()));
    }
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .trim(csv::Trim::All)
        .from_reader(line.as_bytes());
    let mut record = csv::StringRecord::new();
    match reader.read_record(&mut record) {
        Ok(true) => Ok(record.iter().map(ToOwned::to_owned).collect()),
        Ok(false) => Ok(vec![String::new()]),
        Err(error) => Err(Fault(format!("not CSV: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_fields_may_hold_commas_and_quotes() {
        assert_eq!(
            split(r#"a ,"b,c","say ""hi""", d"#).unwrap(),
            ["a", "b,c", "say \"hi\"", "d"]
        );
        assert_eq!(split("").unwrap(), [""]);
        assert_eq!(split("a,,").unwrap(), ["a", "", ""]);
        assert_eq!(
            split("a,\"b").unwrap_err().0,
            "a quotation mark is not closed on its line"
        );
    }

    #[test]
    fn faults_name_the_column_and_show_the_text_harmlessly() {
        let header = Header::parse("date,Close").unwrap();
        let row = header.row("2000-03-01,\u{1b}[31mabc").unwrap();
        assert_eq!(header.position("close"), Some(1));
        assert_eq!(
            row.number(1).unwrap_err().0,
            "Close is not a number: \"\\u{1b}[31mabc\""
        );
        assert_eq!(header.row("a,b,c").unwrap_err().0, "3 fields, but the header has 2");
        assert_eq!(
            number("close", &"1".repeat(41)).unwrap_err().0,
            format!("close is longer than 30 digits: \"{}…\"", "1".repeat(40))
        );
        assert_eq!(number("close", "").unwrap_err().0, "close is empty");
        assert_eq!(
            time("date", "soon").unwrap_err().0,
            "date is not a date or time: \"soon\""
        );
        assert_eq!(symbol("symbol", "").unwrap_err().0, "symbol is empty");
    }
}
