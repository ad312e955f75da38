//! A mesh's password: one byte string however it was typed, kept from logs and wiped when dropped. Not stretched here.

use std::fmt;

use precis_profiles::{OpaqueString, precis_core::profile::PrecisFastInvocation};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

/// Bytes of a password, before and after normalising.
const PASSWORD_BYTES_MAX: usize = 1_024;
/// Characters of a password that its strength is judged by.
const STRENGTH_CHARS_MAX: usize = 100;

/// The strength below which a password is weak: the logarithm of the guesses it withstands.
pub const STRENGTH_GUESSES_LOG2_MIN: f64 = 40.0;

/// The password of a mesh, normalised as an OpaqueString of RFC 8265.
///
/// However an `é` or a space was typed, equal passwords are equal bytes. Nothing is trimmed. There is no `Display`,
/// comparison or serialisation, and `Debug` shows nothing of it.
///
/// ```
/// use maille::types::Password;
///
/// let password = Password::parse("correct horse battery staple")?;
/// assert!(!password.strength().is_weak());
/// assert_eq!(format!("{password:?}"), "Password(..)");
/// # Ok::<(), maille::types::PasswordError>(())
/// ```
#[derive(Clone)]
pub struct Password(SecretString);

/// Why a text cannot be a password. Nothing of the text is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// Nothing there.
    #[error("the password is empty: for a mesh without a password, ask for an open mesh")]
    Empty,
    /// Longer than a password may be.
    #[error("the password has more than {bytes_max} bytes")]
    TooLong {
        /// The longest allowed.
        bytes_max: usize,
    },
    /// Not UTF-8.
    #[error("the password is not UTF-8 text: byte {offset} is the first that is not")]
    NotUtf8 {
        /// Where the first invalid byte is; the first byte is 0.
        offset: usize,
    },
    /// A character that passwords cannot have.
    #[error(
        "character {position} of the password is a control character, or another that passwords cannot have (RFC 8265)"
    )]
    Character {
        /// Which one; the first is 1.
        position: usize,
    },
    /// More than one line in a password file.
    #[error("the password file holds more than one line: it holds the password, and at most one line end after it")]
    MoreThanOneLine,
    /// Characters that are not allowed beside each other.
    #[error("the password holds a sequence of characters that passwords cannot have (RFC 8265)")]
    Sequence,
}

/// How hard a password is to guess, by zxcvbn's estimate, which ends at 2^64.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Strength {
    /// Logarithm of the guesses, to the base 2.
    pub guesses_log2: f64,
}

impl Strength {
    /// Whether a mesh should not be founded with it.
    #[must_use]
    pub fn is_weak(self) -> bool {
        self.guesses_log2 < STRENGTH_GUESSES_LOG2_MIN
    }
}

impl Password {
    /// A password as it was typed.
    ///
    /// # Errors
    /// When it is empty, longer than 1,024 bytes, or has characters that passwords cannot have.
    pub fn parse(text: &str) -> Result<Self, PasswordError> {
        let too_long = PasswordError::TooLong {
            bytes_max: PASSWORD_BYTES_MAX,
        };
        if text.is_empty() {
            return Err(PasswordError::Empty);
        }
        if text.len() > PASSWORD_BYTES_MAX {
            return Err(too_long);
        }
        let normalised = Zeroizing::new(enforced(text)?);
        // RFC 8264, section 7: what the rules change once more, or refuse then, is no password.
        if *Zeroizing::new(enforced(&normalised)?) != *normalised {
            return Err(PasswordError::Sequence);
        }
        if normalised.len() > PASSWORD_BYTES_MAX {
            return Err(too_long);
        }
        Ok(Self(SecretString::from(normalised.as_str())))
    }

    /// The password that a file holds, less one line end at its end.
    ///
    /// # Errors
    /// As [`Password::parse`], and when it is not UTF-8 or holds more than one line.
    pub fn from_file_bytes(bytes: &[u8]) -> Result<Self, PasswordError> {
        let line = bytes
            .strip_suffix(b"\r\n")
            .or_else(|| bytes.strip_suffix(b"\n"))
            .unwrap_or(bytes);
        if line.contains(&b'\n') {
            return Err(PasswordError::MoreThanOneLine);
        }
        let text = std::str::from_utf8(line).map_err(|error| PasswordError::NotUtf8 {
            offset: error.valid_up_to(),
        })?;
        Self::parse(text)
    }

    /// How hard it is to guess. Takes milliseconds.
    #[must_use]
    pub fn strength(&self) -> Strength {
        let text = self.expose();
        let end = text
            .char_indices()
            .nth(STRENGTH_CHARS_MAX)
            .map_or(text.len(), |(offset, _)| offset);
        let guesses_log10 = zxcvbn::zxcvbn(&text[..end], &[]).guesses_log10();
        Strength {
            guesses_log2: guesses_log10 * std::f64::consts::LOG2_10,
        }
    }

    /// The normalised password itself, for the stretching and for showing a generated one.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// The form in which all spellings of a password are one.
fn enforced(text: &str) -> Result<String, PasswordError> {
    let normalised = OpaqueString::enforce(text).map_err(|error| refused(&error))?;
    Ok(normalised.into_owned())
}

/// The profile's error without the character that it names.
fn refused(error: &precis_profiles::precis_core::Error) -> PasswordError {
    use precis_profiles::precis_core::Error;

    match error {
        Error::BadCodepoint(bad) => PasswordError::Character {
            position: bad.position + 1,
        },
        // A rule about neighbouring characters, such as the zero-width joiner's.
        Error::Invalid | Error::Unexpected(_) => PasswordError::Sequence,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normalised(text: &str) -> String {
        Password::parse(text).unwrap().expose().to_owned()
    }

    #[test]
    fn one_password_however_it_was_typed() {
        assert_eq!(normalised("caf\u{e9}"), "caf\u{e9}");
        assert_eq!(normalised("cafe\u{301}"), "caf\u{e9}");
        assert_eq!(
            normalised("a\u{a0}b\u{3000}c"),
            "a b c",
            "spaces become the one of ASCII"
        );
        assert_eq!(normalised("  a b \u{a0}"), "  a b  ", "never trimmed");
        assert_eq!(
            normalised("\u{fb01}\u{ff21}"),
            "\u{fb01}\u{ff21}",
            "compatibility forms are kept apart"
        );
        assert_eq!(normalised("Pass🐒"), "Pass🐒");
    }

    #[test]
    fn bad_passwords_are_refused_without_being_shown() {
        let refused = |text: &str| Password::parse(text).unwrap_err();
        assert_eq!(refused(""), PasswordError::Empty);
        assert_eq!(refused("ab\tc"), PasswordError::Character { position: 3 });
        assert_eq!(refused("é\u{0}"), PasswordError::Character { position: 2 });
        assert_eq!(refused("\u{feff}secret"), PasswordError::Character { position: 1 });
        assert_eq!(normalised(&"x".repeat(1_024)).len(), 1_024);
        assert_eq!(refused(&"x".repeat(1_025)), PasswordError::TooLong { bytes_max: 1_024 });
        // 1,024 bytes that are 1,536 when normalised: U+0958 becomes two characters.
        assert_eq!(
            refused(&"\u{958}".repeat(341)),
            PasswordError::TooLong { bytes_max: 1_024 }
        );
        for error in [refused("canary\u{1}"), refused("canary\u{200d}")] {
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }

    #[test]
    fn a_file_may_end_its_line_once() {
        let from = |bytes: &[u8]| Password::from_file_bytes(bytes).map(|password| password.expose().to_owned());
        for bytes in [&b"secret word"[..], b"secret word\n", b"secret word\r\n"] {
            assert_eq!(from(bytes).unwrap(), "secret word");
        }
        assert_eq!(from(b" secret \n").unwrap(), " secret ");
        assert_eq!(from(b"secret\n\n"), Err(PasswordError::MoreThanOneLine));
        assert_eq!(from(b"first\nsecond"), Err(PasswordError::MoreThanOneLine));
        assert_eq!(from(b"secret\r"), Err(PasswordError::Character { position: 7 }));
        assert_eq!(from(b"secret\n\r\n"), Err(PasswordError::MoreThanOneLine));
        assert_eq!(from(b"\n"), Err(PasswordError::Empty));
        assert_eq!(from(b""), Err(PasswordError::Empty));
        assert_eq!(from(b"sec\xffret"), Err(PasswordError::NotUtf8 { offset: 3 }));
    }

    #[test]
    fn strength_tells_weak_from_strong() {
        for weak in [
            "a",
            "password",
            "P@ssw0rd123",
            "market.example",
            "qwertyuiop",
            "aaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            let strength = Password::parse(weak).unwrap().strength();
            assert!(strength.is_weak(), "{weak}: 2^{:.1}", strength.guesses_log2);
        }
        for strong in [
            "correct horse battery staple",
            "kT9$vLq2#xWz7!",
            "nine-purple-tractors-swim-north",
        ] {
            let strength = Password::parse(strong).unwrap().strength();
            assert!(!strength.is_weak(), "{strong}: 2^{:.1}", strength.guesses_log2);
        }
        assert!(!Strength { guesses_log2: 40.0 }.is_weak() && Strength { guesses_log2: 39.99 }.is_weak());
        assert!(Password::parse(&"é🐒".repeat(150)).unwrap().strength().guesses_log2 > 0.0);
    }

    #[test]
    fn debug_shows_nothing() {
        let password = Password::parse("canary-7431").unwrap();
        assert_eq!(
            format!("{password:?} {:#?}", Some(password.clone())),
            "Password(..) Some(\n    Password(..),\n)"
        );
    }

    /// The Greek dot is normalised to the middle dot, which may only stand between two letters l.
    #[test]
    fn what_is_normalised_to_no_password_is_none() {
        assert!(Password::parse("a\u{387}b").is_err());
        assert_eq!(normalised("col\u{b7}lecci\u{f3}"), "col\u{b7}lecci\u{f3}");
    }

    proptest! {
        #[test]
        fn any_text_is_a_password_or_an_error(text in any::<String>()) {
            if let Ok(password) = Password::parse(&text) {
                prop_assert_eq!(normalised(password.expose()), password.expose(), "normalising twice changes nothing");
            }
        }

        #[test]
        fn any_bytes_are_a_password_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let from_line = Password::from_file_bytes(&bytes);
            prop_assert!(from_line.is_err() || !from_line.unwrap().expose().contains(['\n', '\r']));
        }
    }
}
