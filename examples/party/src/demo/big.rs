//! A big group without pages: how long a page takes to open, and an edit to reach everybody.

use std::io::Write as _;
use std::time::Duration;

use serde::Serialize;
use shared::{Failure, stop};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::cast::Cast;
use super::script::{failure, fill, put};
use crate::args::DemoArgs;
use crate::plan::List;
use crate::start::LOOPBACK;
use crate::web::{self, Role, Site};

/// Edits that are measured, one after the other, each of another member.
const EDITS: usize = 30;
/// How long anything may take: with many members on few processors, the beginning above all.
const PATIENCE: Duration = Duration::from_secs(600);

/// What was measured. Times are in milliseconds.
#[derive(Debug, Serialize)]
struct Summary {
    members: usize,
    items: usize,
    photos: usize,
    /// From asking for the page until all that it shows at first has arrived.
    opened_ms: u128,
    /// Bytes of that.
    opened_bytes: usize,
    /// From an edit until everybody's page is told: half took so long,
    reached_ms: u128,
    /// and the longest.
    reached_ms_max: u128,
    /// All have the same in the end.
    converged: bool,
}

pub(crate) async fn run(args: &DemoArgs) -> Result<(), Failure> {
    let cast = Cast::start(args.members).await?;
    let outcome = tokio::select! {
        outcome = measure(&cast, args) => outcome,
        () = stop::requested() => Err(Failure::Interrupted(String::new())),
    };
    cast.end().await;
    let summary = outcome?;
    let mut out = std::io::stdout();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&summary).map_err(Failure::other)?)?;
        return Ok(());
    }
    let Summary {
        members,
        items,
        photos,
        opened_ms,
        reached_ms,
        reached_ms_max,
        ..
    } = summary;
    writeln!(
        out,
        "{members} members, {items} to-dos, {photos} photos: a page opens in {opened_ms} ms; \
         an edit reaches everybody in {reached_ms} ms, at most {reached_ms_max} ms"
    )?;
    Ok(())
}

async fn measure(cast: &Cast, args: &DemoArgs) -> Result<Summary, Failure> {
    fill(cast, args.items, args.photos).await?;
    let late = |_| Failure::Nobody("the members did not get the same plan within ten minutes".to_owned());
    timeout(PATIENCE, filled(cast, args)).await.map_err(late)??;
    let last = cast
        .members
        .last()
        .ok_or_else(|| Failure::Other("a group has members".to_owned()))?;
    let site = Site::open(&last.app, LOOPBACK, web::new_guard())
        .await
        .map_err(Failure::other)?;
    let link = site.link(Role::Owner);
    let opening = open_page(&link);
    let late = |_| Failure::Other("the page did not open within ten minutes".to_owned());
    let (opened, opened_bytes) = timeout(PATIENCE, opening).await.map_err(late)??;
    let mut times = Vec::new();
    for edit in 0..EDITS {
        let spread = reach_all(cast, edit % cast.members.len());
        let late = |_| Failure::Nobody("an edit did not reach everybody within ten minutes".to_owned());
        times.push(timeout(PATIENCE, spread).await.map_err(late)??);
    }
    times.sort_unstable();
    Ok(Summary {
        members: cast.members.len(),
        items: args.items,
        photos: args.photos,
        opened_ms: opened.as_millis(),
        opened_bytes,
        reached_ms: times[EDITS / 2].as_millis(),
        reached_ms_max: times[EDITS - 1].as_millis(),
        converged: timeout(PATIENCE, cast.merged()).await.is_ok(),
    })
}

/// Resolves once everybody has all that was written before. Hashes of all would keep them from it.
async fn filled(cast: &Cast, args: &DemoArgs) -> Result<(), Failure> {
    for member in &cast.members {
        let (group, mut changes) = (member.group()?, member.app.changes());
        while group.count(List::Todos) < args.items || group.count(List::Photos) < args.photos {
            // One that is too slow for what it is told looks again.
            let _ = changes.recv().await;
        }
    }
    Ok(())
}

/// A member adds something; how long it takes until everybody's page is told.
async fn reach_all(cast: &Cast, place: usize) -> Result<Duration, Failure> {
    let mut told = Vec::new();
    for member in &cast.members {
        told.push((member.group()?, member.app.changes()));
    }
    let begun = Instant::now();
    let group = cast.members[place].group()?;
    let id = put(&group, List::Todos, &[("text", "one thing more")])
        .await
        .map_err(failure)?;
    for (group, changes) in &mut told {
        while !group.has(List::Todos, &id) {
            // One that is too slow for what it is told looks again.
            let _ = changes.recv().await;
        }
    }
    Ok(begun.elapsed())
}

/// Opens a page as a browser does: the link, the page and its files, and all that it shows. How long it takes, and its bytes.
async fn open_page(link: &str) -> Result<(Duration, usize), Failure> {
    let begun = Instant::now();
    let (authority, path) = link
        .strip_prefix("http://")
        .and_then(|rest| rest.split_once('/'))
        .unwrap_or_default();
    let entered = ask(authority, path, "").await?;
    let cookie = entered.lines().find_map(|line| line.strip_prefix("set-cookie: "));
    let cookie = cookie.and_then(|cookie| cookie.split(';').next()).unwrap_or_default();
    let page = ask(authority, "", cookie).await?;
    let mut bytes = page.len();
    for (file, _) in web::FILES {
        bytes += ask(authority, file, cookie).await?.len();
    }
    bytes += ask(authority, "api/state", cookie).await?.len();
    Ok((begun.elapsed(), bytes))
}

async fn ask(authority: &str, path: &str, cookie: &str) -> Result<String, Failure> {
    let mut stream = TcpStream::connect(authority).await?;
    let asked = format!("GET /{path} HTTP/1.1\r\nHost: {authority}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n");
    stream.write_all(asked.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    match answer.get(..12) {
        Some("HTTP/1.1 200" | "HTTP/1.1 303") => Ok(answer),
        _ => Err(Failure::Other(format!(
            "the page answers {:?} to /{path}",
            answer.lines().next()
        ))),
    }
}
