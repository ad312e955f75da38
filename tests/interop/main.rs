//! maille and peers that are not maille: strangers, guessers, members that cheat, and connections that play tricks.

mod blobs;
mod by_hand;
mod cheats;
mod connections;
mod door;
mod full_door;
mod helpers;
mod interleavings;
mod lockstep;
mod mirrors;
mod proxy;
mod requests;
mod shown;
mod siege;
mod silence;
mod strangers;
mod wcf;
