//! The demo's feeds and the web server they are on. Some are broken, as feeds are; the texts are beside, in `data/`.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use tokio::task::JoinHandle;

use crate::exit::Failure;
use crate::item::hash;

/// Items in the feeds that can be read, all editions together; a test counts them.
pub(crate) const ITEMS: u64 = 17;
/// What etags are hashed for.
const ETAG_CONTEXT: &str = "maille 2026-11 news demo etag";
/// Where the item of the second edition goes in the first.
const LATER_ITEMS: &str = "<!-- later -->";

/// One feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Paper {
    /// RSS; the second edition has one item more.
    Rss,
    /// Atom, at an address that leads to another.
    Atom,
    /// JSON Feed.
    Json,
    /// RSS in ISO-8859-1, without ids.
    Latin,
    /// XML that was cut off.
    Broken,
    /// A web page.
    Page,
    /// Not there.
    Missing,
}

impl Paper {
    /// All of them.
    pub(crate) const ALL: [Self; 7] = [
        Self::Rss,
        Self::Atom,
        Self::Json,
        Self::Latin,
        Self::Broken,
        Self::Page,
        Self::Missing,
    ];

    /// Whether it cannot be read, on purpose.
    pub(crate) fn is_broken(self) -> bool {
        matches!(self, Self::Broken | Self::Page | Self::Missing)
    }

    fn path(self) -> &'static str {
        match self {
            Self::Rss => "/how-it-works.xml",
            Self::Atom => "/words",
            Self::Json => "/standards.json",
            Self::Latin => "/mailles.xml",
            Self::Broken => "/cut-off.xml",
            Self::Page => "/page.html",
            Self::Missing => "/missing.xml",
        }
    }
}

/// Where the Atom feed is in the end.
const ATOM_PATH: &str = "/words.atom";
const RSS: &str = include_str!("../../data/how-it-works.xml");
const RSS_LATER: &str = include_str!("../../data/later.xml");
const ATOM: &str = include_str!("../../data/words.atom");
const JSON: &str = include_str!("../../data/standards.json");
const LATIN: &str = include_str!("../../data/mailles.xml");
const PAGE: &str = "<!DOCTYPE html><html><head><title>A page</title></head><body><p>No feed here.</p></body></html>";

/// The web server.
#[derive(Debug)]
pub(crate) struct Site {
    root: String,
    later: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Pages {
    later: Arc<AtomicBool>,
    paths: HashMap<&'static str, Paper>,
}

impl Site {
    /// Opens it on a free port of 127.0.0.1.
    pub(crate) async fn open() -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::Other(format!("cannot serve feeds on 127.0.0.1: {error}"));
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(failed)?;
        let root = format!("http://{}", listener.local_addr().map_err(failed)?);
        let later = Arc::new(AtomicBool::new(false));
        let mut paths: HashMap<&'static str, Paper> = Paper::ALL.iter().map(|paper| (paper.path(), *paper)).collect();
        paths.insert(ATOM_PATH, Paper::Atom);
        let pages = Pages {
            later: later.clone(),
            paths,
        };
        let router = Router::new().fallback(answer).with_state(Arc::new(pages));
        let task = tokio::spawn(async move {
            // It serves until it is dropped.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { root, later, task })
    }

    /// Where a feed is.
    pub(crate) fn address_of(&self, paper: Paper) -> String {
        format!("{}{}", self.root, paper.path())
    }

    /// From now on, the RSS feed has one item more.
    pub(crate) fn next_edition(&self) {
        self.later.store(true, Ordering::Relaxed);
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(pages): State<Arc<Pages>>, uri: Uri, headers: HeaderMap) -> Response {
    let later = pages.later.load(Ordering::Relaxed);
    match pages.paths.get(uri.path()) {
        Some(Paper::Atom) if uri.path() != ATOM_PATH => {
            (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, ATOM_PATH)]).into_response()
        }
        None | Some(Paper::Missing) => StatusCode::NOT_FOUND.into_response(),
        Some(paper) => document(&headers, content_type(*paper), body(*paper, later)),
    }
}

fn content_type(paper: Paper) -> &'static str {
    match paper {
        Paper::Rss | Paper::Broken => "application/rss+xml; charset=utf-8",
        Paper::Atom => "application/atom+xml",
        Paper::Json => "application/feed+json",
        // Wrong, as with many servers: the feed itself knows better.
        Paper::Latin => "text/xml; charset=utf-8",
        Paper::Page | Paper::Missing => "text/html; charset=utf-8",
    }
}

fn body(paper: Paper, later: bool) -> Vec<u8> {
    match paper {
        Paper::Rss if later => RSS.replacen(LATER_ITEMS, RSS_LATER, 1).into_bytes(),
        Paper::Rss => RSS.as_bytes().to_vec(),
        Paper::Atom => ATOM.as_bytes().to_vec(),
        Paper::Json => JSON.as_bytes().to_vec(),
        // All its characters are in ISO-8859-1, whose numbers are Unicode's.
        Paper::Latin => LATIN.chars().filter_map(|c| u8::try_from(u32::from(c)).ok()).collect(),
        Paper::Broken => RSS.as_bytes()[..RSS.len() / 2].to_vec(),
        Paper::Page | Paper::Missing => PAGE.as_bytes().to_vec(),
    }
}

fn document(headers: &HeaderMap, content_type: &'static str, body: Vec<u8>) -> Response {
    let etag = format!("\"{}\"", hash(ETAG_CONTEXT, &[&String::from_utf8_lossy(&body)]));
    let known = headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|value| value.as_bytes() == etag.as_bytes());
    match known {
        true => (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response(),
        false => (
            [(header::CONTENT_TYPE, content_type.to_owned()), (header::ETAG, etag)],
            body,
        )
            .into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::parse::parse;

    #[test]
    fn the_papers_are_what_they_are_said_to_be() {
        let mut items = 0;
        for paper in Paper::ALL {
            let read = parse(&body(paper, true), Some(content_type(paper)), "x", None);
            assert_eq!(read.is_err(), paper.is_broken(), "{paper:?}: {read:?}");
            let Ok(document) = read else { continue };
            assert_eq!(document.notice, None);
            for item in &document.items {
                assert!(!item.summary.is_empty() && item.feed.starts_with("maille"), "{item:?}");
            }
            items += document.items.len() as u64;
        }
        assert_eq!(items, ITEMS);
        let first = parse(&body(Paper::Rss, false), None, "x", None).unwrap().items.len();
        let second = parse(&body(Paper::Rss, true), None, "x", None).unwrap().items.len();
        assert_eq!(second, first + 1);
        let latin = parse(&body(Paper::Latin, false), None, "x", None).unwrap();
        assert!(latin.items[0].feed.contains('ç'), "{latin:?}");
    }
}
