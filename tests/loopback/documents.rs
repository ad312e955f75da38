//! A process that edits a document and is killed in the middle of it, over and over: no edit that was acknowledged is lost.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use maille::{Credential, Document, Edit, Node};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const MESH: &str = "party.example";
/// Where the editing process finds its data directory, and which life it leads.
const DIR_VARIABLE: &str = "MAILLE_TESTS_DOCUMENT";
const LIFE_VARIABLE: &str = "MAILLE_TESTS_LIFE";
/// 5 in every run of the tests, 50 by command.
const KILLS: usize = 5;
const KILLS_VARIABLE: &str = "MAILLE_KILLS";
const SEED_VARIABLE: &str = "MAILLE_SEED";
const EDITS_MAX: usize = 400;

fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

async fn open(dir: &Path) -> (Node, Document) {
    let node = Node::builder()
        .listen(["/ip4/127.0.0.1/tcp/0".parse().unwrap()])
        .mdns(false)
        .run_file(false)
        .data_dir(dir);
    let node = node.spawn().await.unwrap();
    let mesh = node.join(MESH.parse().unwrap(), Credential::open()).await.unwrap();
    let document = mesh.document("plan".parse().unwrap()).await.unwrap();
    (node, document)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// Not a test of its own: what the process does that is killed. Edits of 8 tasks at a time, each told once it is made.
#[test]
fn edit_until_killed() {
    let (Some(dir), Some(life)) = (variable::<String>(DIR_VARIABLE), variable::<usize>(LIFE_VARIABLE)) else {
        return;
    };
    runtime().block_on(async {
        let (_node, document) = open(Path::new(&dir)).await;
        let edits = (0..8).map(|task| {
            let document = document.clone();
            async move {
                for number in 0_usize.. {
                    let item = format!("{life}-{task}-{number}");
                    let edit = |edit: &mut Edit<'_>| {
                        // Large enough for the document to be written anew now and then.
                        edit.set("items", &item, "text", "x".repeat(300))?;
                        edit.splice("log", 0..0, "x")
                    };
                    document.edit(edit).await.unwrap();
                    eprintln!("acknowledged {item}");
                }
            }
        });
        futures::future::join_all(edits).await;
    });
}

#[test]
fn edits_that_were_acknowledged_survive_kills() {
    let kills = variable(KILLS_VARIABLE).unwrap_or(KILLS);
    let seed = variable(SEED_VARIABLE).unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("{kills} kills; {SEED_VARIABLE}={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for life in 0..kills {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["documents::edit_until_killed", "--exact", "--nocapture"])
            .env(DIR_VARIABLE, dir.path())
            .env(LIFE_VARIABLE, life.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let wanted = rng.random_range(1..EDITS_MAX);
        let mut told = 0;
        for line in lines {
            let line = line.unwrap();
            let Some(item) = line.strip_prefix("acknowledged ") else {
                continue;
            };
            acknowledged.push(item.to_owned());
            told += 1;
            if told == wanted {
                process.kill().unwrap();
            }
        }
        process.wait().unwrap();
        assert!(
            told >= wanted,
            "life {life} ended by itself after {told} of {wanted} edits"
        );
    }
    runtime().block_on(async {
        let (node, document) = open(dir.path()).await;
        let contents = document.contents();
        let items = &contents.lists["items"];
        let missing: Vec<&String> = acknowledged.iter().filter(|item| !items.contains_key(*item)).collect();
        eprintln!(
            "{} acknowledged, {} there, {} missing",
            acknowledged.len(),
            items.len(),
            missing.len()
        );
        assert!(missing.is_empty(), "{SEED_VARIABLE}={seed}: {missing:?}");
        assert_eq!(contents.text("log").len(), items.len(), "edits are there as a whole");
        assert_eq!(document.unsynchronised(), items.len(), "nobody else has them");
        node.shutdown().await;
    });
}
