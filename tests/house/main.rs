//! The house of DESIGN: rules that the compiler and clippy do not know, each with a proof that it can fail.

mod arrows;
mod commands;
mod documents;
mod files;
mod habits;
mod layout;
mod members;
mod purity;
mod requests;
mod source;
mod spdx;
mod supply;
mod wire;

/// Fails with every violation, one a line.
#[track_caller]
fn assert_none(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}
