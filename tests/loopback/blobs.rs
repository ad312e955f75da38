//! Blobs with processes: the sender of a file is killed at half, and the rest comes from another; what a command leaves behind
//! when it cannot.

use std::path::Path;
use std::time::{Duration, Instant};

use maille_tests::processes::{LOOPBACK, Running, SOON, User};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::cast::{Helper, LONG};

const MESH: &str = "film.example";
const BYTES: usize = 20 * 1_024 * 1_024 + 3;

fn film(seed: u64, bytes: usize) -> Vec<u8> {
    let mut film = vec![0; bytes];
    StdRng::seed_from_u64(seed).fill_bytes(&mut film);
    film
}

fn start(user: &User, helper: &Helper, arguments: &[&str]) -> Running {
    user.maille(arguments).args(LOOPBACK).args(helper.bootstrap()).start()
}

/// The id that a command prints first.
fn id_of(sharing: &Running) -> String {
    format!("blob1{}", sharing.stdout_line("blob1", SOON))
}

fn names(directory: &Path) -> Vec<String> {
    let names = std::fs::read_dir(directory).unwrap();
    names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// How many bytes of the disk the files of a directory take: what is not written of them takes none.
#[cfg(unix)]
fn on_disk(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let files = std::fs::read_dir(directory).into_iter().flatten();
    files
        .filter_map(|file| Some(file.ok()?.metadata().ok()?.blocks() * 512))
        .sum()
}

#[cfg(unix)]
#[test]
fn a_sender_killed_at_half_is_replaced_and_the_file_appears_whole() {
    let helper = Helper::start();
    let (sender, other, reader) = (User::new(), User::new(), User::new());
    let film = film(1, BYTES);
    for user in [&sender, &other] {
        user.file("film.mp4", &film);
    }
    let sending = start(&sender, &helper, &["share", MESH, "film.mp4"]);
    let id = id_of(&sending);
    let out = reader.arg("film.mp4");
    let mut reading = start(
        &reader,
        &helper,
        &["fetch", MESH, &id, "--out", &out, "--json", "--data-dir", "data"],
    );
    let blobs = reader.path("data").join("blobs").join(MESH);
    let deadline = Instant::now() + LONG;
    while on_disk(&blobs) < BYTES as u64 / 2 {
        assert!(
            Instant::now() < deadline && reading.is_running(),
            "it never gets to half"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    sending.kill();
    assert!(!reader.path("film.mp4").exists(), "half a file has no name");
    let also = start(
        &other,
        &helper,
        &["share", MESH, "film.mp4", "--until-held", "1", "--json"],
    );
    let told: serde_json::Value = serde_json::from_str(&format!("{{{}", also.stdout_line("{", SOON))).unwrap();
    assert_eq!(
        (told["blob"].as_str(), told["bytes"].as_u64()),
        (Some(&id[..]), Some(BYTES as u64))
    );
    let ended = reading.wait(LONG).expect(0);
    let told: serde_json::Value = serde_json::from_str(&ended.text()[0]).unwrap();
    assert_eq!(told["bytes"].as_u64(), Some(BYTES as u64));
    assert!(std::fs::read(&out).unwrap() == film);

    // Killed and started again, it has all of it, with nobody there; and in a pipe it is the bytes alone.
    also.kill();
    let again = reader
        .maille(["fetch", MESH, &id, "--data-dir", "data"])
        .args(LOOPBACK)
        .start();
    let lines = again.wait(LONG).expect(0).stdout;
    assert!(lines.join(&b'\n') == film);
}

#[test]
fn a_reader_killed_at_half_goes_on_from_there_and_others_see_when_it_holds_all() {
    let helper = Helper::start();
    let (sender, reader) = (User::new(), User::new());
    let film = film(2, BYTES);
    sender.file("film.mp4", &film);
    let sending = start(
        &sender,
        &helper,
        &["share", MESH, "film.mp4", "--until-held", "1", "--data-dir", "data"],
    );
    let id = id_of(&sending);
    let blobs = reader.path("data").join("blobs").join(MESH);
    let fetch = ["fetch", MESH, &id, "--out", "film.mp4", "--data-dir", "data"];
    let reading = start(&reader, &helper, &fetch);
    let deadline = Instant::now() + LONG;
    while !blobs.join(format!("{id}.data")).exists() {
        assert!(Instant::now() < deadline, "it never begins");
        std::thread::sleep(Duration::from_millis(1));
    }
    reading.kill();
    assert!(!reader.path("film.mp4").exists());
    // Nothing under the final name, and nothing beside it, whatever is killed.
    assert!(names(&reader.path("")).iter().all(|name| !name.contains("film")));
    let keeping = start(&reader, &helper, &["share", MESH, "nothing", "--data-dir", "data"]);
    let _ = keeping.wait(SOON).expect(1).says(&["nothing"]);
    std::fs::write(reader.path("small"), "small").unwrap();
    // It holds all, and stays.
    let fetched = start(&reader, &helper, &fetch);
    let _ = fetched.wait(LONG).expect(0);
    assert!(std::fs::read(reader.path("film.mp4")).unwrap() == film);
    let staying = start(&reader, &helper, &["share", MESH, "small", "--data-dir", "data"]);
    let _ = sending.wait(LONG).expect(0);
    staying.signal("INT");
    let _ = staying.wait(SOON).expect(130);
}

#[test]
fn nobody_in_time_is_code_4_and_leaves_no_file() {
    let helper = Helper::start();
    let (one, other) = (User::new(), User::new());
    one.file("a", "a");
    let sharing = start(&one, &helper, &["share", MESH, "a"]);
    sharing.stdout_line("blob1", SOON);
    let id = maille::BlobId::of(b"nobody has this").to_string();
    let late = start(&other, &helper, &["fetch", MESH, &id, "--out", "b", "--timeout", "4s"]);
    let _ = late.wait(SOON).expect(4).says(&["none holds it"]);
    let alone = other
        .maille(["fetch", MESH, &id, "--timeout", "500ms"])
        .args(LOOPBACK)
        .start();
    let _ = alone.wait(SOON).expect(4).says(&["no member of film.example was met"]);
    assert!(
        names(&other.path("")).iter().all(|name| !name.starts_with(['b', '.'])),
        "{:?}",
        names(&other.path(""))
    );
    for bad in [
        &["fetch", MESH, "blob1qqqq"][..],
        &["share", MESH],
        &["fetch", MESH, "../x"],
    ] {
        let _ = other.maille(bad).run(SOON).expect(2);
    }
    let missing = start(&other, &helper, &["share", MESH, "no/such/file"]);
    let _ = missing.wait(SOON).expect(1).says(&["no/such/file"]);
}
