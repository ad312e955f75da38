//! Every kind of feed that cannot be read gets a line that says why, and the others go on. A web server with all of them, and
//! the program. Needs only loopback.

mod common;

use std::collections::HashSet;
use std::io::Write;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use common::{Asked, Member, Web, news, rss, run};

/// Unpacked, the largest answer of all.
const BOMB_BYTES: usize = 64 * 1_024 * 1_024;

/// A feed's address, and what is said of it.
type Expected = (String, &'static str);

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

fn gzip(body: Vec<u8>) -> impl Fn(&Asked, usize) -> Response + Send + Sync {
    move |_, _| {
        (
            [("content-encoding", "gzip"), ("content-type", "text/xml")],
            body.clone(),
        )
            .into_response()
    }
}

fn to(place: String) -> impl Fn(&Asked, usize) -> Response + Send + Sync {
    move |_, _| (StatusCode::FOUND, [("location", place.clone())]).into_response()
}

/// Feeds that cannot be read.
fn broken_feeds(web: &Web) -> Vec<Expected> {
    let root = web.root.clone();
    let huge = vec![b'<'; 9 * 1_024 * 1_024];
    let endless = "<a>".repeat(100_000);
    let bomb = packed(&vec![b' '; BOMB_BYTES]);
    assert!(bomb.len() < 100_000);
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/", listener.local_addr().unwrap())
    };
    vec![
        (
            web.page("/404", |_, _| StatusCode::NOT_FOUND.into_response()),
            "HTTP 404 Not Found",
        ),
        (
            web.page("/410", |_, _| StatusCode::GONE.into_response()),
            "HTTP 410 Gone: take it off the list",
        ),
        (
            web.page("/500", |_, _| StatusCode::INTERNAL_SERVER_ERROR.into_response()),
            "HTTP 500 Internal Server Error",
        ),
        (web.page("/loop", to(format!("{root}/loop"))), "more than 5 redirects"),
        (
            web.page("/file", to("file:///etc/passwd".to_owned())),
            "it leads nowhere that can be read",
        ),
        (
            web.body("/huge", "text/xml", huge),
            "more than 8 MiB: no feed needs that",
        ),
        (web.page("/bomb", gzip(bomb)), "more than 8 MiB: no feed needs that"),
        (
            web.body("/html", "text/html", "<!DOCTYPE html><html><body>x</body></html>"),
            "it is a web page, not a feed",
        ),
        (
            web.body("/cut", "text/xml", &rss("Cut", 0..9)[..200]),
            "its XML is broken",
        ),
        (web.body("/deep", "text/xml", endless), "its elements are nested"),
        (web.body("/empty", "text/xml", ""), "it is empty"),
        (
            web.body("/json", "application/json", "{\"a\":1}"),
            "it is not a JSON Feed",
        ),
        (
            web.body("/klingon", "text/xml", "<?xml version='1.0' encoding='klingon'?><rss/>"),
            "charset that is not known: klingon",
        ),
        (closed, "cannot connect"),
        // Where there are no certificate authorities, that is said instead.
        (root.replace("http:", "https:"), "c"),
        ("missing.xml".to_owned(), "No such file"),
    ]
}

/// Feeds that are odd, and can be read.
fn sound_feeds(web: &Web) -> Vec<Expected> {
    let root = web.root.clone();
    let latin = b"<?xml version='1.0' encoding='iso-8859-1'?><rss version='2.0'><channel><title>\xe9t\xe9</title>\
                  <item><guid>12</guid><title>caf\xe9 \x1b[31m</title></item></channel></rss>";
    let wrong = b"<?xml version='1.0' encoding='utf-8'?><rss version='2.0'><channel><title>w</title>\
                  <item><guid>13</guid><title>caf\xe9</title></item></channel></rss>";
    let anonymous = "<rss version='2.0'><channel><title>n</title>\
                     <item><title>No id</title><link>https://a.example/n</link></item></channel></rss>";
    let good = packed(rss("Packed", 10..11).as_bytes());
    web.body("/good2", "text/xml", rss("Good too", 14..15));
    vec![
        (
            web.body("/good", "text/xml", rss("Good", 11..12)),
            "1 new item published",
        ),
        (web.page("/packed", gzip(good)), "1 new item published"),
        (web.page("/moved", to(format!("{root}/good2"))), "it is now at"),
        (
            web.body("/latin", "text/xml; charset=utf-8", &latin[..]),
            "1 new item published",
        ),
        (
            web.body("/wrong", "text/xml", &wrong[..]),
            "not in the charset it names (UTF-8)",
        ),
        (web.body("/anonymous", "text/xml", anonymous), "1 new item published"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_broken_feed_gets_its_line_and_the_others_go_on() {
    let web = Web::open().await;
    let (broken, sound) = (broken_feeds(&web), sound_feeds(&web));
    let member = Member::join("broken.example", "world").await;
    let home = tempfile::tempdir().unwrap();
    let bootstrap = member.multiaddr();
    let mut arguments = vec![
        "publish",
        "broken.example/world",
        "--once",
        "--bootstrap",
        &bootstrap,
        "--feed",
    ];
    arguments.extend(broken.iter().chain(&sound).map(|(feed, _)| feed.as_str()));
    let (code, stdout, stderr) = run(news(home.path(), &arguments)).await;
    assert_eq!((code, stdout.as_str()), (Some(0), ""), "{stderr}");
    for (feed, words) in broken.iter().chain(&sound) {
        let line = stderr
            .lines()
            .find(|line| line.starts_with(&format!("{feed}: ")) || line.starts_with(&format!("{feed}/: ")));
        let line = line.unwrap_or_else(|| panic!("no line of {feed}: {stderr}"));
        assert!(line.contains(words), "{words:?} in {line:?}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
    let secure = web.root.replace("http:", "https:");
    let told = format!("{secure}/: cannot connect");
    assert!(
        stderr.contains(&told) || stderr.contains("install ca-certificates"),
        "{stderr}"
    );
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert_eq!(web.asked("/loop").len(), 6, "one question and five redirects");
    member.until_arrived(6).await;
    let titles: HashSet<String> = member
        .records()
        .iter()
        .map(|(_, value)| value["title"].as_str().unwrap().to_owned())
        .collect();
    let expected = ["Title 10", "Title 11", "Title 14", "café [31m", "caf\u{fffd}", "No id"].map(str::to_owned);
    assert_eq!(titles, expected.into());
    let (code, _, stderr) = run(news(home.path(), &arguments)).await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(
        stderr.contains("published 0 items"),
        "an item without an id is known again: {stderr}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_certificate_authorities_only_https_is_out_of_reach() {
    let web = Web::open().await;
    let good = web.body("/good", "text/xml", rss("Good", 1..2));
    let member = Member::join("bare.example", "world").await;
    let home = tempfile::tempdir().unwrap();
    let bootstrap = member.multiaddr();
    let secure = web.root.replace("http:", "https:");
    let arguments = [
        "publish",
        "bare.example/world",
        "--once",
        "--bootstrap",
        &bootstrap,
        "--feed",
        &good,
        &secure,
    ];
    let mut command = news(home.path(), &arguments);
    command
        .env("SSL_CERT_FILE", home.path().join("none"))
        .env("SSL_CERT_DIR", home.path().join("none"));
    let (code, _, stderr) = run(command).await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("install ca-certificates"), "{stderr}");
    member.until_arrived(1).await;
}
