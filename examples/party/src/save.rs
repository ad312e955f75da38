//! Everything in one file to keep: the photos and files, the lists as CSV (RFC 4180), the shared text. Not how they come from
//! other members.

use std::collections::BTreeSet;
use std::io::{Seek, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::plan::{List, Plan};

/// Characters of a file's name in the archive.
const NAME_CHARS_MAX: usize = 120;

/// An archive that is being written.
pub(crate) struct Archive<W: Write + Seek> {
    zip: ZipWriter<W>,
    names: BTreeSet<String>,
}

impl<W: Write + Seek> Archive<W> {
    /// Begins with the lists and the text.
    pub(crate) fn new(out: W, plan: &Plan) -> anyhow::Result<Self> {
        let mut archive = Self {
            zip: ZipWriter::new(out),
            names: BTreeSet::new(),
        };
        for list in List::ALL {
            archive.add("", &format!("{}.csv", list.name()), &csv_of(plan, list)?)?;
        }
        archive.add("", "text.txt", plan.text.as_bytes())?;
        Ok(archive)
    }

    /// Adds a photo or a file under the name that people gave it, as far as it can be one.
    pub(crate) fn add(&mut self, folder: &str, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let name = self.free(folder, &file_name(name));
        // Photos do not get any smaller.
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        self.zip.start_file(name, options)?;
        self.zip.write_all(bytes)?;
        Ok(())
    }

    pub(crate) fn finish(self) -> anyhow::Result<W> {
        Ok(self.zip.finish()?)
    }

    /// A name that no other file has; case does not tell files apart everywhere.
    fn free(&mut self, folder: &str, name: &str) -> String {
        let slash = if folder.is_empty() { "" } else { "/" };
        let (stem, ending) = match name.rsplit_once('.') {
            Some((stem, ending)) if !stem.is_empty() => (stem, format!(".{ending}")),
            _ => (name, String::new()),
        };
        let numbered = |number: usize| match number {
            1 => format!("{folder}{slash}{name}"),
            _ => format!("{folder}{slash}{stem} ({number}){ending}"),
        };
        let mut number = 1;
        while !self.names.insert(numbered(number).to_lowercase()) {
            number += 1;
        }
        numbered(number)
    }
}

/// A name without places, control characters, and what Windows does not allow.
pub(crate) fn file_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let allowed = |letter: &char| !letter.is_control() && !r#"<>:"|?*"#.contains(*letter);
    let clean: String = last.chars().filter(allowed).take(NAME_CHARS_MAX).collect();
    match clean.trim_matches(['.', ' ']) {
        "" => "unnamed".to_owned(),
        clean => clean.to_owned(),
    }
}

fn csv_of(plan: &Plan, list: List) -> anyhow::Result<Vec<u8>> {
    let mut rows = csv::Writer::from_writer(vec![]);
    rows.write_record(list.fields())?;
    for (_, fields) in plan.in_order(list) {
        let cell = |field: &&str| inert(fields.get(*field).map_or("", String::as_str));
        rows.write_record(list.fields().iter().map(cell))?;
    }
    Ok(rows.into_inner()?)
}

/// Text that a spreadsheet would run as a formula gets an apostrophe before it.
fn inert(text: &str) -> String {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}"),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::{Cursor, Read as _};

    use super::*;
    use crate::plan::Fields;

    #[test]
    fn an_archive_holds_lists_and_photos_under_names_of_their_own() {
        let item = |name: &str, order: &str| {
            Fields::from([
                ("name".to_owned(), name.to_owned()),
                ("order".to_owned(), order.to_owned()),
            ])
        };
        let guests = [
            ("a".to_owned(), item("Zoë, \"Z\"", "1")),
            ("b".to_owned(), item("=cmd()", "0")),
        ];
        let plan = Plan {
            lists: BTreeMap::from([(List::Guests, guests.into())]),
            text: "bring cake".to_owned(),
            ..Plan::default()
        };
        let mut archive = Archive::new(Cursor::new(Vec::new()), &plan).unwrap();
        for name in [
            "sea.jpg",
            "Sea.jpg",
            "../../etc/passwd",
            "C:\\x\\y?.png",
            "..",
            "été 🌊.jpg",
        ] {
            archive.add("photos", name, name.as_bytes()).unwrap();
        }
        let bytes = archive.finish().unwrap().into_inner();
        let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        let names: Vec<String> = zip.file_names().map(|name| name.unwrap().into_owned()).collect();
        assert_eq!(
            names,
            [
                "guests.csv",
                "todos.csv",
                "photos.csv",
                "files.csv",
                "text.txt",
                "photos/sea.jpg",
                "photos/Sea (2).jpg",
                "photos/passwd",
                "photos/y.png",
                "photos/unnamed",
                "photos/été 🌊.jpg",
            ]
        );
        let mut guests = String::new();
        zip.by_name("guests.csv").unwrap().read_to_string(&mut guests).unwrap();
        assert_eq!(guests, "name,coming,note\n'=cmd(),,\n\"Zoë, \"\"Z\"\"\",,\n");
    }
}
