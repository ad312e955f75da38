//! Two members, a program and a page each, on a network that fails: they go on alone, and come together without a reload.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use tempfile::TempDir;

use crate::browser::{self, Browser, Page};
use crate::eyes::{DESKTOP, Eyes, PHONE, shout};
use crate::machines::Machines;
use crate::{in_group, row_with};

/// Where each listens, and on no other address: a network of one machine, beside the loopback on which its pages are.
const PLACES: [&str; 2] = ["10.77.0.1", "10.77.0.2"];

/// One member's program.
struct Program {
    child: Child,
    link: String,
    _folder: TempDir,
}

impl Program {
    fn start(machines: &Machines, place: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = machines
            .command(0, env!("CARGO_BIN_EXE_party"))
            .args(["start", "--no-browser", "--no-mdns"])
            .args(["--listen", &format!("/ip4/{place}/tcp/0")])
            .arg("--data-dir")
            .arg(folder.path().join("groups"))
            .env("XDG_RUNTIME_DIR", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut link = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut link)
            .unwrap();
        Self {
            child,
            link: link.trim().to_owned(),
            _folder: folder,
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn network(machines: &Machines, is_up: bool) {
    let does = if is_up { "add" } else { "delete" };
    for place in PLACES {
        machines.ip(0, &format!("address {does} {place}/32 dev lo"));
    }
}

/// Ada starts a group, and Bo joins it, on their first pages.
fn come_together(ada: &Page, bo: &Page) {
    for page in [ada, bo] {
        page.look(1280, 860, false);
        page.until("document.body.dataset.view === 'first'");
    }
    ada.fill("#start [name=title]", "Picnic");
    ada.fill("#start [name=name]", "Ada");
    ada.key("Enter", false);
    ada.until("document.body.dataset.view === 'ready' && $('#ready .line input').value.startsWith('party:')");
    for (field, from) in [
        ("invite", "$('#ready .line input').value"),
        ("passphrase", "$('#passphrase').textContent"),
    ] {
        let value = ada.get(from);
        bo.fill(&format!("#join [name={field}]"), value.as_str().unwrap());
    }
    bo.fill("#join [name=name]", "Bo");
    bo.key("Enter", false);
    ada.press("#go");
    for page in [ada, bo] {
        in_group(page);
        page.until("$('#people-list').querySelectorAll('.here').length === 2 && $('#sync').className === 'fine'");
        // Gone after a reload.
        page.get("window.stayed = true");
    }
}

fn add(page: &Page, list: &str, text: &str) {
    page.fill(&format!("#{list}-add input"), text);
    page.key("Enter", false);
    page.until(&row_with(&format!("{list}s"), text));
}

fn write(page: &Page, text: &str, at: &str) {
    page.get(&format!(
        "const text = $('#text'); text.focus(); text.setSelectionRange({at}, {at})"
    ));
    page.type_text(text);
}

#[test]
fn members_who_are_cut_off_go_on_and_come_together_without_a_reload() {
    let Some(program) = browser::find() else {
        shout("SKIPPED: no Chromium here; pages are not cut off");
        return;
    };
    let Some(machines) = Machines::new(1) else { return };
    network(&machines, true);
    let programs = PLACES.map(|place| Program::start(&machines, place));
    let browser = Browser::start(&program, &machines.on(0));
    let mut eyes = Eyes::open();
    let [ada, bo] = programs.each_ref().map(|program| browser.open(&program.link));
    come_together(&ada, &bo);
    add(&ada, "guest", "Zoë");
    bo.until(&row_with("guests", "Zoë"));
    write(&ada, "We bring cake.", "0");
    bo.until("$('#text').value === 'We bring cake.'");
    ada.until("$('#sync').className === 'fine'");

    network(&machines, false);
    add(&ada, "guest", "Yann");
    add(&bo, "todo", "Lemonade");
    write(&ada, "Ada: ", "0");
    write(&bo, " Bo: ice.", "text.value.length");
    for page in [&ada, &bo] {
        // First on its way, then waiting: nobody is there to take it.
        page.until(
            "$('#sync').className === 'wait' && /\\d changes? waits? for somebody/.test($('#sync').textContent)",
        );
        page.until("$('#people-list').querySelectorAll('.here').length === 1");
    }
    eyes.see_on(PHONE, &ada, "cut-off");
    eyes.see_on(DESKTOP, &bo, "cut-off");
    assert_eq!(ada.get(&row_with("todos", "Lemonade")), false);
    assert_eq!(bo.get(&row_with("guests", "Yann")), false);

    network(&machines, true);
    for page in [&ada, &bo] {
        for (list, text) in [("guests", "Zoë"), ("guests", "Yann"), ("todos", "Lemonade")] {
            page.until(&row_with(list, text));
        }
        page.until("$('#text').value === 'Ada: We bring cake. Bo: ice.'");
        page.until("$('#people-list').querySelectorAll('.here').length === 2 && $('#sync').className === 'fine'");
        assert_eq!(page.get("window.stayed"), true);
    }
    eyes.see_on(DESKTOP, &bo, "together-again");
    assert_eq!(browser.complaints(), Vec::<String>::new());
    eyes.assert_content();
}
