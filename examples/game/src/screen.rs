//! The terminal: keys in, lobby and arena out, in 80 × 24. Riders are told apart by letters, walls by letters and colours;
//! the colours are those of Okabe and Ito, which people see apart whatever colours they see. Whatever happens, the terminal is
//! given back as it was.

use std::io;
use std::time::Duration;

use maille::PeerId;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph};
use ratatui::{DefaultTerminal, Frame};

use crate::chat::TEXT_MAX;
use crate::lobby::Present;
use crate::rules::{Arena, HEIGHT, Heading, WIDTH};
use crate::session::Game;

/// Keys looked at before the next drawing.
const KEYS_A_TURN_MAX: usize = 64;

const COLOURS: [Color; 8] = [
    Color::Rgb(230, 159, 0),
    Color::Rgb(86, 180, 233),
    Color::Rgb(0, 158, 115),
    Color::Rgb(240, 228, 66),
    Color::Rgb(0, 114, 178),
    Color::Rgb(213, 94, 0),
    Color::Rgb(204, 121, 167),
    Color::Rgb(200, 200, 200),
];
const KEYS_PLAY: &str = " arrows or WASD steer · Enter chats · Q quits";
const KEYS_LOBBY: &str = " R ready · Enter chats · Q quits";
const KEYS_SAY: &str = " Enter says it · Esc does not";

/// What a person wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Steer(Heading),
    Ready,
    Say(String),
    Quit,
    Interrupt,
}

/// What there is to see.
pub(crate) struct View<'a> {
    pub(crate) title: String,
    pub(crate) people: &'a [(PeerId, Present)],
    pub(crate) me: PeerId,
    pub(crate) game: Option<&'a Game>,
    pub(crate) watches: bool,
    pub(crate) neighbours: usize,
    pub(crate) chat: &'a [String],
}

/// A terminal in full-screen mode. Dropping it restores the terminal; a panic restores it before its message.
#[derive(Debug)]
pub(crate) struct Screen {
    terminal: DefaultTerminal,
    /// What is being written, while something is.
    saying: Option<String>,
}

impl Screen {
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self {
            terminal: ratatui::try_init()?,
            saying: None,
        })
    }

    pub(crate) fn draw(&mut self, view: &View<'_>) -> io::Result<()> {
        let saying = self.saying.as_deref();
        self.terminal.draw(|frame| draw(view, saying, frame)).map(|_| ())
    }

    /// A replay.
    pub(crate) fn draw_arena(&mut self, title: &str, arena: &Arena, names: &[String]) -> io::Result<()> {
        self.terminal
            .draw(|frame| {
                let [top, middle, scores, keys] = Layout::vertical([
                    Constraint::Length(1),
                    Constraint::Length(HEIGHT as u16 + 2),
                    Constraint::Length(1),
                    Constraint::Min(0),
                ])
                .areas(frame.area());
                frame.render_widget(Paragraph::new(title), top);
                draw_arena(arena, None, middle, frame);
                frame.render_widget(Paragraph::new(score_line(arena, names, None)), scores);
                frame.render_widget(Paragraph::new(" Q quits"), keys);
            })
            .map(|_| ())
    }

    /// What was wished since the last call. Does not wait.
    pub(crate) fn wish(&mut self) -> io::Result<Option<Wish>> {
        for _ in 0..KEYS_A_TURN_MAX {
            if !event::poll(Duration::ZERO)? {
                break;
            }
            if let Event::Key(key) = event::read()?
                && let Some(wish) = meaning(key, &mut self.saying)
            {
                return Ok(Some(wish));
            }
        }
        Ok(None)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nothing better can be done here than to have tried.
        let _ = ratatui::try_restore();
    }
}

fn meaning(key: KeyEvent, saying: &mut Option<String>) -> Option<Wish> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
        return Some(Wish::Interrupt);
    }
    if let Some(text) = saying {
        match key.code {
            KeyCode::Enter => return saying.take().map(Wish::Say),
            KeyCode::Esc => *saying = None,
            KeyCode::Backspace => drop(text.pop()),
            KeyCode::Char(character) if text.chars().count() < TEXT_MAX => text.push(character),
            _ => {}
        }
        return None;
    }
    match key.code {
        KeyCode::Up | KeyCode::Char('w' | 'W') => Some(Wish::Steer(Heading::Up)),
        KeyCode::Down | KeyCode::Char('s' | 'S') => Some(Wish::Steer(Heading::Down)),
        KeyCode::Left | KeyCode::Char('a' | 'A') => Some(Wish::Steer(Heading::Left)),
        KeyCode::Right | KeyCode::Char('d' | 'D') => Some(Wish::Steer(Heading::Right)),
        KeyCode::Char('r' | 'R') => Some(Wish::Ready),
        KeyCode::Char('q' | 'Q') | KeyCode::Esc => Some(Wish::Quit),
        KeyCode::Enter => {
            *saying = Some(String::new());
            None
        }
        _ => None,
    }
}

fn letter(rider: usize) -> char {
    char::from(b'A' + u8::try_from(rider % 8).unwrap_or(0))
}

fn draw(view: &View<'_>, saying: Option<&str>, frame: &mut Frame<'_>) {
    let [top, middle, scores, chat, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(HEIGHT as u16 + 2),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let what = match (view.game, view.watches) {
        (None, _) => "lobby".to_owned(),
        (Some(game), watches) => {
            let watching = if watches { " · watching" } else { "" };
            format!("round {} · tick {}{watching}", game.arena.round, game.tally.ticks)
        }
    };
    let title = format!(
        " light cycles · {} · {what} · {} neighbours",
        view.title, view.neighbours
    );
    frame.render_widget(
        Paragraph::new(title).style(Style::new().add_modifier(Modifier::REVERSED)),
        top,
    );
    match view.game {
        Some(game) => {
            draw_arena(&game.arena, game.notices.back().map(String::as_str), middle, frame);
            let line = score_line(&game.arena, &game.names, game.rider);
            frame.render_widget(Paragraph::new(line), scores);
        }
        None => draw_lobby(view, middle, frame),
    }
    let lines: Vec<Line<'_>> = view.chat.iter().map(|line| Line::from(format!(" {line}"))).collect();
    let skipped = lines.len().saturating_sub(usize::from(chat.height));
    frame.render_widget(Paragraph::new(lines[skipped..].to_vec()), chat);
    let bottom = match (saying, view.game) {
        (Some(text), _) => format!(" say: {text}_   {KEYS_SAY}"),
        (None, Some(_)) => KEYS_PLAY.to_owned(),
        (None, None) => KEYS_LOBBY.to_owned(),
    };
    frame.render_widget(
        Paragraph::new(bottom).style(Style::new().add_modifier(Modifier::REVERSED)),
        keys,
    );
}

fn draw_lobby(view: &View<'_>, area: Rect, frame: &mut Frame<'_>) {
    let mut lines = vec![Line::from("")];
    for (peer, present) in view.people {
        let state = match (present.watches, present.ready, &present.plays) {
            (_, _, Some(_)) => "plays",
            (true, ..) => "watches",
            (_, true, _) => "ready",
            _ => "not ready",
        };
        let you = if *peer == view.me { " (you)" } else { "" };
        lines.push(Line::from(format!("   {:<12} {state}{you}", present.name)));
    }
    let wanted = view.people.iter().map(|(_, present)| present.wanted).max().unwrap_or(0);
    lines.push(Line::from(""));
    lines.push(Line::from(format!("   The match begins once {wanted} are ready.")));
    frame.render_widget(
        Paragraph::new(lines).block(Block::bordered().title(" in the room ")),
        area,
    );
}

fn draw_arena(arena: &Arena, notice: Option<&str>, area: Rect, frame: &mut Frame<'_>) {
    let mut lines = Vec::new();
    for y in 0..HEIGHT {
        let cell = |x: i16| {
            let head = arena
                .riders
                .iter()
                .position(|rider| (rider.x, rider.y) == (x, y) && rider.alive);
            match (head, arena.wall(x, y)) {
                (Some(rider), _) => Span::styled(
                    letter(rider).to_string(),
                    Style::new()
                        .fg(Color::Black)
                        .bg(COLOURS[rider % 8])
                        .add_modifier(Modifier::BOLD),
                ),
                (None, Some(rider)) => {
                    let wall = letter(rider).to_ascii_lowercase().to_string();
                    Span::styled(wall, Style::new().fg(COLOURS[rider % 8]))
                }
                (None, None) => Span::raw(" "),
            }
        };
        lines.push(Line::from((0..WIDTH).map(cell).collect::<Vec<_>>()));
    }
    let mut block = Block::bordered();
    if let Some(notice) = notice {
        block = block.title(format!(" {notice} "));
    }
    if arena.pause > 0 {
        block = block.title_bottom(format!(
            " round {} in {}.{} s ",
            arena.round,
            arena.pause / 20,
            arena.pause % 20 / 2
        ));
    }
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn score_line(arena: &Arena, names: &[String], me: Option<usize>) -> Line<'static> {
    let mut spans = Vec::new();
    for (number, rider) in arena.riders.iter().enumerate() {
        let state = match (rider.seated, rider.alive) {
            (false, _) => "…",
            (true, true) => "",
            (true, false) => "†",
        };
        let you = if me == Some(number) { "*" } else { "" };
        let name = names.get(number).map_or("", String::as_str);
        let text = format!(" {} {name}{you} {}{state} ", letter(number), rider.score);
        spans.push(Span::styled(text, Style::new().fg(COLOURS[number % 8])));
    }
    Line::from(spans)
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    #[test]
    fn keys_mean_what_the_screen_says() {
        let press = |code, saying: &mut Option<String>| meaning(KeyEvent::new(code, KeyModifiers::NONE), saying);
        let mut saying = None;
        assert_eq!(press(KeyCode::Up, &mut saying), Some(Wish::Steer(Heading::Up)));
        assert_eq!(
            press(KeyCode::Char('d'), &mut saying),
            Some(Wish::Steer(Heading::Right))
        );
        assert_eq!(press(KeyCode::Enter, &mut saying), None);
        for character in "queue".chars() {
            assert_eq!(press(KeyCode::Char(character), &mut saying), None);
        }
        assert_eq!(press(KeyCode::Enter, &mut saying), Some(Wish::Say("queue".to_owned())));
        assert_eq!(press(KeyCode::Char('q'), &mut saying), Some(Wish::Quit));
    }

    #[test]
    fn the_arena_and_its_keys_fit_80_by_24() {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        let arena = Arena::new(1, 8);
        terminal
            .draw(|frame| draw_arena(&arena, Some("notice"), Rect::new(0, 1, 80, HEIGHT as u16 + 2), frame))
            .unwrap();
        let shown = terminal.backend().to_string();
        for rider in 0..8 {
            assert!(shown.contains(letter(rider)), "{shown}");
        }
        let line = score_line(&arena, &vec!["xxx".to_owned(); 8], Some(1)).to_string();
        assert!(line.contains("B xxx* 0"), "{line}");
    }
}
