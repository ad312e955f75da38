//! The incarnations that publishers of this data directory have used, so that none is used twice even when the clock goes
//! back. Text, a line a topic: the incarnation, the mesh, the topic.

use std::{fmt::Write as _, io};

use maille_proto::{MESH_NAME_BYTES_MAX, TOPIC_NAME_BYTES_MAX};
use tracing::warn;

use super::{
    data_dir::DataDir,
    files::{FileError, read_file},
};
use crate::types::{MeshName, TopicName};

/// Topics whose last incarnation is kept; the one used longest ago goes first.
pub const INCARNATIONS_MAX: usize = 4_096;
/// A line: a number of up to 20 digits and two names, each with what parts it from the next.
const LINE_BYTES_MAX: usize = 20 + 1 + MESH_NAME_BYTES_MAX + 1 + TOPIC_NAME_BYTES_MAX + 1;
const FILE_BYTES_MAX: usize = (INCARNATIONS_MAX + 1) * LINE_BYTES_MAX;
/// The highest ever used: 292 million years after 1970. Higher ones in a file are damage, and there is always a next.
const INCARNATION_MAX: u64 = i64::MAX.cast_unsigned();

const INCARNATIONS_FILE: &str = "incarnations";
/// Begins the first line: the highest incarnation that is not, or no longer, some topic's.
const FLOOR: &str = "floor";

impl DataDir {
    /// A new incarnation of this node's publisher on a topic: `now_unix_ms`, or more if that was reached before. Stored
    /// durably before it is returned.
    ///
    /// Damaged lines are skipped with a warning; what can be read of them still holds.
    ///
    /// # Errors
    /// When the file cannot be read or replaced: without a memory, an incarnation could be used twice.
    pub fn next_incarnation(&self, mesh: &MeshName, topic: &TopicName, now_unix_ms: u64) -> Result<u64, FileError> {
        let _writing = self.writing();
        let path = self.file(INCARNATIONS_FILE);
        let bytes = read_file(&path, FILE_BYTES_MAX)
            .map_err(FileError::reading(&path))?
            .unwrap_or_default();
        let (mut known, damaged) = Incarnations::parse(&bytes);
        if damaged > 0 {
            warn!(path = %path.display(), lines = damaged, "some of the incarnations used before are damaged");
        }
        let next = known.next(mesh.as_str(), topic.as_str(), now_unix_ms).ok_or_else(|| {
            FileError::writing(&path)(io::Error::other(
                "no incarnation is left: set the clock right and remove the file",
            ))
        })?;
        self.replace(INCARNATIONS_FILE, known.to_text().as_bytes())?;
        Ok(next)
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Incarnations {
    floor: u64,
    /// The one used last is at the end.
    topics: Vec<LastIncarnation>,
}

#[derive(Debug, PartialEq, Eq)]
struct LastIncarnation {
    mesh: String,
    topic: String,
    incarnation: u64,
}

impl Incarnations {
    /// What can be read, and how many lines cannot.
    fn parse(bytes: &[u8]) -> (Self, usize) {
        let mut known = Self::default();
        let mut damaged = 0;
        for line in bytes[..bytes.len().min(FILE_BYTES_MAX)].split_inclusive(|byte| *byte == b'\n') {
            damaged += usize::from(known.parse_line(line).is_none());
        }
        (known, damaged + usize::from(bytes.len() > FILE_BYTES_MAX))
    }

    /// A number that was read lifts the floor, whatever follows it: some topic used it.
    fn parse_line(&mut self, line: &[u8]) -> Option<()> {
        let (whole, line) = line.strip_suffix(b"\n").map_or((false, line), |line| (true, line));
        let mut words = line
            .splitn(3, |byte| *byte == b' ')
            .map(|word| str::from_utf8(word).ok());
        let first = words.next()??;
        if first == FLOOR {
            let floor = parse_incarnation(words.next()??)?;
            self.floor = self.floor.max(floor);
            return words.next().is_none().then_some(()).filter(|()| whole);
        }
        let incarnation = parse_incarnation(first)?;
        let mut names = || {
            let mesh: MeshName = words.next()??.parse().ok()?;
            let topic: TopicName = words.next()??.parse().ok()?;
            whole.then_some((mesh, topic))
        };
        let Some((mesh, topic)) = names() else {
            self.floor = self.floor.max(incarnation);
            return None;
        };
        self.use_now(mesh.as_str(), topic.as_str(), incarnation);
        Some(())
    }

    fn next(&mut self, mesh: &str, topic: &str, now_unix_ms: u64) -> Option<u64> {
        let last = self.topics.iter().find(|last| last.mesh == mesh && last.topic == topic);
        // 0 is a floor that nothing has lifted, and still a free incarnation; nobody lives in 1970.
        let last = last.map_or(self.floor, |last| last.incarnation.max(self.floor));
        let next = now_unix_ms.max(last + 1);
        if next > INCARNATION_MAX {
            return None;
        }
        self.use_now(mesh, topic, next);
        Some(next)
    }

    fn use_now(&mut self, mesh: &str, topic: &str, mut incarnation: u64) {
        if let Some(index) = self
            .topics
            .iter()
            .position(|last| last.mesh == mesh && last.topic == topic)
        {
            incarnation = incarnation.max(self.topics.remove(index).incarnation);
        }
        self.topics.push(LastIncarnation {
            mesh: mesh.to_owned(),
            topic: topic.to_owned(),
            incarnation,
        });
        self.forget_surplus();
    }

    fn forget_surplus(&mut self) {
        let surplus = self.topics.len().saturating_sub(INCARNATIONS_MAX);
        for forgotten in self.topics.drain(..surplus) {
            self.floor = self.floor.max(forgotten.incarnation);
        }
    }

    fn to_text(&self) -> String {
        let mut text = format!("{FLOOR} {}\n", self.floor);
        for LastIncarnation {
            mesh,
            topic,
            incarnation,
        } in &self.topics
        {
            writeln!(text, "{incarnation} {mesh} {topic}").expect("writing to a String cannot fail");
        }
        text
    }
}

fn parse_incarnation(word: &str) -> Option<u64> {
    // `parse` would take a sign.
    let number = word
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| word.parse().ok())??;
    (number <= INCARNATION_MAX).then_some(number)
}

#[cfg(test)]
mod tests {
    use std::{fs, thread};

    use proptest::prelude::*;

    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;

    fn names(mesh: &str, topic: &str) -> (MeshName, TopicName) {
        (mesh.parse().unwrap(), topic.parse().unwrap())
    }

    #[test]
    fn follow_the_clock_and_never_repeat() {
        let dir = tempfile::tempdir().unwrap();
        let (mesh, topic) = names("market.example", "equities/us");
        let next = |now_ms| {
            DataDir::open(dir.path())
                .unwrap()
                .next_incarnation(&mesh, &topic, now_ms)
                .unwrap()
        };
        assert_eq!(next(NOW_MS), NOW_MS);
        assert_eq!(next(NOW_MS), NOW_MS + 1);
        assert_eq!(next(NOW_MS - 86_400_000), NOW_MS + 2, "the clock went back a day");
        assert_eq!(next(NOW_MS + 10), NOW_MS + 10);
        let text = fs::read_to_string(dir.path().join(INCARNATIONS_FILE)).unwrap();
        assert_eq!(
            text, "floor 0\n1700000000010 market.example equities/us\n",
            "stored before it was returned"
        );
    }

    #[test]
    fn topics_and_meshes_count_apart() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        for (mesh, topic) in [("a.example", "x"), ("a.example", "y"), ("b.example", "x")] {
            let (mesh, topic) = names(mesh, topic);
            assert_eq!(data.next_incarnation(&mesh, &topic, NOW_MS).unwrap(), NOW_MS);
            assert_eq!(data.next_incarnation(&mesh, &topic, NOW_MS).unwrap(), NOW_MS + 1);
        }
    }

    #[test]
    fn clones_never_get_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let data = data.clone();
                thread::spawn(move || {
                    let (mesh, topic) = names("a.example", "x");
                    [0; 5].map(|_| data.next_incarnation(&mesh, &topic, NOW_MS).unwrap())
                })
            })
            .collect();
        let mut used: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        used.sort_unstable();
        assert_eq!(used, (NOW_MS..NOW_MS + 40).collect::<Vec<_>>());
    }

    #[test]
    fn forgotten_topics_leave_a_floor() {
        let mut known = Incarnations::default();
        for index in 0..=INCARNATIONS_MAX as u64 {
            assert_eq!(
                known.next("a.example", &index.to_string(), NOW_MS + index),
                Some(NOW_MS + index)
            );
        }
        assert_eq!(known.topics.len(), INCARNATIONS_MAX);
        assert_eq!(known.floor, NOW_MS);
        assert_eq!(
            known.next("a.example", "0", 5),
            Some(NOW_MS + 1),
            "the topic used longest ago was forgotten"
        );
        assert_eq!(known.next("a.example", "2", 5), Some(NOW_MS + 3), "topic 2 was not");
        assert_eq!(known.topics.last().map(|last| last.topic.as_str()), Some("2"));
        let text = known.to_text();
        assert!(text.len() <= FILE_BYTES_MAX);
        assert_eq!(Incarnations::parse(text.as_bytes()), (known, 0));
    }

    #[test]
    fn the_longest_file_can_be_read_again() {
        let mut known = Incarnations {
            floor: INCARNATION_MAX,
            topics: Vec::new(),
        };
        let label = "m".repeat(63);
        let mesh = format!("{label}.{label}.{label}.{}", &label[..61]);
        for index in 0..INCARNATIONS_MAX {
            let topic = format!("{index:04}{}", "t".repeat(TOPIC_NAME_BYTES_MAX - 4));
            known.topics.push(LastIncarnation {
                mesh: mesh.clone(),
                topic,
                incarnation: INCARNATION_MAX,
            });
        }
        let text = known.to_text();
        assert!(text.len() <= FILE_BYTES_MAX, "{} bytes", text.len());
        assert_eq!(Incarnations::parse(text.as_bytes()), (known, 0));
    }

    #[test]
    fn damage_costs_only_what_it_hit() {
        let text =
            b"floor 7\n100 a.example x\n\xff\xfe\n300 a.example \xff\n200 b.example y\n-5 a.example z\n400 c.exam";
        let (mut known, damaged) = Incarnations::parse(text);
        assert_eq!((known.topics.len(), known.floor, damaged), (2, 400, 4));
        assert_eq!(
            known.next("a.example", "x", 5),
            Some(401),
            "no number that could be read is used again"
        );
        let (known, damaged) = Incarnations::parse(&[0; 1_000]);
        assert_eq!((known, damaged), (Incarnations::default(), 1));
    }

    #[test]
    fn a_garbage_file_does_not_stop_a_publisher() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let (mesh, topic) = names("a.example", "x");
        fs::write(data.file(INCARNATIONS_FILE), vec![0xff; FILE_BYTES_MAX + 9]).unwrap();
        assert_eq!(data.next_incarnation(&mesh, &topic, NOW_MS).unwrap(), NOW_MS);
        assert_eq!(data.next_incarnation(&mesh, &topic, 0).unwrap(), NOW_MS + 1);
    }

    #[test]
    fn what_cannot_be_stored_is_not_returned() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let (mesh, topic) = names("a.example", "x");
        fs::create_dir(data.file(INCARNATIONS_FILE)).unwrap();
        let error = data.next_incarnation(&mesh, &topic, NOW_MS).unwrap_err();
        assert!(error.to_string().contains(INCARNATIONS_FILE), "{error}");
    }

    #[test]
    fn the_last_incarnation_has_no_next() {
        let mut known = Incarnations::default();
        assert_eq!(known.next("a.example", "x", u64::MAX), None);
        assert_eq!(known.next("a.example", "x", INCARNATION_MAX), Some(INCARNATION_MAX));
        assert_eq!(known.next("a.example", "x", NOW_MS), None);
        assert_eq!(known.next("a.example", "y", NOW_MS), Some(NOW_MS));
    }

    proptest! {
        /// Through any number of restarts, whatever the clock does.
        #[test]
        fn grow_whatever_the_clock_does(steps in prop::collection::vec((0_u8..4, 0_u64..1_000), 1..60)) {
            let mut known = Incarnations::default();
            let mut last = [None; 4];
            for (topic, now_ms) in steps {
                known = Incarnations::parse(known.to_text().as_bytes()).0;
                let next = known.next("a.example", &topic.to_string(), now_ms);
                prop_assert!(next > last[usize::from(topic)] && next >= Some(now_ms));
                last[usize::from(topic)] = next;
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
            let (known, _) = Incarnations::parse(&bytes);
            prop_assert_eq!(Incarnations::parse(known.to_text().as_bytes()), (known, 0));
        }
    }
}
