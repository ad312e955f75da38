//! The gate: keeps every mesh protocol off a connection until admission succeeded on it, for any number of meshes.
//!
//! [`Gate`] is a `NetworkBehaviour` that holds one inner behaviour a mesh, and [`handler::GateHandler`] its part of one
//! connection. It decides nothing about whom to meet: that is `core/neighbours`; nor whether a guess is affordable: that
//! is `core/admission`.

mod behaviour;
mod control;
mod door;
mod handler;
mod handshake;
mod known;
mod membership;
mod messages;
mod peers;
mod upgrade;

pub(crate) use behaviour::{Event, Gate, Slot};
pub(crate) use messages::{OpenFailure, Outcome};

use libp2p::StreamProtocol;

/// The one protocol id of admission, the same for all meshes: an id a mesh would be told to every peer by identify.
pub(crate) const ADMISSION_PROTOCOL: StreamProtocol = StreamProtocol::new("/maille/admission/1");
