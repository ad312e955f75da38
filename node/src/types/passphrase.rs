//! Generated passwords: five words of the EFF's long list, about 64.6 bits.

use diceware_wordlists::EFF_LONG_WORDLIST;
use rand::{CryptoRng, seq::IndexedRandom};
use zeroize::Zeroizing;

use super::Password;

const WORDS: usize = 5;
/// Survives copying, shells and line wraps, which a space does not.
const SEPARATOR: char = '-';

impl Password {
    /// A new passphrase such as `shrine-wobbly-cane-deduct-plural`.
    ///
    /// # Panics
    /// Never: the word list is not empty.
    #[must_use]
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        // Room for the longest phrase, so that no part of it stays behind in a buffer that was outgrown.
        let mut phrase = Zeroizing::new(String::with_capacity(WORDS * (WORD_BYTES_MAX + 1)));
        for _ in 0..WORDS {
            if !phrase.is_empty() {
                phrase.push(SEPARATOR);
            }
            phrase.push_str(EFF_LONG_WORDLIST.choose(rng).expect("the word list is not empty"));
        }
        Self::parse(&phrase).expect("words of the list are short ASCII text")
    }
}

/// The longest words of the list.
const WORD_BYTES_MAX: usize = 9;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn the_list_gives_64_bits() {
        let words: BTreeSet<_> = EFF_LONG_WORDLIST.iter().collect();
        assert_eq!(words.len(), 7_776, "no word twice");
        let bits = (words.len() as f64).log2() * WORDS as f64;
        assert!(bits > 64.0, "{bits}");
        assert!(
            words
                .iter()
                .all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'))
        );
        assert_eq!(words.iter().map(|word| word.len()).max(), Some(WORD_BYTES_MAX));
        // Words with the separator inside are not made of other words, so a phrase has one reading.
        let joined = words.iter().filter_map(|word| word.split_once(SEPARATOR));
        for (first, second) in joined {
            assert!(!(words.contains(&first) && words.contains(&second)), "{first}-{second}");
        }
    }

    #[test]
    fn phrases_are_never_rated_weak() {
        const SEED: u64 = 6_245;
        eprintln!("seed {SEED}");
        let mut rng = StdRng::seed_from_u64(SEED);
        let (mut phrases, mut weakest) = (BTreeSet::new(), f64::INFINITY);
        for _ in 0..300 {
            let password = Password::generate(&mut rng);
            let strength = password.strength();
            assert!(
                !strength.is_weak(),
                "{}: 2^{:.1}",
                password.expose(),
                strength.guesses_log2
            );
            weakest = weakest.min(strength.guesses_log2);
            phrases.insert(password.expose().to_owned());
        }
        eprintln!("weakest of 300: 2^{weakest:.1} guesses");
        assert_eq!(phrases.len(), 300);
    }

    #[test]
    fn a_phrase_depends_on_the_generator() {
        let phrase = |seed| Password::generate(&mut StdRng::seed_from_u64(seed)).expose().to_owned();
        assert_eq!(phrase(1), phrase(1));
        assert_ne!(phrase(1), phrase(2));
    }
}
