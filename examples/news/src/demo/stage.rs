//! What a person or a pipe sees of the demo: scenes, items as they arrive, what each broken feed said. Colours only on a
//! terminal.

use std::collections::BTreeMap;
use std::io::IsTerminal;

use serde_json::{Value, json};

use super::Arrivals;
use crate::desk::{Deed, Report};
use crate::exit::Failure;
use crate::item::Item;
use crate::lines;
use crate::mesh::Address;
use crate::publish;

const BOLD: &str = "1";
const RED: &str = "31";
const YELLOW: &str = "33";
const DIM: &str = "2";

/// The demo's output.
#[derive(Debug)]
pub(crate) struct Stage {
    json: bool,
    colours: bool,
    address: Address,
    arrivals: Arrivals,
    failed: BTreeMap<String, String>,
}

impl Stage {
    /// Standard output, for people or as JSON lines.
    pub(crate) fn open(json: bool, address: Address, arrivals: Arrivals) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            json,
            colours: wanted && !json && std::io::stdout().is_terminal(),
            address,
            arrivals,
            failed: BTreeMap::new(),
        }
    }

    /// The next item; none if nobody listens any more.
    pub(crate) async fn arrival(&mut self) -> Option<Item> {
        self.arrivals.recv().await
    }

    /// An item that is there already.
    pub(crate) fn arrived(&mut self) -> Option<Item> {
        self.arrivals.try_recv().ok()
    }

    /// Begins another part.
    pub(crate) fn scene(&self, text: &str) -> Result<(), Failure> {
        match self.json {
            true => Ok(()),
            false => lines::print(&self.coloured(BOLD, &format!("\n— {text}"))),
        }
    }

    /// Shows an item.
    pub(crate) fn item(&self, item: &Item) -> Result<(), Failure> {
        if self.json {
            return self.event("item", serde_json::to_value(item).map_err(Failure::other)?);
        }
        let head = self.coloured(DIM, &format!("{} {}:", item.day(), item.feed));
        lines::print(&format!("{head} {}", item.title))
    }

    /// Shows what the desk did.
    pub(crate) fn report(&mut self, report: &Report) -> Result<(), Failure> {
        if let Deed::Failed { why, .. } = &report.what {
            self.failed.insert(report.feed.clone(), why.clone());
        }
        if self.json {
            let value = match &report.what {
                Deed::Published { new, known } => json!({ "new": new, "known": known }),
                Deed::NotModified => json!({ "not_modified": true }),
                Deed::Failed { why, .. } => json!({ "error": why }),
                Deed::Odd(what) => json!({ "notice": what }),
                Deed::Waiting(items) => json!({ "waiting": items }),
            };
            let mut value = value;
            value["feed"] = json!(report.feed);
            return self.event("feed", value);
        }
        let Some(line) = publish::line(report, &self.address) else {
            return Ok(());
        };
        let colour = match report.what {
            Deed::Failed { .. } => RED,
            Deed::Odd(_) => YELLOW,
            _ => DIM,
        };
        lines::print(&self.coloured(colour, &line))
    }

    /// What each broken feed said last.
    pub(crate) fn failed(&self) -> Vec<(String, String)> {
        self.failed.clone().into_iter().collect()
    }

    fn event(&self, name: &str, mut value: Value) -> Result<(), Failure> {
        value["event"] = json!(name);
        lines::print(&value.to_string())
    }

    fn coloured(&self, colour: &str, text: &str) -> String {
        match self.colours {
            true => format!("\u{1b}[{colour}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }
}
