//! The terminal the board is drawn on. Whatever happens, it is given back as it was.

use std::io;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::state::Board;
use super::view;

/// Events looked at before the next drawing, so that a pasted novel cannot stop the board.
const EVENTS_A_TURN_MAX: usize = 64;

/// What the person at the terminal wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Enough seen.
    Quit,
    /// Ctrl-C, which a terminal in raw mode gives as a key.
    Interrupt,
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

    /// Draws the board.
    pub(crate) fn draw(&mut self, board: &Board) -> io::Result<()> {
        self.terminal.draw(|frame| view::draw(board, frame)).map(|_| ())
    }

    /// What was wished since the last call. Does not wait.
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
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Wish::Interrupt),
        KeyCode::Char('q' | 'Q') | KeyCode::Esc => Some(Wish::Quit),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_quits_and_control_c_interrupts() {
        let key = |code, modifiers| meaning(KeyEvent::new(code, modifiers));
        assert_eq!(key(KeyCode::Char('q'), KeyModifiers::NONE), Some(Wish::Quit));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Wish::Interrupt));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::NONE), None);
    }
}
