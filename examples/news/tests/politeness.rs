//! How feeds are asked, and that no item is published twice: a web server that counts, a member that writes down what
//! arrives, and the program between them. Needs only loopback.

mod common;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use common::{Asked, Member, Running, Web, news, rss, run, until};

const TOPIC: &str = "world";
/// Items that are published before what members hold is noted: at most so many come again after a crash.
const BATCH_ITEMS: usize = 16;

/// A feed with `ETag` and `Last-Modified`, whose items are `0..count`.
fn versioned(count: Arc<AtomicUsize>) -> impl Fn(&Asked, usize) -> Response + Send + Sync {
    move |asked, _| {
        let count = count.load(Ordering::SeqCst);
        let etag = format!("\"{count}\"");
        if asked.conditions[0].as_ref() == Some(&etag) {
            return StatusCode::NOT_MODIFIED.into_response();
        }
        let headers = [
            ("etag", etag),
            ("last-modified", "Mon, 23 Nov 2026 10:00:00 GMT".to_owned()),
            ("content-type", "application/rss+xml".to_owned()),
        ];
        (headers, rss("Counted", (0..count).rev())).into_response()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing_changed_is_believed_also_after_a_restart() {
    let web = Web::open().await;
    let count = Arc::new(AtomicUsize::new(3));
    let feed = web.page("/feed", versioned(count.clone()));
    let member = Member::join("polite.example", TOPIC).await;
    let home = tempfile::tempdir().unwrap();
    let bootstrap = member.multiaddr();
    let publish = || {
        let arguments = [
            "publish",
            "polite.example/world",
            "--feed",
            &feed,
            "--interval",
            "1s",
            "--bootstrap",
            &bootstrap,
        ];
        Running::start(news(home.path(), &arguments))
    };
    let mut first = publish();
    member.until_arrived(3).await;
    assert_eq!(member.ids(), ["0", "1", "2"], "oldest first");
    web.until_asked("/feed", 4).await;
    first.kill();
    let asked = web.asked("/feed");
    assert_eq!(asked[0].conditions, [None, None]);
    for later in &asked[1..] {
        let conditions = [
            Some("\"3\"".to_owned()),
            Some("Mon, 23 Nov 2026 10:00:00 GMT".to_owned()),
        ];
        assert_eq!(later.conditions, conditions, "every later question names what is known");
    }
    for pair in asked.windows(2) {
        assert!(
            pair[1].at - pair[0].at >= Duration::from_millis(950),
            "not more often than once a second"
        );
    }
    let agent = asked[0].headers["user-agent"].to_str().unwrap();
    assert!(agent.starts_with("maille-news/"), "{agent}");

    let _second = publish();
    web.until_asked("/feed", asked.len() + 2).await;
    let restarted = &web.asked("/feed")[asked.len()];
    assert_eq!(
        restarted.conditions[0].as_deref(),
        Some("\"3\""),
        "known over the restart"
    );
    count.store(5, Ordering::SeqCst);
    member.until_arrived(5).await;
    let before = web.asked("/feed").len();
    web.until_asked("/feed", before + 2).await;
    assert_eq!(
        member.ids(),
        ["0", "1", "2", "3", "4"],
        "each item once, over two runs and two editions"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_servers_are_left_alone_longer_and_longer_and_the_others_go_on() {
    let web = Web::open().await;
    let down = web.page("/down", |_, _| StatusCode::INTERNAL_SERVER_ERROR.into_response());
    let busy = web.page("/busy", |_, _| {
        (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "5")]).into_response()
    });
    let slow = web.body(
        "/slow",
        "text/xml",
        "<rss version='2.0'><channel><title>x</title><ttl>60</ttl></channel></rss>",
    );
    let recovers = web.page("/recovers", |_, before| match before {
        0 => StatusCode::BAD_GATEWAY.into_response(),
        _ => rss("Recovered", 0..1).into_response(),
    });
    let good = web.body("/good", "text/xml", rss("Good", 1..2));
    let member = Member::join("patient.example", TOPIC).await;
    let home = tempfile::tempdir().unwrap();
    let bootstrap = member.multiaddr();
    let arguments = [
        "publish",
        "patient.example/world",
        "--interval",
        "1s",
        "--bootstrap",
        &bootstrap,
        "--feed",
        &down,
        &busy,
        &slow,
        &recovers,
        &good,
    ];
    let publisher = Running::start(news(home.path(), &arguments));
    web.until_asked("/down", 3).await;
    web.until_asked("/busy", 2).await;
    web.until_asked("/good", 5).await;
    member.until_arrived(2).await;
    let pauses = |path: &str| -> Vec<Duration> {
        let asked = web.asked(path);
        asked.windows(2).map(|pair| pair[1].at - pair[0].at).collect()
    };
    let (down, busy) = (pauses("/down"), pauses("/busy"));
    assert!(
        down[0] >= Duration::from_millis(1_950) && down[1] >= Duration::from_millis(3_950),
        "{down:?}"
    );
    assert!(busy[0] >= Duration::from_millis(4_950), "{busy:?}");
    assert_eq!(web.asked("/slow").len(), 1, "it asked for an hour");
    let mut ids = member.ids();
    ids.sort();
    assert_eq!(ids, ["0", "1"]);
    let said = publisher.stderr().join("\n");
    assert!(
        said.contains("/down: HTTP 500 Internal Server Error; next try in 2 s"),
        "{said}"
    );
    assert!(
        said.contains("/busy: HTTP 503 Service Unavailable; next try in 5 s"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_moment_publishes_nothing_again_that_was_noted() {
    const ITEMS: usize = 600;
    let web = Web::open().await;
    // It says when nothing changed: said too early, that would hide what is still to be published.
    let feed = web.page("/feed", versioned(Arc::new(AtomicUsize::new(ITEMS))));
    let member = Member::join("crash.example", TOPIC).await;
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let bootstrap = member.multiaddr();
    let publish = || {
        let arguments = [
            "publish",
            "crash.example/world",
            "--feed",
            &feed,
            "--data-dir",
            "data",
            "--bootstrap",
            &bootstrap,
            "--once",
        ];
        news(home.path(), &arguments)
    };
    let noted = || -> HashSet<String> {
        let Ok(files) = std::fs::read_dir(data.join("feeds")) else {
            return HashSet::new();
        };
        let file = files
            .map(|file| file.unwrap().path())
            .find(|path| path.extension().is_some_and(|end| end == "json"));
        let Some(file) = file else { return HashSet::new() };
        let stored: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        stored["seen"]
            .as_array()
            .unwrap()
            .iter()
            .map(|key| key.as_str().unwrap().to_owned())
            .collect()
    };
    let distinct = || member.ids().into_iter().collect::<HashSet<_>>().len();
    let mut kills = 0;
    let (mut known, mut before) = (HashSet::new(), 0);
    for stop_after in [1, 70, 128, 129, 200, 201, 333, 450, 590] {
        let mut publisher = Running::start(publish());
        until(&format!("{stop_after} items"), || distinct() >= stop_after).await;
        publisher.kill();
        kills += 1;
        let again: Vec<String> = member.records()[before..]
            .iter()
            .map(|(key, _)| key.clone())
            .filter(|key| known.contains(key))
            .collect();
        assert!(again.is_empty(), "noted, and published again: {again:?}");
        known = noted();
        // What was noted is held by the member, so it is there, or will be in a moment.
        until("all that was noted", || {
            let arrived: HashSet<String> = member.records().into_iter().map(|(key, _)| key).collect();
            known.is_subset(&arrived)
        })
        .await;
        before = member.records().len();
    }
    let (code, _, stderr) = run(publish()).await;
    assert_eq!(code, Some(0), "{stderr}");
    until("every item", || {
        member.ids().iter().collect::<HashSet<_>>().len() == ITEMS
    })
    .await;
    let again = member.records().len() - ITEMS;
    assert!(
        again <= kills * BATCH_ITEMS,
        "{again} items came again after {kills} crashes"
    );
    eprintln!("{ITEMS} items, {kills} crashes, {again} came again");
    assert_eq!(noted().len(), ITEMS);
    let before = member.records().len();
    let (code, _, stderr) = run(publish()).await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("published 0 items"), "{stderr}");
    assert_eq!(member.records().len(), before);
}
