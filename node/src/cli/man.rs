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
    if let Some(directory) = &args.dir {
        return write_pages(command, directory);
    }
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(command).render(&mut page);
    rendered.map_err(|error| Failure::other(format!("cannot make the manual page: {error}")))?;
    print_now(&page)
}

fn write_pages(command: clap::Command, directory: &Path) -> Result<(), Failure> {
    let written = std::fs::create_dir_all(directory).and_then(|()| clap_mangen::generate_to(command, directory));
    written.map_err(|error| Failure::other(format!("cannot write manual pages to {}: {error}", directory.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;

    #[test]
    fn every_command_has_a_page_with_its_examples() {
        let directory = tempfile::tempdir().unwrap();
        let pages = directory.path().join("man1");
        write_pages(command(), &pages).unwrap();
        for name in [
            "",
            "-node",
            "-pub",
            "-sub",
            "-keep",
            "-topics",
            "-members",
            "-request",
            "-reply",
            "-share",
            "-fetch",
            "-ticket",
            "-passphrase",
            "-id",
            "-completions",
            "-man",
        ] {
            let page = std::fs::read_to_string(pages.join(format!("maille{name}.1"))).unwrap();
            assert!(page.contains(".TH") && page.contains("Examples"), "{name}: {page}");
        }
        assert_eq!(std::fs::read_dir(&pages).unwrap().count(), 16);
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let failure = write_pages(command(), file.path()).unwrap_err();
        assert!(
            format!("{failure:?}").contains(&file.path().display().to_string()),
            "{failure:?}"
        );
    }
}
