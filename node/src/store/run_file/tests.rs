//! Tests of the run file.

use std::{
    fs::{File, FileTimes},
    thread,
};

use super::*;

/// No process can have this number.
const NO_PROCESS: u32 = u32::MAX;

struct Fixture {
    _base: tempfile::TempDir,
    dir: RunDir,
}

fn fixture() -> Fixture {
    let base = tempfile::tempdir().unwrap();
    let dir = RunDir::at(&base.path().join("run")).unwrap();
    Fixture { _base: base, dir }
}

impl Fixture {
    fn write(&self, peer: &PeerId, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.file(peer);
        fs::write(&path, content).unwrap();
        path
    }

    fn others(&self) -> Vec<(PeerId, Vec<Multiaddr>)> {
        self.dir.others(&PeerId::random()).unwrap()
    }
}

fn tcp(port: u16) -> Multiaddr {
    Multiaddr::from(std::net::Ipv4Addr::LOCALHOST).with(Protocol::Tcp(port))
}

fn tcp_to(port: u16, peer: PeerId) -> Multiaddr {
    tcp(port).with(Protocol::P2p(peer))
}

fn set_age(path: &Path, age: Duration) {
    let times = FileTimes::new().set_modified(SystemTime::now() - age);
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_times(times)
        .unwrap();
}

#[test]
fn nodes_see_each_other_until_they_go() {
    let fixture = fixture();
    let (a, b) = (PeerId::random(), PeerId::random());
    let file_a = fixture.dir.clone().publish(a, &[tcp(1)]).unwrap();
    assert_eq!(fixture.dir.others(&a).unwrap(), [], "not itself");
    assert_eq!(fixture.dir.others(&b).unwrap(), [(a, vec![tcp_to(1, a)])]);
    let file_b = fixture.dir.clone().publish(b, &[tcp_to(2, b)]).unwrap();
    assert_eq!(fixture.dir.others(&a).unwrap(), [(b, vec![tcp_to(2, b)])]);
    file_a.update(&[tcp(3), tcp(4)]).unwrap();
    assert_eq!(fixture.dir.others(&b).unwrap(), [(a, vec![tcp_to(3, a), tcp_to(4, a)])]);
    drop(file_a);
    assert_eq!(fixture.dir.others(&b).unwrap(), []);
    drop(file_b);
    assert_eq!(fs::read_dir(fixture.dir.path()).unwrap().count(), 0);
}

#[test]
fn only_direct_loopback_multiaddrs_are_shown_and_read() {
    let fixture = fixture();
    let (peer, other) = (PeerId::random(), PeerId::random());
    let quic: Multiaddr = "/ip6/::1/udp/7/quic-v1".parse().unwrap();
    let good = [tcp_to(1, peer), quic.clone().with(Protocol::P2p(peer))];
    let bad = [
        "/ip4/192.168.1.2/tcp/1".parse().unwrap(),
        "/ip4/0.0.0.0/tcp/1".parse().unwrap(),
        "/dns4/localhost/tcp/1".parse().unwrap(),
        tcp_to(5, other),
        tcp_to(5, other).with(Protocol::P2pCircuit),
        Multiaddr::empty(),
    ];
    let _file = fixture
        .dir
        .clone()
        .publish(peer, &[&bad[..], &[tcp(1), quic]].concat())
        .unwrap();
    assert_eq!(fixture.others(), [(peer, good.to_vec())]);

    let mut text = format!("{}\n", process::id());
    for multiaddr in bad {
        // What `publish` would have added, so that only the rest of it is wrong.
        text.push_str(&format!(
            "{multiaddr}\n{}\n",
            multiaddr.clone().with(Protocol::P2p(peer))
        ));
    }
    text.push_str(&format!(
        "{}\nnonsense\n\n{}\n{}\n",
        tcp(6),
        good[0],
        good[0].clone().with(Protocol::P2pCircuit)
    ));
    let two_peers = good[0].clone().with(Protocol::P2p(other));
    text.push_str(&format!("{two_peers}\n"));
    fixture.write(&peer, text);
    assert_eq!(fixture.others(), [(peer, vec![tcp_to(1, peer)])]);
}

#[test]
fn multiaddrs_are_bounded_on_both_sides() {
    let fixture = fixture();
    let peer = PeerId::random();
    let many: Vec<_> = (1..=20).map(tcp).collect();
    let _file = fixture.dir.clone().publish(peer, &many).unwrap();
    let text = fs::read_to_string(fixture.dir.file(&peer)).unwrap();
    assert_eq!(text.lines().count(), 1 + RUN_FILE_MULTIADDRS_MAX);
    let lines: String = (1..=20).map(|port| format!("{}\n", tcp_to(port, peer))).collect();
    fixture.write(&peer, format!("{}\n{lines}", process::id()));
    assert_eq!(fixture.others()[0].1.len(), RUN_FILE_MULTIADDRS_MAX);
}

#[test]
fn damaged_files_are_skipped_and_go_after_a_day() {
    let fixture = fixture();
    let own = process::id();
    let whole = |peer| format!("{own}\n{}\n", tcp_to(1, peer));
    let contents: Vec<Box<dyn Fn(PeerId) -> Vec<u8>>> = vec![
        Box::new(|_| Vec::new()),
        Box::new(|_| vec![0xff; 100]),
        Box::new(|_| b"-1\n".to_vec()),
        Box::new(move |peer| whole(peer).trim_end().as_bytes().to_vec()),
        Box::new(move |peer| [whole(peer).as_bytes(), &[b'\n'; RUN_FILE_BYTES_MAX]].concat()),
    ];
    for content in contents {
        let peer = PeerId::random();
        let path = fixture.write(&peer, content(peer));
        assert_eq!(fixture.others(), []);
        assert!(path.exists(), "it may be half an hour old, and another version's");
        set_age(&path, AGE_MAX + Duration::from_secs(60));
        assert_eq!(fixture.others(), []);
        assert!(!path.exists());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn files_of_ended_processes_are_removed() {
    let fixture = fixture();
    let peer = PeerId::random();
    let path = fixture.write(&peer, format!("{NO_PROCESS}\n{}\n", tcp_to(1, peer)));
    assert_eq!(fixture.others(), []);
    assert!(!path.exists());
    // A process that lives keeps its file, however old.
    fixture.write(&peer, format!("{}\n{}\n", process::id(), tcp_to(1, peer)));
    set_age(&path, 10 * AGE_MAX);
    assert_eq!(fixture.others().len(), 1);
}

#[test]
fn only_run_files_are_ever_removed() {
    let fixture = fixture();
    let unfinished = fixture.dir.path().join(format!("{}.tmp", PeerId::random()));
    let foreign = fixture.dir.path().join("letters.txt");
    let foreign_dir = fixture.dir.file(&PeerId::random());
    for path in [&unfinished, &foreign] {
        fs::write(path, "x").unwrap();
        set_age(path, 2 * AGE_MAX);
    }
    fs::create_dir(&foreign_dir).unwrap();
    assert_eq!(fixture.others(), []);
    assert_eq!(
        (unfinished.exists(), foreign.exists(), foreign_dir.exists()),
        (false, true, true)
    );
}

#[cfg(unix)]
#[test]
fn links_are_not_followed() {
    let fixture = fixture();
    let (peer, linked) = (PeerId::random(), PeerId::random());
    let target = fixture.dir.path().join("target");
    fs::write(&target, format!("{}\n{}\n", process::id(), tcp_to(1, linked))).unwrap();
    std::os::unix::fs::symlink(&target, fixture.dir.file(&linked)).unwrap();
    assert_eq!(fixture.dir.others(&peer).unwrap(), []);
}

#[test]
fn the_newest_files_are_read() {
    let fixture = fixture();
    let peers: Vec<_> = (0..RUN_FILES_MAX as u64 + 6).map(|_| PeerId::random()).collect();
    for (index, peer) in (0..).zip(&peers) {
        // Every eighth has nothing to say and takes nobody's place.
        let line = if index % 8 == 7 {
            String::new()
        } else {
            format!("{}\n", tcp_to(1, *peer))
        };
        let path = fixture.write(peer, format!("{}\n{line}", process::id()));
        set_age(&path, Duration::from_secs(60 * index));
    }
    let read: Vec<_> = fixture.others().into_iter().map(|(peer, _)| peer).collect();
    let speaking = (0..)
        .zip(&peers)
        .filter(|(index, _)| index % 8 != 7)
        .map(|(_, peer)| *peer);
    assert_eq!(read, speaking.take(RUN_FILES_MAX).collect::<Vec<_>>());
    assert_eq!(read.len(), 62);
    for _ in 0..5 {
        let peer = PeerId::random();
        fixture.write(&peer, format!("{}\n{}\n", process::id(), tcp_to(1, peer)));
    }
    assert_eq!(fixture.others().len(), RUN_FILES_MAX);
}

#[test]
fn publishes_run_side_by_side() {
    let fixture = fixture();
    let threads: Vec<_> = (1..=8)
        .map(|port| {
            let dir = fixture.dir.clone();
            thread::spawn(move || {
                let peer = PeerId::random();
                let file = dir.clone().publish(peer, &[tcp(port)]).unwrap();
                for _ in 0..10 {
                    file.update(&[tcp(port)]).unwrap();
                    // Whoever is seen is seen whole.
                    for (other, multiaddrs) in dir.others(&peer).unwrap() {
                        assert_eq!(multiaddrs.len(), 1, "{other}");
                    }
                }
                (peer, file)
            })
        })
        .collect();
    let files: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let mut expected: Vec<_> = files.iter().map(|(peer, _)| *peer).collect();
    let mut seen: Vec<_> = fixture.others().into_iter().map(|(peer, _)| peer).collect();
    expected.sort_unstable();
    seen.sort_unstable();
    assert_eq!(seen, expected);
    drop(files);
    assert_eq!(fixture.others(), []);
}

#[test]
fn an_update_brings_back_what_was_swept() {
    let fixture = fixture();
    let peer = PeerId::random();
    let file = fixture.dir.clone().publish(peer, &[tcp(1)]).unwrap();
    fs::remove_dir_all(fixture.dir.path()).unwrap();
    file.update(&[tcp(2)]).unwrap();
    assert_eq!(fixture.others(), [(peer, vec![tcp_to(2, peer)])]);
}

#[test]
fn the_file_of_another_process_stays() {
    let fixture = fixture();
    let peer = PeerId::random();
    let file = fixture.dir.clone().publish(peer, &[tcp(1)]).unwrap();
    let path = fixture.write(&peer, format!("{NO_PROCESS}\n{}\n", tcp_to(2, peer)));
    drop(file);
    assert!(path.exists());
}
