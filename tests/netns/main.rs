//! Machines on a local network, each a network namespace that the test makes. Needs root and iproute2.

mod lan;
mod mdns;
mod no_network;
mod rooms;
