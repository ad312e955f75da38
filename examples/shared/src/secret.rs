//! Where the mesh's password comes from: a file, a variable, or the terminal. Never the arguments, which every user of
//! the machine can list, and never standard input, which may hold what is published.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use maille::{Address, Credential, Password};

use crate::args::MeshArgs;
use crate::exit::Failure;

/// The variable that holds a password.
const PASSWORD_VARIABLE: &str = "MAILLE_PASSWORD";
/// A longer file is not a password file.
const FILE_BYTES_MAX: u64 = 4_096;
/// What to do when there is none.
const WAYS: &str = "give it with --password-file F, in the variable MAILLE_PASSWORD, or run this in a terminal to be asked \
                    for it (an open mesh, without a password, needs --open)";

/// What opens the mesh of `address`, asking for it if need be.
///
/// # Errors
/// When there is no password, or none that can be one, in words that do not hold it.
pub fn credential(args: &MeshArgs, address: &Address) -> Result<Credential, Failure> {
    if args.open {
        return Ok(Credential::open());
    }
    let password = match (&args.password_file, std::env::var_os(PASSWORD_VARIABLE)) {
        (Some(path), _) => from_file(path)?,
        (None, Some(value)) => {
            let text = value
                .to_str()
                .ok_or_else(|| usage(format!("the variable {PASSWORD_VARIABLE} is not UTF-8")))?;
            Password::parse(text).map_err(|error| usage(format!("the variable {PASSWORD_VARIABLE}: {error}")))?
        }
        (None, None) => ask(&format!("Password of {}: ", address.mesh()))?,
    };
    Ok(Credential::password(password))
}

fn from_file(path: &Path) -> Result<Password, Failure> {
    let named = |what: &dyn std::fmt::Display| usage(format!("the password file {}: {what}", path.display()));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| named(&error))?;
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| named(&error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(named(&format!("more than {FILE_BYTES_MAX} bytes")));
    }
    Password::from_file_bytes(&bytes).map_err(|error| named(&error))
}

fn ask(prompt: &str) -> Result<Password, Failure> {
    match rpassword::prompt_password(prompt) {
        Ok(text) => Password::parse(&text).map_err(|error| usage(error.to_string())),
        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Err(Failure::Interrupted(String::new())),
        Err(_) => Err(usage(format!(
            "there is no password and no terminal to ask for it: {WAYS}"
        ))),
    }
}

fn usage(text: String) -> Failure {
    Failure::Usage(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(name: &str, bytes: Option<&[u8]>) -> String {
        let path = std::env::temp_dir().join(format!("shared-test-{}-{name}", std::process::id()));
        if let Some(bytes) = bytes {
            std::fs::write(&path, bytes).unwrap();
        }
        let outcome = from_file(&path).map(|_| ());
        let _ = std::fs::remove_file(&path);
        match outcome {
            Err(Failure::Usage(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn unusable_password_files_are_told_without_their_content() {
        assert!(refusal("missing", None).contains("No such file"));
        assert!(refusal("empty", Some(b"\n")).contains("empty"));
        assert!(refusal("long", Some(&[b'x'; 5_000])).contains("more than 4096 bytes"));
        for (name, bytes) in [
            ("binary", &b"canary\xff"[..]),
            ("control", b"canary\x07"),
            ("lines", b"canary\ncanary\n"),
        ] {
            let text = refusal(name, Some(bytes));
            assert!(
                text.starts_with("the password file /") && !text.contains("canary"),
                "{text}"
            );
        }
    }
}
