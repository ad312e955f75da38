//! The machines of a document in a small world, and the parts by themselves.

mod changes;
mod edits;
mod hostile;
mod scripts;
mod telling;
mod world;
