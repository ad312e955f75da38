//! What a member says about itself: a nickname for people, and bytes for the application. Not who it is: that is its key.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use maille_proto::control::Introduction;
use maille_proto::{ABOUT_BYTES_MAX, NICKNAME_BYTES_MAX, decode_introduction};
use prost::Message as _;

/// What a member tells the others about itself. Cheap to clone.
///
/// Members choose it themselves, and two may choose the same: what tells members apart is the `PeerId`.
///
/// ```
/// use maille::Profile;
///
/// let profile = Profile::new("Ann", "plays white")?;
/// assert_eq!((profile.nickname(), &profile.about()[..]), ("Ann", &b"plays white"[..]));
/// # Ok::<(), maille::ProfileError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Profile {
    nickname: Option<Arc<str>>,
    about: Bytes,
}

/// Why a profile cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// More bytes than a nickname may have.
    #[error("a nickname has at most {bytes_max} bytes, this one has {bytes}: choose a shorter one")]
    NicknameTooLong {
        /// Its length in UTF-8.
        bytes: usize,
        /// The most allowed.
        bytes_max: usize,
    },
    /// A character that would drive a terminal, or turn the direction of the text around it.
    #[error("a nickname has no control characters, and none that turn the direction of text: leave out {}", .character.escape_unicode())]
    NicknameCharacter {
        /// Which.
        character: char,
    },
    /// More bytes than a member may say about itself.
    #[error("a member says at most {bytes_max} bytes about itself, these are {bytes}: put the rest on a topic")]
    AboutTooLong {
        /// How many.
        bytes: usize,
        /// The most allowed.
        bytes_max: usize,
    },
}

impl Profile {
    /// A nickname of at most 64 bytes of UTF-8, blanks around it left out, which may be empty; and at most 4,096 bytes that
    /// mean what the application wants them to.
    ///
    /// # Errors
    /// [`ProfileError`].
    pub fn new(nickname: &str, about: impl Into<Bytes>) -> Result<Self, ProfileError> {
        let (nickname, about) = (nickname.trim(), about.into());
        if nickname.len() > NICKNAME_BYTES_MAX {
            return Err(ProfileError::NicknameTooLong {
                bytes: nickname.len(),
                bytes_max: NICKNAME_BYTES_MAX,
            });
        }
        if let Some(character) = nickname.chars().find(|character| is_misleading(*character)) {
            return Err(ProfileError::NicknameCharacter { character });
        }
        if about.len() > ABOUT_BYTES_MAX {
            return Err(ProfileError::AboutTooLong {
                bytes: about.len(),
                bytes_max: ABOUT_BYTES_MAX,
            });
        }
        Ok(Self {
            nickname: (!nickname.is_empty()).then(|| nickname.into()),
            about,
        })
    }

    /// What people call the member; empty if it did not say.
    #[must_use]
    pub fn nickname(&self) -> &str {
        self.nickname.as_deref().unwrap_or_default()
    }

    /// What else it says about itself.
    #[must_use]
    pub fn about(&self) -> &Bytes {
        &self.about
    }

    /// The bytes that travel; none if there is nothing to say.
    pub(crate) fn to_wire(&self) -> Bytes {
        let introduction = Introduction {
            nickname: self.nickname().to_owned(),
            about: self.about.to_vec(),
        };
        introduction.encode_to_vec().into()
    }

    /// Nothing if they are not the bytes of a profile.
    pub(crate) fn from_wire(bytes: &[u8]) -> Option<Self> {
        let introduction = decode_introduction(bytes).ok()?;
        let profile = Self::new(&introduction.nickname, introduction.about).ok()?;
        (profile.nickname() == introduction.nickname).then_some(profile)
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile")
            .field("nickname", &self.nickname())
            .field("about_bytes", &self.about.len())
            .finish()
    }
}

/// Control characters, and the marks, embeddings, overrides and isolates of Unicode's bidirectional algorithm (UAX 9).
fn is_misleading(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_come_back_from_the_wire() {
        for (nickname, about) in [("", ""), ("Ann", ""), ("", "white"), ("  Zoë 🙂 ", "x")] {
            let profile = Profile::new(nickname, about).unwrap();
            assert_eq!(profile.nickname(), nickname.trim());
            assert_eq!(Profile::from_wire(&profile.to_wire()), Some(profile));
        }
        assert!(Profile::default().to_wire().is_empty());
    }

    #[test]
    fn what_is_too_long_or_misleading_is_refused() {
        assert!(Profile::new(&"n".repeat(64), vec![0; 4_096]).is_ok());
        let refused = |nickname: &str, about: usize| Profile::new(nickname, vec![0; about]).unwrap_err();
        assert!(matches!(
            refused(&"é".repeat(33), 0),
            ProfileError::NicknameTooLong { bytes: 66, .. }
        ));
        assert!(matches!(
            refused("", 4_097),
            ProfileError::AboutTooLong { bytes: 4_097, .. }
        ));
        for nickname in ["a\u{1b}[2Jb", "a\nb", "x\u{202e}y", "\u{2066}"] {
            assert!(matches!(refused(nickname, 0), ProfileError::NicknameCharacter { .. }));
            let wire = Introduction {
                nickname: nickname.to_owned(),
                about: Vec::new(),
            };
            assert_eq!(Profile::from_wire(&wire.encode_to_vec()), None);
        }
        let wire = Introduction {
            nickname: " blank".to_owned(),
            about: Vec::new(),
        };
        assert_eq!(Profile::from_wire(&wire.encode_to_vec()), None);
    }
}
