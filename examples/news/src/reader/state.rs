//! What the reader shows: the items, which is chosen, which is open. Draws nothing and reads no keys.

use crate::exit::Failure;
use crate::item::Item;
use crate::lines::Heard;

use super::marks::Marks;

/// Items that are kept, the newest.
pub(crate) const ITEMS_MAX: usize = 5_000;

/// One step of the person who reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// To the item or line above.
    Up,
    /// To the item or line below.
    Down,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// To the first.
    First,
    /// To the last.
    Last,
    /// Opens the chosen item.
    Open,
    /// Back to the list.
    Back,
    /// To the next unread item; opens it, if one is open.
    NextUnread,
    /// Marks the chosen item as unread, or as read.
    Toggle,
}

/// An item and its name.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The item, tidy.
    pub(crate) item: Item,
    /// What it is known by.
    pub(crate) digest: String,
}

/// Everything that is shown.
#[derive(Debug)]
pub(crate) struct Reader {
    title: String,
    standing: String,
    notice: Option<String>,
    entries: Vec<Entry>,
    chosen: usize,
    open: bool,
    scroll: u16,
    page: u16,
    marks: Marks,
    heard: Heard,
}

impl Reader {
    /// An empty one.
    pub(crate) fn new(title: String, marks: Marks) -> Self {
        Self {
            title,
            standing: String::new(),
            notice: None,
            entries: Vec::new(),
            chosen: 0,
            open: false,
            scroll: 0,
            page: 1,
            marks,
            heard: Heard::default(),
        }
    }

    /// Adds an item, the newest first. One that is there already is not added again.
    pub(crate) fn add(&mut self, item: Item) {
        let digest = item.digest();
        if !self.heard.is_new(digest.clone()) {
            return;
        }
        let at = self
            .entries
            .partition_point(|entry| entry.item.published > item.published);
        self.entries.insert(at, Entry { item, digest });
        // Whoever reads keeps the item they are at.
        if self.entries.len() > 1 && at <= self.chosen && (self.open || self.chosen > 0) {
            self.chosen += 1;
        }
        // An open item is never taken away, nor is what stands above it.
        if self.entries.len() > ITEMS_MAX && self.chosen < ITEMS_MAX {
            self.entries.truncate(ITEMS_MAX);
        } else if self.entries.len() > ITEMS_MAX {
            self.entries.remove(0);
            self.chosen -= 1;
        }
    }

    /// Tells what happened, until something else does or a step is taken.
    pub(crate) fn notice(&mut self, text: String) {
        self.notice = Some(text);
    }

    /// Where the node stands.
    pub(crate) fn standing(&mut self, text: String) {
        self.standing = text;
    }

    /// How many lines there are for the list or the text; and at which line, of so many, the text may end.
    pub(crate) fn fit(&mut self, page: u16, text_lines: usize) {
        self.page = page.max(1);
        let last = text_lines.saturating_sub(usize::from(self.page));
        self.scroll = self.scroll.min(u16::try_from(last).unwrap_or(u16::MAX));
    }

    /// Takes a step.
    pub(crate) fn step(&mut self, step: Step) -> Result<(), Failure> {
        let page = usize::from(self.page);
        self.notice = None;
        match (step, self.open) {
            (Step::Up, false) => self.choose(self.chosen.saturating_sub(1)),
            (Step::Down, false) => self.choose(self.chosen + 1),
            (Step::PageUp, false) => self.choose(self.chosen.saturating_sub(page)),
            (Step::PageDown, false) => self.choose(self.chosen + page),
            (Step::First, false) => self.choose(0),
            (Step::Last, false) => self.choose(usize::MAX),
            (Step::Up, true) => self.scroll = self.scroll.saturating_sub(1),
            (Step::Down, true) => self.scroll = self.scroll.saturating_add(1),
            (Step::PageUp, true) => self.scroll = self.scroll.saturating_sub(self.page),
            (Step::PageDown, true) => self.scroll = self.scroll.saturating_add(self.page),
            (Step::First, true) => self.scroll = 0,
            (Step::Last, true) => self.scroll = u16::MAX,
            (Step::Open, _) => self.open()?,
            (Step::Back, _) => self.open = false,
            (Step::NextUnread, open) => {
                if let Some(next) = self.next_unread() {
                    self.choose(next);
                    if open {
                        self.open()?;
                    }
                }
            }
            (Step::Toggle, _) => {
                if let Some(entry) = self.entries.get(self.chosen) {
                    self.marks.set(&entry.digest, !self.marks.is_read(&entry.digest));
                    self.marks.save()?;
                }
            }
        }
        Ok(())
    }

    /// Writes what was read.
    pub(crate) fn save(&mut self) -> Result<(), Failure> {
        self.marks.save()
    }

    fn choose(&mut self, at: usize) {
        self.chosen = at.min(self.entries.len().saturating_sub(1));
    }

    fn open(&mut self) -> Result<(), Failure> {
        let Some(entry) = self.entries.get(self.chosen) else {
            return Ok(());
        };
        self.open = true;
        self.scroll = 0;
        self.marks.set(&entry.digest, true);
        // At once: a closed window is no reason to read it all again.
        self.marks.save()
    }

    fn next_unread(&self) -> Option<usize> {
        let below = self.chosen + 1..self.entries.len();
        below
            .chain(0..self.chosen.min(self.entries.len()))
            .find(|at| self.is_unread(&self.entries[*at]))
    }

    // ---- for the view --------------------------------------------------------------------------------------------

    /// The mesh and topic.
    pub(crate) fn title(&self) -> &str {
        &self.title
    }

    /// Where the node stands, or what happened last.
    pub(crate) fn status(&self) -> &str {
        self.notice.as_deref().unwrap_or(&self.standing)
    }

    /// All items, newest first.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Which is chosen.
    pub(crate) fn chosen(&self) -> usize {
        self.chosen
    }

    /// The open item, and how far it is scrolled.
    pub(crate) fn opened(&self) -> Option<(&Entry, u16)> {
        self.entries
            .get(self.chosen)
            .filter(|_| self.open)
            .map(|entry| (entry, self.scroll))
    }

    /// Whether an item was not read yet.
    pub(crate) fn is_unread(&self, entry: &Entry) -> bool {
        !self.marks.is_read(&entry.digest)
    }

    /// How many were not.
    pub(crate) fn unread(&self) -> usize {
        self.entries.iter().filter(|entry| self.is_unread(entry)).count()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::item::tests::sample;

    /// A reader with so many items of different seconds, in a folder that is gone with the second value.
    pub(crate) fn reader(items: usize) -> (Reader, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let mut reader = Reader::new("a.example/x".to_owned(), Marks::open(folder.path()).unwrap());
        for number in 0..items {
            reader.add(at(number));
        }
        (reader, folder)
    }

    fn at(number: usize) -> Item {
        let time = jiff::Timestamp::from_second(1_800_000_000 + i64::try_from(number).unwrap()).unwrap();
        Item {
            published: Some(time.to_string()),
            ..sample(&number.to_string(), &format!("Title {number}"))
        }
    }

    fn chosen(reader: &Reader) -> &str {
        &reader.entries()[reader.chosen()].item.id
    }

    #[test]
    fn the_newest_is_first_and_nothing_is_there_twice() {
        let (mut reader, _folder) = reader(3);
        reader.add(at(1));
        let ids: Vec<&str> = reader.entries().iter().map(|entry| entry.item.id.as_str()).collect();
        assert_eq!(ids, ["2", "1", "0"]);
        assert_eq!(chosen(&reader), "2");
        reader.step(Step::Down).unwrap();
        reader.add(at(7));
        assert_eq!(chosen(&reader), "1", "whoever reads keeps their place");
    }

    #[test]
    fn what_was_opened_is_read_also_next_time() {
        let (mut reader, folder) = reader(3);
        assert_eq!(reader.unread(), 3);
        reader.step(Step::Open).unwrap();
        reader.step(Step::NextUnread).unwrap();
        assert_eq!((reader.unread(), chosen(&reader)), (1, "1"));
        assert!(reader.opened().is_some());
        reader.step(Step::Toggle).unwrap();
        reader.step(Step::Back).unwrap();
        assert_eq!(reader.unread(), 2);
        let mut again = Reader::new(String::new(), Marks::open(folder.path()).unwrap());
        (0..3).for_each(|number| again.add(at(number)));
        assert_eq!(again.unread(), 2);
        assert!(!again.is_unread(&again.entries()[0]));
    }

    #[test]
    fn an_open_item_stays_open_while_others_come() {
        let (mut reader, _folder) = reader(1);
        reader.step(Step::Open).unwrap();
        for number in 1..ITEMS_MAX + 50 {
            reader.add(at(number));
            assert_eq!(chosen(&reader), "0");
        }
        assert_eq!(reader.entries().len(), ITEMS_MAX);
    }

    #[test]
    fn no_step_leads_out_of_the_list() {
        use Step::*;
        let steps = [Up, Down, PageUp, PageDown, First, Last, Open, Back, NextUnread, Toggle];
        for items in [0, 1, 5] {
            let (mut reader, _folder) = reader(items);
            reader.fit(3, 10);
            for round in 0..200 {
                reader.step(steps[round * 7 % steps.len()]).unwrap();
                reader.step(steps[round / 3 % steps.len()]).unwrap();
                reader.fit(3, 10);
                assert!(reader.chosen() < items.max(1));
            }
        }
    }
}
