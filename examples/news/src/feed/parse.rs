//! From text to items: RSS, Atom and JSON Feed, by feed-rs, with ids for feeds that have none. Fetches nothing.

use std::collections::HashSet;
use std::time::Duration;

use feed_rs::model::{Entry, Feed, FeedType, Text};
use feed_rs::parser::{Builder, ParseErrorKind, ParseFeedError};
use jiff::Timestamp;

use super::charset;
use crate::item::{Item, hash};
use crate::text;

/// Items taken from one document, the first ones, which are the newest.
pub(crate) const ITEMS_MAX: usize = 1_000;
/// Depth of elements beyond which a document is not read: no feed needs it, and parsers recurse.
const DEPTH_MAX: usize = 256;
/// Longest text of an item that is read at all, in bytes.
const HTML_BYTES_MAX: usize = 512 * 1_024;
/// What ids of items without one are hashed for.
const ID_CONTEXT: &str = "maille 2026-11 news item id";
/// Longest piece of an error's words that is repeated, in bytes.
const WORDS_BYTES_MAX: usize = 200;

/// A feed as it was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Document {
    /// Oldest first. All are tidy; ids differ.
    pub(crate) items: Vec<Item>,
    /// How long the feed says that it is good for.
    pub(crate) ttl: Option<Duration>,
    /// What is odd about it, if anything is.
    pub(crate) notice: Option<String>,
}

/// Reads a document. `name` stands for the feed's title if it has none; `base` is where relative links begin. Fails with
/// what is wrong, in words for people.
pub(crate) fn parse(
    bytes: &[u8],
    content_type: Option<&str>,
    name: &str,
    base: Option<&str>,
) -> Result<Document, String> {
    let decoded = charset::decode(bytes, content_type)
        .map_err(|charset| format!("it is in a charset that is not known: {charset}"))?;
    let body = decoded.text.as_str();
    let start = body.trim_start();
    if start.is_empty() {
        return Err("it is empty".to_owned());
    }
    if start.starts_with('<') && depth(body) > DEPTH_MAX {
        return Err(format!(
            "it is no feed: its elements are nested more than {DEPTH_MAX} deep"
        ));
    }
    let parser = Builder::new()
        .base_uri(base)
        // An empty id says that the feed gave none.
        .id_generator(|_, _, _| String::new())
        .sanitize_content(false)
        .build();
    let feed = parser
        .parse(body.as_bytes())
        .map_err(|error| complaint(&error, start))?;
    let ttl = feed.ttl.map(|minutes| Duration::from_secs(u64::from(minutes) * 60));
    let mut notices = Vec::new();
    if let Some(charset) = decoded.damaged {
        notices.push(format!(
            "it is not in the charset it names ({charset}): what cannot be read shows as \u{fffd}"
        ));
    }
    if feed.entries.len() > ITEMS_MAX {
        notices.push(format!(
            "only the first {ITEMS_MAX} of {} items are taken",
            feed.entries.len()
        ));
    }
    Ok(Document {
        items: items(feed, name),
        ttl,
        notice: (!notices.is_empty()).then(|| notices.join("; ")),
    })
}

fn items(feed: Feed, name: &str) -> Vec<Item> {
    let title = feed
        .title
        .as_ref()
        .map(|title| plain(title, &feed.feed_type))
        .unwrap_or_default();
    let title = if text::line(&title, 1).is_empty() {
        name.to_owned()
    } else {
        title
    };
    let kind = feed.feed_type;
    let mut ids = HashSet::new();
    let mut items: Vec<Item> = feed
        .entries
        .into_iter()
        .take(ITEMS_MAX)
        .map(|entry| item(entry, &title, &kind))
        .filter(|item| ids.insert(item.id.clone()))
        .collect();
    // Feeds begin with the newest. Where all items tell their time, that decides.
    items.reverse();
    if items.iter().all(|item| item.published.is_some()) {
        items.sort_by_cached_key(|item| item.published.as_ref().and_then(|time| time.parse::<Timestamp>().ok()));
    }
    items
}

fn item(entry: Entry, feed: &str, kind: &FeedType) -> Item {
    let title = entry.title.as_ref().map(|title| plain(title, kind)).unwrap_or_default();
    // The page itself, not its comments, its parts or its copies.
    let is_page = |rel: &Option<String>| rel.as_deref().is_none_or(|rel| rel == "alternate");
    let link = entry
        .links
        .iter()
        .find(|link| is_page(&link.rel))
        .or(entry.links.first());
    let link = link.map(|link| link.href.clone());
    let published = entry.published.and_then(|at| rfc3339(at.timestamp()));
    let updated = entry.updated.and_then(|at| rfc3339(at.timestamp()));
    let id = match entry.id.trim() {
        // What may change later, such as a time of change, must not be part of it.
        "" => hash(
            ID_CONTEXT,
            &[
                link.as_deref().unwrap_or_default(),
                &title,
                published.as_deref().unwrap_or_default(),
            ],
        ),
        id => id.to_owned(),
    };
    let summary = entry.summary.as_ref().map(|summary| plain(summary, kind));
    let content = || {
        let content = entry.content.as_ref()?;
        let is_html = content.content_type.subty().as_str().contains("html") || is_rss(kind);
        Some(readable(content.body.as_deref()?, is_html))
    };
    let summary = summary.filter(|summary| !summary.trim().is_empty()).or_else(content);
    Item {
        feed: feed.to_owned(),
        id,
        title,
        link,
        published: published.or(updated),
        summary: summary.unwrap_or_default(),
    }
    .tidy()
}

/// A time as in RFC 3339, to the second.
fn rfc3339(unix_s: i64) -> Option<String> {
    Timestamp::from_second(unix_s).ok().map(|time| time.to_string())
}

/// RSS never says whether a text is HTML; usually it is.
fn is_rss(kind: &FeedType) -> bool {
    matches!(kind, FeedType::RSS0 | FeedType::RSS1 | FeedType::RSS2)
}

fn plain(text: &Text, kind: &FeedType) -> String {
    let is_html = text.content_type.subty().as_str().contains("html") || is_rss(kind);
    readable(&text.content, is_html)
}

fn readable(text: &str, is_html: bool) -> String {
    let mut end = text.len().min(HTML_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    match is_html {
        true => text::from_html(&text[..end]),
        false => text[..end].to_owned(),
    }
}

/// How deep elements are nested.
fn depth(xml: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut rest = xml;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let skipped = [("![CDATA[", "]]>"), ("!--", "-->")];
        if let Some((_, end)) = skipped.iter().find(|(start, _)| rest.starts_with(start)) {
            rest = rest.find(end).map_or("", |at| &rest[at..]);
            continue;
        }
        let end = rest.find('>').unwrap_or(rest.len());
        match rest.bytes().next() {
            Some(b'/') => depth = depth.saturating_sub(1),
            None | Some(b'!' | b'?') => {}
            // One that is closed at once leads no deeper.
            Some(_) if rest[..end].ends_with('/') => {}
            Some(_) => {
                depth += 1;
                deepest = deepest.max(depth);
            }
        }
        rest = &rest[end..];
    }
    deepest
}

/// An error of feed-rs in words for people.
fn complaint(error: &ParseFeedError, start: &str) -> String {
    let words = |error: &dyn std::fmt::Display| text::line(&error.to_string(), WORDS_BYTES_MAX);
    let is_page = start
        .get(..1_024)
        .unwrap_or(start)
        .to_ascii_lowercase()
        .trim_start_matches("<!--")
        .contains("<html")
        || start
            .get(..9)
            .is_some_and(|start| start.eq_ignore_ascii_case("<!doctype"));
    match error {
        ParseFeedError::ParseError(ParseErrorKind::NoFeedRoot) if is_page => {
            "it is a web page, not a feed: look for its RSS or Atom address".to_owned()
        }
        ParseFeedError::ParseError(ParseErrorKind::NoFeedRoot) => "it is neither RSS, Atom nor JSON Feed".to_owned(),
        ParseFeedError::JsonSerde(error) => format!("it is not a JSON Feed: {}", words(error)),
        ParseFeedError::JsonUnsupportedVersion(_) => "it is JSON, but not a JSON Feed of version 1".to_owned(),
        ParseFeedError::XmlReader(error) => {
            let all = words(error);
            let prefixes = ["Parser error: ", "syntax error: ", "ill-formed document: "];
            let short = prefixes
                .iter()
                .fold(all.as_str(), |words, prefix| words.trim_start_matches(prefix));
            format!("its XML is broken: {short}")
        }
        other => format!("it cannot be read: {}", words(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Document {
        parse(text.as_bytes(), None, "a.example", Some("https://a.example/feeds/x")).unwrap()
    }

    fn refused(bytes: &[u8]) -> String {
        parse(bytes, None, "a.example", None).unwrap_err()
    }

    #[test]
    fn rss_is_read() {
        let document = read(
            r#"<?xml version="1.0"?><rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/"><channel>
            <title>Caf&amp;eacute; news</title><link>https://a.example/</link><ttl>60</ttl>
            <item><title>Second &amp;amp; last</title><link>https://a.example/2</link><guid>two</guid>
              <pubDate>Mon, 23 Nov 2026 11:00:00 +0100</pubDate><description><![CDATA[<p>Some <b>bold</b> text<br>here</p>]]></description></item>
            <item><title>First</title><link>/1</link><guid isPermaLink="false">one</guid>
              <pubDate>Sun, 22 Nov 2026 11:00:00 GMT</pubDate><content:encoded>&lt;p&gt;All of it&lt;/p&gt;</content:encoded></item>
            <item><title>Again</title><guid>two</guid></item></channel></rss>"#,
        );
        assert_eq!(
            (document.ttl, document.notice),
            (Some(Duration::from_secs(3_600)), None)
        );
        let [first, second] = &document.items[..] else {
            panic!("{:?}", document.items)
        };
        assert_eq!(
            (first.id.as_str(), second.id.as_str()),
            ("one", "two"),
            "oldest first, each id once"
        );
        assert_eq!(second.feed, "Café news");
        assert_eq!(second.title, "Second & last");
        assert_eq!(second.published.as_deref(), Some("2026-11-23T10:00:00Z"));
        assert_eq!(second.summary, "Some bold text\nhere");
        assert_eq!(first.summary, "All of it");
        assert_eq!(second.link.as_deref(), Some("https://a.example/2"));
    }

    #[test]
    fn atom_is_read() {
        let document = read(
            r#"<feed xmlns="http://www.w3.org/2005/Atom"><title>Atoms</title><id>urn:x</id><updated>2026-11-23T10:00:00Z</updated>
            <entry><id>urn:1</id><title type="text">1 &lt; 2</title><updated>2026-11-23T10:00:00Z</updated>
              <link rel="replies" href="https://a.example/1/comments"/><link href="https://a.example/1"/>
              <summary type="html">&lt;i&gt;slanted&lt;/i&gt;</summary></entry></feed>"#,
        );
        let item = &document.items[0];
        assert_eq!((item.title.as_str(), item.summary.as_str()), ("1 < 2", "slanted"));
        assert_eq!(
            item.published.as_deref(),
            Some("2026-11-23T10:00:00Z"),
            "the time of its change, for want of another"
        );
        assert_eq!(item.link.as_deref(), Some("https://a.example/1"));
    }

    #[test]
    fn json_feed_is_read() {
        let document = read(
            r#"{"version":"https://jsonfeed.org/version/1.1","title":"Jason","items":[
            {"id":"b","title":"B","url":"https://a.example/b","content_text":"a <b> c","date_published":"2026-11-23T10:00:00Z"},
            {"id":"a","content_html":"<p>x</p>"}]}"#,
        );
        let ids: Vec<&str> = document.items.iter().map(|item| item.id.as_str()).collect();
        assert_eq!(ids, ["a", "b"], "without all times, the order of the feed, backwards");
        assert_eq!(
            (document.items[1].summary.as_str(), document.items[1].feed.as_str()),
            ("a <b> c", "Jason")
        );
        assert_eq!(
            (document.items[0].title.as_str(), document.items[0].summary.as_str()),
            ("(no title)", "x")
        );
    }

    #[test]
    fn older_and_odder_formats_are_read() {
        let rdf = r#"<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"><channel><title>R</title></channel>
            <item rdf:about="x"><title>One</title><link>https://a.example/1</link></item></rdf:RDF>"#;
        assert_eq!(read(rdf).items.len(), 1);
        let old = r#"<rss version="0.92"><channel><title></title><item><title>One</title><link>https://a.example/1</link></item></channel></rss>"#;
        assert_eq!(
            read(old).items[0].feed,
            "a.example",
            "a feed without a title has the name it was asked for by"
        );
        assert_eq!(
            read("<rss version=\"2.0\"><channel><title>Empty</title></channel></rss>")
                .items
                .len(),
            0
        );
        let latin = b"<?xml version='1.0' encoding='ISO-8859-1'?><rss version='2.0'><channel><title>\xe9t\xe9</title><item><title>\xe0</title></item></channel></rss>";
        let document = parse(latin, Some("text/xml; charset=utf-8"), "a", None).unwrap();
        assert_eq!(
            (document.items[0].feed.as_str(), document.items[0].title.as_str()),
            ("été", "à")
        );
    }

    #[test]
    fn items_without_ids_get_stable_ones() {
        let item = |title: &str, link: &str, date: &str| {
            format!("<item><title>{title}</title><link>{link}</link><pubDate>{date}</pubDate></item>")
        };
        let feed = |items: &str| {
            read(&format!(
                "<rss version='2.0'><channel><title>x</title>{items}</channel></rss>"
            ))
            .items
        };
        let (monday, tuesday) = ("Mon, 23 Nov 2026 10:00:00 GMT", "Tue, 24 Nov 2026 10:00:00 GMT");
        let one = item("One", "https://a.example/1", monday);
        let before = feed(&one);
        let others = [
            item("Two", "https://a.example/1", monday),
            item("One", "https://a.example/2", monday),
            item("One", "https://a.example/1", tuesday),
            item("One", "", monday),
            "<item><description>nothing else</description></item>".to_owned(),
        ];
        let after = feed(&format!("{}{one}", others.concat()));
        assert_eq!(after.len(), 6);
        let ids: HashSet<&str> = after.iter().map(|item| item.id.as_str()).collect();
        assert_eq!(ids.len(), 6);
        assert!(
            ids.contains(before[0].id.as_str()),
            "the same item has the same id on every reading"
        );
    }

    #[test]
    fn what_is_no_feed_is_named() {
        for (text, words) in [
            ("", "it is empty"),
            ("  \n", "it is empty"),
            (
                "<!DOCTYPE html><html><body>Hello<br></body></html>",
                "it is a web page, not a feed",
            ),
            ("<html><head></head></html>", "it is a web page, not a feed"),
            ("just words", "it is neither RSS, Atom nor JSON Feed"),
            ("<opml><body/></opml>", "it is neither RSS, Atom nor JSON Feed"),
            ("{\"a\":1}", "it is not a JSON Feed: missing field"),
            (
                "{\"version\":\"9\",\"title\":\"x\",\"items\":[]}",
                "not a JSON Feed of version 1",
            ),
            ("<rss version='2.0'><channel><title>cut", "its XML is broken"),
            (
                "<rss version='2.0'><channel><title>a</b></title></channel></rss>",
                "its XML is broken",
            ),
            (
                "<?xml version='1.0' encoding='klingon'?><rss/>",
                "charset that is not known: klingon",
            ),
        ] {
            let told = refused(text.as_bytes());
            assert!(told.contains(words), "{text:?}: {told}");
        }
        let deep = format!("<rss version='2.0'><channel>{}", "<a>".repeat(1_000_000));
        assert!(refused(deep.as_bytes()).contains("nested"));
        let told = refused(b"\x00\xff\xfe\x1b[2J<\x1b[31m");
        assert!(!told.chars().any(char::is_control), "{told:?}");
    }

    #[test]
    fn depth_is_of_elements_only() {
        for (xml, expected) in [
            ("<a><b/><b x='1'/><c></c></a>", 2),
            ("<a><![CDATA[<br><br><br>]]></a>", 1),
            ("<a><!-- <b><b> --></a>", 1),
            ("<?xml?><!DOCTYPE a><a>1 > 0</a>", 1),
            ("<a", 1),
            ("<", 0),
        ] {
            assert_eq!(depth(xml), expected, "{xml}");
        }
    }

    #[test]
    fn a_wrong_charset_and_too_many_items_are_told() {
        let damaged = parse(
            b"<?xml version='1.0' encoding='utf-8'?><rss version='2.0'><channel><title>\xe9</title></channel></rss>",
            None,
            "a",
            None,
        );
        assert!(
            damaged
                .unwrap()
                .notice
                .unwrap()
                .contains("not in the charset it names (UTF-8)")
        );
        let items: String = (0..1_500).map(|n| format!("<item><guid>{n}</guid></item>")).collect();
        let document = read(&format!(
            "<rss version='2.0'><channel><title>x</title>{items}</channel></rss>"
        ));
        assert_eq!(document.items.len(), ITEMS_MAX);
        assert_eq!(document.items[ITEMS_MAX - 1].id, "0", "the newest are taken");
        assert!(document.notice.unwrap().contains("only the first 1000 of 1500"));
    }

    #[test]
    fn every_prefix_of_a_feed_is_an_answer_and_no_panic() {
        let whole = "<?xml version='1.0'?><rss version='2.0'><channel><title>x</title><item><title>a &amp; b</title><guid>1</guid>\
                     <description><![CDATA[<p>é</p>]]></description></item></channel></rss>";
        for end in 0..whole.len() {
            let _ = parse(&whole.as_bytes()[..end], None, "a", None);
        }
        assert_eq!(read(whole).items.len(), 1);
    }
}
