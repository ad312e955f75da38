//! `maille completions SHELL`: what a shell needs to complete commands and options.

use clap::Args;
use clap_complete::Shell;

use super::exit::Failure;
use super::output::print_now;

const EXAMPLES: &str = "\
Examples:
  maille completions bash > ~/.local/share/bash-completion/completions/maille
  maille completions zsh > ~/.zfunc/_maille
  maille completions fish > ~/.config/fish/completions/maille.fish";

/// Print the completion script of a shell
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

/// Runs `maille completions`.
pub(crate) fn run(args: &CompletionsArgs, mut command: clap::Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "maille", &mut script);
    print_now(&script)
}
