//! Before a match: who is there, who is ready, and what they agree to play. Everybody says so once a second on the room's
//! topic; once enough are ready, the one whose id is the lowest says what is played. Rooms are told of on a topic of the mesh.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use maille::types::Delivery;
use maille::{Event, Json, Mesh, PeerId, Publisher, TopicName};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use shared::Failure;
use tokio::task::JoinHandle;

use crate::rules::RIDERS_MAX;
use crate::session::{Match, Player};
use crate::words::plain;

/// Where rooms are told of.
const ROOMS: &str = "rooms";
/// How often each says that it is there.
const INTERVAL: Duration = Duration::from_secs(1);
/// Who was not heard for so long is gone.
const KEPT: Duration = Duration::from_secs(4);
/// People in a room, and rooms, that are remembered.
const KEPT_MAX: usize = 64;
/// Characters of a name.
pub(crate) const NAME_MAX: usize = 12;

/// What one says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Present {
    pub(crate) name: String,
    pub(crate) ready: bool,
    pub(crate) watches: bool,
    /// How many should play; 0: whatever others say.
    pub(crate) wanted: u8,
    /// What it plays, and how far it is.
    pub(crate) plays: Option<(Match, u32)>,
}

/// What is told of a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) room: String,
    pub(crate) people: usize,
    pub(crate) plays: bool,
}

type People = BTreeMap<PeerId, (Present, Instant)>;

/// A room before, and beside, its matches.
#[derive(Debug)]
pub(crate) struct Lobby {
    me: PeerId,
    room: TopicName,
    publisher: Publisher<Json<Present>>,
    rooms: Publisher<Json<Told>>,
    people: Arc<Mutex<People>>,
    /// How many were there when it was said last.
    said_to: usize,
    reading: JoinHandle<()>,
    said: Option<(Present, Instant)>,
}

impl Lobby {
    pub(crate) async fn enter(mesh: &Mesh, me: PeerId, room: &TopicName) -> Result<Self, Failure> {
        let topic = mesh.topic::<Json<Present>>(below(room, "lobby")?);
        let subscription = topic.subscribe().delivery(Delivery::Conflated).start();
        let mut heard = subscription.await.map_err(Failure::other)?;
        let people = Arc::new(Mutex::new(People::new()));
        let shared = people.clone();
        let reading = tokio::spawn(async move {
            while let Some(event) = heard.next().await {
                if let Event::Record(record) = event {
                    let mut people = lock(&shared);
                    people.retain(|_, (_, at)| at.elapsed() < KEPT);
                    if people.len() < KEPT_MAX || people.contains_key(&record.author) {
                        let Json(mut present) = record.value;
                        present.name = plain(&present.name, NAME_MAX);
                        present.wanted = present.wanted.min(RIDERS_MAX as u8);
                        people.insert(record.author, (present, Instant::now()));
                    }
                }
            }
        });
        let publisher = topic.publisher().await.map_err(Failure::other)?;
        let rooms = mesh.topic(below_root()?).publisher().await.map_err(Failure::other)?;
        Ok(Self {
            me,
            room: room.clone(),
            publisher,
            rooms,
            people,
            said_to: 0,
            reading,
            said: None,
        })
    }

    /// Who is there, this node first.
    pub(crate) fn people(&self) -> Vec<(PeerId, Present)> {
        let own = self.said.iter().map(|(present, _)| (self.me, present.clone()));
        let people = lock(&self.people);
        let fresh = people
            .iter()
            .filter(|(peer, (_, at))| **peer != self.me && at.elapsed() < KEPT);
        own.chain(fresh.map(|(peer, (present, _))| (*peer, present.clone())))
            .collect()
    }

    /// Says what is true now, if it is new or was said a while ago.
    pub(crate) async fn say(&mut self, present: Present) -> Result<(), Failure> {
        let is_news = |said: &Present| {
            let plays = |present: &Present| present.plays.as_ref().map(|(info, _)| info.clone());
            (said.ready, plays(said)) != (present.ready, plays(&present))
        };
        let people = lock(&self.people).len();
        // Who is new should not have to wait; nor may many who come and go make this node talk all the time.
        let interval = if people > self.said_to { INTERVAL / 5 } else { INTERVAL };
        let is_old = |(said, at): &(Present, Instant)| at.elapsed() >= interval || is_news(said);
        if !self.said.as_ref().is_none_or(is_old) {
            return Ok(());
        }
        self.said_to = people;
        self.said = Some((present.clone(), Instant::now()));
        let told = Told {
            room: self.room.to_string(),
            people: self.people().len(),
            plays: present.plays.is_some(),
        };
        if !present.watches {
            self.rooms
                .publish_keyed(self.room.to_string(), &Json(told))
                .await
                .map_err(Failure::other)?;
        }
        self.publisher.publish(&Json(present)).await.map_err(Failure::other)?;
        Ok(())
    }

    /// A match to take part in, and how far it is: one that is under way, or one that this node may now propose.
    pub(crate) fn a_match(&self, watches: bool) -> Option<(Match, u32)> {
        let people = self.people();
        let others = people.iter().filter(|(peer, _)| *peer != self.me);
        let plays = others.filter_map(|(_, present)| present.plays.clone());
        let theirs = plays.filter(|(info, _)| (watches || info.includes(&self.me)) && info.plan().is_some());
        // The one that most ticks were played of: the others ended.
        if let Some(playing) = theirs.max_by_key(|(_, tick)| *tick) {
            return Some(playing);
        }
        let ready: Vec<&(PeerId, Present)> = people
            .iter()
            .filter(|(_, present)| present.ready && present.plays.is_none())
            .collect();
        let wanted = people.iter().map(|(_, present)| usize::from(present.wanted)).max()?;
        let first = ready.iter().map(|(peer, _)| *peer).min_by_key(|peer| peer.to_bytes())?;
        if watches || wanted == 0 || ready.len() < wanted || first != self.me {
            return None;
        }
        let player = |(peer, present): &&(PeerId, Present)| Player {
            id: peer.to_string(),
            name: present.name.clone(),
        };
        let mut rng = rand::rng();
        let info = Match {
            room: format!("{}/{:08x}", self.room, rng.random::<u32>()),
            seed: rng.random(),
            players: ready.iter().take(RIDERS_MAX).map(player).collect(),
        };
        Some((info, 0))
    }
}

impl Drop for Lobby {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

fn lock(people: &Mutex<People>) -> MutexGuard<'_, People> {
    people.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A topic of the room.
pub(crate) fn below(room: &TopicName, name: &str) -> Result<TopicName, Failure> {
    let long = |_| Failure::Usage(format!("the room's name {room} is too long"));
    format!("{room}/{name}").parse().map_err(long)
}

fn below_root() -> Result<TopicName, Failure> {
    ROOMS.parse().map_err(Failure::other)
}

/// Rooms as they are told of, newest first by the time they were heard; until the receiver is dropped.
pub(crate) async fn rooms(mesh: &Mesh) -> Result<impl futures::Stream<Item = Told> + use<>, Failure> {
    let topic = mesh.topic::<Json<Told>>(below_root()?);
    let subscription = topic.subscribe().delivery(Delivery::Immediate).start();
    let heard = subscription.await.map_err(Failure::other)?;
    Ok(heard.filter_map(|event| {
        std::future::ready(match event {
            Event::Record(record) => {
                let Json(told) = record.value;
                let is_one = told.room.parse::<TopicName>().is_ok();
                is_one.then_some(told)
            }
            _ => None,
        })
    }))
}
