//! The item: one piece of news as it travels, a JSON object, and what makes one of whatever a feed or a member sent. Knows
//! neither feeds nor meshes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::text;

/// Longest name of a feed, in bytes.
const FEED_BYTES_MAX: usize = 256;
/// Longest id, in bytes. What is longer is told apart by its hash.
const ID_BYTES_MAX: usize = 512;
/// Longest title, in bytes.
const TITLE_BYTES_MAX: usize = 1_024;
/// Longest link, in bytes.
const LINK_BYTES_MAX: usize = 2_048;
/// Longest summary, in bytes: with all the rest an item stays far below the 256 KiB of a record, whatever JSON escapes.
const SUMMARY_BYTES_MAX: usize = 32 * 1_024;
/// What item keys are hashed for.
const KEY_CONTEXT: &str = "maille 2026-11 news item key";
/// What digests of items are hashed for.
const DIGEST_CONTEXT: &str = "maille 2026-11 news item digest";
/// Bytes of a hash that are kept.
const HASH_BYTES: usize = 16;

/// One piece of news. All texts are plain and fit for a terminal once they went through [`Item::tidy`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Item {
    /// The feed's title.
    pub(crate) feed: String,
    /// What the feed calls it; else a hash of link, title and time.
    pub(crate) id: String,
    /// Its headline.
    pub(crate) title: String,
    /// Where it can be read, by HTTP.
    #[serde(default)]
    pub(crate) link: Option<String>,
    /// When it appeared, as in RFC 3339.
    #[serde(default)]
    pub(crate) published: Option<String>,
    /// Its text, or the beginning of it.
    #[serde(default)]
    pub(crate) summary: String,
}

impl Item {
    /// Checks and bounds every field. A feed and a member may send anything.
    pub(crate) fn tidy(self) -> Self {
        let mut id = text::line(&self.id, usize::MAX);
        if id.len() > ID_BYTES_MAX || id.is_empty() {
            id = hash(KEY_CONTEXT, &[&self.id, &self.title]);
        }
        let title = match text::line(&self.title, TITLE_BYTES_MAX) {
            empty if empty.is_empty() => "(no title)".to_owned(),
            title => title,
        };
        let feed = match text::line(&self.feed, FEED_BYTES_MAX) {
            empty if empty.is_empty() => "(no name)".to_owned(),
            feed => feed,
        };
        Self {
            feed,
            id,
            title,
            link: self.link.and_then(|link| tidy_link(&link)),
            published: self
                .published
                .and_then(|time| time.parse::<Timestamp>().ok())
                .map(|time| time.to_string()),
            summary: text::paragraphs(&self.summary, SUMMARY_BYTES_MAX),
        }
    }

    /// The key of the item's record: of the feed, by its address, and of what the feed calls the item.
    pub(crate) fn key(feed_address: &str, id: &str) -> String {
        hash(KEY_CONTEXT, &[feed_address, id])
    }

    /// Tells items apart by all they say, so that nobody can hide an item by sending another under its id.
    pub(crate) fn digest(&self) -> String {
        let parts = [
            self.feed.as_str(),
            &self.id,
            &self.title,
            self.link.as_deref().unwrap_or_default(),
            self.published.as_deref().unwrap_or_default(),
            &self.summary,
        ];
        hash(DIGEST_CONTEXT, &parts)
    }

    /// Whether all these words, in lower case, are in it.
    pub(crate) fn has_words(&self, words: &[String]) -> bool {
        if words.is_empty() {
            return true;
        }
        let all = format!("{}\n{}\n{}", self.feed, self.title, self.summary).to_lowercase();
        words.iter().all(|word| all.contains(word))
    }

    /// The day it appeared, `2026-11-23`, or as many blanks.
    pub(crate) fn day(&self) -> &str {
        self.published
            .as_deref()
            .and_then(|time| time.get(..10))
            .unwrap_or("          ")
    }
}

/// An address of the web, and nothing else that a click could start.
fn tidy_link(link: &str) -> Option<String> {
    let link = link.trim();
    let is_web = ["http://", "https://"].iter().any(|scheme| {
        link.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    let is_plain = link == text::line(link, usize::MAX) && !link.contains(' ');
    (is_web && is_plain && link.len() <= LINK_BYTES_MAX).then(|| link.to_owned())
}

/// A hash of parts that cannot run into each other, in hexadecimal.
pub(crate) fn hash(context: &str, parts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().as_bytes()[..HASH_BYTES]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An item for tests.
    pub(crate) fn sample(id: &str, title: &str) -> Item {
        Item {
            feed: "Sample".to_owned(),
            id: id.to_owned(),
            title: title.to_owned(),
            link: Some(format!("https://news.example/{id}")),
            published: Some("2026-11-23T10:00:00Z".to_owned()),
            summary: format!("About {title}."),
        }
    }

    #[test]
    fn it_travels_as_the_documented_object() {
        let value = serde_json::to_value(sample("1", "One")).unwrap();
        let names: Vec<&String> = value.as_object().unwrap().keys().collect();
        assert_eq!(names.len(), 6);
        for name in ["feed", "id", "title", "link", "published", "summary"] {
            assert!(value.get(name).is_some(), "{name}");
        }
        let least: Item = serde_json::from_str(r#"{"feed":"f","id":"i","title":"t","more":1}"#).unwrap();
        assert_eq!((least.link, least.published, least.summary.as_str()), (None, None, ""));
        assert!(serde_json::from_str::<Item>(r#"{"feed":"f","id":7,"title":"t"}"#).is_err());
    }

    #[test]
    fn what_others_sent_becomes_harmless_and_small() {
        let item = Item {
            feed: "\u{1b}]0;owned\u{7}".to_owned(),
            id: "x".repeat(10_000),
            title: String::new(),
            link: Some("javascript:alert(1)".to_owned()),
            published: Some("yesterday".to_owned()),
            summary: "\u{9b}2J\"".repeat(1_000_000),
        };
        let item = item.tidy();
        assert_eq!((item.feed.as_str(), item.title.as_str()), ("]0;owned", "(no title)"));
        assert_eq!(
            (item.id.len(), item.link.clone(), item.published.clone()),
            (32, None, None)
        );
        let bytes = serde_json::to_vec(&item).unwrap().len();
        assert!(bytes < 128 * 1_024, "{bytes}");
        assert_eq!(item.clone().tidy(), item, "tidy once is tidy");
    }

    #[test]
    fn links_lead_to_the_web_only() {
        for good in ["https://a.example/b?c=d#e", "http://a.example", "HTTPS://A.EXAMPLE"] {
            assert_eq!(tidy_link(good).as_deref(), Some(good));
        }
        for bad in [
            "",
            "file:///etc/passwd",
            "/relative",
            "https://a b",
            "https://a\u{1b}[0m",
            "data:text/html,x",
            "htt",
        ] {
            assert_eq!(tidy_link(bad), None, "{bad}");
        }
    }

    #[test]
    fn keys_and_digests_tell_items_apart() {
        assert_eq!(Item::key("https://a/", "1"), Item::key("https://a/", "1"));
        assert_ne!(Item::key("https://a/", "1"), Item::key("https://b/", "1"));
        assert_ne!(Item::key("ab", "c"), Item::key("a", "bc"));
        let item = sample("1", "One");
        let forged = Item {
            title: "Two".to_owned(),
            ..item.clone()
        };
        assert_ne!(item.digest(), forged.digest());
        assert_eq!(item.digest(), item.clone().tidy().digest());
    }

    #[test]
    fn words_are_found_in_any_case() {
        let item = sample("1", "Grüße aus Oslo");
        let has = |words: &[&str]| item.has_words(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert!(has(&[]) && has(&["grüße"]) && has(&["oslo", "about"]) && has(&["sample"]));
        assert!(!has(&["oslo", "bergen"]));
    }
}
