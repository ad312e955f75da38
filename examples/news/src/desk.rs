//! The news desk: asks feeds when they are due, finds what is new, has it published and remembers that. What it does is
//! reported to its caller; it prints nothing.

use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;

use crate::exit::Failure;
use crate::feed::fetch::{Fetched, Fetcher, Problem, Validators};
use crate::feed::pace::Pace;
use crate::feed::parse::{self, Document};
use crate::feed::seen::Seen;
use crate::feed::source::Source;
use crate::item::Item;
use crate::mesh::Outlet;

/// Feeds that are asked at the same time.
const POLLS_AT_ONCE: usize = 4;
/// Feeds of one desk.
const FEEDS_MAX: usize = 1_000;
/// Items that are published before what members hold is noted.
const BATCH_ITEMS: usize = 16;
/// With a deadline: how long a member that is there may take to acknowledge a batch.
const HOLD_TIMEOUT: Duration = Duration::from_secs(120);

/// How long to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// Every feed was asked once; so long is waited for a member that holds the items.
    Once(Duration),
    /// For ever; members are waited for as long as it takes.
    Stopped,
}

/// What the desk did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// The feed, as it is shown to people.
    pub(crate) feed: String,
    /// What of it.
    pub(crate) what: Deed,
}

/// What was done with a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// So many items were published, and are held; so many were known already.
    Published {
        /// New ones.
        new: usize,
        /// Others.
        known: usize,
    },
    /// The server says that nothing changed.
    NotModified,
    /// It could not be read, and is tried again after a while, if at all.
    Failed {
        /// Why.
        why: String,
        /// When it is tried again.
        again_in: Option<Duration>,
    },
    /// It was read, but something is odd.
    Odd(String),
    /// So many items wait for a member that takes them.
    Waiting(usize),
}

/// Sums over all feeds since the desk was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Questions to feeds.
    pub(crate) polls: u64,
    /// Answers that nothing changed.
    pub(crate) not_modified: u64,
    /// Questions without a readable answer.
    pub(crate) failed: u64,
    /// Items that were published and are held.
    pub(crate) published: u64,
}

/// What one question to a feed brought.
enum Answer {
    NotModified,
    Read {
        document: Document,
        validators: Validators,
        led_to: Option<String>,
    },
}

type Poll = BoxFuture<'static, (usize, Result<Answer, Problem>)>;

#[derive(Debug)]
struct Feed {
    source: Source,
    seen: Seen,
    pace: Pace,
    /// When to ask; not at all while an answer is awaited, or if it was asked once and that was all.
    due: Option<Instant>,
    /// Oddities and moves are told once.
    told: Option<String>,
}

/// All feeds of one publisher.
#[derive(Debug)]
pub(crate) struct Desk {
    feeds: Vec<Feed>,
    fetcher: Fetcher,
    tally: Tally,
}

impl Desk {
    /// Opens the desk. What was published before is read from `folder`.
    pub(crate) fn open(
        sources: &[Source],
        interval: Duration,
        folder: &Path,
        fetcher: Fetcher,
    ) -> Result<Self, Failure> {
        let mut feeds: Vec<Feed> = Vec::new();
        for source in sources {
            if feeds.iter().any(|feed| feed.source.identity() == source.identity()) {
                continue;
            }
            feeds.push(Feed {
                seen: Seen::open(folder, &source.identity())?,
                source: source.clone(),
                pace: Pace::new(interval),
                due: None,
                told: None,
            });
        }
        if feeds.len() > FEEDS_MAX {
            return Err(Failure::Usage(format!(
                "more than {FEEDS_MAX} feeds: share them between publishers"
            )));
        }
        Ok(Self {
            feeds,
            fetcher,
            tally: Tally::default(),
        })
    }

    /// The sums so far.
    pub(crate) fn tally(&self) -> Tally {
        self.tally
    }

    /// How many feeds there are.
    pub(crate) fn feeds(&self) -> usize {
        self.feeds.len()
    }

    /// Asks, publishes and remembers. Ends with [`Failure::Nobody`] if no member took the items in time.
    pub(crate) async fn run(
        &mut self,
        outlet: &Outlet,
        until: Until,
        report: &mut (dyn FnMut(Report) + Send),
    ) -> Result<(), Failure> {
        let now = Instant::now();
        self.feeds.iter_mut().for_each(|feed| feed.due = Some(now));
        let mut polls: FuturesUnordered<Poll> = FuturesUnordered::new();
        loop {
            self.begin_polls(&mut polls);
            let next_due = self.feeds.iter().filter_map(|feed| feed.due).min();
            let has_room = polls.len() < POLLS_AT_ONCE;
            let wait = async {
                match next_due {
                    Some(due) if has_room => tokio::time::sleep_until(due).await,
                    _ => std::future::pending().await,
                }
            };
            if polls.is_empty() && next_due.is_none() {
                return Ok(());
            }
            let answered = tokio::select! {
                () = wait => None,
                answered = async { polls.next().await }, if !polls.is_empty() => answered,
            };
            if let Some((index, answer)) = answered {
                self.answered(index, answer, outlet, until, report).await?;
            }
        }
    }

    fn begin_polls(&mut self, polls: &mut FuturesUnordered<Poll>) {
        let now = Instant::now();
        for (index, feed) in self.feeds.iter_mut().enumerate() {
            if polls.len() >= POLLS_AT_ONCE {
                return;
            }
            if feed.due.is_some_and(|due| due <= now) {
                feed.due = None;
                self.tally.polls += 1;
                polls.push(Box::pin(poll(
                    index,
                    feed.source.clone(),
                    feed.seen.validators().clone(),
                    self.fetcher.clone(),
                )));
            }
        }
    }

    async fn answered(
        &mut self,
        index: usize,
        answer: Result<Answer, Problem>,
        outlet: &Outlet,
        until: Until,
        report: &mut (dyn FnMut(Report) + Send),
    ) -> Result<(), Failure> {
        let feed = &mut self.feeds[index];
        let name = feed.source.to_string();
        let mut tell = |what| {
            report(Report {
                feed: name.clone(),
                what,
            });
        };
        let ttl = match answer {
            Ok(Answer::NotModified) => {
                self.tally.not_modified += 1;
                tell(Deed::NotModified);
                None
            }
            Ok(Answer::Read {
                document,
                validators,
                led_to,
            }) => {
                let moved = led_to.map(|to| format!("it is now at {to}"));
                let odd = [document.notice.clone(), moved]
                    .into_iter()
                    .flatten()
                    .collect::<Vec<_>>()
                    .join("; ");
                if !odd.is_empty() && feed.told.as_ref() != Some(&odd) {
                    feed.told = Some(odd.clone());
                    tell(Deed::Odd(odd));
                }
                let ttl = document.ttl;
                let (new, known) = publish(feed, document, validators, outlet, until, &mut tell).await?;
                self.tally.published += new as u64;
                tell(Deed::Published { new, known });
                ttl
            }
            Err(problem) => {
                self.tally.failed += 1;
                let pause = feed.pace.failed(problem.retry_after, rand::random());
                let again_in = (until == Until::Stopped).then_some(pause);
                feed.due = again_in.map(|pause| Instant::now() + pause);
                tell(Deed::Failed {
                    why: problem.what,
                    again_in,
                });
                return Ok(());
            }
        };
        if until == Until::Stopped {
            feed.due = Some(Instant::now() + feed.pace.answered(ttl, rand::random()));
        }
        Ok(())
    }
}

/// Publishes what is new of a document. Gives how many items were, and how many were known.
async fn publish(
    feed: &mut Feed,
    document: Document,
    validators: Validators,
    outlet: &Outlet,
    until: Until,
    tell: &mut (dyn FnMut(Deed) + Send),
) -> Result<(usize, usize), Failure> {
    let (name, identity) = (feed.source.to_string(), feed.source.identity());
    let keyed = |item: Item| (Item::key(&identity, &item.id), item);
    let items: Vec<(String, Item)> = document.items.into_iter().map(keyed).collect();
    let all: Vec<String> = items.iter().map(|(key, _)| key.clone()).collect();
    let new: Vec<(String, Item)> = items.into_iter().filter(|(key, _)| !feed.seen.contains(key)).collect();
    for (done, batch) in new.chunks(BATCH_ITEMS).enumerate() {
        let left = new.len() - done * BATCH_ITEMS;
        if outlet.subscribed() == 0 {
            tell(Deed::Waiting(left));
        }
        let nobody = |what: String| Failure::Nobody(format!("{what} of {name}"));
        match until {
            Until::Stopped => outlet.hold(batch).await?,
            Until::Once(patience) => {
                tokio::time::timeout(patience, outlet.ready(1))
                    .await
                    .map_err(|_| nobody(format!("nobody took {left} items")))??;
                tokio::time::timeout(HOLD_TIMEOUT, outlet.hold(batch))
                    .await
                    .map_err(|_| nobody(format!("nobody acknowledged {left} items")))??;
            }
        }
        // Only what another member holds is remembered: after a crash, the rest is published again.
        feed.seen
            .acknowledged(&name, batch.iter().map(|(key, _)| key.clone()))?;
    }
    // Only now may the server be told that we have this document.
    feed.seen.finished(&name, &all, validators)?;
    Ok((new.len(), all.len() - new.len()))
}

async fn poll(
    index: usize,
    source: Source,
    validators: Validators,
    fetcher: Fetcher,
) -> (usize, Result<Answer, Problem>) {
    (index, ask(source, &validators, &fetcher).await)
}

async fn ask(source: Source, validators: &Validators, fetcher: &Fetcher) -> Result<Answer, Problem> {
    let (bytes, content_type, validators, led_to) = match fetcher.fetch(&source, validators).await? {
        Fetched::NotModified => return Ok(Answer::NotModified),
        Fetched::Body {
            bytes,
            content_type,
            validators,
            led_to,
        } => (bytes, content_type, validators, led_to.map(Source::Web)),
    };
    let base = match (&led_to, &source) {
        (Some(Source::Web(url)), _) | (None, Source::Web(url)) => Some(url.to_string()),
        _ => None,
    };
    // Large feeds take a while to read, and none of them may hold up the others; nor may one that breaks the parser.
    let name = source.to_string();
    let read = move || parse::parse(&bytes, content_type.as_deref(), &name, base.as_deref());
    let document = tokio::task::spawn_blocking(read)
        .await
        .map_err(|_| Problem::new("it cannot be read: the parser broke off"))?
        .map_err(Problem::new)?;
    Ok(Answer::Read {
        document,
        validators,
        led_to: led_to.map(|source| source.to_string()),
    })
}
