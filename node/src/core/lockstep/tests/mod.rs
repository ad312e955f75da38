//! Tests of the machine, in a network that loses, delays and parts.

mod hostile;
mod ticks;
mod world;
