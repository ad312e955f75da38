//! Admission: how a stranger becomes a member of one mesh on one connection. The machines only: no streams, no clock.
//!
//! The bytes are specified in `admission.proto`. [`Opener`] and [`Acceptor`] are the two sides of one handshake,
//! [`Doorman`] decides for a whole node which handshakes it takes part in and when. A driver owns the stream: it cuts
//! frames, reads the [`Hello`], asks the doorman, feeds the machine, and after [`Action::Admit`] exchanges
//! [`ready_frame`]. Whom to open to, and how many guesses that may offer to liars, is `core/neighbours`.

mod acceptor;
mod budget;
mod doorman;
mod handshake;
mod key;
mod opener;
mod pake;
mod queue;
mod secret;
mod transcript;
mod welcome;
mod wire;

#[cfg(test)]
mod tests;

pub use self::{
    acceptor::Acceptor,
    doorman::{
        Doorman, DoormanAction, DoormanInput, HANDSHAKES_MAX, PUSH_OUT_AFTER, SLOTS_FOR_KNOWN, SLOTS_PER_PREFIX_MAX,
        WAITING_KNOWN_MAX,
    },
    handshake::{Action, Admitted, Failure, HANDSHAKE_TIMEOUT, Input},
    key::MeshKey,
    opener::Opener,
    queue::{WAITING_STRANGERS_MAX, WAITING_TIMEOUT},
    secret::{Secret, StretchError},
    wire::{Hello, is_ready, ready_frame},
};
