//! The `Tick`: what the ticker publishes, and its reading by whoever receives one. Not a parser of files, and never a
//! place where a price is computed: numbers travel as the text the market wrote.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::decimal::{Decimal, DecimalError};

/// Longest symbol, in bytes: it is also the record's key, which may have 256.
pub(crate) const SYMBOL_BYTES_MAX: usize = 64;
/// Nanoseconds of a second.
const SECOND_NS: i128 = 1_000_000_000;

/// One event of a market, or one reading of anything else that has a name, a number and a time.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Tick {
    /// What it is about: `AAPL`, a team, a weather station. At most [`SYMBOL_BYTES_MAX`] bytes, no control characters.
    #[prost(string, tag = "1")]
    pub(crate) symbol: String,
    /// What kind of event.
    #[prost(enumeration = "Kind", tag = "2")]
    pub(crate) kind: i32,
    /// Price or value, a decimal; empty in quotes.
    #[prost(string, tag = "3")]
    pub(crate) price: String,
    /// Size of a trade, a decimal.
    #[prost(string, optional, tag = "4")]
    pub(crate) size: Option<String>,
    /// Best bid of a quote, a decimal; the three below likewise.
    #[prost(string, optional, tag = "5")]
    pub(crate) bid: Option<String>,
    /// How much is bid for.
    #[prost(string, optional, tag = "6")]
    pub(crate) bid_size: Option<String>,
    /// Best ask.
    #[prost(string, optional, tag = "7")]
    pub(crate) ask: Option<String>,
    /// How much is asked for.
    #[prost(string, optional, tag = "8")]
    pub(crate) ask_size: Option<String>,
    /// Market time: nanoseconds since the Unix epoch. With `day`, the midnight (UTC) that begins the day.
    #[prost(sint64, tag = "9")]
    pub(crate) time_ns: i64,
    /// Only the day is known, not the time of day.
    #[prost(bool, tag = "10")]
    pub(crate) day: bool,
}

/// What a tick tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum Kind {
    /// A reading: a score, a temperature, a price from an unknown layout.
    Value = 0,
    /// A day's first price.
    Open = 1,
    /// A day's highest price.
    High = 2,
    /// A day's lowest price.
    Low = 3,
    /// A day's last price.
    Close = 4,
    /// Best bid and ask changed.
    Quote = 5,
    /// A trade.
    Trade = 6,
    /// No price: the demo's publisher rings until every subscriber heard it, and only then opens the market.
    Bell = 7,
}

impl Kind {
    /// The word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Open => "open",
            Self::High => "high",
            Self::Low => "low",
            Self::Close => "close",
            Self::Quote => "quote",
            Self::Trade => "trade",
            Self::Bell => "bell",
        }
    }
}

/// Market time, as exact as its source gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MarketTime {
    /// A day, by the nanosecond it begins at (UTC).
    Day(i64),
    /// A moment, in nanoseconds since the Unix epoch.
    Moment(i64),
}

impl MarketTime {
    /// Parses a day (`2013-03-01`), RFC 3339, a civil time (taken as UTC), or a Unix time in seconds, milli-, micro- or
    /// nanoseconds (told apart by its number of digits).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(unix) = parse_unix(text) {
            return Some(Self::Moment(unix));
        }
        // A civil date parses prefixes of longer forms too, hence the length.
        if text.len() == "2013-03-01".len() {
            let day: Date = text.parse().ok()?;
            let midnight = day.to_zoned(TimeZone::UTC).ok()?.timestamp();
            return i64::try_from(midnight.as_nanosecond()).ok().map(Self::Day);
        }
        let moment: Timestamp = match text.parse() {
            Ok(moment) => moment,
            Err(_) => text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp(),
        };
        i64::try_from(moment.as_nanosecond()).ok().map(Self::Moment)
    }

    /// Nanoseconds since the Unix epoch; of a day, its beginning.
    pub(crate) fn as_ns(self) -> i64 {
        match self {
            Self::Day(ns) | Self::Moment(ns) => ns,
        }
    }
}

impl fmt::Display for MarketTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(moment) = Timestamp::from_nanosecond(i128::from(self.as_ns())) else {
            return f.pad("-");
        };
        match self {
            Self::Day(_) => f.pad(&TimeZone::UTC.to_datetime(moment).date().to_string()),
            Self::Moment(_) => f.pad(&moment.to_string()),
        }
    }
}

/// A tick whose every field was checked. What is shown, counted or drawn is one of these.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reading {
    /// The symbol: short, and safe to print on a terminal.
    pub(crate) symbol: String,
    /// What kind of event.
    pub(crate) kind: Kind,
    /// Price or value; none in quotes and bells.
    pub(crate) price: Option<Decimal>,
    /// Best bid, in quotes.
    pub(crate) bid: Option<Decimal>,
    /// Best ask, in quotes.
    pub(crate) ask: Option<Decimal>,
    /// Market time.
    pub(crate) time: MarketTime,
}

/// Why a tick cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// Empty, too long, or with characters that could play tricks on a terminal.
    Symbol,
    /// A kind that this program does not know.
    Kind,
    /// A number is missing, or not a finite decimal.
    Number(&'static str),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Symbol => f.write_str("its symbol is empty, too long or not printable"),
            Self::Kind => f.write_str("its kind is unknown"),
            Self::Number(field) => write!(f, "its {field} is not a number"),
        }
    }
}

impl std::error::Error for Malformed {}

impl Tick {
    /// A tick with one price: a value, a trade, a day's open, high, low or close.
    pub(crate) fn priced(symbol: &str, kind: Kind, price: &Decimal, time: MarketTime) -> Self {
        let (time_ns, day) = (time.as_ns(), matches!(time, MarketTime::Day(_)));
        Self {
            symbol: symbol.to_owned(),
            kind: kind.into(),
            price: price.as_str().to_owned(),
            time_ns,
            day,
            ..Self::default()
        }
    }

    /// The demo's opening bell.
    pub(crate) fn bell() -> Self {
        Self {
            symbol: "bell".to_owned(),
            kind: Kind::Bell.into(),
            ..Self::default()
        }
    }

    /// When it happened on the market.
    pub(crate) fn time(&self) -> MarketTime {
        if self.day {
            MarketTime::Day(self.time_ns)
        } else {
            MarketTime::Moment(self.time_ns)
        }
    }

    /// Checks every field: a member may send anything.
    pub(crate) fn read(&self) -> Result<Reading, Malformed> {
        check_symbol(&self.symbol)?;
        let kind = Kind::try_from(self.kind).map_err(|_| Malformed::Kind)?;
        let price = match kind {
            Kind::Quote | Kind::Bell => None,
            _ => Some(self.price.parse().map_err(|_| Malformed::Number("price"))?),
        };
        let optional = |field: &'static str, text: &Option<String>| {
            text.as_deref()
                .map(str::parse)
                .transpose()
                .map_err(|_: DecimalError| Malformed::Number(field))
        };
        let (bid, ask) = (optional("bid", &self.bid)?, optional("ask", &self.ask)?);
        if kind == Kind::Quote && bid.is_none() && ask.is_none() {
            return Err(Malformed::Number("bid"));
        }
        Ok(Reading {
            symbol: self.symbol.clone(),
            kind,
            price,
            bid,
            ask,
            time: self.time(),
        })
    }
}

/// A symbol must be short and printable: it is a key on the wire and a cell on the board.
pub(crate) fn check_symbol(symbol: &str) -> Result<(), Malformed> {
    // Bidirectional and zero-width marks are not control characters, but change what a reader sees.
    let deceptive =
        |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    let printable = symbol.chars().all(|c| !c.is_control() && !deceptive(c));
    if symbol.is_empty() || symbol.len() > SYMBOL_BYTES_MAX || !printable {
        Err(Malformed::Symbol)
    } else {
        Ok(())
    }
}

/// A Unix time: its unit follows from its number of digits, so `1723161600` is seconds and `1723161600001692584` nanoseconds.
fn parse_unix(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let numeric = !whole.is_empty() && whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    if !numeric || whole.len() > 19 || fraction.len() > 9 {
        return None;
    }
    let unit_ns = match whole.len() {
        0..=11 => SECOND_NS,
        12..=14 => SECOND_NS / 1_000,
        15..=17 => SECOND_NS / 1_000_000,
        _ => 1,
    };
    let mut ns = whole.parse::<i128>().ok()? * unit_ns;
    if !fraction.is_empty() {
        // What lies below a nanosecond is no time a clock gave.
        ns += fraction.parse::<i128>().ok()? * unit_ns / 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    }
    i64::try_from(sign * ns).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    fn close() -> Tick {
        Tick::priced(
            "AAPL",
            Kind::Close,
            &"130.31".parse().unwrap(),
            MarketTime::parse("2000-03-01").unwrap(),
        )
    }

    #[test]
    fn a_tick_survives_the_wire_to_the_letter() {
        let mut quote = Tick {
            price: String::new(),
            kind: Kind::Quote.into(),
            ..close()
        };
        quote.bid = Some("61685.990".to_owned());
        quote.ask_size = Some("2.44816".to_owned());
        for tick in [close(), quote, Tick::bell()] {
            let bytes = tick.encode_to_vec();
            assert_eq!(Tick::decode(bytes.as_slice()).unwrap(), tick);
        }
        assert!(
            close().encode_to_vec().len() <= 32,
            "a daily tick has {} bytes",
            close().encode_to_vec().len()
        );
    }

    #[test]
    fn times_are_told_apart() {
        let cases = [
            ("2013-03-01", "2013-03-01"),
            ("2013-03-01T14:30:00Z", "2013-03-01T14:30:00Z"),
            ("2013-03-01T09:30:00-05:00", "2013-03-01T14:30:00Z"),
            ("2013-03-01 14:30:00", "2013-03-01T14:30:00Z"),
            ("1723161600", "2024-08-09T00:00:00Z"),
            ("1723161600.25", "2024-08-09T00:00:00.25Z"),
            ("1723161600001", "2024-08-09T00:00:00.001Z"),
            ("1723161600001692", "2024-08-09T00:00:00.001692Z"),
            ("1723161600001692584", "2024-08-09T00:00:00.001692584Z"),
            ("-86400", "1969-12-31T00:00:00Z"),
        ];
        for (text, shown) in cases {
            assert_eq!(
                MarketTime::parse(text).unwrap_or_else(|| panic!("{text}")).to_string(),
                shown,
                "{text}"
            );
        }
        for text in [
            "",
            "-",
            "noon",
            "2013-02-30",
            "2013-13-01",
            "99999999999999999999",
            "9999999999999999999",
            "1e9",
            "12:00",
        ] {
            assert_eq!(MarketTime::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_members_bad_tick_is_a_value_not_a_panic() {
        let bad = |change: fn(&mut Tick)| {
            let mut tick = close();
            change(&mut tick);
            tick.read()
        };
        assert_eq!(bad(|t| t.symbol.clear()), Err(Malformed::Symbol));
        assert_eq!(bad(|t| t.symbol = "A".repeat(65)), Err(Malformed::Symbol));
        assert_eq!(bad(|t| t.symbol = "\u{1b}[2J".to_owned()), Err(Malformed::Symbol));
        assert_eq!(bad(|t| t.symbol = "\u{202e}LPAA".to_owned()), Err(Malformed::Symbol));
        assert_eq!(bad(|t| t.kind = 99), Err(Malformed::Kind));
        assert_eq!(bad(|t| t.price = "NaN".to_owned()), Err(Malformed::Number("price")));
        assert_eq!(bad(|t| t.bid = Some("x".to_owned())), Err(Malformed::Number("bid")));
        assert_eq!(bad(|t| t.kind = Kind::Quote.into()), Err(Malformed::Number("bid")));
        assert!(bad(|t| t.time_ns = i64::MIN).is_ok_and(|reading| !reading.time.to_string().is_empty()));
    }
}
