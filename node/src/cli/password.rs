//! Where a mesh's password comes from: a file, a variable, the terminal. Never the arguments, which every user of the
//! machine can list, and never standard input, which holds records.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};

use maille::{MeshName, Password, PasswordError};
use zeroize::Zeroizing;

use super::exit::Failure;
use super::parse::PasswordFile;

/// The variable that holds a password.
pub(crate) const PASSWORD_VARIABLE: &str = "MAILLE_PASSWORD";

/// A longer file is not a password file.
const FILE_BYTES_MAX: usize = 4096;

/// What to do when there is none.
const THREE_WAYS: &str = "\
give it with --password-file FILE, in the variable MAILLE_PASSWORD, or run this in a terminal to be asked for it (an open \
mesh, without a password, needs --open)";

/// Where the password is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Source {
    File(PathBuf),
    Variable(OsString),
    Terminal,
}

/// Picks the source for `mesh`: its own file, else the file without a mesh, else the variable, else the terminal.
pub(crate) fn source(files: &[PasswordFile], mesh: &MeshName, variable: Option<OsString>) -> Result<Source, Failure> {
    let pick = |wanted: Option<&MeshName>| -> Result<Option<&Path>, Failure> {
        let mut matching = files.iter().filter(|file| file.mesh.as_ref() == wanted);
        match (matching.next(), matching.next()) {
            (Some(_), Some(_)) => {
                let of = wanted.map_or(String::new(), |mesh| format!(" for {mesh}"));
                Err(Failure::Usage(format!(
                    "more than one --password-file{of}: which one is meant?"
                )))
            }
            (first, _) => Ok(first.map(|file| file.path.as_path())),
        }
    };
    if let Some(path) = pick(Some(mesh))?.or(pick(None)?) {
        return Ok(Source::File(path.to_owned()));
    }
    if !files.is_empty() {
        return Err(Failure::Usage(format!(
            "no --password-file is for {mesh}: add {mesh}=FILE, or FILE for every mesh"
        )));
    }
    Ok(variable.map_or(Source::Terminal, Source::Variable))
}

/// Reads and normalises the password. A founder is asked twice on a terminal: a typing mistake would found another mesh.
pub(crate) fn read(source: Source, mesh: &MeshName, founding: bool) -> Result<Password, Failure> {
    let (parsed, from) = match source {
        Source::File(path) => (
            Password::from_file_bytes(&read_file(&path)?),
            format!("the password file {}", path.display()),
        ),
        Source::Variable(value) => {
            let bytes = Zeroizing::new(value.into_encoded_bytes());
            let parsed = match std::str::from_utf8(&bytes) {
                Ok(text) => Password::parse(text),
                Err(error) => Err(PasswordError::NotUtf8 {
                    offset: error.valid_up_to(),
                }),
            };
            (parsed, format!("the variable {PASSWORD_VARIABLE}"))
        }
        Source::Terminal => {
            let text = ask(&format!("Password of {mesh}: "))?;
            if founding && *text != *ask("Again: ")? {
                return Err(Failure::Usage("the two passwords differ".to_owned()));
            }
            (Password::parse(&text), "the password that was typed".to_owned())
        }
    };
    parsed.map_err(|error| match error {
        PasswordError::Empty => Failure::Usage(format!("{from} is empty: {THREE_WAYS}")),
        other => Failure::Usage(format!("{from} cannot be used: {other}")),
    })
}

fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let unreadable =
        |reason: String| Failure::Usage(format!("cannot read the password file {}: {reason}", path.display()));
    let file = std::fs::File::open(path).map_err(|error| unreadable(error.to_string()))?;
    // Room for all of it, so that no part stays behind in a buffer that was outgrown.
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX + 1));
    file.take(FILE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(unreadable(format!(
            "it has more than {FILE_BYTES_MAX} bytes, which no password has"
        )));
    }
    Ok(bytes)
}

fn ask(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    let hidden = rpassword::ConfigBuilder::new().password_feedback_hide().build();
    match rpassword::prompt_password_with_config(prompt, hidden) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Err(Failure::Interrupted(String::new())),
        Err(_) => Err(Failure::Usage(format!(
            "there is no password and no terminal to ask for it: {THREE_WAYS}"
        ))),
    }
}

/// Weighs the password: a weak one may not found a mesh, and gives a warning when joining one.
pub(crate) fn weigh(password: &Password, founding: bool, allow_weak: bool) -> Result<Option<String>, Failure> {
    let strength = password.strength();
    if !strength.is_weak() {
        return Ok(None);
    }
    let guesses = strength.guesses_log2;
    let weak =
        format!("this password is weak: about 2^{guesses:.0} guesses find it, and 2^40 are the least to rely on");
    if founding && !allow_weak {
        return Err(Failure::Usage(format!(
            "{weak}. `maille passphrase` makes a good one; --allow-weak-password founds the mesh all the same"
        )));
    }
    Ok(Some(format!("warning: {weak}. `maille passphrase` makes a good one")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mesh() -> MeshName {
        "market.example".parse().unwrap()
    }

    fn files(files: &[&str]) -> Vec<PasswordFile> {
        files.iter().map(|file| OsString::from(file).into()).collect()
    }

    fn usage<T: std::fmt::Debug>(outcome: Result<T, Failure>) -> String {
        match outcome {
            Err(Failure::Usage(text)) => text,
            other => panic!("not a usage error: {other:?}"),
        }
    }

    #[test]
    fn the_nearest_source_wins() {
        let variable = || Some(OsString::from("from the variable"));
        let pick = |given: &[&str]| source(&files(given), &mesh(), variable());
        assert_eq!(pick(&["f", "market.example=g"]).unwrap(), Source::File("g".into()));
        assert_eq!(pick(&["other.example=g", "f"]).unwrap(), Source::File("f".into()));
        assert_eq!(pick(&[]).unwrap(), Source::Variable("from the variable".into()));
        assert_eq!(source(&[], &mesh(), None).unwrap(), Source::Terminal);
        assert!(usage(pick(&["other.example=g"])).contains("no --password-file is for market.example"));
        assert!(usage(pick(&["f", "g"])).contains("more than one"));
        assert!(usage(pick(&["market.example=f", "market.example=g"])).contains("more than one --password-file for"));
    }

    #[test]
    fn one_line_end_of_a_file_is_not_the_password() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        for (bytes, expected) in [("p", "p"), ("p\n", "p"), ("p\r\n", "p"), (" p ", " p ")] {
            std::fs::write(&path, bytes).unwrap();
            let password = read(Source::File(path.clone()), &mesh(), false).unwrap();
            assert_eq!(password.expose(), expected, "{bytes:?}");
        }
        let password = read(Source::Variable("p q".into()), &mesh(), false).unwrap();
        assert_eq!(password.expose(), "p q");
    }

    #[test]
    fn unusable_passwords_are_usage_errors_that_name_their_source_and_not_their_content() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        let told = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let told = usage(read(Source::File(path.clone()), &mesh(), false));
            assert!(
                told.contains(&path.display().to_string()) && !told.contains("canary"),
                "{told}"
            );
            told
        };
        assert!(told(b"").contains("is empty"));
        assert!(told(b"\n").contains("is empty"));
        assert!(told(b"canary\xff").contains("UTF-8"));
        assert!(told(b"canary\x07").contains("character"));
        assert!(told(b"canary\nmore").contains("more than one line"));
        assert!(told(&b"canary".repeat(1000)).contains("more than 4096 bytes"));
        let missing = Source::File(directory.path().join("missing"));
        assert!(usage(read(missing, &mesh(), false)).contains("missing: No such file"));
        assert!(usage(read(Source::File(directory.path().into()), &mesh(), false)).contains("cannot read"));
        let empty = usage(read(Source::Variable("".into()), &mesh(), false));
        assert!(
            empty.contains("MAILLE_PASSWORD is empty") && empty.contains("--password-file FILE"),
            "{empty}"
        );
    }

    #[test]
    fn weak_passwords_do_not_found_meshes() {
        let weak = Password::parse("hunter2").unwrap();
        assert!(usage(weigh(&weak, true, false)).contains("--allow-weak-password"));
        for (founding, allow_weak) in [(true, true), (false, false)] {
            let warning = weigh(&weak, founding, allow_weak).unwrap().unwrap();
            assert!(warning.contains("2^") && !warning.contains("hunter2"), "{warning}");
        }
        let strong = Password::parse("stoic-ramp-cobalt-unmade-viper").unwrap();
        assert_eq!(weigh(&strong, true, false).unwrap(), None);
    }
}
