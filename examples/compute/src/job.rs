//! Jobs and their tasks, and what members say of them, as records: JSON, checked for what a hostile member might say.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use maille::BlobId;
use serde::{Deserialize, Serialize};

/// Tasks of one job.
pub(crate) const TASKS_MAX: u32 = 4_096;
/// Paths that one task simulates.
pub(crate) const PATHS_MAX: u64 = 100_000_000;
/// How long a job may take.
pub(crate) const DEADLINE_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Replicas of one task.
pub(crate) const REPLICAS_MAX: u32 = 15;
/// What a task of a module may burn, in wasmi's fuel: about an instruction each.
pub(crate) const FUEL_MAX: u64 = 1_000_000_000_000;
/// Memory of a module, in bytes.
pub(crate) const MEMORY_MAX: u64 = 1_024 * 1_024 * 1_024;
/// A result that travels inside its vote; larger ones are blobs.
pub(crate) const INLINE_BYTES_MAX: usize = 4_096;
/// What a person is told why a worker cannot.
const WHY_CHARS_MAX: usize = 200;

/// Names a job: the first 8 bytes of the hash of what was submitted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct JobId([u8; 8]);

/// What is not the id of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadId;

impl fmt::Display for BadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the id of a job has 16 hexadecimal digits, as `compute submit` printed it")
    }
}

impl std::error::Error for BadId {}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for JobId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        match u64::from_str_radix(text, 16) {
            Ok(number) if text.len() == 16 && digits => Ok(Self(number.to_be_bytes())),
            _ => Err(BadId),
        }
    }
}

impl TryFrom<String> for JobId {
    type Error = BadId;

    fn try_from(text: String) -> Result<Self, BadId> {
        text.parse()
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> Self {
        id.to_string()
    }
}

/// A job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Job {
    pub(crate) work: Work,
    pub(crate) tasks: u32,
    pub(crate) replicas: u32,
    pub(crate) deadline_ms: u64,
    /// Makes two submissions of one job two jobs.
    pub(crate) nonce: u64,
}

/// What its tasks do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Work {
    /// The price of a European call.
    Option(Call),
    /// Value at risk of a portfolio over one day.
    Risk(Portfolio),
    /// A WebAssembly module of the submitter's.
    Module(Module),
}

/// A European call, and how it is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Call {
    pub(crate) spot: f64,
    pub(crate) strike: f64,
    /// A year, continuously.
    pub(crate) rate: f64,
    /// A year.
    pub(crate) volatility: f64,
    pub(crate) years: f64,
    /// Paths a task.
    pub(crate) paths: u64,
    pub(crate) seed: u64,
}

/// Holdings whose returns of one day are jointly normal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Portfolio {
    /// Dollars in each.
    pub(crate) holdings: Vec<f64>,
    /// Covariances of a day's returns, row by row.
    pub(crate) covariances: Vec<f64>,
    /// Paths a task.
    pub(crate) paths: u64,
    pub(crate) seed: u64,
}

/// A module, and what it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Module {
    #[serde(with = "text")]
    pub(crate) module: BlobId,
    #[serde(with = "text")]
    pub(crate) input: BlobId,
    /// For one task.
    pub(crate) fuel: u64,
    /// In bytes.
    pub(crate) memory: u64,
}

/// Holdings of a portfolio.
pub(crate) const HOLDINGS_MAX: usize = 64;

impl Job {
    /// Its name.
    pub(crate) fn id(&self) -> JobId {
        let text = serde_json::to_vec(self).expect("a job has no maps with keys that are not text");
        let hash = *BlobId::of(&text).as_bytes();
        JobId(*hash.first_chunk().expect("a hash has 32 bytes"))
    }

    /// Whether it makes sense: the first thing that does not, in words.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let within = |holds: bool, why| if holds { Ok(()) } else { Err(why) };
        within((1..=TASKS_MAX).contains(&self.tasks), "a job has 1 to 4096 tasks")?;
        within(
            (1..=REPLICAS_MAX).contains(&self.replicas),
            "a task has 1 to 15 replicas",
        )?;
        let deadline = Duration::from_millis(self.deadline_ms);
        within(
            !deadline.is_zero() && deadline <= DEADLINE_MAX,
            "a deadline is within a day",
        )?;
        match &self.work {
            Work::Option(call) => call.check(),
            Work::Risk(portfolio) => portfolio.check(),
            Work::Module(module) => {
                within((1..=FUEL_MAX).contains(&module.fuel), "fuel is 1 to 10^12")?;
                within((1..=MEMORY_MAX).contains(&module.memory), "memory is at most 1 GiB")
            }
        }
    }

    pub(crate) fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms)
    }
}

impl Call {
    fn check(&self) -> Result<(), &'static str> {
        let positive = [self.spot, self.strike, self.volatility, self.years];
        let sane = positive.iter().all(|value| (1e-6..=1e9).contains(value)) && (-1.0..=1.0).contains(&self.rate);
        let paths = (1..=PATHS_MAX).contains(&self.paths);
        if sane && paths {
            Ok(())
        } else {
            Err("a call's numbers are positive, and its paths at most 10^8 a task")
        }
    }
}

impl Portfolio {
    fn check(&self) -> Result<(), &'static str> {
        let count = self.holdings.len();
        let sizes = (1..=HOLDINGS_MAX).contains(&count) && self.covariances.len() == count * count;
        let mut numbers = self.holdings.iter().chain(&self.covariances);
        let sane = numbers.all(|value| value.is_finite() && value.abs() <= 1e12);
        let paths = (1..=PATHS_MAX).contains(&self.paths);
        if sizes && sane && paths {
            Ok(())
        } else {
            Err("a portfolio has 1 to 64 holdings, and a covariance for each two")
        }
    }
}

/// What a worker says on the topic of votes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Said {
    /// It worked on a task.
    Vote(Vote),
    /// It cannot work on a job.
    Cannot {
        job: JobId,
        /// In words.
        why: String,
    },
}

/// A result of one task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vote {
    pub(crate) job: JobId,
    pub(crate) task: u32,
    /// The hash of the result; a blob, if it is not in here.
    #[serde(with = "text")]
    pub(crate) digest: BlobId,
    /// The result in hexadecimal digits, if it is small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<String>,
}

impl Vote {
    /// A vote for this result; it travels inside if it is small.
    pub(crate) fn new(job: JobId, task: u32, result: &[u8]) -> Self {
        Self {
            job,
            task,
            digest: BlobId::of(result),
            result: (result.len() <= INLINE_BYTES_MAX).then(|| to_hex(result)),
        }
    }

    /// The result, if it is inside and what the digest says. An error if it is not that.
    pub(crate) fn inline(&self) -> Result<Option<Vec<u8>>, &'static str> {
        let Some(text) = &self.result else { return Ok(None) };
        let bytes = from_hex(text).ok_or("a result is hexadecimal digits of at most 4096 bytes")?;
        match BlobId::of(&bytes) == self.digest {
            true => Ok(Some(bytes)),
            false => Err("a result is not what its digest says"),
        }
    }
}

impl Said {
    /// Whether a member may say so.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        match self {
            Said::Vote(vote) => vote.inline().map(drop),
            Said::Cannot { why, .. } if why.chars().count() > WHY_CHARS_MAX => Err("too many words"),
            Said::Cannot { why, .. } if why.chars().any(char::is_control) => Err("no words"),
            Said::Cannot { .. } => Ok(()),
        }
    }
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if digits.len() > 2 * INLINE_BYTES_MAX || !digits.len().is_multiple_of(2) {
        return None;
    }
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    digits
        .chunks(2)
        .map(|pair| Some(value(pair[0])? << 4 | value(pair[1])?))
        .collect()
}

/// Ids as text in JSON.
mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(work: Work) -> Job {
        Job {
            work,
            tasks: 4,
            replicas: 3,
            deadline_ms: 1_000,
            nonce: u64::MAX,
        }
    }

    fn call(spot: f64) -> Work {
        Work::Option(Call {
            spot,
            strike: 1.0,
            rate: 0.0,
            volatility: 0.3,
            years: 1.0,
            paths: 10,
            seed: 1,
        })
    }

    #[test]
    fn a_job_has_the_same_name_wherever_it_is_read() {
        for number in 1..2_000 {
            let wild = (f64::from(number) * 0.006_13).exp();
            let covariances = vec![wild.recip(), 3.3e-4 / wild, wild, 1.0 / 3.0];
            let risk = Work::Risk(Portfolio {
                holdings: vec![wild, 1.0],
                covariances,
                paths: 1,
                seed: 2,
            });
            for job in [job(call(wild)), job(risk)] {
                let read: Job = serde_json::from_slice(&serde_json::to_vec(&job).unwrap()).unwrap();
                assert_eq!((read.id(), &read), (job.id(), &job));
                assert_eq!(job.id().to_string().parse(), Ok(job.id()));
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert_eq!(job(call(1.0)).check(), Ok(()));
        for spot in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert!(job(call(spot)).check().is_err(), "{spot}");
        }
        for (tasks, replicas, deadline_ms) in [
            (0, 3, 1),
            (4_097, 3, 1),
            (1, 0, 1),
            (1, 16, 1),
            (1, 1, 0),
            (1, 1, u64::MAX),
        ] {
            let job = Job {
                tasks,
                replicas,
                deadline_ms,
                ..job(call(1.0))
            };
            assert!(job.check().is_err(), "{job:?}");
        }
        let skewed = Portfolio {
            holdings: vec![1.0; 3],
            covariances: vec![0.0; 8],
            paths: 1,
            seed: 0,
        };
        assert!(job(Work::Risk(skewed)).check().is_err());
    }

    #[test]
    fn votes_that_are_not_what_they_say_are_refused() {
        let id = job(call(1.0)).id();
        let honest = Vote::new(id, 1, b"result");
        assert_eq!(honest.inline(), Ok(Some(b"result".to_vec())));
        assert!(Vote::new(id, 1, &[0; INLINE_BYTES_MAX + 1]).result.is_none());
        for result in ["00", "zz", "0", &"00".repeat(INLINE_BYTES_MAX + 1)] {
            let vote = Vote {
                result: Some(result.to_owned()),
                ..honest.clone()
            };
            assert!(Said::Vote(vote).check().is_err(), "{result:.9}");
        }
        for why in ["x".repeat(201), "\u{1b}[2J".to_owned()] {
            assert!(Said::Cannot { job: id, why }.check().is_err());
        }
    }
}
