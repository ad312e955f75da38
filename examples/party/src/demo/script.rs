//! What members of the demo write: the beginning of a plan, so that the pages are not empty, and edits at random.

use maille::BlobId;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use shared::Failure;

use super::cast::{Cast, TITLE};
use crate::group::Group;
use crate::plan::{Edit, Fields, List};
use crate::web::Refusal;

const GUESTS: [(&str, &str); 4] = [("Ada", "yes"), ("Bo", "yes"), ("Chloé", "maybe"), ("Dmitri", "")];
const TODOS: [(&str, &str); 4] = [
    ("Book the house", "Ada"),
    ("Apporter les verres", "Chloé"),
    ("Music", "Bo"),
    ("Cake 🎂", ""),
];
const NOTES: &str = "Train at 9:14 from platform 2.\nBring swimming things.";
const WORDS: [&str; 8] = [
    "bread", "fromage", "lanterns", "salade", "chairs", "games", "café", "blankets",
];

/// What is there when the pages open.
pub(crate) async fn begin(cast: &Cast) -> Result<(), Failure> {
    let group = cast.members[0].group()?;
    group.entitle(TITLE).await.map_err(Failure::other)?;
    for (name, coming) in GUESTS {
        put(&group, List::Guests, &[("name", name), ("coming", coming)])
            .await
            .map_err(failure)?;
    }
    for (text, who) in TODOS {
        put(&group, List::Todos, &[("text", text), ("who", who)])
            .await
            .map_err(failure)?;
    }
    let text = Edit::Text {
        version: 0,
        at: 0,
        delete: 0,
        insert: NOTES.to_owned(),
    };
    group.edit(text).await.map_err(failure)?;
    Ok(())
}

/// What a big group wrote before; in a few edits, as an import would be. Photos are named, and nobody has them.
pub(crate) async fn fill(cast: &Cast, items: usize, photos: usize) -> Result<(), Failure> {
    let mut rng = StdRng::from_rng(&mut rand::rng());
    let mut filled = Vec::new();
    for number in 0..items {
        let word = WORDS.choose(&mut rng).copied().unwrap_or_default();
        let text = format!("{word} {number}");
        filled.push((List::Todos, fields_of(&[("text", &text), ("done", ""), ("who", "")])));
    }
    for number in 0..photos {
        let [blob, thumb]: [[u8; 16]; 2] = rng.random();
        let fields = [
            ("name", &*format!("photo {number}.jpg")),
            ("by", "Ada"),
            ("type", "image/jpeg"),
            ("bytes", "3000000"),
            ("blob", &BlobId::of(&blob).to_string()),
            ("thumb", &BlobId::of(&thumb).to_string()),
            ("width", "4000"),
            ("height", "3000"),
            ("added", "2026-07-14T12:00:00Z"),
        ];
        filled.push((List::Photos, fields_of(&fields)));
    }
    let group = cast.members[0].group()?;
    group.import(filled).await.map_err(failure)
}

/// A new item; its id.
pub(crate) async fn put(group: &Group, list: List, fields: &[(&str, &str)]) -> Result<String, Refusal> {
    let answer = group.edit(Edit::Put {
        list,
        id: None,
        fields: fields_of(fields),
    });
    Ok(answer.await?["id"].as_str().unwrap_or_default().to_owned())
}

fn fields_of(fields: &[(&str, &str)]) -> Fields {
    let fields = fields
        .iter()
        .map(|(field, value)| ((*field).to_owned(), (*value).to_owned()));
    fields.collect()
}

/// A to-do of this text at random; its id.
pub(crate) async fn add_something(group: &Group, rng: &mut StdRng) -> Result<String, Refusal> {
    let word = WORDS.choose(rng).copied().unwrap_or_default();
    let text = format!("{word} for {}", rng.random_range(2..30));
    put(group, List::Todos, &[("text", &text)]).await
}

/// Writes a word somewhere into the shared text.
pub(crate) async fn write_something(group: &Group, rng: &mut StdRng) -> Result<(), Refusal> {
    let state = group.state();
    let length = state["text"].as_str().unwrap_or_default().chars().count();
    let word = WORDS.choose(rng).copied().unwrap_or_default();
    let edit = Edit::Text {
        version: state["text_version"].as_u64().unwrap_or_default(),
        at: rng.random_range(0..=length),
        delete: 0,
        insert: format!(" {word} "),
    };
    group.edit(edit).await.map(drop)
}

pub(crate) fn failure(refusal: Refusal) -> Failure {
    Failure::Other(refusal.to_string())
}
