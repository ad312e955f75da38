//! Shared documents: opened once a mesh and name, and attended to by a job of the node beside its loop (`attendant`), which
//! moves what `core/document` decides between the document's topic and its files.

mod attendant;
mod link;
mod open;

pub(crate) use link::DocumentLink;
pub(super) use open::{Documents, Opening};
pub(crate) use open::{OpenDocumentError, open_document};
