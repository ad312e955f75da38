//! How the reader looks. Items were made fit for a terminal when they arrived; nothing else is written here.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{List, ListItem, ListState, Paragraph, Wrap};

use super::state::{Entry, Reader};

/// Columns of a feed's name in the list.
const FEED_COLUMNS: usize = 18;
/// Keys of the list.
const LIST_KEYS: &str = " ↑↓ choose  Enter read  n next unread  u unread/read  PgUp PgDn Home End  q quit";
/// Keys of an open item.
const TEXT_KEYS: &str = " ↑↓ scroll  Space page  Esc list  n next unread  u unread/read  q quit";

/// Draws the list or the open item, and tells the reader how much fits.
pub(super) fn draw(reader: &mut Reader, frame: &mut Frame<'_>) {
    let rows = [Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)];
    let [head, body, foot] = Layout::vertical(rows).areas(frame.area());
    let title = format!(
        " {} · {} unread of {} · {}",
        reader.title(),
        reader.unread(),
        reader.entries().len(),
        reader.status()
    );
    frame.render_widget(Paragraph::new(title).reversed(), head);
    let opened = reader
        .opened()
        .map(|(entry, scroll)| (article(entry, body.width), scroll));
    let keys = match opened {
        Some((article, scroll)) => {
            reader.fit(body.height, article.len());
            let scroll = reader.opened().map_or(scroll, |(_, scroll)| scroll);
            frame.render_widget(Paragraph::new(article).scroll((scroll, 0)), body);
            TEXT_KEYS
        }
        None => {
            reader.fit(body.height, 0);
            list(reader, frame, body);
            LIST_KEYS
        }
    };
    frame.render_widget(Paragraph::new(keys).style(Style::new().fg(Color::DarkGray)), foot);
}

fn list(reader: &Reader, frame: &mut Frame<'_>, area: Rect) {
    if reader.entries().is_empty() {
        let text = " No items yet: they appear here as they are published.";
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: false }), area);
        return;
    }
    let row = |entry: &Entry| {
        let (mark, style) = match reader.is_unread(entry) {
            true => ("● ", Style::new().add_modifier(Modifier::BOLD)),
            false => ("  ", Style::new().fg(Color::DarkGray)),
        };
        let feed: String = entry.item.feed.chars().take(FEED_COLUMNS).collect();
        ListItem::new(Line::from(vec![
            Span::raw(mark),
            Span::raw(format!("{} ", entry.item.day())),
            Span::raw(format!("{feed:FEED_COLUMNS$} ")),
            Span::styled(entry.item.title.clone(), style),
        ]))
    };
    // Only what can be seen is drawn, however many items there are.
    let height = usize::from(area.height);
    let first = reader.chosen().saturating_sub(height.saturating_sub(1));
    let rows: Vec<ListItem<'_>> = reader.entries().iter().skip(first).take(height).map(row).collect();
    let list = List::new(rows).highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = ListState::default().with_selected(Some(reader.chosen() - first));
    frame.render_stateful_widget(list, area, &mut state);
}

fn article(entry: &Entry, columns: u16) -> Vec<Line<'static>> {
    let item = &entry.item;
    let wrapped = |text: &str| {
        text.lines()
            .flat_map(|line| wrap(line, usize::from(columns)))
            .collect::<Vec<String>>()
    };
    let when = item.published.as_deref().unwrap_or("time unknown");
    let mut lines: Vec<Line<'static>> = Vec::new();
    lines.extend(wrapped(&item.title).into_iter().map(|line| Line::from(line).bold()));
    lines.extend(wrapped(&format!("{} · {when}", item.feed)).into_iter().map(Line::from));
    let link = item.link.as_deref().unwrap_or_default();
    lines.extend(wrapped(link).into_iter().map(|line| Line::from(line).underlined()));
    lines.push(Line::default());
    lines.extend(wrapped(&item.summary).into_iter().map(Line::from));
    lines
}

/// A line as lines of at most so many columns, between words where that can be. An empty one stays one.
fn wrap(line: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(2); // the widest character
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in line.split(' ') {
        let width = Span::raw(word).width();
        if used > 0 && used + 1 + width > columns {
            lines.push(String::new());
            used = 0;
        } else if used > 0 {
            used += 1;
            push(&mut lines, ' ');
        }
        for character in word.chars() {
            let width = Span::raw(character.to_string()).width();
            if used + width > columns {
                lines.push(String::new());
                used = 0;
            }
            push(&mut lines, character);
            used += width;
        }
    }
    lines
}

fn push(lines: &mut [String], character: char) {
    if let Some(last) = lines.last_mut() {
        last.push(character);
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::Step;
    use super::super::state::tests::reader;
    use super::*;
    use crate::item::tests::sample;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn lines(reader: &mut Reader, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(reader, frame)).unwrap();
        let buffer = terminal.backend().buffer();
        (0..height)
            .map(|y| {
                (0..width)
                    .map(|x| buffer[(x, y)].symbol())
                    .collect::<String>()
                    .trim_end()
                    .to_owned()
            })
            .collect()
    }

    #[test]
    fn a_list_and_an_article_fit_80_by_24() {
        let (mut reader, _folder) = reader(40);
        let list = lines(&mut reader, 80, 24);
        assert!(list[0].contains("a.example/x · 40 unread of 40"), "{list:#?}");
        assert!(
            list[1].starts_with("● 2027-01-15 Sample             Title 39"),
            "{list:#?}"
        );
        assert!(
            list[22].contains("Title 18") && list[23].contains("q quit"),
            "{list:#?}"
        );
        reader.step(Step::Last).unwrap();
        assert!(lines(&mut reader, 80, 24)[22].contains("Title 0"));
        reader.step(Step::Open).unwrap();
        let article = lines(&mut reader, 80, 24);
        assert_eq!(article[1], "Title 0");
        assert!(article[2].starts_with("Sample · 2027-01-15T"), "{article:#?}");
        assert_eq!(
            (article[3].as_str(), article[5].as_str()),
            ("https://news.example/0", "About Title 0.")
        );
        assert!(
            article[23].contains("Esc list") && article[0].contains("39 unread"),
            "{article:#?}"
        );
    }

    #[test]
    fn lines_are_broken_between_words_where_that_can_be() {
        assert_eq!(wrap("", 5), [""]);
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij k", 4), ["abcd", "efgh", "ij k"]);
        assert_eq!(wrap("日本語", 4), ["日本", "語"]);
        assert_eq!(wrap("ab", 0), ["ab"]);
    }

    #[test]
    fn long_texts_scroll_to_their_end_and_no_further() {
        let (mut reader, _folder) = reader(0);
        let mut item = sample("long", "Long");
        item.summary = (0..500)
            .map(|number| format!("word{number}"))
            .collect::<Vec<_>>()
            .join(" ")
            + "\nlast line";
        reader.add(item);
        reader.step(Step::Open).unwrap();
        lines(&mut reader, 80, 24);
        for _ in 0..100 {
            reader.step(Step::PageDown).unwrap();
            lines(&mut reader, 80, 24);
        }
        assert_eq!(lines(&mut reader, 80, 24)[22], "last line");
        reader.step(Step::First).unwrap();
        assert_eq!(lines(&mut reader, 80, 24)[1], "Long");
    }

    #[test]
    fn hostile_items_draw_nothing_but_text() {
        let (mut reader, _folder) = reader(0);
        let mut item = sample("\u{1b}[2J", "\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}evil");
        item.feed = "\u{1b}[1m\r\n".to_owned();
        item.summary = "\u{1b}[H\u{8}\u{0}text".to_owned();
        reader.add(item.tidy());
        let mut shown = lines(&mut reader, 80, 24).concat();
        reader.step(Step::Open).unwrap();
        shown.push_str(&lines(&mut reader, 80, 24).concat());
        assert!(shown.contains("evil") && shown.contains("text"), "{shown}");
        assert!(!shown.chars().any(|c| c.is_control() || c == '\u{202e}'), "{shown:?}");
    }

    #[test]
    fn no_size_of_a_terminal_breaks_it() {
        for items in [0, 1, 100] {
            let (mut reader, _folder) = reader(items);
            reader.notice("n".repeat(300));
            for open in [false, true] {
                if open {
                    reader.step(Step::Open).unwrap();
                }
                for (width, height) in [(1, 1), (2, 3), (10, 5), (80, 24), (300, 100)] {
                    lines(&mut reader, width, height);
                }
            }
        }
    }
}
