//! The live board: what it knows (`state`), how it looks (`view`), and the terminal it is drawn on (`screen`).

pub(crate) mod screen;
pub(crate) mod state;
pub(crate) mod view;
