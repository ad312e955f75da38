//! What a person or a pipe sees of the ticks: the board on a terminal, plain lines or JSON lines elsewhere. Warnings of a
//! pipe go to standard error.

use std::io::{self, IsTerminal, Write};
use std::time::SystemTime;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::board::screen::{Screen, Wish};
use crate::board::state::{Board, Seat, short_id};
use crate::decimal::{Change, Decimal};
use crate::exit::Failure;
use crate::mesh::{Arrival, Note};
use crate::tick::{Kind, Reading, Tick};

/// The output of `watch` and of the demo.
#[derive(Debug)]
pub(crate) struct Show {
    board: Board,
    face: Face,
    topic: String,
}

#[derive(Debug)]
enum Face {
    Screen(Screen),
    Lines,
    Json,
}

impl Show {
    /// The board if standard output is a terminal; with `json`, JSON lines in any case.
    pub(crate) fn open(title: &str, topic: &str, json: bool) -> Result<Self, Failure> {
        let face = match json {
            true => Face::Json,
            false if io::stdout().is_terminal() => Face::Screen(Screen::open()?),
            false => Face::Lines,
        };
        Ok(Self {
            board: Board::new(title),
            face,
            topic: topic.to_owned(),
        })
    }

    /// Whether somebody looks at a board now.
    pub(crate) fn is_board(&self) -> bool {
        matches!(self.face, Face::Screen(_))
    }

    /// Shows a tick. A malformed one is reported instead: a member may send anything.
    pub(crate) fn arrival(&mut self, arrival: &Arrival) -> Result<(), Failure> {
        let author = arrival.author.to_string();
        let reading = match arrival.tick.read() {
            Ok(reading) => reading,
            Err(error) => {
                return self.warn(format!(
                    "{} sent a tick that cannot be read: {error}",
                    short_id(&author)
                ));
            }
        };
        let taken = self.board.take(&reading, &author);
        self.board.heard(&author, arrival.heard_at());
        match self.face {
            Face::Screen(_) => {}
            Face::Lines => print(&line(&reading, &arrival.tick, taken.change.as_ref()))?,
            Face::Json => print(&record(&self.topic, arrival).to_string())?,
        }
        match taken.warning {
            Some(_) if self.is_board() => Ok(()),
            Some(warning) => self.tell(warning),
            None => Ok(()),
        }
    }

    /// Shows what else happened on the topic.
    pub(crate) fn note(&mut self, note: &Note) -> Result<(), Failure> {
        match note {
            Note::Silent { author, since } => self.board.silent(&author.to_string(), *since),
            Note::Resumed { author } => self.board.resumed(&author.to_string(), SystemTime::now()),
            _ => {}
        }
        match self.face {
            Face::Json => print(&event(&self.topic, note).to_string()),
            // Nobody at a board or a pipe waits for it.
            _ if *note == Note::CaughtUp => Ok(()),
            _ => self.warn(note_text(note)),
        }
    }

    /// The title of the board.
    pub(crate) fn title(&mut self, title: String) {
        self.board.title = title;
    }

    /// How the demo's subscribers and its stranger fare.
    pub(crate) fn audience(&mut self, seats: Vec<Seat>, stranger: String) {
        self.board.seats = seats;
        self.board.stranger = Some(stranger);
    }

    /// Draws the board, if there is one, and asks what the person at it wants. Does not wait.
    pub(crate) fn turn(&mut self) -> Result<Option<Wish>, Failure> {
        let Face::Screen(screen) = &mut self.face else {
            return Ok(None);
        };
        self.board.now = Some(SystemTime::now());
        screen.draw(&self.board)?;
        Ok(Screen::wish()?)
    }

    fn warn(&mut self, text: String) -> Result<(), Failure> {
        self.board.notice(text.clone());
        if self.is_board() { Ok(()) } else { self.tell(text) }
    }

    /// Says something beside standard output, where only ticks belong.
    #[allow(clippy::unused_self)] // a board must not be written over, so the way goes through it
    fn tell(&self, text: String) -> Result<(), Failure> {
        // Standard error closed is no reason to stop.
        let _ = writeln!(io::stderr(), "{text}");
        Ok(())
    }
}

/// One line on standard output.
pub(crate) fn print(line: &str) -> Result<(), Failure> {
    writeln!(io::stdout().lock(), "{line}").map_err(Failure::from)
}

/// RFC 3339 in UTC; null for times that no calendar can say, which a hostile clock may send.
pub(crate) fn rfc3339(time: SystemTime) -> Value {
    Timestamp::try_from(time).map_or(Value::Null, |time| Value::String(format!("{time:.6}")))
}

/// A tick as one line of text.
fn line(reading: &Reading, tick: &Tick, change: Option<&Change>) -> String {
    let mut line = format!("{} {} {}", reading.time, reading.symbol, reading.kind.name());
    match &reading.price {
        Some(price) => line.push_str(&format!(" {price}")),
        None if reading.kind == Kind::Quote => {
            let side = |side: &Option<Decimal>| side.as_ref().map_or_else(|| "-".to_owned(), Decimal::to_string);
            line.push_str(&format!(" bid {} ask {}", side(&reading.bid), side(&reading.ask)));
        }
        None => {}
    }
    // Only sizes that are numbers: the text came from another member.
    if let Some(size) = tick.size.as_ref().and_then(|size| size.parse::<Decimal>().ok()) {
        line.push_str(&format!(" size {size}"));
    }
    if let Some(change) = change {
        line.push_str(&format!(" {change}"));
    }
    line
}

/// A tick as a JSON object, in the shape that `maille sub --json` has. Numbers stay text, so that nothing rounds them.
fn record(topic: &str, arrival: &Arrival) -> Value {
    let tick = &arrival.tick;
    let kind = Kind::try_from(tick.kind).map_or("unknown", Kind::name);
    let mut payload = json!({ "symbol": tick.symbol, "kind": kind, "time": tick.time().to_string() });
    if !tick.price.is_empty() {
        payload["price"] = json!(tick.price);
    }
    let optional = [
        ("size", &tick.size),
        ("bid", &tick.bid),
        ("bid_size", &tick.bid_size),
        ("ask", &tick.ask),
        ("ask_size", &tick.ask_size),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            payload[name] = json!(value);
        }
    }
    json!({
        "event": "record",
        "topic": topic,
        "author": arrival.author.to_string(),
        "incarnation": arrival.incarnation,
        "sequence": arrival.sequence,
        "key": tick.symbol,
        "sent_at": rfc3339(arrival.sent_at),
        "received_at": rfc3339(arrival.received_at),
        "payload": payload,
    })
}

/// What else happened, as a JSON object.
fn event(topic: &str, note: &Note) -> Value {
    let mut event = match note {
        Note::Gap {
            author,
            incarnation,
            from,
            to,
        } => json!({
            "event": "gap", "author": author.to_string(), "incarnation": incarnation, "sequence": from, "sequence_end": to,
        }),
        Note::Lagged { missed } => json!({ "event": "lagged", "missed": missed }),
        Note::Restarted { author, incarnation } => {
            json!({ "event": "restarted", "author": author.to_string(), "incarnation": incarnation })
        }
        Note::Silent { author, since } => {
            json!({ "event": "silent", "author": author.to_string(), "received_at": rfc3339(*since) })
        }
        Note::Resumed { author } => json!({ "event": "resumed", "author": author.to_string() }),
        Note::Fork {
            author,
            incarnation,
            sequence,
        } => json!({
            "event": "fork", "author": author.to_string(), "incarnation": incarnation, "sequence": sequence,
        }),
        Note::CaughtUp => json!({ "event": "caught_up" }),
        Note::Undecodable { author } => json!({ "event": "undecodable", "author": author.to_string() }),
    };
    event["topic"] = json!(topic);
    event
}

fn note_text(note: &Note) -> String {
    match note {
        Note::Gap { author, from, to, .. } => {
            format!(
                "gap: {} ticks of {} are missing",
                to.saturating_sub(*from),
                short_id(&author.to_string())
            )
        }
        Note::Lagged { missed } => format!("lagged: this terminal or pipe was too slow and missed {missed} ticks"),
        Note::Restarted { author, .. } => format!("restarted: {} began anew", short_id(&author.to_string())),
        Note::Silent { author, since } => {
            let last =
                Timestamp::try_from(*since).map_or_else(|_| "long ago".to_owned(), |since| format!("at {since:.0}"));
            format!("stale: {} was last heard {last}", short_id(&author.to_string()))
        }
        Note::Resumed { author } => format!("back: {} is heard again", short_id(&author.to_string())),
        Note::Fork { author, .. } => format!(
            "fork: {} signed ticks that contradict each other; nothing more of it follows",
            short_id(&author.to_string())
        ),
        Note::CaughtUp => "what follows is live".to_owned(),
        Note::Undecodable { author } => format!("{} sent a record that is no tick", short_id(&author.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tick::MarketTime;

    const PEER: &str = "12D3KooWGRUfVRvGCpQ6kQq8mLWmHwEDCFXcKo9AD9i2nGT6Jxqt";

    fn close(price: &str) -> Tick {
        Tick::priced(
            "IBM",
            Kind::Close,
            &price.parse().unwrap(),
            MarketTime::parse("2013-03-01").unwrap(),
        )
    }

    #[test]
    fn lines_are_plain_text() {
        let tick = close("202.91");
        assert_eq!(line(&tick.read().unwrap(), &tick, None), "2013-03-01 IBM close 202.91");
        let change = "202.91"
            .parse::<Decimal>()
            .unwrap()
            .change_since(&"200.83".parse().unwrap());
        let told = line(&tick.read().unwrap(), &tick, Some(&change));
        assert_eq!(told, "2013-03-01 IBM close 202.91 ▲ +2.08 (+1.04 %)");
        let quote = Tick {
            kind: Kind::Quote.into(),
            bid: Some("1.50".into()),
            price: String::new(),
            ..close("1")
        };
        assert_eq!(
            line(&quote.read().unwrap(), &quote, None),
            "2013-03-01 IBM quote bid 1.50 ask -"
        );
        let trade = Tick {
            kind: Kind::Trade.into(),
            size: Some("\u{1b}[2J".into()),
            ..close("3")
        };
        assert_eq!(
            line(&trade.read().unwrap(), &trade, None),
            "2013-03-01 IBM trade 3",
            "hostile sizes are not printed"
        );
    }

    #[test]
    fn silence_and_its_end_are_told_in_words() {
        let author = PEER.parse().unwrap();
        let since = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_500);
        assert_eq!(
            note_text(&Note::Silent { author, since }),
            "stale: …nGT6Jxqt was last heard at 1970-01-01T00:00:01Z"
        );
        assert_eq!(note_text(&Note::Resumed { author }), "back: …nGT6Jxqt is heard again");
    }

    #[test]
    fn records_have_the_shape_of_maille_sub() {
        let sent_at = SystemTime::UNIX_EPOCH + std::time::Duration::from_micros(1_500_000);
        let arrival = Arrival {
            tick: close("202.910"),
            ..Arrival::sample(sent_at)
        };
        let value = record("equities/us", &arrival);
        assert_eq!(value["event"], "record");
        assert_eq!(value["topic"], "equities/us");
        assert_eq!(value["key"], "IBM");
        assert_eq!(value["sent_at"], "1970-01-01T00:00:01.500000Z");
        assert_eq!(
            value["payload"],
            json!({"symbol": "IBM", "kind": "close", "time": "2013-03-01", "price": "202.910"})
        );
        let silent = Note::Silent {
            author: PEER.parse().unwrap(),
            since: SystemTime::UNIX_EPOCH,
        };
        assert_eq!(
            event("equities/us", &silent),
            json!({
                "event": "silent", "topic": "equities/us", "author": PEER, "received_at": "1970-01-01T00:00:00.000000Z",
            })
        );
        let lagged = event("equities/us", &Note::Lagged { missed: 7 });
        assert_eq!(lagged, json!({"event": "lagged", "topic": "equities/us", "missed": 7}));
    }
}
