//! The program from outside: its demo, its pages as a browser asks for them, hostile requests, and being killed.

mod lan;
#[path = "../page/machines.rs"]
mod machines;
mod member;

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use member::{Member, helper, until};

const PARTY: &str = env!("CARGO_BIN_EXE_party");

/// A JPEG picture that says where it was taken.
fn photo_with_place() -> Vec<u8> {
    let picture = image::RgbImage::from_fn(320, 200, |x, y| image::Rgb([x as u8, y as u8, 90]));
    let mut file = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut file, image::ImageFormat::Jpeg).unwrap();
    let file = file.into_inner();
    let words = b"Exif\0\0GPS 48.8584 N 2.2945 E";
    let length = u16::try_from(words.len() + 2).unwrap().to_be_bytes();
    [&file[..2], &[0xff, 0xe1], &length, words, &file[2..]].concat()
}

/// Waits for what happens in another process.
fn wait(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < member::PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn holds(bytes: &[u8], words: &[u8]) -> bool {
    bytes.windows(words.len()).any(|window| window == words)
}

#[test]
fn members_who_edit_by_themselves_end_with_the_same() {
    let out = Command::new(PARTY)
        .args(["demo", "--headless", "--seconds", "4", "--json"])
        .output()
        .unwrap();
    let lines = String::from_utf8(out.stdout).unwrap();
    let summary: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    eprintln!("{summary}");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!((&summary["members"], &summary["converged"]), (&json!(3), &json!(true)));
    assert_eq!(
        (&summary["photo_verified"], &summary["lost"]),
        (&json!(true), &json!(0))
    );
    assert!(summary["edits"].as_u64().unwrap() > 20, "{summary}");
}

/// Figures are for people; here it is enough that there are some.
#[test]
fn a_big_group_is_measured() {
    let out = Command::new(PARTY)
        .args([
            "demo",
            "--headless",
            "--members",
            "5",
            "--items",
            "400",
            "--photos",
            "40",
            "--json",
        ])
        .output()
        .unwrap();
    let lines = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let summary: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    eprintln!("{summary}");
    assert_eq!((&summary["members"], &summary["converged"]), (&json!(5), &json!(true)));
    assert!(summary["opened_bytes"].as_u64().unwrap() > 40_000, "{summary}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_started_joined_and_planned_together() {
    let helper = helper().await;
    let (ada, bo) = (Member::new(&helper.multiaddrs()), Member::new(&helper.multiaddrs()));
    assert_eq!(ada.get("/api/state").await, json!({ "phase": "first", "groups": [] }));
    let title = "Été 🌊 海";
    let started = ada
        .post(
            "/api/start",
            &json!({ "title": title, "name": "Ada", "remember": true }),
        )
        .await;
    let passphrase = started["passphrase"].as_str().unwrap().to_owned();
    ada.until_open().await;
    let invite = ada.get("/api/invite").await;
    let link = invite["link"].as_str().unwrap();
    assert!(
        link.starts_with("party:maille1") && !invite.to_string().contains(&passphrase),
        "{invite}"
    );
    assert!(invite["qr"].as_str().unwrap().contains("<svg"));

    let join = json!({ "invite": format!("Come!\n{link}\n"), "passphrase": format!(" {passphrase}\n"), "name": "Bo" });
    bo.post("/api/join", &join).await;
    bo.until_open().await;
    bo.until(|state| state["title"] == title).await;
    ada.until(|state| {
        state["members"]
            .as_array()
            .is_some_and(|members| members.iter().any(|member| member["name"] == "Bo"))
    })
    .await;

    let id = ada.put("guests", &json!({ "name": "Zoë" })).await;
    bo.until(|state| state["lists"]["guests"][&id]["name"] == "Zoë").await;
    let edit = |version: &Value, at: u64, insert: &str| json!({ "op": "text", "version": version, "at": at, "delete": 0, "insert": insert });
    ada.post("/api/edit", &edit(&json!(0), 0, "éa")).await;
    bo.until(|state| state["text"] == "éa").await;
    let version = bo.get("/api/state").await["text_version"].clone();
    let answer = bo.post("/api/edit", &edit(&version, 1, "🌊")).await;
    assert_eq!(answer["text"], "é🌊a");
    ada.until(|state| state["text"] == "é🌊a").await;
    bo.post("/api/edit", &json!({ "op": "delete", "list": "guests", "id": id }))
        .await;
    ada.until(|state| {
        state["lists"]["guests"]
            .as_object()
            .is_none_or(serde_json::Map::is_empty)
    })
    .await;
    assert_eq!(
        bo.post("/api/edit", &json!({ "op": "undo" })).await,
        json!({ "undone": true })
    );
    ada.until(|state| state["lists"]["guests"][&id]["name"] == "Zoë").await;

    let photo = photo_with_place();
    let added = ada
        .upload("/api/photos?name=../../sea.jpg", photo.clone())
        .await
        .unwrap();
    let id = added["id"].as_str().unwrap().to_owned();
    bo.until(|state| state["lists"]["photos"][&id]["width"] == "320").await;
    let fields = bo.get("/api/state").await["lists"]["photos"][&id].clone();
    assert_eq!((&fields["name"], &fields["by"]), (&json!("sea.jpg"), &json!("Ada")));
    for field in ["blob", "thumb"] {
        let got = bo
            .bytes(&format!("/api/blob/{}", fields[field].as_str().unwrap()))
            .await;
        assert!(image::load_from_memory(&got).is_ok() && !holds(&got, b"GPS"), "{field}");
    }
    ada.upload("/api/photos?keep=1&name=kept.jpg", photo).await.unwrap();
    let saved = bo.bytes("/api/save").await;
    assert!(saved.starts_with(b"PK") && holds(&saved, b"photos/sea.jpg") && holds(&saved, b"guests.csv"));

    let mesh = ada.get("/api/state").await["mesh"].as_str().unwrap().to_owned();
    let chloe = Member::joined(&helper.multiaddrs(), &mesh, "Chloé", &passphrase);
    chloe
        .until(|state| state["title"] == title && state["text"] == "é🌊a")
        .await;
    assert_eq!(chloe.get("/api/state").await["me"]["name"], "Chloé");

    // Everything is there again after all were ended.
    drop((bo, chloe));
    let ada = ada.restart();
    let groups = ada.get("/api/state").await["groups"].clone();
    assert_eq!(
        (&groups[0]["title"], &groups[0]["remembered"]),
        (&json!(title), &json!(true))
    );
    ada.post("/api/reopen", &json!({ "mesh": groups[0]["mesh"], "passphrase": "" }))
        .await;
    ada.until_open().await;
    let state = ada.get("/api/state").await;
    assert_eq!(
        (&state["text"], &state["lists"]["photos"][&id]["name"]),
        (&json!("é🌊a"), &json!("sea.jpg"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_nonsense_get_clear_answers() {
    let helper = helper().await;
    let ada = Member::new(&helper.multiaddrs());
    let refused = |answer: (u16, Value), code: &str| {
        assert!((400..500).contains(&answer.0), "{answer:?}");
        assert_eq!(answer.1["code"], code, "{answer:?}");
        assert!(
            answer.1["error"].as_str().is_some_and(|error| error.len() > 5),
            "{answer:?}"
        );
    };
    for path in ["/", "/app.js", "/api/state", "/api/events", "/enter/0000"] {
        refused(ada.as_stranger(path, None).await, "stranger");
    }
    refused(ada.as_elsewhere("/api/state", "http://evil.example").await, "stranger");
    refused(ada.try_post("/api/edit", &json!({ "op": "undo" })).await, "closed");
    for (start, code) in [
        (json!({ "title": "", "name": "Ada" }), "empty"),
        (json!({ "title": "x".repeat(200), "name": "Ada" }), "too_long"),
        (json!({ "title": "x" }), "bad_request"),
        (json!([1]), "bad_request"),
    ] {
        refused(ada.try_post("/api/start", &start).await, code);
    }
    for (invite, passphrase, code) in [
        ("hello", "a b", "bad_invite"),
        ("party:maille1qqqqqq", "a b", "bad_invite"),
    ] {
        let join = json!({ "invite": invite, "passphrase": passphrase, "name": "Ada" });
        refused(ada.try_post("/api/join", &join).await, code);
    }
    ada.post("/api/start", &json!({ "title": "t", "name": "Ada" })).await;
    ada.until_open().await;
    refused(
        ada.try_post("/api/start", &json!({ "title": "t", "name": "Ada" }))
            .await,
        "busy",
    );
    for (edit, code) in [
        (
            json!({ "op": "put", "list": "guests", "id": "nobody", "fields": {} }),
            "no_such_item",
        ),
        (
            json!({ "op": "put", "list": "guests", "id": null, "fields": { "name": "x".repeat(3_000) } }),
            "too_long",
        ),
        (
            json!({ "op": "put", "list": "guests", "id": null, "fields": { "blob": "x" } }),
            "no_such_field",
        ),
        (
            json!({ "op": "text", "version": 9, "at": 0, "delete": 0, "insert": "x" }),
            "stale",
        ),
        (
            json!({ "op": "text", "version": 0, "at": 9, "delete": 9, "insert": "x" }),
            "stale",
        ),
        (json!({ "op": "format" }), "bad_request"),
    ] {
        refused(ada.try_post("/api/edit", &edit).await, code);
    }
    refused(
        ada.upload("/api/photos?name=x.gif", b"GIF89a".to_vec())
            .await
            .unwrap_err(),
        "cannot_clean",
    );
    refused(
        ada.upload("/api/photos?name=x.jpg", vec![0xff, 0xd8, 0xff, 0xe0])
            .await
            .unwrap_err(),
        "not_a_photo",
    );
    refused(ada.upload("/api/photos", vec![]).await.unwrap_err(), "bad_request");
    refused(
        ada.upload("/api/files?name=huge", vec![0; 65 * 1_024 * 1_024])
            .await
            .unwrap_err(),
        "too_large",
    );
    for path in [
        "/api/blob/..%2fstate",
        "/api/blob/zz",
        "/api/nothing",
        "/..%2f..%2fetc%2fpasswd",
    ] {
        let (status, _) = ada.try_get(path).await;
        assert!((400..500).contains(&status), "{path}: {status}");
    }
    assert_eq!(ada.get("/api/state").await["phase"], "open", "it goes on");
}

/// All but the long demo and what would serve the local network are run by the other tests; here all are understood.
#[test]
fn documented_commands_are_understood() {
    let help = Command::new(PARTY).arg("--help").output().unwrap();
    let documents = [
        include_str!("../../README.md").to_owned(),
        String::from_utf8(help.stdout).unwrap(),
    ];
    let lines = documents.iter().flat_map(|document| document.lines());
    let commands = lines.map(|line| line.trim().split("   ").next().unwrap_or_default());
    let commands: Vec<&str> = commands.filter_map(|line| line.strip_prefix("party ")).collect();
    assert!(commands.len() >= 7, "{commands:?}");
    for command in commands {
        let command = command.replace("12D3…", "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN");
        let out = Command::new(PARTY)
            .args(command.split_whitespace())
            .arg("--help")
            .output()
            .unwrap();
        assert!(
            out.status.success(),
            "party {command}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
    }
}

#[test]
fn wrong_arguments_end_with_two_and_a_sentence() {
    for arguments in [
        &["dance"][..],
        &["join", "--name", "Ada"],
        &["join", "not a mesh", "--name", "Ada"],
        &["join", "p-x.party", "--name", "Ada", "--ticket", "maille1qqq"],
        &["demo", "--seconds", "5"],
        &["demo", "--headless", "--seconds", "0"],
        &["start", "--bootstrap", "nowhere"],
    ] {
        let out = Command::new(PARTY).args(arguments).output().unwrap();
        assert_eq!(out.status.code(), Some(2), "{arguments:?}");
        assert!(!out.stderr.is_empty(), "{arguments:?}");
    }
}

/// 5 kills, or as many as `MAILLE_KILLS` says.
#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_of_edits_and_uploads_nothing_acknowledged_is_lost() {
    let kills = std::env::var("MAILLE_KILLS").map_or(5, |kills| kills.parse().unwrap());
    let helper = helper().await;
    let mut ada = Member::new(&helper.multiaddrs());
    ada.post("/api/start", &json!({ "title": "t", "name": "Ada", "remember": true }))
        .await;
    ada.until_open().await;
    let mesh = ada.get("/api/state").await["mesh"].clone();
    let (mut todos, mut photos) = (vec![], vec![]);
    for kill in 0..kills {
        let work = async {
            loop {
                let text = format!("{kill} {}", todos.len());
                let put = json!({ "op": "put", "list": "todos", "id": null, "fields": { "text": text } });
                let Some(answer) = ada.ask_to("/api/edit", &put).await else {
                    return;
                };
                todos.push((answer["id"].as_str().unwrap().to_owned(), text));
                if todos.len() % 8 == 0 {
                    let Ok(answer) = ada.upload("/api/photos?name=p.jpg", photo_with_place()).await else {
                        return;
                    };
                    photos.push(answer["id"].as_str().unwrap().to_owned());
                }
            }
        };
        let time = Duration::from_millis(300 + 97 * (kill % 7));
        // It is killed in the middle of whatever it does then.
        let _ = tokio::time::timeout(time, work).await;
        ada = ada.kill();
        ada.post("/api/reopen", &json!({ "mesh": mesh, "passphrase": "" }))
            .await;
        ada.until_open().await;
        let state = ada.get("/api/state").await;
        for (id, text) in &todos {
            assert_eq!(state["lists"]["todos"][id]["text"], *text, "kill {kill}");
        }
        for id in &photos {
            let blob = state["lists"]["photos"][id]["blob"]
                .as_str()
                .unwrap_or_else(|| panic!("kill {kill}: {id} is lost"));
            assert!(image::load_from_memory(&ada.bytes(&format!("/api/blob/{blob}")).await).is_ok());
        }
    }
    eprintln!(
        "{kills} kills, {} to-dos and {} photos acknowledged, none lost",
        todos.len(),
        photos.len()
    );
    until("something was done", async || !todos.is_empty()).await;
}
