//! What the board knows: the last price of each symbol, who said so, and how each subscriber fares. Draws nothing.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime};

use crate::decimal::{Change, Decimal};
use crate::tick::{Kind, MarketTime, Reading};

/// Most symbols kept; further ones are only counted.
pub(crate) const SYMBOLS_MAX: usize = 1_024;
/// Most publishers whose age is kept; of further ones nothing is said.
pub(crate) const PUBLISHERS_MAX: usize = 1_024;
/// Most authors remembered of one symbol.
const AUTHORS_MAX: usize = 4;
/// Prices in a trend line.
pub(crate) const TREND_MAX: usize = 24;
/// Notices kept, the newest.
pub(crate) const NOTICES_MAX: usize = 4;

/// Everything that is on the board.
#[derive(Debug, Default)]
pub(crate) struct Board {
    /// Title: the address, or the demo.
    pub(crate) title: String,
    /// One row a symbol.
    pub(crate) rows: BTreeMap<String, Row>,
    /// When each publisher was heard.
    pub(crate) publishers: BTreeMap<String, Publisher>,
    /// What time it is, for ages.
    pub(crate) now: Option<SystemTime>,
    /// Ticks of symbols that found no row.
    pub(crate) unlisted: u64,
    /// Ticks taken.
    pub(crate) ticks: u64,
    /// Newest market time.
    pub(crate) market: Option<MarketTime>,
    /// Newest warnings and other events, oldest first.
    pub(crate) notices: VecDeque<String>,
    /// The demo's subscribers; empty elsewhere.
    pub(crate) seats: Vec<Seat>,
    /// The demo's stranger, in a sentence.
    pub(crate) stranger: Option<String>,
}

/// One symbol.
#[derive(Debug, Default)]
pub(crate) struct Row {
    /// Last price or value.
    pub(crate) price: Option<Decimal>,
    /// Last day's close, which the prices after it are measured against.
    close: Option<Decimal>,
    /// How the last price differs from the last close; where there is none, from the price before.
    pub(crate) change: Option<Change>,
    /// Best bid and ask of the last quote.
    pub(crate) quote: Option<(Option<Decimal>, Option<Decimal>)>,
    /// The last prices, for drawing only.
    pub(crate) trend: VecDeque<f64>,
    /// Ticks of this symbol.
    pub(crate) ticks: u64,
    /// Who published it, the first author first.
    pub(crate) authors: Vec<String>,
    /// Who published the last tick.
    pub(crate) last_author: String,
    /// Market time of the last tick.
    pub(crate) time: Option<MarketTime>,
}

/// Whether somebody who publishes is still heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Publisher {
    /// When it was heard last.
    pub(crate) heard: SystemTime,
    /// It does not even say any more that it has nothing to say.
    pub(crate) silent: bool,
}

/// How one subscriber fares.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seat {
    /// Its name.
    pub(crate) name: String,
    /// Ticks delivered to it.
    pub(crate) delivered: u64,
    /// Ticks lost, as far as can be told.
    pub(crate) lost: u64,
    /// Half of its ticks came within this time.
    pub(crate) p50_ms: Option<f64>,
    /// 99 of 100 came within this time.
    pub(crate) p99_ms: Option<f64>,
}

/// What a tick changed.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Taken {
    /// How its price differs.
    pub(crate) change: Option<Change>,
    /// That the symbol has one more author than before.
    pub(crate) warning: Option<String>,
}

impl Board {
    /// An empty board.
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            ..Self::default()
        }
    }

    /// Takes one tick.
    pub(crate) fn take(&mut self, reading: &Reading, author: &str) -> Taken {
        self.ticks += 1;
        self.market = Some(reading.time);
        if self.rows.len() >= SYMBOLS_MAX && !self.rows.contains_key(&reading.symbol) {
            self.unlisted += 1;
            return Taken::default();
        }
        let row = self.rows.entry(reading.symbol.clone()).or_default();
        author.clone_into(&mut row.last_author);
        let warning = row.note_author(author).map(|first| {
            format!(
                "warning: {} has one more author, {}, beside {}; choose with --publisher",
                reading.symbol,
                short_id(author),
                short_id(&first)
            )
        });
        if let Some(text) = &warning {
            self.notice(text.clone());
        }
        // Borrowed anew: the warning above needed the whole board.
        let change = self.rows.get_mut(&reading.symbol).and_then(|row| row.take(reading));
        Taken { change, warning }
    }

    /// A publisher was heard at this time; never before it was heard already.
    pub(crate) fn heard(&mut self, publisher: &str, at: SystemTime) {
        match self.publishers.get_mut(publisher) {
            Some(known) => known.heard = known.heard.max(at),
            None => self.insert(publisher, at, false),
        }
    }

    /// A publisher is silent, since this time.
    pub(crate) fn silent(&mut self, publisher: &str, since: SystemTime) {
        match self.publishers.get_mut(publisher) {
            Some(known) => {
                known.heard = known.heard.max(since);
                known.silent = true;
            }
            None => self.insert(publisher, since, true),
        }
    }

    /// A silent publisher is heard again.
    pub(crate) fn resumed(&mut self, publisher: &str, at: SystemTime) {
        self.heard(publisher, at);
        if let Some(known) = self.publishers.get_mut(publisher) {
            known.silent = false;
        }
    }

    fn insert(&mut self, publisher: &str, heard: SystemTime, silent: bool) {
        if self.publishers.len() < PUBLISHERS_MAX {
            self.publishers
                .insert(publisher.to_owned(), Publisher { heard, silent });
        }
    }

    /// How long ago the publisher of a row's last tick was heard, and whether it is silent; nothing where that is not known.
    pub(crate) fn age(&self, row: &Row) -> Option<(Duration, bool)> {
        let publisher = self.publishers.get(&row.last_author)?;
        let age = self.now?.duration_since(publisher.heard).unwrap_or_default();
        Some((age, publisher.silent))
    }

    /// Adds a notice; beyond [`NOTICES_MAX`] the oldest goes.
    pub(crate) fn notice(&mut self, text: String) {
        if self.notices.len() == NOTICES_MAX {
            self.notices.pop_front();
        }
        self.notices.push_back(text);
    }
}

impl Row {
    fn take(&mut self, reading: &Reading) -> Option<Change> {
        self.ticks += 1;
        self.time = Some(reading.time);
        if reading.kind == Kind::Quote {
            self.quote = Some((reading.bid.clone(), reading.ask.clone()));
        }
        let price = reading.price.as_ref()?;
        let reference = self.close.as_ref().or(self.price.as_ref());
        self.change = reference.map(|reference| price.change_since(reference));
        if reading.kind == Kind::Close {
            self.close = Some(price.clone());
        }
        if self.trend.len() == TREND_MAX {
            self.trend.pop_front();
        }
        self.trend.push_back(price.approximate());
        self.price = Some(price.clone());
        self.change.clone()
    }

    /// Remembers an author. Gives the first author when this is a new one beside it.
    fn note_author(&mut self, author: &str) -> Option<String> {
        if self.authors.len() >= AUTHORS_MAX || self.authors.iter().any(|known| known == author) {
            return None;
        }
        self.authors.push(author.to_owned());
        if self.authors.len() > 1 {
            self.authors.first().cloned()
        } else {
            None
        }
    }
}

/// The end of a peer id: its beginning is the same for all.
pub(crate) fn short_id(id: &str) -> String {
    let characters: Vec<char> = id.chars().collect();
    if characters.len() <= 10 {
        id.to_owned()
    } else {
        format!("…{}", String::from_iter(&characters[characters.len() - 8..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tick::Tick;

    const ALICE: &str = "12D3KooWAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAlice00";
    const BOB: &str = "12D3KooWBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBob00";

    fn reading(symbol: &str, kind: Kind, price: &str) -> Reading {
        Tick::priced(symbol, kind, &price.parse().unwrap(), MarketTime::Day(0))
            .read()
            .unwrap()
    }

    #[test]
    fn prices_are_measured_against_the_last_close() {
        let mut board = Board::new("test");
        let mut change = |kind, price| {
            board
                .take(&reading("AAPL", kind, price), ALICE)
                .change
                .map(|change| change.amount)
        };
        assert_eq!(change(Kind::Open, "118.56"), None);
        assert_eq!(change(Kind::Low, "118.5").as_deref(), Some("-0.06"));
        assert_eq!(change(Kind::Close, "130.31").as_deref(), Some("+11.81"));
        assert_eq!(change(Kind::Open, "127").as_deref(), Some("-3.31"));
        assert_eq!(change(Kind::Close, "122").as_deref(), Some("-8.31"));
        assert_eq!(change(Kind::Open, "124.87").as_deref(), Some("+2.87"));
    }

    #[test]
    fn a_second_author_is_warned_about_once() {
        let mut board = Board::new("test");
        assert_eq!(board.take(&reading("AAPL", Kind::Trade, "1"), ALICE).warning, None);
        let warning = board.take(&reading("AAPL", Kind::Trade, "2"), BOB).warning.unwrap();
        assert_eq!(
            warning,
            "warning: AAPL has one more author, …BBBBob00, beside …AAlice00; choose with --publisher"
        );
        assert_eq!(board.take(&reading("AAPL", Kind::Trade, "2"), BOB).warning, None);
        assert_eq!(
            board.take(&reading("IBM", Kind::Trade, "2"), BOB).warning,
            None,
            "its own symbol is nobody else's"
        );
        assert_eq!((board.notices.len(), board.rows["AAPL"].authors.len()), (1, 2));
    }

    #[test]
    fn quotes_leave_the_price_alone() {
        let mut board = Board::new("test");
        board.take(&reading("BTC", Kind::Trade, "61686"), ALICE);
        let quote = Tick {
            kind: Kind::Quote.into(),
            bid: Some("61685.99".into()),
            symbol: "BTC".into(),
            ..Tick::default()
        };
        board.take(&quote.read().unwrap(), ALICE);
        let row = &board.rows["BTC"];
        assert_eq!(row.price.as_ref().unwrap().as_str(), "61686");
        assert_eq!(row.quote.as_ref().unwrap().0.as_ref().unwrap().as_str(), "61685.99");
        assert_eq!((row.ticks, row.trend.len()), (2, 1));
    }

    #[test]
    fn everything_is_bounded() {
        let mut board = Board::new("test");
        for number in 0..SYMBOLS_MAX + 10 {
            board.take(&reading(&format!("S{number}"), Kind::Trade, "1"), ALICE);
        }
        for number in 0..100 {
            board.take(&reading("S1", Kind::Trade, "1"), &format!("author {number}"));
        }
        assert_eq!(
            (board.rows.len(), board.unlisted, board.ticks),
            (SYMBOLS_MAX, 10, SYMBOLS_MAX as u64 + 110)
        );
        assert_eq!(board.rows["S1"].authors.len(), AUTHORS_MAX);
        assert_eq!(board.rows["S1"].trend.len(), TREND_MAX);
        assert_eq!(board.notices.len(), AUTHORS_MAX - 1);
        (0..20).for_each(|number| board.notice(number.to_string()));
        assert_eq!(board.notices, ["16", "17", "18", "19"]);
    }

    #[test]
    fn a_publisher_is_silent_until_it_is_heard_again() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let mut board = Board::new("test");
        board.take(&reading("AAPL", Kind::Trade, "1"), ALICE);
        assert_eq!(board.age(&board.rows["AAPL"]), None, "nothing is known yet");
        board.heard(ALICE, at(100));
        board.heard(ALICE, at(90));
        board.now = Some(at(103));
        let age = |board: &Board| {
            board
                .age(&board.rows["AAPL"])
                .map(|(age, silent)| (age.as_secs(), silent))
        };
        assert_eq!(age(&board), Some((3, false)), "what is older does not make it older");
        board.silent(ALICE, at(101));
        board.silent(BOB, at(101));
        assert_eq!(age(&board), Some((2, true)));
        // Its symbols are not stale where somebody else goes on with them.
        board.take(&reading("AAPL", Kind::Trade, "2"), "carol");
        board.heard("carol", at(103));
        assert_eq!(age(&board), Some((0, false)));
        board.take(&reading("AAPL", Kind::Trade, "3"), ALICE);
        assert_eq!(age(&board), Some((2, true)));
        board.resumed(ALICE, at(103));
        assert_eq!(age(&board), Some((0, false)));
        (0..2_000).for_each(|number| board.heard(&number.to_string(), at(1)));
        assert_eq!(board.publishers.len(), PUBLISHERS_MAX);
    }

    #[test]
    fn short_ids_keep_the_end() {
        assert_eq!(short_id(BOB), "…BBBBob00");
        assert_eq!(short_id("short"), "short");
        assert_eq!(short_id("ééééééééééé"), "…éééééééé");
    }
}
