//! The daily layout: one row a symbol and day. Each row gives three ticks, and no price that is not in it.
//!
//! A day's rows are gathered and told in the order of the market: all opens, then each symbol's low or high, then all
//! closes. Of low and high only the one farther from the open is told, because the file does not say which came first.

use std::cmp::Ordering;
use std::collections::VecDeque;

use super::row::{Fault, Header, Row};
use crate::decimal::Decimal;
use crate::tick::{Kind, MarketTime, Tick};

/// Most symbols of one day that are gathered; a day with more is told in parts.
const SYMBOLS_A_DAY_MAX: usize = 4_096;

/// Parser of the daily layout.
#[derive(Debug)]
pub(crate) struct Daily {
    date: usize,
    symbol: usize,
    open: usize,
    high: usize,
    low: usize,
    close: usize,
    day: Option<MarketTime>,
    opens: Vec<Tick>,
    extremes: Vec<Tick>,
    closes: Vec<Tick>,
}

impl Daily {
    /// Recognises the layout by its columns, in any order.
    pub(crate) fn recognise(header: &Header) -> Option<Self> {
        let [date, symbol, open, high, low, close] =
            header.positions(["date", "symbol", "open", "high", "low", "close"])?;
        let (opens, extremes, closes) = (Vec::new(), Vec::new(), Vec::new());
        Some(Self {
            date,
            symbol,
            open,
            high,
            low,
            close,
            day: None,
            opens,
            extremes,
            closes,
        })
    }

    /// Takes one row; ticks come out when its day is complete.
    pub(crate) fn row(&mut self, row: &Row<'_>, out: &mut VecDeque<Tick>) -> Result<(), Fault> {
        let time = row.time(self.date)?;
        let symbol = row.symbol(self.symbol)?;
        let (open, close) = (row.number(self.open)?, row.number(self.close)?);
        let (high, low) = (row.number(self.high)?, row.number(self.low)?);
        if high.value_cmp(&low) == Ordering::Less {
            return Err(Fault(format!("high {high} is below low {low}")));
        }
        if self.day != Some(time) || self.opens.len() >= SYMBOLS_A_DAY_MAX {
            self.finish(out);
            self.day = Some(time);
        }
        let (kind, extreme) = farther(&open, &high, &low);
        self.opens.push(Tick::priced(symbol, Kind::Open, &open, time));
        self.extremes.push(Tick::priced(symbol, kind, extreme, time));
        self.closes.push(Tick::priced(symbol, Kind::Close, &close, time));
        Ok(())
    }

    /// Tells the gathered day.
    pub(crate) fn finish(&mut self, out: &mut VecDeque<Tick>) {
        out.extend(self.opens.drain(..));
        out.extend(self.extremes.drain(..));
        out.extend(self.closes.drain(..));
    }
}

/// The day's low or high: whichever is farther from the open, the high if neither is.
fn farther<'a>(open: &Decimal, high: &'a Decimal, low: &'a Decimal) -> (Kind, &'a Decimal) {
    let distance = |price: &Decimal| (price.approximate() - open.approximate()).abs();
    if distance(low) > distance(high) {
        (Kind::Low, low)
    } else {
        (Kind::High, high)
    }
}
