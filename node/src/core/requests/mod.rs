//! Requests between members, as far as they can be decided without a network: how many may be under way, and whom to ask
//! where anybody may answer. Not the streams, and not the services.

mod places;
mod search;

pub(crate) use places::{Full, Limits, Places};
pub(crate) use search::{ASKED_MAX, Action, Input, Search, Why};
