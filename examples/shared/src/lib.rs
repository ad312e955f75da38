//! What the example programs share: options of every command that joins a mesh, where passwords come from, nodes and where
//! they stand, how a command ends. Nothing of what they are about.

pub mod args;
pub mod exit;
pub mod network;
pub mod secret;
pub mod stop;

pub use args::MeshArgs;
pub use exit::Failure;
pub use network::{Helper, Nearby, Network, Standing};
