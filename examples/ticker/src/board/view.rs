//! How the board looks. Reads the state and changes nothing.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table};

use super::state::{Board, Seat, TREND_MAX, short_id};
use crate::decimal::{Change, Decimal};
use crate::stats::shown_ms;

/// Most subscribers shown one by one.
const SEATS_SHOWN_MAX: usize = 8;
/// Columns of a terminal below which trends are short, so that the author still has room.
const WIDE_COLUMNS_MIN: u16 = 100;
/// Prices in a short trend.
const TREND_SHORT: usize = 6;
/// Columns of an author's short id.
const AUTHOR_COLUMNS: u16 = 10;
/// Columns of an age, with the word before it.
const HEARD_COLUMNS: u16 = 9;
/// Rows of publishers that are not heard any more.
const STALE: Color = Color::DarkGray;
/// Eighths of a cell, from low to high.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Draws the whole board.
pub(crate) fn draw(board: &Board, frame: &mut Frame<'_>) {
    let seats = u16::try_from(board.seats.len().min(SEATS_SHOWN_MAX)).unwrap_or(0);
    let more = u16::from(board.seats.len() > SEATS_SHOWN_MAX);
    // Borders, a heading, and the stranger's line.
    let audience = if board.seats.is_empty() {
        0
    } else {
        seats + more + 3 + u16::from(board.stranger.is_some())
    };
    let notices = u16::try_from(board.notices.len()).unwrap_or(0);
    let [top, middle, bottom, footer] = Layout::vertical([
        Constraint::Fill(1),
        Constraint::Length(audience),
        Constraint::Length(notices),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    draw_symbols(board, frame, top);
    if audience > 0 {
        draw_audience(board, frame, middle);
    }
    let lines: Vec<Line<'_>> = board
        .notices
        .iter()
        .map(|text| Line::from(text.as_str()).fg(Color::Yellow))
        .collect();
    frame.render_widget(Paragraph::new(lines), bottom);
    let time = board
        .market
        .map_or_else(String::new, |time| format!("market time {time} · "));
    frame.render_widget(
        Line::from(format!(" {time}{} ticks · q quits", board.ticks)).dim(),
        footer,
    );
}

fn draw_symbols(board: &Board, frame: &mut Frame<'_>, area: Rect) {
    let quoted = board.rows.values().any(|row| row.quote.is_some());
    // Borders and the heading.
    let room = usize::from(area.height.saturating_sub(3));
    let hidden = board.rows.len().saturating_sub(room);
    let (trend_length, [symbol, price, change, ticks]) = if area.width >= WIDE_COLUMNS_MIN {
        (TREND_MAX, [14, 14, 26, 8])
    } else {
        (TREND_SHORT, [10, 11, 18, 7])
    };
    let rows = board.rows.iter().take(room).map(|(symbol, row)| {
        let age = board.age(row);
        let is_stale = age.is_some_and(|(_, silent)| silent);
        let mut cells = vec![
            Cell::from(symbol.as_str().bold()),
            right(row.price.as_ref().map(Decimal::to_string)),
            change_cell(row.change.as_ref(), is_stale),
        ];
        if quoted {
            let (bid, ask) = row.quote.clone().unwrap_or_default();
            cells.extend([bid, ask].map(|side| right(side.as_ref().map(Decimal::to_string))));
        }
        cells.extend([
            Cell::from(trend(&row.trend, trend_length)),
            right(Some(row.ticks.to_string())),
            right(age.map(heard)),
            authors_cell(&row.authors, is_stale),
        ]);
        let row = Row::new(cells);
        if is_stale { row.fg(STALE) } else { row }
    });
    let mut widths = vec![Constraint::Max(symbol), Constraint::Max(price), Constraint::Max(change)];
    let mut heading = vec!["symbol", "last", "change"];
    if quoted {
        widths.extend([Constraint::Max(14); 2]);
        heading.extend(["bid", "ask"]);
    }
    widths.extend([
        Constraint::Max(u16::try_from(trend_length).unwrap_or(0)),
        Constraint::Max(ticks),
        Constraint::Length(HEARD_COLUMNS),
        Constraint::Min(AUTHOR_COLUMNS),
    ]);
    heading.extend(["trend", "ticks", "heard", "author"]);
    let mut block = Block::bordered().title(format!(" {} ", board.title));
    if hidden > 0 || board.unlisted > 0 {
        block = block.title_bottom(format!(
            " and {} more symbols ",
            hidden + usize::from(board.unlisted > 0)
        ));
    }
    frame.render_widget(
        Table::new(rows, widths).header(Row::new(heading).dim()).block(block),
        area,
    );
}

fn draw_audience(board: &Board, frame: &mut Frame<'_>, area: Rect) {
    let mut rows: Vec<Row<'_>> = board.seats.iter().take(SEATS_SHOWN_MAX).map(seat_row).collect();
    let others = board.seats.get(SEATS_SHOWN_MAX..).unwrap_or_default();
    if !others.is_empty() {
        let lost: u64 = others.iter().map(|seat| seat.lost).sum();
        let least = others.iter().map(|seat| seat.delivered).min().unwrap_or(0);
        rows.push(Row::new([
            format!("and {} more", others.len()),
            format!("≥ {least}"),
            lost.to_string(),
        ]));
    }
    if let Some(stranger) = &board.stranger {
        rows.push(Row::new([Cell::from("stranger".bold()), Cell::from(stranger.as_str())]));
    }
    let heading = Row::new(["subscriber", "delivered", "lost", "p50", "p99"]).dim();
    let widths = [16, 26, 10, 12, 12].map(Constraint::Max);
    frame.render_widget(Table::new(rows, widths).header(heading).block(Block::bordered()), area);
}

fn seat_row(seat: &Seat) -> Row<'_> {
    let lost = Cell::from(seat.lost.to_string());
    Row::new([
        Cell::from(seat.name.as_str()),
        Cell::from(seat.delivered.to_string()),
        if seat.lost > 0 {
            lost.style(Style::new().fg(Color::Red))
        } else {
            lost
        },
        Cell::from(shown_ms(seat.p50_ms)),
        Cell::from(shown_ms(seat.p99_ms)),
    ])
}

/// How long ago a publisher was heard; `stale` says to whoever sees no colours what grey says.
fn heard((age, silent): (Duration, bool)) -> String {
    let seconds = age.as_secs();
    let age = match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} m", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    };
    if silent { format!("stale {age}") } else { age }
}

/// Up is green and down is red, and the arrow says the same to whoever sees no colours. What is stale has no colour.
fn change_cell(change: Option<&Change>, is_stale: bool) -> Cell<'static> {
    let Some(change) = change else { return Cell::default() };
    if is_stale {
        return Cell::from(change.to_string());
    }
    let colour = match change.direction {
        Ordering::Greater => Color::Green,
        Ordering::Less => Color::Red,
        Ordering::Equal => Color::Reset,
    };
    Cell::from(change.to_string()).style(Style::new().fg(colour))
}

fn authors_cell(authors: &[String], is_stale: bool) -> Cell<'static> {
    let text = authors
        .iter()
        .map(|author| short_id(author))
        .collect::<Vec<_>>()
        .join(" and ");
    match (authors.len(), is_stale) {
        (0 | 1, _) => Cell::from(text),
        (_, true) => Cell::from(format!("! {text}")),
        (_, false) => Cell::from(format!("! {text}")).style(Style::new().fg(Color::Yellow)),
    }
}

fn right(text: Option<String>) -> Cell<'static> {
    Cell::from(Text::from(text.unwrap_or_default()).right_aligned())
}

/// The last prices, at most so many, as bars between their lowest and highest.
fn trend(prices: &VecDeque<f64>, length: usize) -> String {
    let shown = || prices.iter().skip(prices.len().saturating_sub(length));
    let (low, high) = shown().fold((f64::MAX, f64::MIN), |(low, high), price| {
        (low.min(*price), high.max(*price))
    });
    let bar = |price: &f64| {
        let share = if high > low { (price - low) / (high - low) } else { 0.5 };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // 0 to 7, and clamped
        let step = (share * 7.0).round() as usize;
        BARS[step.min(7)]
    };
    shown().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tick::{Kind, MarketTime, Tick};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use std::time::SystemTime;

    fn rendered(board: &Board, width: u16, height: u16) -> Terminal<TestBackend> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(board, frame)).unwrap();
        terminal
    }

    fn lines(terminal: &Terminal<TestBackend>) -> Vec<String> {
        let buffer = terminal.backend().buffer();
        let line = |y| {
            (0..buffer.area.width)
                .map(|x| buffer[(x, y)].symbol())
                .collect::<String>()
                .trim_end()
                .to_owned()
        };
        (0..buffer.area.height).map(line).collect()
    }

    fn take(board: &mut Board, symbol: &str, kind: Kind, price: &str, author: &str) {
        let time = MarketTime::parse("2013-03-01").unwrap();
        board.take(
            &Tick::priced(symbol, kind, &price.parse().unwrap(), time)
                .read()
                .unwrap(),
            author,
        );
    }

    fn seat(number: usize, lost: u64) -> Seat {
        Seat {
            name: format!("subscriber {number}"),
            delivered: 900,
            lost,
            p50_ms: Some(1.25),
            p99_ms: None,
        }
    }

    #[test]
    fn symbols_show_price_change_trend_and_author() {
        let mut board = Board::new("market.example/equities/us");
        for price in ["202.91", "200.65", "202.94"] {
            take(&mut board, "IBM", Kind::Trade, price, "12D3KooWalicealice");
        }
        take(&mut board, "MSFT", Kind::Trade, "27.95", "12D3KooWalicealice");
        take(&mut board, "MSFT", Kind::Trade, "27.72", "12D3KooWmalloryxxx");
        let terminal = rendered(&board, 130, 12);
        let text = lines(&terminal);
        assert!(text[0].contains(" market.example/equities/us "), "{text:#?}");
        let ibm = text.iter().find(|line| line.contains("IBM")).unwrap();
        for part in ["202.94", "▲ +2.29 (+1.14 %)", "█▁█", " 3 ", "…icealice"] {
            assert!(ibm.contains(part), "{part} in {ibm}");
        }
        let msft = text.iter().find(|line| line.contains("│MSFT")).unwrap();
        for part in ["27.72", "▼ -0.23 (-0.82 %)", "! …icealice and …lloryxxx"] {
            assert!(msft.contains(part), "{part} in {msft}");
        }
        assert!(
            text.iter()
                .any(|line| line.starts_with("warning: MSFT has one more author")),
            "{text:#?}"
        );
        assert!(
            text.last()
                .unwrap()
                .contains("market time 2013-03-01 · 5 ticks · q quits")
        );
        let narrow = lines(&rendered(&board, 80, 24));
        let authored =
            |line: &String| line.contains("│IBM") && line.contains("▲ +2.29 (+1.14 %)") && line.contains("…icealice");
        assert!(narrow.iter().any(authored), "{narrow:#?}");
        let buffer = terminal.backend().buffer();
        let colour_of = |symbol: &str| buffer.content().iter().find(|cell| cell.symbol() == symbol).unwrap().fg;
        assert_eq!((colour_of("▲"), colour_of("▼")), (Color::Green, Color::Red));
    }

    #[test]
    fn rows_of_a_silent_publisher_are_grey_and_say_so_until_it_is_back() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let mut board = Board::new("market.example/equities/us");
        for (symbol, author) in [("IBM", "12D3KooWalicealice"), ("MSFT", "12D3KooWbobbobbob")] {
            for price in ["1.00", "2.00"] {
                take(&mut board, symbol, Kind::Trade, price, author);
            }
            board.heard(author, at(1_000));
        }
        board.now = Some(at(1_184));
        let look = |board: &Board, width| {
            let terminal = rendered(board, width, 12);
            ["│IBM", "│MSFT"].map(|start| {
                let text = lines(&terminal);
                let row = text.iter().position(|line| line.contains(start)).unwrap();
                let buffer = terminal.backend().buffer();
                let colours: Vec<Color> = (1..buffer.area.width - 1)
                    .filter_map(|x| buffer.cell((x, u16::try_from(row).unwrap())))
                    .filter(|cell| cell.symbol() != " ")
                    .map(|cell| cell.fg)
                    .collect();
                (text[row].clone(), colours.iter().all(|colour| *colour == STALE))
            })
        };
        let [ibm, _] = look(&board, 130);
        assert!(ibm.0.contains(" 3 m ") && !ibm.0.contains("stale") && !ibm.1, "{ibm:?}");
        board.silent("12D3KooWalicealice", at(1_060));
        for width in [80, 130] {
            let [ibm, msft] = look(&board, width);
            assert!(ibm.0.contains("stale 2 m") && ibm.1, "{ibm:?}");
            assert!(
                msft.0.contains(" 3 m ") && !msft.0.contains("stale") && !msft.1,
                "{msft:?}"
            );
        }
        board.resumed("12D3KooWalicealice", at(1_180));
        let [ibm, _] = look(&board, 130);
        assert!(ibm.0.contains(" 4 s ") && !ibm.0.contains("stale") && !ibm.1, "{ibm:?}");
        let told = [
            (0, "0 s"),
            (59, "59 s"),
            (3_599, "59 m"),
            (86_399, "23 h"),
            (864_000, "10 d"),
        ];
        for (seconds, text) in told {
            assert_eq!(heard((Duration::from_secs(seconds), false)), text);
        }
    }

    #[test]
    fn the_demo_shows_every_subscriber_and_the_stranger() {
        let mut board = Board::new("demo");
        take(&mut board, "IBM", Kind::Close, "202.91", "p");
        board.seats = vec![seat(1, 0), seat(2, 7)];
        board.stranger = Some("0 ticks".to_owned());
        let text = lines(&rendered(&board, 100, 14));
        let line = |part: &str| {
            text.iter()
                .find(|line| line.contains(part))
                .unwrap_or_else(|| panic!("{part}: {text:#?}"))
        };
        assert!(line("subscriber 1").contains("900") && line("subscriber 1").contains("1.2 ms"));
        assert!(line("subscriber 2").contains(" 7 "));
        assert!(line("stranger").contains("0 ticks"));
        board.seats = (1..=60).map(|number| seat(number, u64::from(number == 60))).collect();
        let text = lines(&rendered(&board, 100, 20));
        assert!(
            text.iter()
                .any(|line| line.contains("and 52 more") && line.contains("≥ 900") && line.contains(" 1 ")),
            "{text:#?}"
        );
        assert!(text.iter().any(|line| line.contains("IBM")), "{text:#?}");
    }

    #[test]
    fn quotes_get_columns_of_their_own() {
        let mut board = Board::new("coins");
        let quote = Tick {
            symbol: "BTC".into(),
            kind: Kind::Quote.into(),
            bid: Some("61685.99".into()),
            ask: Some("61686".into()),
            ..Tick::default()
        };
        board.take(&quote.read().unwrap(), "p");
        let text = lines(&rendered(&board, 110, 8));
        assert!(text[1].contains("bid") && text[1].contains("ask"), "{text:#?}");
        assert!(text[2].contains("61685.99") && text[2].contains("61686"), "{text:#?}");
    }

    #[test]
    fn no_size_of_a_terminal_breaks_it() {
        let mut board = Board::new("demo");
        for number in 0..100 {
            take(&mut board, &format!("S{number:03}"), Kind::Trade, "1", "p");
        }
        board.seats = (1..=20).map(|number| seat(number, 0)).collect();
        board.stranger = Some("0 ticks".to_owned());
        (0..9).for_each(|number| board.notice(format!("notice {number}")));
        for (width, height) in [(1, 1), (2, 3), (10, 5), (40, 12), (80, 24), (300, 100)] {
            rendered(&board, width, height);
        }
        let text = lines(&rendered(&board, 80, 40));
        assert!(text.iter().any(|line| line.contains("more symbols")), "{text:#?}");
    }

    #[test]
    fn trends_stay_between_the_bars() {
        assert_eq!(trend(&VecDeque::new(), 9), "");
        assert_eq!(trend(&VecDeque::from([5.0, 5.0]), 9), "▅▅");
        assert_eq!(trend(&VecDeque::from([1.0, 2.0, 8.0]), 9), "▁▂█");
        assert_eq!(trend(&VecDeque::from([9.0, 2.0, 8.0]), 2), "▁█", "the newest are shown");
    }
}
