//! Which topics a mesh has: what this node knows, and what its neighbours say when asked.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use libp2p::PeerId;
use libp2p::request_response::OutboundRequestId;
use tokio::sync::oneshot;

use super::task::Task;
use super::{Slot, history};
use crate::core::catchup::wire::{Request, TopicHeld, read_topics};
use crate::core::catchup::{Answer, Claim, Question, RequestId};
use crate::types::{Selector, TopicName};

/// How long neighbours may take to answer.
const LISTING_TIMEOUT: Duration = Duration::from_secs(5);
/// Neighbours that are asked.
const ASKED_MAX: usize = 16;
/// Topics of which the publishers are asked, too; of the others their number is known.
const DETAILED_MAX: usize = 32;
/// Neighbours that are asked about one topic.
const ASKED_A_TOPIC_MAX: usize = 3;
/// Listings under way at once.
const LISTINGS_MAX: usize = 8;

/// A topic of a mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicInfo {
    /// Its name.
    pub name: TopicName,
    /// Those who published on it lately, or whose records somebody keeps; at most as many as were asked about.
    pub publishers: Vec<PublisherInfo>,
    /// How many publishers a single member knows, at most.
    pub publishers_known: usize,
    /// Whether a keeper that was asked stores it.
    pub kept: bool,
}

/// A publisher on a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublisherInfo {
    /// Who.
    pub publisher: PeerId,
    /// Its latest incarnation.
    pub incarnation: u64,
    /// How many records it has, as far as anybody who was asked knows: the next sequence number.
    pub next_sequence: u64,
    /// When the newest of them was sent, by its clock.
    pub heard: Option<SystemTime>,
}

/// For whom a member is asked.
pub(super) enum Asker {
    /// The catch-up of a topic.
    Catchup(TopicName, RequestId),
    /// A keeper that looks for topics.
    Keeper,
    /// Somebody who wants a list.
    Listing(u64),
    /// The same, about one topic.
    Publishers(u64, TopicName),
}

/// A list that is being made.
pub(super) struct Listing {
    found: BTreeMap<TopicName, Found>,
    waiting: usize,
    detailed: bool,
    until: Instant,
    reply: oneshot::Sender<Vec<TopicInfo>>,
}

#[derive(Default)]
struct Found {
    told_by: Vec<PeerId>,
    publishers_known: usize,
    kept: bool,
    publishers: BTreeMap<PeerId, PublisherInfo>,
}

impl Found {
    fn hear(&mut self, held: &TopicHeld) {
        self.publishers_known = self.publishers_known.max(held.publishers as usize);
        self.kept |= held.kept;
    }

    fn hear_claim(&mut self, claim: &Claim) {
        let next = claim
            .held
            .last()
            .map_or(0, |span| span.end)
            .max(claim.proved.unwrap_or(0));
        let heard = SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(claim.newest_us));
        let told = PublisherInfo {
            publisher: claim.run.publisher,
            incarnation: claim.run.incarnation,
            next_sequence: next,
            heard: heard.filter(|_| claim.newest_us > 0),
        };
        let known = self.publishers.entry(told.publisher).or_insert_with(|| told.clone());
        if (known.incarnation, known.next_sequence) < (told.incarnation, told.next_sequence) {
            *known = told;
        }
    }
}

impl Task {
    /// Makes a list; answers with what there is if too many are being made.
    pub(super) fn list_topics(&mut self, slot: Slot, reply: oneshot::Sender<Vec<TopicInfo>>) {
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        let mut found: BTreeMap<TopicName, Found> = BTreeMap::new();
        for topic in mesh.topics.keys().chain(mesh.subscriptions.values().flatten()) {
            found.entry(topic.clone()).or_default();
        }
        let is_full = mesh.listings.len() >= LISTINGS_MAX;
        let peers: Vec<PeerId> = mesh.reached.keys().copied().take(ASKED_MAX).collect();
        self.listings += 1;
        let id = self.listings;
        let listing = Listing {
            found,
            waiting: 1,
            detailed: false,
            until: Instant::now() + LISTING_TIMEOUT,
            reply,
        };
        mesh.listings.insert(id, listing);
        if is_full {
            return self.end_listing(slot, id);
        }
        for peer in peers {
            if self.ask_member(slot, peer, &Request::Topics(None), Asker::Listing(id)) {
                self.listing(slot, id, |listing| listing.waiting += 1);
            }
        }
        let own = self.meshes.get(&slot).map(|mesh| mesh.history.topics(None));
        if let Some(own) = own {
            self.jobs.spawn(async move {
                let held = own.await.unwrap_or_default();
                super::task::Done::Listed { slot, id, held }
            });
        }
    }

    /// Asks a member, and remembers for whom; whether it could be asked.
    pub(super) fn ask_member(&mut self, slot: Slot, peer: PeerId, request: &Request, asker: Asker) -> bool {
        let (Some(mesh), Some(inner)) = (
            self.meshes.get_mut(&slot),
            self.swarm.behaviour_mut().gate.inner_mut(slot),
        ) else {
            return false;
        };
        let is_here = mesh.reached.contains_key(&peer);
        if is_here {
            let id: OutboundRequestId = inner.catchup.send_request(&peer, request.write());
            mesh.asked.insert(id, asker);
        }
        is_here
    }

    fn listing(&mut self, slot: Slot, id: u64, change: impl FnOnce(&mut Listing)) {
        if let Some(listing) = self.meshes.get_mut(&slot).and_then(|mesh| mesh.listings.get_mut(&id)) {
            change(listing);
        }
    }

    /// A member told its topics, or did not.
    pub(super) fn on_topics(&mut self, slot: Slot, from: PeerId, response: Option<&[u8]>, listing: Option<u64>) {
        let read = response.map(read_topics);
        let held = read
            .and_then(Result::ok)
            .flatten()
            .map(|(held, _)| held)
            .unwrap_or_default();
        match listing {
            Some(id) => self.listed(slot, id, Some(from), held),
            None => held.iter().for_each(|held| self.topic_exists(slot, &held.name)),
        }
    }

    /// Somebody's topics for a list; this node's own if it is nobody's.
    pub(super) fn listed(&mut self, slot: Slot, id: u64, from: Option<PeerId>, held: Vec<TopicHeld>) {
        self.listing(slot, id, |listing| {
            listing.waiting -= 1;
            for held in held {
                let found = listing.found.entry(held.name.clone()).or_default();
                found.hear(&held);
                found.told_by.extend(from);
            }
        });
        self.go_on_listing(slot, id);
    }

    /// Somebody's publishers of one topic for a list.
    pub(super) fn listed_publishers(&mut self, slot: Slot, id: u64, topic: &TopicName, answer: Option<&Answer>) {
        self.listing(slot, id, |listing| {
            listing.waiting -= 1;
            if let (Some(Answer::Runs { claims, .. }), Some(found)) = (answer, listing.found.get_mut(topic)) {
                claims.iter().for_each(|claim| found.hear_claim(claim));
            }
        });
        self.go_on_listing(slot, id);
    }

    fn go_on_listing(&mut self, slot: Slot, id: u64) {
        let Some(mesh) = self.meshes.get_mut(&slot) else { return };
        let Some(listing) = mesh.listings.get_mut(&id).filter(|listing| listing.waiting == 0) else {
            return;
        };
        if listing.detailed {
            return self.end_listing(slot, id);
        }
        listing.detailed = true;
        listing.waiting = 1;
        let topics = listing.found.iter().take(DETAILED_MAX);
        let asked: Vec<(TopicName, Vec<PeerId>)> = topics
            .map(|(topic, found)| {
                (
                    topic.clone(),
                    found.told_by.iter().copied().take(ASKED_A_TOPIC_MAX).collect(),
                )
            })
            .collect();
        let what = Question::Runs {
            selector: Selector::All,
            from: None,
        };
        for (topic, peers) in asked {
            for peer in peers {
                let request = Request::Topic(topic.clone(), what.clone());
                if self.ask_member(slot, peer, &request, Asker::Publishers(id, topic.clone())) {
                    self.listing(slot, id, |listing| listing.waiting += 1);
                }
            }
            let Some(mesh) = self.meshes.get(&slot) else { return };
            let (own, context) = (mesh.history.read(&topic, what.clone()), mesh.context(&topic));
            self.listing(slot, id, |listing| listing.waiting += 1);
            self.jobs.spawn(async move {
                let answer = history::made(own, move |read| read.open(&context)).await;
                super::task::Done::ListedPublishers {
                    slot,
                    id,
                    topic,
                    answer,
                }
            });
        }
        self.listing(slot, id, |listing| listing.waiting -= 1);
        self.go_on_listing(slot, id);
    }

    /// Answers lists that waited long enough with what was told.
    pub(super) fn sweep_listings(&mut self, slot: Slot, now: Instant) {
        let Some(mesh) = self.meshes.get(&slot) else { return };
        let due = mesh.listings.iter().filter(|(_, listing)| listing.until <= now);
        for id in due.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.end_listing(slot, id);
        }
    }

    fn end_listing(&mut self, slot: Slot, id: u64) {
        let Some(listing) = self.meshes.get_mut(&slot).and_then(|mesh| mesh.listings.remove(&id)) else {
            return;
        };
        let topics = listing.found.into_iter().map(|(name, found)| TopicInfo {
            name,
            publishers_known: found.publishers_known.max(found.publishers.len()),
            publishers: found.publishers.into_values().collect(),
            kept: found.kept,
        });
        // An error: nobody waits for it any more.
        let _ = listing.reply.send(topics.collect());
    }
}
