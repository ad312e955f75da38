//! Changes of the shared text as a page sends them: at a place of the text that the page knew, which others may have changed
//! since. Not the document that merges what members write at the same time.

use std::collections::VecDeque;

/// Earlier texts whose changes are known: how far behind a page may be.
const VERSIONS_MAX: usize = 256;

/// So many characters go from a place, and these come. Places count Unicode scalar values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Splice {
    pub(crate) at: usize,
    pub(crate) delete: usize,
    pub(crate) insert: String,
}

impl Splice {
    /// What makes `after` of `before`, in one piece; `None` if they are the same.
    pub(crate) fn between(before: &str, after: &str) -> Option<Self> {
        let (old, new): (Vec<char>, Vec<char>) = (before.chars().collect(), after.chars().collect());
        let same = |pair: &(&char, &char)| pair.0 == pair.1;
        let head = old.iter().zip(&new).take_while(same).count();
        let tail = old[head..].iter().rev().zip(new[head..].iter().rev());
        let tail = tail.take_while(same).count();
        let splice = Self {
            at: head,
            delete: old.len() - head - tail,
            insert: new[head..new.len() - tail].iter().collect(),
        };
        (splice.delete > 0 || !splice.insert.is_empty()).then_some(splice)
    }

    fn end(&self) -> usize {
        self.at + self.delete
    }

    /// The same change after another one was made to the text: what still goes, and what came between stays. From the back of
    /// the text to its front.
    fn after(self, other: &Self) -> impl Iterator<Item = Self> {
        let inserted = other.insert.chars().count();
        let before = self.end().min(other.at).saturating_sub(self.at);
        let behind = self.end().saturating_sub(self.at.max(other.end()));
        let is_before = self.at < other.at;
        let rest = (is_before && behind > 0).then(|| Self {
            at: other.at + inserted,
            delete: behind,
            insert: String::new(),
        });
        let first = Self {
            at: match self.at {
                at if is_before => at,
                at => at.max(other.end()) - other.delete + inserted,
            },
            delete: if is_before { before } else { behind },
            insert: self.insert,
        };
        rest.into_iter().chain([first])
    }
}

/// The last versions of the shared text, as this member had them.
#[derive(Debug, Default)]
pub(crate) struct Versions {
    text: String,
    newest: u64,
    /// What led to each version, the newest last.
    changes: VecDeque<Splice>,
}

impl Versions {
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// The text is this now. Whether that is new.
    pub(crate) fn set(&mut self, text: &str) -> bool {
        let Some(change) = Splice::between(&self.text, text) else {
            return false;
        };
        if self.changes.len() == VERSIONS_MAX {
            self.changes.pop_front();
        }
        self.changes.push_back(change);
        text.clone_into(&mut self.text);
        self.newest += 1;
        true
    }

    /// A change of an earlier version, as changes of the newest, from the back of the text to its front; `None` if that version
    /// is too old, or none that there was, or had no such place.
    pub(crate) fn rebase(&self, splice: Splice, version: u64) -> Option<Vec<Splice>> {
        let behind = usize::try_from(self.newest.checked_sub(version)?).ok()?;
        let first = self.changes.len().checked_sub(behind)?;
        let mut splices = vec![splice];
        for change in self.changes.range(first..) {
            splices = splices.into_iter().flat_map(|splice| splice.after(change)).collect();
        }
        let length = self.text.chars().count();
        splices.iter().all(|splice| splice.end() <= length).then_some(splices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn splice(at: usize, delete: usize, insert: &str) -> Splice {
        let insert = insert.to_owned();
        Splice { at, delete, insert }
    }

    fn apply(text: &str, splices: &[Splice]) -> String {
        let mut chars: Vec<char> = text.chars().collect();
        for splice in splices {
            chars.splice(splice.at..splice.end(), splice.insert.chars());
        }
        chars.into_iter().collect()
    }

    #[test]
    fn a_change_is_found_between_two_texts() {
        assert_eq!(Splice::between("same", "same"), None);
        for (before, after, expected) in [
            ("", "new", splice(0, 0, "new")),
            ("old", "", splice(0, 3, "")),
            ("one two", "one or two", splice(4, 0, "or ")),
            ("aaa", "aaaa", splice(3, 0, "a")),
            ("déjà vu", "déjà lu", splice(5, 1, "l")),
        ] {
            assert_eq!(
                Splice::between(before, after),
                Some(expected.clone()),
                "{before} {after}"
            );
            assert_eq!(apply(before, &[expected]), after);
        }
    }

    #[test]
    fn a_change_of_an_earlier_text_is_made_where_it_was_meant() {
        for (now, mine, merged) in [
            // The page knew "buy bread and milk".
            (
                "please buy bread and milk",
                splice(18, 0, "!"),
                "please buy bread and milk!",
            ),
            (
                "buy bread and milk, please",
                splice(0, 3, "get"),
                "get bread and milk, please",
            ),
            ("buy good bread and milk", splice(4, 9, ""), "buy good  milk"),
            ("buy milk", splice(4, 5, "cake"), "buy cakemilk"),
            ("buy bread and old milk", splice(3, 15, "."), "buy.old "),
            ("buy bread, and milk", splice(9, 0, ";"), "buy bread,; and milk"),
        ] {
            let mut versions = Versions::default();
            versions.set("buy bread and milk");
            let version = versions.newest();
            versions.set(now);
            let rebased = versions.rebase(mine.clone(), version).unwrap();
            let merged_now = apply(now, &rebased);
            assert_eq!(merged_now, merged, "{mine:?} {rebased:?}");
        }
    }

    #[test]
    fn what_others_wrote_stays() {
        let base: String = ('a'..='z').collect();
        let edits = [
            (0, 0, "1"),
            (0, 5, ""),
            (3, 10, "2"),
            (5, 0, "3"),
            (13, 0, "4"),
            (20, 6, "5"),
            (0, 26, "6"),
            (26, 0, "7"),
        ];
        for first in edits {
            for second in edits {
                let mut versions = Versions::default();
                versions.set(&base);
                let version = versions.newest();
                let others = apply(&base, &[splice(first.0, first.1, first.2)]);
                versions.set(&others);
                let rebased = versions.rebase(splice(second.0, second.1, second.2), version).unwrap();
                let text = apply(&others, &rebased);
                for (at, delete, insert) in [first, second] {
                    assert!(text.contains(insert), "{first:?} {second:?} {text}");
                    assert!(
                        base[at..at + delete].chars().all(|gone| !text.contains(gone)),
                        "{first:?} {second:?} {text}"
                    );
                }
                let kept = |index: usize| {
                    [first, second]
                        .iter()
                        .all(|(at, delete, _)| !(*at..at + delete).contains(&index))
                };
                assert!(
                    base.chars()
                        .enumerate()
                        .all(|(index, letter)| !kept(index) || text.contains(letter))
                );
            }
        }
    }

    #[test]
    fn versions_that_were_never_there_or_are_forgotten_are_refused() {
        let mut versions = Versions::default();
        assert_eq!(versions.rebase(splice(1, 0, "x"), 0), None, "there is no such place");
        assert_eq!(versions.rebase(splice(0, 0, "x"), 1), None, "it is still to come");
        for number in 0..=VERSIONS_MAX {
            assert!(versions.set(&number.to_string()));
        }
        assert!(!versions.set(&VERSIONS_MAX.to_string()));
        assert_eq!(versions.rebase(splice(0, 0, "x"), 0), None, "it is forgotten");
        assert!(versions.rebase(splice(0, 0, "x"), 1).is_some());
    }
}
