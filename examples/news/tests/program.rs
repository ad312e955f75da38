//! The program as a person runs it: the demo, every command that its help and README show, and how it ends. Needs only
//! loopback.

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{Member, Running, Web, news, rss, run, until};
use serde_json::Value;

/// The demo, as it is documented; cargo's way to start it is CI's to test.
const DEMO: [&str; 3] = ["cargo run --release --bin news", "news", "news --json"];
/// What else is documented.
const READ: [&str; 2] = [
    "news read news.example/world",
    "news read news.example/world --search libp2p --json",
];
const PUBLISH: [&str; 2] = [
    "news publish news.example/world --feed https://news.example/rss.xml https://other.example/atom.xml",
    "news publish news.example/world --feed feed.xml --once",
];

/// The arguments of a documented command.
fn arguments(command: &str) -> Vec<&str> {
    command.split_whitespace().skip(1).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_loses_nothing_and_ends_with_its_summary() {
    let home = tempfile::tempdir().unwrap();
    let (code, stdout, stderr) = run(news(home.path(), &arguments(DEMO[2]))).await;
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let lines: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = lines.last().unwrap();
    assert_eq!(
        (&summary["event"], &summary["published"]),
        (&"summary".into(), &17.into()),
        "{summary}"
    );
    assert_eq!(
        (&summary["polls"], &summary["not_modified"]),
        (&21.into(), &7.into()),
        "{summary}"
    );
    let readers = summary["readers"].as_array().unwrap();
    assert_eq!(readers.len(), 3);
    for reader in readers {
        let fates = [&reader["delivered"], &reader["lost"], &reader["duplicates"]];
        assert_eq!(fates, [&Value::from(17), &0.into(), &0.into()], "{summary}");
    }
    let failed = summary["failed_feeds"].to_string();
    assert_eq!(summary["failed_feeds"].as_array().unwrap().len(), 3);
    for words in [
        "its XML is broken",
        "HTTP 404 Not Found",
        "it is a web page, not a feed",
    ] {
        assert!(failed.contains(words), "{failed}");
    }
    let items: Vec<&Value> = lines.iter().filter(|line| line["event"] == "item").collect();
    assert_eq!(items.len(), 17, "one reader's items are shown as they arrive");
    for item in items {
        for name in ["feed", "id", "title", "link", "published", "summary"] {
            assert!(item.get(name).is_some(), "{name} in {item}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_is_plain_text_in_a_pipe() {
    let home = tempfile::tempdir().unwrap();
    let (code, stdout, stderr) = run(news(home.path(), &arguments(DEMO[1]))).await;
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "no progress in a pipe");
    assert!(!stdout.contains('\u{1b}'), "no colours in a pipe");
    for part in [
        "2026-11-23 maille: words: record <-> frame\n",
        "2026-11-23 maille: en français: «Maille» est un mot français\n",
        "/missing.xml: HTTP 404 Not Found\n",
        "published 17 items in ",
        "keeper     delivered  17  lost  0  twice  0\n",
        "21 questions, 7 times",
    ] {
        assert!(stdout.contains(part), "{part:?} in {stdout}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documented_commands_publish_and_read() {
    let home = tempfile::tempdir().unwrap();
    let web = Web::open().await;
    let (first, second) = (
        web.body("/rss.xml", "text/xml", rss("About libp2p", 0..2)),
        web.body("/atom.xml", "text/xml", rss("About others", 2..4)),
    );
    // One user's processes meet by themselves on one machine.
    let all = Running::start(news(home.path(), &arguments(READ[0])));
    let some = Running::start(news(home.path(), &arguments(READ[1])));
    // There is no history yet: whoever is to get everything must be there before.
    let mut warm_ups = 0;
    while all.stdout().is_empty() || some.stdout().is_empty() {
        let file = home.path().join("feed.xml");
        std::fs::write(file, rss("libp2p warm-up", 100 + warm_ups..101 + warm_ups)).unwrap();
        let (code, _, stderr) = run(news(home.path(), &arguments(PUBLISH[1]))).await;
        assert_eq!(code, Some(0), "{stderr}");
        assert!(
            stderr.contains("published 1 item; a member holds every item"),
            "{stderr}"
        );
        warm_ups += 1;
        assert!(warm_ups < 50, "the readers do not hear the publisher");
    }
    let publish = PUBLISH[0]
        .replace("https://news.example/rss.xml", &first)
        .replace("https://other.example/atom.xml", &second);
    let _publisher = Running::start(news(home.path(), &arguments(&publish)));
    let has = |reader: &Running, id: usize| reader.stdout().iter().any(|line| line.contains(&format!("Title {id}")));
    until("four headlines", || (0..4).all(|id| has(&all, id))).await;
    until("two objects", || (0..2).all(|id| has(&some, id))).await;
    let headlines = all.stdout();
    assert!(
        headlines.contains(&"           About others: Title 3 https://a.example/3".to_owned()),
        "{headlines:?}"
    );
    for line in some.stdout() {
        let item: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(item.as_object().unwrap().len(), 6, "{item}");
        assert!(item["feed"].as_str().unwrap().contains("libp2p"), "{item}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn once_ends_with_0_only_if_a_member_holds_every_item() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("feed.xml"), rss("File", 0..100)).unwrap();
    let once = ["publish", "once.example/world", "--feed", "feed.xml", "--once"];
    let alone: Vec<&str> = once.into_iter().chain(["--wait-timeout", "500ms"]).collect();
    for _ in 0..2 {
        let (code, _, stderr) = run(news(home.path(), &alone)).await;
        assert_eq!(code, Some(4), "{stderr}");
        assert!(
            stderr.contains("error: no keeper is online: run maille keep once.example"),
            "{stderr}"
        );
    }
    let member = Member::join("once.example", "world").await;
    let bootstrap = member.multiaddr();
    let met: Vec<&str> = once.into_iter().chain(["--bootstrap", &bootstrap]).collect();
    let (code, _, stderr) = run(news(home.path(), &met)).await;
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(member.ids().len(), 100, "all of them were there before it ended");
    // Everything is held already: nobody need be there.
    let (code, _, stderr) = run(news(home.path(), &alone)).await;
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(member.ids().len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_readable_feed_is_code_5_and_no_member_code_4() {
    let home = tempfile::tempdir().unwrap();
    let publish = [
        "publish",
        "input.example/world",
        "--once",
        "--feed",
        "missing.xml",
        "also-missing.xml",
    ];
    let (code, stdout, stderr) = run(news(home.path(), &publish)).await;
    assert_eq!((code, stdout.as_str()), (Some(5), ""), "{stderr}");
    assert!(
        stderr.contains("missing.xml: No such file") && stderr.contains("none of 2 feeds could be read"),
        "{stderr}"
    );
    let read = ["read", "nobody.example/world", "--no-follow", "--wait-timeout", "500ms"];
    let (code, stdout, stderr) = run(news(home.path(), &read)).await;
    assert_eq!((code, stdout.as_str()), (Some(4), ""), "{stderr}");
    assert!(stderr.contains("nobody could be asked for items"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_gets_what_was_published_before_it_came() {
    let member = Member::join("before.example", "world").await;
    let bootstrap = member.multiaddr();
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("feed.xml"), rss("File", 0..5)).unwrap();
    let address = "before.example/world";
    let publish = [
        "publish",
        address,
        "--once",
        "--feed",
        "feed.xml",
        "--bootstrap",
        &bootstrap,
    ];
    let (code, _, stderr) = run(news(home.path(), &publish)).await;
    assert_eq!(code, Some(0), "{stderr}");
    for since in [&["--since", "1d"][..], &[]] {
        let read = ["read", address, "--no-follow", "--bootstrap", &bootstrap];
        let (code, stdout, stderr) = run(news(home.path(), &[&read[..], since].concat())).await;
        assert_eq!((code, stdout.lines().count()), (Some(0), 5), "{stdout}{stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_counts_and_ends() {
    // A member that stays and acknowledges, which the reader, once it has enough, does not.
    let member = Member::join("count.example", "world").await;
    let bootstrap = member.multiaddr();
    let home = tempfile::tempdir().unwrap();
    let count = [
        "read",
        "count.example/world",
        "--since",
        "1d",
        "--count",
        "3",
        "--bootstrap",
        &bootstrap,
    ];
    let mut reader = Running::start(news(home.path(), &count));
    let publish = [
        "publish",
        "count.example/world",
        "--once",
        "--feed",
        "feed.xml",
        "--bootstrap",
        &bootstrap,
    ];
    let mut published = 0;
    while reader.stdout().len() < 3 {
        std::fs::write(home.path().join("feed.xml"), rss("File", published..published + 1)).unwrap();
        let (code, _, stderr) = run(news(home.path(), &publish)).await;
        assert_eq!(code, Some(0), "{stderr}");
        published += 1;
        assert!(published < 50, "the reader does not hear the publisher");
    }
    assert_eq!(reader.ended().await, Some(0));
    assert_eq!(reader.stdout().len(), 3, "{:?}", reader.stdout());
    assert!(reader.stdout()[2].contains("File: Title "), "{:?}", reader.stdout());
    assert!(
        !home.path().join(".local/share/maille/news/read").exists(),
        "lines leave nothing behind"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_code_3() {
    let member = Member::join("refusal.example", "world").await;
    let home = tempfile::tempdir().unwrap();
    let bootstrap = member.multiaddr();
    let wrong = "shrine-wobbly-cane-deduct-rural";
    let mut command = news(
        home.path(),
        &["read", "refusal.example/world", "--bootstrap", &bootstrap],
    );
    command.env("MAILLE_PASSWORD", wrong);
    let began = std::time::Instant::now();
    let (code, stdout, stderr) = run(command).await;
    assert_eq!((code, stdout.as_str()), (Some(3), ""), "{stderr}");
    assert!(
        stderr.contains("accepted this password: it may be wrong") && !stderr.contains(wrong),
        "{stderr}"
    );
    assert!(
        began.elapsed() > Duration::from_secs(15),
        "some patience: {:?}",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_usage_is_code_2_before_anything_is_asked() {
    let home = tempfile::tempdir().unwrap();
    for line in [
        "read not-an-address",
        "read a.example/x --bootstrap nowhere",
        "read a.example/x --password-file no/such/file",
        "read --ticket maille1damaged",
        "publish a.example/x",
        "publish a.example/x --feed gopher://a.example/",
        "publish a.example/x --feed x --interval 1ms",
    ] {
        let (code, stdout, stderr) = run(news(home.path(), &line.split(' ').collect::<Vec<_>>())).await;
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{line}: {stderr}");
        assert!(stderr.starts_with("error: "), "{stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_data_directory_is_one_publisher() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("feed.xml"), rss("File", 0..1)).unwrap();
    let publish = ["publish", "lock.example/world", "--feed", "feed.xml"];
    let first = Running::start(news(home.path(), &publish));
    until("the first waits", || {
        first.stderr().iter().any(|line| line.contains("for a member to hold"))
    })
    .await;
    assert!(
        first
            .stderr()
            .iter()
            .any(|line| line.contains("1 item waits for a member to hold them: run maille keep lock.example")),
        "{:?}",
        first.stderr()
    );
    let (code, _, stderr) = run(news(home.path(), &publish)).await;
    assert_eq!(code, Some(1), "{stderr}");
    assert!(
        stderr.contains(".local/share/maille/news/publish/lock.example-"),
        "{stderr}"
    );
}

/// The commands in the blocks of a document, or under `Examples:` of a help.
fn shown(readme: &str, helps: &[String]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for block in readme.split("```sh\n").skip(1) {
        let block = block.split("```").next().unwrap();
        found.extend(block.lines().map(str::to_owned));
    }
    for help in helps {
        let (_, examples) = help.split_once("Examples:\n").expect("every help has examples");
        let lines = examples.lines().take_while(|line| !line.trim().is_empty());
        found.extend(lines.map(|line| line.trim().split("   ").next().unwrap().to_owned()));
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn every_documented_command_is_run_here() {
    let home = tempfile::tempdir().unwrap();
    let mut helps = Vec::new();
    for command in [&["--help"][..], &["publish", "--help"], &["read", "--help"]] {
        let (code, stdout, _) = run(news(home.path(), command)).await;
        assert_eq!(code, Some(0));
        helps.push(stdout);
    }
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let run: BTreeSet<String> = [&DEMO[..], &READ, &PUBLISH]
        .concat()
        .into_iter()
        .map(str::to_owned)
        .collect();
    assert_eq!(shown(&readme, &helps), run);
}
