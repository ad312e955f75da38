//! The terminal the reader is drawn on, and what its keys mean. Whatever happens, the terminal is given back as it was.

use std::io;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::state::{Reader, Step};
use super::view;

/// Events looked at before the next drawing, so that a pasted novel cannot stop the reader.
const EVENTS_A_TURN_MAX: usize = 64;

/// What the person at the terminal wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Enough read.
    Quit,
    /// Ctrl-C, which a terminal in raw mode gives as a key.
    Interrupt,
    /// A step.
    Step(Step),
}

/// A terminal in full-screen mode. Dropping it restores the terminal; a panic restores it before its message.
#[derive(Debug)]
pub(crate) struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    /// Takes the terminal.
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self {
            terminal: ratatui::try_init()?,
        })
    }

    /// Draws the reader.
    pub(crate) fn draw(&mut self, reader: &mut Reader) -> io::Result<()> {
        self.terminal.draw(|frame| view::draw(reader, frame)).map(|_| ())
    }

    /// The next wish that came since the last drawing. Does not wait.
    pub(crate) fn wish() -> io::Result<Option<Wish>> {
        for _ in 0..EVENTS_A_TURN_MAX {
            if !event::poll(Duration::ZERO)? {
                break;
            }
            if let Event::Key(key) = event::read()?
                && let Some(wish) = meaning(key)
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

fn meaning(key: KeyEvent) -> Option<Wish> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let step = match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Some(Wish::Interrupt),
        KeyCode::Char('q' | 'Q') => return Some(Wish::Quit),
        KeyCode::Up | KeyCode::Char('k') => Step::Up,
        KeyCode::Down | KeyCode::Char('j') => Step::Down,
        KeyCode::PageUp | KeyCode::Char('b') => Step::PageUp,
        KeyCode::PageDown | KeyCode::Char(' ') => Step::PageDown,
        KeyCode::Home | KeyCode::Char('g') => Step::First,
        KeyCode::End | KeyCode::Char('G') => Step::Last,
        KeyCode::Enter | KeyCode::Right | KeyCode::Char('l') => Step::Open,
        KeyCode::Esc | KeyCode::Left | KeyCode::Backspace | KeyCode::Char('h') => Step::Back,
        KeyCode::Char('n') => Step::NextUnread,
        KeyCode::Char('u') => Step::Toggle,
        _ => return None,
    };
    Some(Wish::Step(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_mean_what_the_last_line_says() {
        let key = |code, modifiers| meaning(KeyEvent::new(code, modifiers));
        let plain = |code| key(code, KeyModifiers::NONE);
        assert_eq!(plain(KeyCode::Char('q')), Some(Wish::Quit));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Wish::Interrupt));
        assert_eq!(plain(KeyCode::Char('c')), None);
        for (code, step) in [
            (KeyCode::Up, Step::Up),
            (KeyCode::Down, Step::Down),
            (KeyCode::Enter, Step::Open),
            (KeyCode::Char(' '), Step::PageDown),
            (KeyCode::Esc, Step::Back),
            (KeyCode::Char('n'), Step::NextUnread),
            (KeyCode::Char('u'), Step::Toggle),
        ] {
            assert_eq!(plain(code), Some(Wish::Step(step)));
        }
    }
}
