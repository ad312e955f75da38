//! Every command that a document or a `--help` shows is run here, as it is typed. Placeholders are filled in; nodes are kept
//! to this machine, and prices are few.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use maille_tests::processes::{Launch, PASSWORD, Running, SOON, User, programs, workspace};

use crate::documents::fenced;
use crate::files::FILES;
use crate::members::MEMBERS;
use crate::requests::REQUESTS;

/// A command that waits for others may take so long.
pub(crate) const LONG: Duration = Duration::from_secs(120);

const CHAT: [&str; 2] = [
    "maille sub chat.example/room",
    "echo hello | maille pub chat.example/room",
];
const SECRET: [&str; 4] = [
    "(umask 077; maille passphrase > secret.txt)",
    "maille sub chat.example/room --found --password-file secret.txt",
    "maille sub chat.example/room --password-file secret.txt",
    "echo hello | maille pub chat.example/room --password-file secret.txt",
];
const HELPER: [&str; 7] = [
    "maille node",
    "maille node --announce /dns4/meet.example/tcp/6245 --data-dir /var/lib/maille",
    "maille ticket chat.example/room --bootstrap /ip4/192.0.2.1/tcp/6245/p2p/12D3KooW…",
    "maille ticket --decode maille1…",
    "maille sub chat.example/room --bootstrap /ip4/192.0.2.1/tcp/6245/p2p/12D3KooW…",
    "maille sub maille1…",
    "maille sub maille1… --password-file secret.txt",
];
const PRICES: [&str; 2] = [
    "maille pub market.example/equities --key-field 2 --wait-for 3 < prices.csv",
    "maille sub market.example/equities --key AAPL MSFT --count 100 --timeout 60 --json",
];
const HISTORY: [&str; 5] = [
    "maille keep market.example",
    "maille keep market.example --topic equities/us --topic equities/eu --retain 30d --max-size 20GiB --data-dir /srv/market",
    "maille topics market.example",
    "maille topics market.example --json",
    "maille sub market.example/equities --latest --no-follow",
];
const DURABLE: [&str; 1] =
    ["maille sub market.example/equities --all --durable archive --data-dir ~/archive >> equities.csv"];
const LOGS: [&str; 1] = ["tail -f app.log | maille pub ops.example/logs --key-json /host --retry-forever"];
const IDS: [&str; 2] = ["maille id", "maille id --data-dir /var/lib/ticker"];
const PAGES: [&str; 5] = [
    "maille completions bash > ~/.local/share/bash-completion/completions/maille",
    "maille completions zsh > ~/.zfunc/_maille",
    "maille completions fish > ~/.config/fish/completions/maille.fish",
    "maille man | man -l -",
    "maille man ~/.local/share/man/man1",
];
const DEMO: [&str; 3] = [
    "ticker",
    "ticker --speed max --ticks 20000 --json",
    "cargo run --release --bin ticker -- --json --speed max --ticks 2000 --subscribers 60",
];
const BOARD: [&str; 3] = [
    "ticker publish market.example/equities/us",
    "ticker watch market.example/equities/us --symbols AAPL,IBM",
    "ticker watch market.example/equities/us",
];
const FEEDS: [&str; 2] = [
    "zcat ticks.csv.gz | ticker publish market.example/coins --file -",
    "ticker publish weather.example/oslo --file oslo.jsonl --time when --key station --value /main/temp",
];
/// What CI runs: see .ci/run and documents.rs.
const CI: [&str; 2] = ["cargo run --release --bin ticker", "cargo test --workspace --locked"];

/// A user with a shell, whose programs stay on this machine.
pub(crate) struct Terminal(pub(crate) User);

impl Terminal {
    pub(crate) fn new() -> Self {
        let user = User::new();
        std::fs::create_dir(user.path("bin")).unwrap();
        for (program, commands) in [
            ("maille", "node|pub|sub|keep|topics|request|reply|members|share|fetch"),
            ("ticker", "publish|watch"),
        ] {
            let real = programs().join(program);
            let here = "--no-mdns --listen /ip4/127.0.0.1/tcp/0";
            let text = format!(
                "command=$1\ncase $1 in {commands}) shift; set -- $command {here} \"$@\";; esac\nexec '{}' \"$@\"\n",
                real.display()
            );
            Self::program(&user, program, &text);
        }
        // Stand-ins: a log that ends when its file is gone, and a pager for machines without one.
        Self::program(&user, "tail", "cat \"$2\"\nwhile [ -e \"$2\" ]; do sleep 0.05; done\n");
        Self::program(&user, "man", "test \"$1 $2\" = '-l -' && cat\n");
        Self(user)
    }

    fn program(user: &User, name: &str, text: &str) {
        let path = user.path("bin").join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}")).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A documented command with its placeholders filled in.
    pub(crate) fn typed(&self, command: &str, filled: &[(&str, &str)]) -> Launch {
        let mut line = command.to_owned();
        for (placeholder, value) in filled {
            assert!(line.contains(placeholder), "{placeholder} is not in {line}");
            line = line.replace(placeholder, value);
        }
        // Signals should reach the program, not the shell before it.
        let alone = !line.contains('|') && !line.starts_with('(');
        self.0.shell(&if alone { format!("exec {line}") } else { line })
    }

    pub(crate) fn start(&self, command: &str) -> Running {
        self.typed(command, &[]).start()
    }

    pub(crate) fn run(&self, command: &str) -> Vec<String> {
        self.typed(command, &[]).run(LONG).expect(0).text()
    }
}

/// Waits until a `maille sub` reads.
fn subscribed(subscriber: Running) -> Running {
    subscriber.stderr_line("subscribed to ", SOON);
    subscriber
}

#[test]
fn two_terminals_chat() {
    let terminal = Terminal::new();
    let subscriber = subscribed(terminal.start(CHAT[0]));
    terminal.run(CHAT[1]);
    assert_eq!(subscriber.stdout_line("", SOON), "hello");
}

#[test]
fn two_terminals_chat_with_a_passphrase_in_a_file() {
    let terminal = Terminal::new();
    terminal.run(SECRET[0]);
    let founder = terminal.start(SECRET[1]);
    let subscriber = subscribed(terminal.start(SECRET[2]));
    terminal.run(SECRET[3]);
    for reader in [founder, subscriber] {
        assert_eq!(reader.stdout_line("", LONG), "hello");
    }
}

#[test]
fn the_past_is_kept_and_read() {
    let terminal = Terminal::new();
    // On this machine, in the meshes that others run their examples in, users do not meet: each has a runtime directory.
    let srv = terminal.0.arg("market");
    let mut keepers = vec![terminal.start(HISTORY[0])];
    keepers.push(terminal.typed(HISTORY[1], &[("/srv/market", &srv)]).start());
    for keeper in &keepers {
        keeper.stderr_line("keeping market.example as ", SOON);
    }
    let subscriber = subscribed(terminal.start("maille sub market.example/equities"));
    terminal
        .0
        .file("prices.csv", "1,AAPL,30.57\n2,MSFT,35.83\n3,AAPL,31.20\n");
    terminal.run("maille pub market.example/equities --key-field 2 --wait-for 2 < prices.csv");
    subscriber.stdout_count(3, LONG);
    let mut latest = terminal.run(HISTORY[4]);
    latest.sort_unstable();
    assert_eq!(latest, ["2,MSFT,35.83", "3,AAPL,31.20"]);
    assert!(
        terminal
            .run(HISTORY[2])
            .iter()
            .any(|line| line.starts_with("equities "))
    );
    let json = terminal.run(HISTORY[3]);
    assert!(
        json.iter().any(|line| line.contains("\"topic\":\"equities\"")),
        "{json:?}"
    );
    let durable = terminal.start(DURABLE[0]);
    durable.stderr_line("subscribed to ", SOON);
    let archive = terminal.0.path("equities.csv");
    let deadline = std::time::Instant::now() + LONG;
    while std::fs::read_to_string(&archive).unwrap_or_default().lines().count() < 3 {
        assert!(std::time::Instant::now() < deadline, "the archive stays short");
        std::thread::sleep(Duration::from_millis(20));
    }
    durable.signal("INT");
    let _ = durable.wait(SOON).expect(130);
    assert!(
        terminal
            .0
            .path("archive/positions/market.example/equities/archive@position")
            .exists()
    );
}

#[test]
fn a_helper_and_its_ticket_lead_into_a_mesh() {
    let (there, here) = (Terminal::new(), Terminal::new());
    let data_dir = there.0.arg("node");
    let helper = there.start(HELPER[0]);
    let multiaddr = helper.stdout_line("", SOON);
    let named = there.typed(HELPER[1], &[("/var/lib/maille", &data_dir)]).start();
    named.stdout_line("/dns4/meet.example/tcp/6245/p2p/", SOON);

    let placeholder = "/ip4/192.0.2.1/tcp/6245/p2p/12D3KooW…";
    let ticket = here
        .typed(HELPER[2], &[(placeholder, &multiaddr)])
        .run(LONG)
        .expect(0)
        .text()
        .swap_remove(0);
    let decoded = here
        .typed(HELPER[3], &[("maille1…", &ticket)])
        .run(LONG)
        .expect(0)
        .text()
        .join("\n");
    assert!(
        decoded.contains("chat.example") && decoded.contains(&multiaddr),
        "{decoded}"
    );

    here.0.file("secret.txt", PASSWORD);
    let subscribers = [
        here.typed(HELPER[4], &[(placeholder, &multiaddr)]),
        here.typed(HELPER[5], &[("maille1…", &ticket)]),
        here.typed(HELPER[6], &[("maille1…", &ticket)]).no_password(),
    ]
    .map(|launch| subscribed(launch.start()));
    there.run(CHAT[1]);
    for subscriber in subscribers {
        assert_eq!(subscriber.stdout_line("", LONG), "hello");
    }
}

#[test]
fn prices_are_published_and_chosen_by_key() {
    let terminal = Terminal::new();
    let prices: String = (0..60)
        .map(|n| format!("{n},AAPL,1\n{n},IBM,2\n{n},MSFT,3\n"))
        .collect();
    terminal.0.file("prices.csv", prices);
    let chosen = terminal.start(PRICES[1]);
    let all = [(); 2].map(|()| terminal.start("maille sub market.example/equities --count 180"));
    terminal.run(PRICES[0]);
    let chosen = chosen.wait(LONG).expect(0).text();
    let records: Vec<&String> = chosen
        .iter()
        .filter(|line| line.contains("\"event\":\"record\""))
        .collect();
    assert_eq!(records.len(), 100);
    assert!(
        records.iter().all(|line| !line.contains("\"key\":\"IBM\"")),
        "{records:?}"
    );
    for subscriber in all {
        assert_eq!(subscriber.wait(LONG).expect(0).text().len(), 180);
    }
}

#[test]
fn a_log_is_followed() {
    let terminal = Terminal::new();
    terminal.0.file("app.log", "{\"host\":\"a\",\"text\":\"up\"}\n");
    let subscriber = subscribed(terminal.start("maille sub ops.example/logs"));
    let publisher = terminal.start(LOGS[0]);
    assert_eq!(subscriber.stdout_line("", LONG), "{\"host\":\"a\",\"text\":\"up\"}");
    std::fs::remove_file(terminal.0.path("app.log")).unwrap();
    let _ = publisher.wait(LONG).expect(0);
}

#[test]
fn identities_are_told() {
    let terminal = Terminal::new();
    let data_dir = terminal.0.arg("ticker-data");
    let ids = [
        terminal.run(IDS[0]),
        terminal
            .typed(IDS[1], &[("/var/lib/ticker", &data_dir)])
            .run(LONG)
            .expect(0)
            .text(),
    ];
    assert!(
        ids.iter().all(|id| id[0].starts_with("12D3KooW")) && ids[0] != ids[1],
        "{ids:?}"
    );
    assert_eq!(terminal.run(IDS[0]), ids[0]);
}

#[test]
fn completions_and_manual_pages_are_written() {
    let terminal = Terminal::new();
    for folder in [
        ".local/share/bash-completion/completions",
        ".zfunc",
        ".config/fish/completions",
    ] {
        std::fs::create_dir_all(terminal.0.path(folder)).unwrap();
    }
    for command in &PAGES[..3] {
        assert_eq!(terminal.run(command), [""; 0]);
    }
    for file in [
        ".local/share/bash-completion/completions/maille",
        ".zfunc/_maille",
        ".config/fish/completions/maille.fish",
    ] {
        let script = std::fs::read_to_string(terminal.0.path(file)).unwrap();
        assert!(script.contains("passphrase"), "{file}");
    }
    assert!(terminal.run(PAGES[3]).iter().any(|line| line.starts_with(".TH maille")));
    terminal.run(PAGES[4]);
    assert!(terminal.0.path(".local/share/man/man1/maille-pub.1").exists());
}

#[test]
fn the_demo_ends_with_its_summary() {
    let terminal = Terminal::new();
    let plain = terminal.run(DEMO[0]).join("\n");
    assert!(plain.contains("published") && plain.contains("stranger"), "{plain}");
    let from_cargo = |command: &str| command.replace("cargo run --release --bin ticker --", "ticker");
    let few = [
        terminal.typed(DEMO[1], &[("20000", "200")]),
        terminal.typed(&from_cargo(DEMO[2]), &[("2000", "200"), ("60", "4")]),
    ];
    for launch in few {
        let lines = launch.run(LONG).expect(0).text();
        let summary: serde_json::Value = serde_json::from_str(lines.last().unwrap()).unwrap();
        assert_eq!(
            (summary["published"].as_u64(), summary["stranger_delivered"].as_u64()),
            (Some(200), Some(0))
        );
        let subscribers = summary["subscribers"].as_array().unwrap();
        assert!(
            subscribers
                .iter()
                .all(|subscriber| subscriber["delivered"] == 200 && subscriber["lost"] == 0),
            "{summary}"
        );
        assert!(summary["upload_bytes_per_tick"].as_f64().unwrap() > 100.0, "{summary}");
    }
}

#[test]
fn the_ticker_publishes_and_watches() {
    let terminal = Terminal::new();
    let chosen = terminal.start(BOARD[1]);
    let all = terminal.start(BOARD[2]);
    let _publisher = terminal.start(BOARD[0]);
    all.stdout_count(20, LONG);
    chosen.stdout_count(4, LONG);
    let lines = chosen.stdout_lines();
    assert!(
        lines.iter().all(|line| line.contains("AAPL") || line.contains("IBM")),
        "{lines:?}"
    );
}

#[test]
fn the_ticker_takes_other_feeds() {
    let terminal = Terminal::new();
    let header = "ts_ns,symbol,kind,bid,bid_size,ask,ask_size,price,size";
    let rows: String = (1..=5).map(|n| format!("{n}000,BTC,trade,,,,,{n}.5,1\n")).collect();
    terminal.0.file("ticks.csv", format!("{header}\n{rows}"));
    let _ = terminal.0.shell("gzip ticks.csv").run(SOON).expect(0);
    let reading = |n: u32| {
        format!("{{\"when\":\"2026-01-01T00:00:00.0{n}Z\",\"station\":\"Blindern\",\"main\":{{\"temp\":-{n}.5}}}}\n")
    };
    terminal.0.file("oslo.jsonl", (1..=5).map(reading).collect::<String>());
    for (command, topic) in [(FEEDS[0], "market.example/coins"), (FEEDS[1], "weather.example/oslo")] {
        let watcher = terminal.start(&format!("ticker watch {topic}"));
        terminal.run(command);
        // It begins with the newest, and may pass over those before.
        let mut lines = watcher.stdout_lines();
        while !lines.iter().any(|line| line.contains("5.5")) {
            watcher.stdout_count(lines.len() + 1, LONG);
            lines = watcher.stdout_lines();
        }
    }
}

/// The commands in a text: of its fenced blocks, or under `Examples:`.
fn shown_in_help(help: &str) -> Vec<String> {
    let Some((_, examples)) = help.split_once("Examples:\n") else {
        return Vec::new();
    };
    let lines = examples.lines().take_while(|line| !line.trim().is_empty());
    let commands = lines.map(str::trim).filter(|line| !line.ends_with(':'));
    commands
        .map(|line| line.split("   ").next().unwrap_or_default().to_owned())
        .collect()
}

fn shown_in_document(text: &str) -> Vec<String> {
    let blocks = fenced(text, &["", "sh", "console"]);
    blocks
        .iter()
        .flat_map(|block| block.lines())
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

fn documented() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let user = User::new();
    for (program, commands) in [
        (
            "maille",
            &[
                "",
                "node",
                "pub",
                "sub",
                "keep",
                "topics",
                "request",
                "reply",
                "members",
                "share",
                "fetch",
                "ticket",
                "passphrase",
                "id",
                "completions",
                "man",
            ][..],
        ),
        ("ticker", &["", "publish", "watch"][..]),
    ] {
        for command in commands {
            let help = user
                .shell(&format!("{program} {command} --help"))
                .run(SOON)
                .expect(0)
                .text()
                .join("\n");
            let shown = shown_in_help(&help);
            assert!(!shown.is_empty(), "`{program} {command} --help` has no examples");
            found.extend(shown);
        }
    }
    for document in ["README.md", "examples/ticker/README.md"] {
        found.extend(shown_in_document(
            &std::fs::read_to_string(workspace().join(document)).unwrap(),
        ));
    }
    found
}

#[test]
fn every_documented_command_is_run_here() {
    let run: [&[&str]; 16] = [
        &BOARD, &CHAT, &CI, &DEMO, &DURABLE, &FEEDS, &FILES, &HELPER, &HISTORY, &IDS, &LOGS, &MEMBERS, &PAGES, &PRICES,
        &REQUESTS, &SECRET,
    ];
    let run: BTreeSet<String> = run.into_iter().flatten().map(|command| (*command).to_owned()).collect();
    let documented = documented();
    let (untested, stale): (Vec<_>, Vec<_>) = (
        documented.difference(&run).collect(),
        run.difference(&documented).collect(),
    );
    assert!(untested.is_empty(), "shown to users, run by no test: {untested:#?}");
    assert!(stale.is_empty(), "run here, and no longer shown: {stale:#?}");
}

#[test]
fn commands_are_found_where_they_are_shown() {
    let help = "Usage: x\n\nExamples:\n  Do this:\n    maille a\n  ticker --b   what it does\n\nMore.\n  maille c\n";
    assert_eq!(shown_in_help(help), ["maille a", "ticker --b"]);
    assert_eq!(
        shown_in_document("```\nmaille a\n```\n```text\npicture\n```\n```sh\nmaille b\n```\n"),
        ["maille a", "maille b"]
    );
}
