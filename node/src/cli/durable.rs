//! The position of `maille sub --durable NAME`: a small private file in the data directory, replaced as a whole, and only
//! after what it says was printed. The node that has the data directory open is this process: one writer.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use maille::{Address, Position, Received, Start};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::exit::Failure;

/// Characters of a name.
const NAME_CHARS_MAX: usize = 64;
/// A file with 1,024 cursors of at most 96 characters is smaller.
const FILE_BYTES_MAX: u64 = 128 * 1_024;
/// How long a changed position may wait for others, so that a fast feed does not wear out a disk.
const SAVE_INTERVAL: Duration = Duration::from_millis(50);
/// Below the data directory.
const POSITIONS_DIR: &str = "positions";
/// Ends the file's name. No topic has a segment with this character, so a file is never in a directory's place.
const FILE_SUFFIX: &str = "@position";
/// Ends the name of a file that is still being written.
const FRESH_SUFFIX: &str = ".tmp";
/// The first line of each file.
const HEADING: &str = "maille 1 position";
/// Instead of a time: no record is too old.
const EVER: &str = "ever";

/// A name for a position: 1 to 64 of `A-Z a-z 0-9 . _ -`, not beginning with a dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DurableName(String);

impl FromStr for DurableName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if text.is_empty() || text.len() > NAME_CHARS_MAX || text.starts_with('.') || !text.chars().all(plain) {
            return Err(format!(
                "a name is 1 to {NAME_CHARS_MAX} letters, digits, dots, dashes and underscores, and does not begin with a dot"
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// What is kept from run to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Durable {
    path: PathBuf,
    address: Address,
    /// Records of publishers that no earlier run printed anything of are of before, if they were sent before this.
    began: Option<SystemTime>,
    /// After all that was printed.
    position: Position,
    /// Whether an earlier run left it.
    resumed: bool,
}

impl Durable {
    /// What an earlier run left; else what this one begins with: at `start`, now.
    pub(crate) fn open(
        data_dir: &Path,
        name: &DurableName,
        address: &Address,
        start: &Start,
        now: SystemTime,
    ) -> Result<Self, Failure> {
        let mut path = data_dir.join(POSITIONS_DIR).join(address.mesh().as_str());
        path.extend(address.topic().as_str().split('/'));
        path.push(format!("{}{FILE_SUFFIX}", name.0));
        let text = read(&path).map_err(|error| Failure::other(format!("cannot read {}: {error}", path.display())))?;
        let Some(text) = text else {
            let began = match start {
                Start::All | Start::After(_) => None,
                Start::Since(time) => Some(*time),
                _ => Some(now),
            };
            let position = match start {
                Start::After(position) => position.clone(),
                _ => Position::new(),
            };
            return Ok(Self {
                path,
                address: address.clone(),
                began,
                position,
                resumed: false,
            });
        };
        let Some((began, position)) = parse(&text, address) else {
            return Err(Failure::other(format!(
                "{} is damaged: remove it to begin anew, or choose another name",
                path.display()
            )));
        };
        Ok(Self {
            path,
            address: address.clone(),
            began,
            position,
            resumed: true,
        })
    }

    /// Where to begin: after what was printed, or at `first`.
    pub(crate) fn start(&self, first: Start) -> Start {
        match self.began {
            _ if !self.resumed => first,
            _ if !self.position.is_empty() => Start::After(self.position.clone()),
            Some(began) => Start::Since(began),
            None => Start::All,
        }
    }

    /// Whether a record is older than the first run, which began later than it: its publisher was never heard since.
    pub(crate) fn is_before(&self, received: &Received<Bytes>) -> bool {
        self.resumed
            && self.position.next(&received.author).is_none()
            && self.began.is_some_and(|began| received.sent_at < began)
    }

    /// Writes a position. Durable when it returns.
    fn save(&self, position: &Position) -> Result<(), Failure> {
        let text = self.text(position);
        replace(&self.path, text.as_bytes()).map_err(|error| {
            Failure::other(format!(
                "cannot keep the position in {}: {error}; what was printed may be printed again",
                self.path.display()
            ))
        })
    }

    fn text(&self, position: &Position) -> String {
        let began = self.began.map_or(EVER.to_owned(), |began| {
            began
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_micros()
                .to_string()
        });
        format!("{HEADING}\naddress {}\nbegan {began}\nnext {position}\n", self.address)
    }
}

/// `None`: not what this program wrote for this address.
fn parse(text: &str, address: &Address) -> Option<(Option<SystemTime>, Position)> {
    let mut lines = text.strip_suffix('\n')?.split('\n');
    let (heading, place, began, next) = (lines.next()?, lines.next()?, lines.next()?, lines.next()?);
    let same = place.strip_prefix("address ")?.parse() == Ok(address.clone());
    if heading != HEADING || !same || lines.next().is_some() {
        return None;
    }
    let began = match began.strip_prefix("began ")? {
        EVER => None,
        us => Some(UNIX_EPOCH.checked_add(Duration::from_micros(us.parse().ok()?))?),
    };
    Some((began, next.strip_prefix("next ")?.parse().ok()?))
}

/// Saves positions while records are printed.
#[derive(Debug)]
pub(crate) struct Saver {
    task: JoinHandle<Result<(), Failure>>,
}

impl Saver {
    /// Saves what is sent, the newest only, until the sender is dropped. The first time, saves at once: that it began counts.
    pub(crate) fn start(durable: Durable) -> (Self, watch::Sender<Position>) {
        let (sender, mut printed) = watch::channel(durable.position.clone());
        if !durable.resumed {
            printed.mark_changed();
        }
        let task = tokio::spawn(async move {
            while printed.changed().await.is_ok() {
                let position = printed.borrow_and_update().clone();
                let durable = durable.clone();
                tokio::task::spawn_blocking(move || durable.save(&position))
                    .await
                    .map_err(|_| Failure::other("keeping the position stopped short"))??;
                tokio::time::sleep(SAVE_INTERVAL).await;
            }
            Ok(())
        });
        (Self { task }, sender)
    }

    /// Ends when the last position is saved, or when one cannot be. Cancel safe until it returned.
    pub(crate) async fn ended(&mut self) -> Result<(), Failure> {
        match (&mut self.task).await {
            Ok(ended) => ended,
            Err(_) => Err(Failure::other("keeping the position stopped short")),
        }
    }
}

/// The text of a file; `None` if there is no file.
fn read(path: &Path) -> io::Result<Option<String>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        bytes.clear();
    }
    // What is too long or no text is as damaged as what cannot be parsed.
    Ok(Some(String::from_utf8(bytes).unwrap_or_default()))
}

/// Puts `bytes` in the place of a file: whoever reads finds the old content or the new one, also after a crash.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)?;
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(FRESH_SUFFIX);
    let fresh = PathBuf::from(fresh);
    // A run that was killed here may have left one.
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    #[cfg(unix)]
    File::open(directory)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CURSOR: &str = "12D3KooWGRUfVRvGCpQ6kQq8mLWmHwEDCFXcKo9AD9i2nGT6Jxqt/7/9";

    fn address() -> Address {
        "market.example/equities/us".parse().unwrap()
    }

    fn name(text: &str) -> DurableName {
        text.parse().unwrap()
    }

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_764_000_000)
    }

    fn open(directory: &Path, start: &Start) -> Result<Durable, Failure> {
        Durable::open(directory, &name("reader"), &address(), start, now())
    }

    #[test]
    fn names_are_file_names_everywhere() {
        for good in ["a", "reader-1", "A_b.c", &"x".repeat(64)] {
            assert!(good.parse::<DurableName>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", ".a", "a/b", "a b", "é", "a\0", "a@b", &"x".repeat(65)] {
            assert!(bad.parse::<DurableName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_first_time_the_options_decide_and_then_the_position_does() {
        let directory = tempfile::tempdir().unwrap();
        let first = open(directory.path(), &Start::Latest).unwrap();
        assert_eq!(first.start(Start::Latest), Start::Latest);
        first.save(&CURSOR.parse().unwrap()).unwrap();
        let again = open(directory.path(), &Start::All).unwrap();
        assert_eq!(again.start(Start::All), Start::After(CURSOR.parse().unwrap()));
        assert_eq!(again.began, Some(now()));
        // Another topic, and another name, have positions of their own.
        let inner: Address = "market.example/equities/us/reader".parse().unwrap();
        let other = Durable::open(directory.path(), &name("reader"), &inner, &Start::Now, now()).unwrap();
        other.save(&Position::new()).unwrap();
        let other = Durable::open(directory.path(), &name("writer"), &address(), &Start::Now, now()).unwrap();
        assert!(!other.resumed);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&first.path), 0o600);
            assert_eq!(mode(first.path.parent().unwrap()), 0o700);
        }
    }

    #[test]
    fn a_run_that_printed_nothing_leaves_its_time() {
        for (start, then) in [
            (Start::Now, Start::Since(now())),
            (Start::Last(5), Start::Since(now())),
            (Start::Since(UNIX_EPOCH), Start::Since(UNIX_EPOCH)),
            (Start::All, Start::All),
        ] {
            let directory = tempfile::tempdir().unwrap();
            open(directory.path(), &start).unwrap().save(&Position::new()).unwrap();
            assert_eq!(open(directory.path(), &Start::Now).unwrap().start(Start::Now), then);
        }
    }

    #[test]
    fn damage_is_told_and_nothing_is_guessed() {
        let directory = tempfile::tempdir().unwrap();
        let durable = open(directory.path(), &Start::Now).unwrap();
        durable.save(&CURSOR.parse().unwrap()).unwrap();
        let whole = std::fs::read_to_string(&durable.path).unwrap();
        let damaged = [
            String::new(),
            whole.replace("/7/9", "/7/x"),
            whole.replace("equities", "equity"),
            whole.trim_end().to_owned(),
            whole.clone() + "next \n",
            whole.replace("began ", "began -"),
            "x".repeat(200_000),
        ];
        for text in damaged {
            std::fs::write(&durable.path, &text).unwrap();
            let Err(Failure::Other(error)) = open(directory.path(), &Start::Now) else {
                panic!("{text}")
            };
            assert!(error.to_string().contains("is damaged: remove it"), "{error}");
        }
        std::fs::write(&durable.path, &whole).unwrap();
        assert!(open(directory.path(), &Start::Now).is_ok());
    }

    #[tokio::test]
    async fn the_newest_position_is_saved_before_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let durable = open(directory.path(), &Start::All).unwrap();
        let (mut saver, sender) = Saver::start(durable);
        let cursors = (0..500_u64).map(|sequence| CURSOR.replace("/9", &format!("/{sequence}")));
        for cursor in cursors {
            sender.send_replace(cursor.parse().unwrap());
        }
        drop(sender);
        saver.ended().await.unwrap();
        let again = open(directory.path(), &Start::All).unwrap();
        assert_eq!(again.position.to_string(), CURSOR.replace("/9", "/499"));
    }

    #[tokio::test]
    async fn that_it_began_is_saved_at_once_and_a_full_disk_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let (mut saver, sender) = Saver::start(open(directory.path(), &Start::All).unwrap());
        drop(sender);
        saver.ended().await.unwrap();
        assert!(open(directory.path(), &Start::All).unwrap().resumed);
        let blocked = tempfile::tempdir().unwrap();
        std::fs::write(blocked.path().join(POSITIONS_DIR), "").unwrap();
        let durable = Durable {
            path: blocked.path().join(POSITIONS_DIR).join("x/reader"),
            ..open(directory.path(), &Start::All).unwrap()
        };
        let (mut saver, sender) = Saver::start(durable);
        sender.send_replace(CURSOR.parse().unwrap());
        let told = saver.ended().await.unwrap_err();
        assert!(matches!(told, Failure::Other(error) if error.to_string().contains("cannot keep the position")));
    }
}
