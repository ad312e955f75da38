//! The reader on a terminal: what was read (`marks`), what is shown (`state`), how it looks (`view`), and the terminal it is
//! drawn on (`screen`).

pub(crate) mod marks;
pub(crate) mod screen;
pub(crate) mod state;
mod view;
