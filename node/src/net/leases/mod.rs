//! Lease groups: joined once a mesh and name, and attended to by a task of their own (`attendant`), which moves what
//! `core/leases` decides between the group's topic and its handles.

mod attendant;
mod link;
mod open;

pub(super) use open::Groups;
pub(crate) use {
    link::{GroupLink, Job, LeaseLink},
    open::{OpenGroupError, open_group},
};
