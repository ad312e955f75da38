//! What became of a task, as the bytes that workers compare: a result, or why there is none. A module that fails does so on every
//! worker alike, and then its failure is what they agree on.

/// A result.
pub(crate) const RESULT_BYTES_MAX: usize = 16 * 1_024 * 1_024;

/// What became of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is done.
    Done(Vec<u8>),
    /// It cannot be done.
    Failed(Failed),
}

/// Why a module gave no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Failed {
    /// It is no module, or lacks what is called.
    Module = 1,
    /// It used up its fuel.
    Fuel = 2,
    /// It stopped with an error of its own: a trap.
    Trap = 3,
    /// What it gave lies outside its memory, or is longer than may be.
    Result = 4,
    /// The input did not fit into its memory.
    Input = 5,
}

impl Failed {
    const ALL: [Self; 5] = [Self::Module, Self::Fuel, Self::Trap, Self::Result, Self::Input];

    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Module => "it is no module, needs more memory than it asked for, or lacks `memory`, `input` or `run`",
            Self::Fuel => "it used up its fuel",
            Self::Trap => "it trapped",
            Self::Result => "its result lies outside its memory, or is longer than 16 MiB",
            Self::Input => "its input did not fit into its memory",
        }
    }
}

impl Outcome {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Done(result) => [&[0], result.as_slice()].concat(),
            Self::Failed(why) => vec![*why as u8],
        }
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (0, result) if result.len() <= RESULT_BYTES_MAX => Some(Self::Done(result.to_vec())),
            (code, []) => Failed::ALL
                .into_iter()
                .find(|why| *why as u8 == *code)
                .map(Self::Failed),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_come_back() {
        for outcome in [
            Outcome::Done(vec![]),
            Outcome::Done(vec![1, 2]),
            Outcome::Failed(Failed::Fuel),
        ] {
            assert_eq!(Outcome::from_bytes(&outcome.to_bytes()), Some(outcome));
        }
        for bytes in [&[][..], &[9], &[1, 1]] {
            assert_eq!(Outcome::from_bytes(bytes), None);
        }
    }
}
