//! Members that join, say who they are, leave, crash, freeze and lie.

mod bounds;
mod liars;
mod members;
mod simulation;
mod world;
