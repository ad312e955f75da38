//! Feeds: where they are (`source`), how they are fetched (`fetch`) and when (`pace`), what they say (`charset`, `parse`),
//! and what of it was published already (`seen`). Nothing here knows meshes.

mod charset;
pub(crate) mod fetch;
pub(crate) mod pace;
pub(crate) mod parse;
pub(crate) mod seen;
pub(crate) mod source;
