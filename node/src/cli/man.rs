//! `maille man [DIR]`: manual pages, from the definition that `--help` shows.

use std::path::{Path, PathBuf};

use clap::Args;

use super::exit::Failure;
use super::output::print_now;

const EXAMPLES: &str = "\
Examples:
  Read the manual:
    maille man | man -l -
  Install a page for every command:
    maille man ~/.local/share/man/man1";

/// Print the manual page, or write one for every command into a directory
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ManArgs {
    /// Write maille.1, maille-pub.1 and the others there
    dir: Option<PathBuf>,
}

/// Runs `maille man`.
pub(crate) fn run(args: &ManArgs, command: clap::Command) -> Result<(), Failure> {
    let Some(directory) = &args.dir else {
        return print_now(&page(command)?);
    };
    std::fs::create_dir_all(directory).map_err(|error| unwritable(directory, &error))?;
    for (name, page) in pages(command)? {
        let path = directory.join(name);
        std::fs::write(&path, page).map_err(|error| unwritable(&path, &error))?;
    }
    Ok(())
}

/// The page of the program and those of its commands, by file name.
fn pages(mut command: clap::Command) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    // Without this the commands would not know the program's name and version.
    command.build();
    let mut pages = Vec::new();
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        let name = format!("maille-{}", subcommand.get_name());
        pages.push((format!("{name}.1"), page(subcommand.clone().name(name))?));
    }
    pages.push(("maille.1".to_owned(), page(command)?));
    Ok(pages)
}

fn page(command: clap::Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(command).render(&mut page);
    rendered.map_err(|error| Failure::other(format!("cannot make the manual page: {error}")))?;
    Ok(page)
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::other(format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;

    #[test]
    fn every_command_has_a_page_with_its_examples() {
        let pages = pages(command()).unwrap();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        for name in ["node", "pub", "sub", "ticket", "passphrase", "id", "completions", "man"] {
            assert!(names.contains(&format!("maille-{name}.1").as_str()), "{name} of {names:?}");
        }
        for (name, page) in &pages {
            let page = String::from_utf8_lossy(page);
            assert!(page.contains(".TH"), "{name}");
            assert!(page.contains("Examples") || name == "maille.1", "{name}: {page}");
        }
    }
}
