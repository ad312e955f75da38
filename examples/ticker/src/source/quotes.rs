//! The quote/trade layout: one row an event of an exchange's stream. Knows only this layout.

use std::collections::VecDeque;

use super::row::{Fault, Header, Row, quoted};
use crate::decimal::Decimal;
use crate::tick::{Kind, MarketTime, Tick};

/// Parser of the quote/trade layout.
#[derive(Debug)]
pub(crate) struct Quotes {
    time: usize,
    symbol: usize,
    kind: usize,
    /// bid, bid size, ask, ask size
    quote: [usize; 4],
    price: usize,
    size: usize,
}

impl Quotes {
    /// Recognises the layout by its columns, in any order.
    pub(crate) fn recognise(header: &Header) -> Option<Self> {
        let [time, symbol, kind, price, size] = header.positions(["ts_ns", "symbol", "kind", "price", "size"])?;
        let quote = header.positions(["bid", "bid_size", "ask", "ask_size"])?;
        Some(Self {
            time,
            symbol,
            kind,
            quote,
            price,
            size,
        })
    }

    /// Takes one row, which is one tick.
    pub(crate) fn row(&self, row: &Row<'_>, out: &mut VecDeque<Tick>) -> Result<(), Fault> {
        let nanoseconds = row.text(self.time).parse().map_err(|_| {
            Fault(format!(
                "ts_ns is not a time in nanoseconds: {}",
                quoted(row.text(self.time))
            ))
        })?;
        let time = MarketTime::Moment(nanoseconds);
        let symbol = row.symbol(self.symbol)?;
        let tick = match row.text(self.kind) {
            "trade" => {
                let price = row.number(self.price)?;
                let size = row.number(self.size)?;
                Tick {
                    size: Some(size.as_str().to_owned()),
                    ..Tick::priced(symbol, Kind::Trade, &price, time)
                }
            }
            "quote" => {
                let mut sides = [None, None, None, None];
                for (side, column) in sides.iter_mut().zip(self.quote) {
                    *side = row.optional_number(column)?.as_ref().map(Decimal::to_string);
                }
                let [bid, bid_size, ask, ask_size] = sides;
                if bid.is_none() && ask.is_none() {
                    return Err(Fault("a quote with neither bid nor ask".to_owned()));
                }
                Tick {
                    symbol: symbol.to_owned(),
                    kind: Kind::Quote.into(),
                    bid,
                    bid_size,
                    ask,
                    ask_size,
                    time_ns: time.as_ns(),
                    ..Tick::default()
                }
            }
            other => return Err(Fault(format!("kind is neither quote nor trade: {}", quoted(other)))),
        };
        out.push_back(tick);
        Ok(())
    }
}
