//! `maille passphrase`: a password that can be remembered and not guessed.

use clap::Args;
use maille::Password;

use super::exit::Failure;
use super::output::print_now;

const EXAMPLES: &str = "\
Examples:
  Make a password and keep it in a file that only you can read:
    (umask 077; maille passphrase > secret.txt)
    maille sub chat.example/room --found --password-file secret.txt";

/// Print a new passphrase of five words, about 2^64 guesses strong
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PassphraseArgs {}

/// Runs `maille passphrase`.
pub(crate) fn run(_: &PassphraseArgs) -> Result<(), Failure> {
    let passphrase = Password::generate(&mut rand::rng());
    print_now(format!("{}\n", passphrase.expose()).as_bytes())
}
