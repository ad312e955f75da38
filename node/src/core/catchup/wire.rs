//! Questions and answers as bytes: what got through here is well formed, and every frame in it is signed for this topic.
//! Not whether an answer fits its question, which is the machine's business. Checking signatures takes time: `net/` may do
//! it beside its loop.

use std::ops::Range;

use bytes::Bytes;
use libp2p::PeerId;
use maille_proto::{
    CATCHUP_FILL_BYTES, CATCHUP_FRAMES_MAX, CATCHUP_LAST_MAX, CATCHUP_RUNS_MAX, CATCHUP_SPANS_MAX, CATCHUP_TOPICS_MAX,
    DecodeError,
    catchup::{self, AnswerKind},
    decode_catchup_answer, decode_catchup_request,
};
use prost::Message as _;

use super::{Answer, Claim, Question, Run};
use crate::{
    core::stream::{Context, Frame},
    types::{NameError, Selector, TopicName},
};

/// What a member asks another: about a topic, or which topics there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// About one topic.
    Topic(TopicName, Question),
    /// Which topics there are, after this one.
    Topics(Option<TopicName>),
}

/// One topic as a member holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicHeld {
    /// Its name.
    pub name: TopicName,
    /// Publishers of which it holds something.
    pub publishers: u32,
    /// When the newest frame held was sent, in microseconds since the Unix epoch.
    pub newest_us: u64,
    /// The member keeps it durably.
    pub kept: bool,
}

/// Why bytes are not a question or an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// Outside the bounds, or not canonical.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A topic's name is not one.
    #[error("bad topic: {0}")]
    Topic(#[from] NameError),
    /// A publisher is not a peer id.
    #[error("the publisher of a run is not a peer id")]
    Publisher,
    /// A range or a number is not one that may be asked or claimed.
    #[error("{what} is empty, out of order or out of bounds")]
    Range {
        /// Which.
        what: &'static str,
    },
    /// The answer is of another kind than the question.
    #[error("an answer to another question")]
    Kind,
}

impl Request {
    /// Reads a question, without the length before it.
    ///
    /// # Errors
    /// When it is not one.
    pub fn read(bytes: &[u8]) -> Result<Self, WireError> {
        let request = decode_catchup_request(bytes)?;
        let question = request.question.ok_or(WireError::Kind)?;
        if let catchup::Question::Topics(topics) = question {
            if !request.topic.is_empty() {
                return Err(WireError::Kind);
            }
            let after = Some(topics.after).filter(|after| !after.is_empty());
            return Ok(Self::Topics(after.map(TopicName::try_from).transpose()?));
        }
        Ok(Self::Topic(request.topic.try_into()?, read_question(question)?))
    }

    /// The bytes of a question, without the length before them.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let (topic, question) = match self {
            Self::Topics(after) => {
                let after = after.as_ref().map(ToString::to_string).unwrap_or_default();
                (
                    String::new(),
                    catchup::Question::Topics(catchup::TopicsQuestion { after }),
                )
            }
            Self::Topic(topic, question) => (topic.to_string(), write_question(question)),
        };
        let question = Some(question);
        catchup::Request { topic, question }.encode_to_vec()
    }
}

impl Answer {
    /// Reads an answer about a topic, without the length before it, and opens every frame in it.
    ///
    /// # Errors
    /// When it is not one. Frames that are not of this topic are only counted.
    pub fn read(bytes: &[u8], context: &Context) -> Result<Self, WireError> {
        match decode_catchup_answer(bytes)?.answer.ok_or(WireError::Kind)? {
            AnswerKind::Busy(_) => Ok(Self::Busy),
            AnswerKind::Topics(_) => Err(WireError::Kind),
            AnswerKind::Runs(catchup::Runs { runs, more }) => {
                let claims = runs.into_iter().map(|run| read_claim(run, context));
                let claims = claims.collect::<Result<_, _>>()?;
                Ok(Self::Runs { claims, more })
            }
            AnswerKind::Frames(catchup::Frames { frames, more }) => Ok(Self::open(frames, more, context)),
        }
    }

    /// Opens frames: the signature of each must hold for this topic. For the local store too, whose files may be damaged.
    pub fn open(frames: impl IntoIterator<Item = impl Into<Bytes>>, more: bool, context: &Context) -> Self {
        let mut rejected = 0;
        let opened = frames.into_iter().map(|wire| Frame::open(wire.into(), context));
        let frames = opened
            .filter_map(|frame| frame.map_err(|_| rejected += 1).ok())
            .collect();
        Self::Frames { frames, more, rejected }
    }
}

/// Reads the answer to [`Request::Topics`], and whether there are more; `None` if the member is busy.
///
/// # Errors
/// When it is not one.
pub fn read_topics(bytes: &[u8]) -> Result<Option<(Vec<TopicHeld>, bool)>, WireError> {
    match decode_catchup_answer(bytes)?.answer {
        Some(AnswerKind::Busy(_)) => Ok(None),
        Some(AnswerKind::Topics(catchup::Topics { topics, more })) => {
            let read = |topic: catchup::Topic| {
                Ok(TopicHeld {
                    name: topic.name.try_into()?,
                    publishers: topic.publishers,
                    newest_us: topic.newest_us,
                    kept: topic.kept,
                })
            };
            let topics = topics.into_iter().map(read).collect::<Result<_, WireError>>()?;
            Ok(Some((topics, more)))
        }
        _ => Err(WireError::Kind),
    }
}

/// The bytes of an answer with claims, each with the wire form of the run's newest signed head. What has no room in one
/// answer is left out, and the answer says that there is more.
#[must_use]
pub fn write_runs(claims: impl IntoIterator<Item = (Claim, Option<Bytes>)>) -> Vec<u8> {
    let runs = claims.into_iter().map(|(claim, head)| write_claim(&claim, head));
    let (runs, more) = fill(runs, CATCHUP_RUNS_MAX, catchup::Run::encoded_len);
    write(AnswerKind::Runs(catchup::Runs { runs, more }))
}

/// The bytes of an answer with frames. What has no room in one answer is left out, and the answer says that there is more.
#[must_use]
pub fn write_frames(frames: impl IntoIterator<Item = Bytes>, more: bool) -> Vec<u8> {
    let (frames, full) = fill(frames.into_iter(), CATCHUP_FRAMES_MAX, Bytes::len);
    let frames = frames.into_iter().map(Vec::from).collect();
    write(AnswerKind::Frames(catchup::Frames {
        frames,
        more: more || full,
    }))
}

/// The bytes of an answer with topics. What has no room in one answer is left out, and the answer says that there is more.
#[must_use]
pub fn write_topics(topics: impl IntoIterator<Item = TopicHeld>) -> Vec<u8> {
    let topics = topics.into_iter().map(|topic| catchup::Topic {
        name: topic.name.to_string(),
        publishers: topic.publishers,
        newest_us: topic.newest_us,
        kept: topic.kept,
    });
    let (topics, more) = fill(topics, CATCHUP_TOPICS_MAX, catchup::Topic::encoded_len);
    write(AnswerKind::Topics(catchup::Topics { topics, more }))
}

/// The bytes of an answer that there is none now.
#[must_use]
pub fn write_busy() -> Vec<u8> {
    write(AnswerKind::Busy(catchup::Busy {}))
}

fn write(answer: AnswerKind) -> Vec<u8> {
    let answer = Some(answer);
    catchup::Answer { answer }.encode_to_vec()
}

/// As many as fit, at least one if there is one; whether there are more.
fn fill<T>(items: impl Iterator<Item = T>, count_max: usize, bytes_of: impl Fn(&T) -> usize) -> (Vec<T>, bool) {
    let (mut taken, mut bytes) = (vec![], 0);
    for item in items {
        bytes += bytes_of(&item);
        if !taken.is_empty() && (bytes > CATCHUP_FILL_BYTES || taken.len() >= count_max) {
            return (taken, true);
        }
        taken.push(item);
    }
    (taken, false)
}

fn read_question(question: catchup::Question) -> Result<Question, WireError> {
    match question {
        catchup::Question::Runs(runs) => {
            let selector = match runs.selector {
                None => Selector::All,
                Some(catchup::Selector::SinceUs(since_us)) => Selector::Since(since_us),
                Some(catchup::Selector::Last(last)) if (1..=CATCHUP_LAST_MAX).contains(&last) => Selector::Last(last),
                Some(catchup::Selector::Last(_)) => return Err(WireError::Range { what: "last" }),
            };
            let from = runs.from.map(read_run).transpose()?;
            Ok(Question::Runs { selector, from })
        }
        catchup::Question::Range(range) => Ok(Question::Range {
            run: read_run(range.run.unwrap_or_default())?,
            sequences: read_range(range.from..range.to, "the range asked for")?,
        }),
        catchup::Question::Latest(latest) => Ok(Question::Latest { skip: latest.skip }),
        catchup::Question::Topics(_) => Err(WireError::Kind),
    }
}

fn write_question(question: &Question) -> catchup::Question {
    match question {
        Question::Runs { selector, from } => catchup::Question::Runs(catchup::RunsQuestion {
            selector: match *selector {
                Selector::All => None,
                Selector::Since(since_us) => Some(catchup::Selector::SinceUs(since_us)),
                Selector::Last(last) => Some(catchup::Selector::Last(last.clamp(1, CATCHUP_LAST_MAX))),
            },
            from: from.as_ref().map(write_run),
        }),
        Question::Range { run, sequences } => catchup::Question::Range(catchup::RangeQuestion {
            run: Some(write_run(run)),
            from: sequences.start,
            to: sequences.end,
        }),
        Question::Latest { skip } => catchup::Question::Latest(catchup::LatestQuestion { skip: *skip }),
    }
}

fn read_claim(run: catchup::Run, context: &Context) -> Result<Claim, WireError> {
    let name = read_run(run.run.unwrap_or_default())?;
    let held = run.held.iter().map(|span| read_range(span.from..span.to, "a span"));
    let held: Vec<Range<u64>> = held.collect::<Result<_, _>>()?;
    if held.windows(2).any(|pair| pair[0].end >= pair[1].start) {
        return Err(WireError::Range {
            what: "a list of spans",
        });
    }
    // A head that is not one proves nothing, and takes nothing away.
    let head = Some(run.head).filter(|head| !head.is_empty());
    let head = head.and_then(|head| Frame::open(head.into(), context).ok());
    let head = head.filter(|head| {
        let same = (head.publisher, head.incarnation) == (name.publisher, name.incarnation);
        same && head.sequences().is_empty()
    });
    Ok(Claim {
        run: name,
        held,
        from: run.from,
        newest_us: run.newest_us,
        proved: head.map(|head| head.sequences().start),
    })
}

fn write_claim(claim: &Claim, head: Option<Bytes>) -> catchup::Run {
    let oldest = claim.held.len().saturating_sub(CATCHUP_SPANS_MAX);
    let span = |span: &Range<u64>| catchup::Span {
        from: span.start,
        to: span.end,
    };
    let head = head.filter(|head| head.len() <= maille_proto::CATCHUP_HEAD_BYTES_MAX);
    catchup::Run {
        run: Some(write_run(&claim.run)),
        held: claim.held[oldest..].iter().map(span).collect(),
        from: claim.from,
        newest_us: claim.newest_us,
        head: head.map(Vec::from).unwrap_or_default(),
    }
}

fn read_run(name: catchup::RunName) -> Result<Run, WireError> {
    Ok(Run {
        publisher: PeerId::from_bytes(&name.publisher).map_err(|_| WireError::Publisher)?,
        incarnation: name.incarnation,
    })
}

fn write_run(run: &Run) -> catchup::RunName {
    catchup::RunName {
        publisher: run.publisher.to_bytes(),
        incarnation: run.incarnation,
    }
}

fn read_range(range: Range<u64>, what: &'static str) -> Result<Range<u64>, WireError> {
    if range.is_empty() {
        Err(WireError::Range { what })
    } else {
        Ok(range)
    }
}
