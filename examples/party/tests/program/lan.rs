//! The page on a local network: what a phone that shares it gets, without a code and with one.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStderr, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::PARTY;
use crate::machines::Machines;

/// The computer on which the program runs, and a phone.
const COMPUTER: usize = 0;
const PHONE: usize = 1;
const ADDRESSES: [&str; 2] = ["10.78.0.1", "10.78.0.2"];

struct Program {
    child: Child,
    said: BufReader<ChildStderr>,
    /// The page of the person at the computer.
    own: String,
    _folder: TempDir,
}

impl Program {
    fn start(machines: &Machines) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = machines
            .command(COMPUTER, PARTY)
            .args(["start", "--lan", "--no-browser", "--no-mdns", "--data-dir"])
            .arg(folder.path().join("groups"))
            .env("XDG_RUNTIME_DIR", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut own = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut own)
            .unwrap();
        Self {
            said: BufReader::new(child.stderr.take().unwrap()),
            child,
            own: own.trim().to_owned(),
            _folder: folder,
        }
    }

    /// The next link that is shown.
    fn code(&mut self) -> String {
        let mut lines = self.said.by_ref().lines().map_while(Result::ok);
        lines.find(|line| line.starts_with("http://")).expect("a link is shown")
    }

    fn press_enter(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Who asks a page, with what their browser sends along.
struct Visitor<'a> {
    machines: &'a Machines,
    machine: usize,
    authority: String,
    headers: String,
}

impl<'a> Visitor<'a> {
    fn new(machines: &'a Machines, machine: usize, link: &str) -> (Self, String) {
        let (authority, path) = link.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let visitor = Self {
            machines,
            machine,
            authority: authority.to_owned(),
            headers: format!("Host: {authority}\r\n"),
        };
        (visitor, format!("/{path}"))
    }

    /// An answer as it comes; empty if there is nobody.
    fn raw(&self, what: &str, headers: &str, body: &str) -> String {
        let (host, port) = self.authority.rsplit_once(':').unwrap();
        let length = body.len();
        let asked = format!("{what} HTTP/1.1\r\n{headers}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}");
        let mut asking = self
            .machines
            .command(self.machine, "bash")
            .args([
                "-c",
                "exec 3<>\"/dev/tcp/$0/$1\" && cat >&3 && exec cat <&3",
                host,
                port,
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Nobody may be there to take it.
        let _ = asking.stdin.take().unwrap().write_all(asked.as_bytes());
        String::from_utf8(asking.wait_with_output().unwrap().stdout).unwrap()
    }

    fn with(&self, headers: &str, what: &str, body: &str) -> (u16, Value) {
        let answer = self.raw(what, headers, body);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or(0), serde_json::from_str(body).unwrap_or_default())
    }

    fn get(&self, path: &str) -> (u16, Value) {
        self.with(&self.headers, &format!("GET {path}"), "")
    }

    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let headers = format!("{}Content-Type: application/json\r\n", self.headers);
        self.with(&headers, &format!("POST {path}"), &body.to_string())
    }

    /// Opens a link. Whether it was good.
    fn enter(&mut self, path: &str) -> bool {
        let answer = self.raw(&format!("GET {path}"), &self.headers, "");
        let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: "));
        let Some(cookie) = cookie.and_then(|cookie| cookie.split(';').next()) else {
            assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
            return false;
        };
        self.headers += &format!("Cookie: {cookie}\r\n");
        true
    }
}

fn network() -> Option<Machines> {
    let machines = Machines::new(2)?;
    let [.., phone] = machines.on(PHONE);
    machines.ip(
        COMPUTER,
        &format!("link add name lan type veth peer name lan netns {phone}"),
    );
    for machine in [COMPUTER, PHONE] {
        machines.ip(machine, &format!("address add {}/24 dev lan", ADDRESSES[machine]));
        machines.ip(machine, "link set lan up");
    }
    // A router leads elsewhere; nothing is sent there.
    machines.ip(COMPUTER, "route add default via 10.78.0.2");
    Some(machines)
}

#[test]
fn on_the_local_network_a_code_lets_one_guest_in_and_nobody_else_gets_anything() {
    let Some(machines) = network() else { return };
    let mut program = Program::start(&machines);
    let (mut ada, path) = Visitor::new(&machines, COMPUTER, &program.own);
    assert!(ada.enter(&path));
    let started = ada.post("/api/start", &json!({ "title": "Picnic", "name": "Ada" }));
    assert_eq!(started.0, 200, "{}", started.1);
    super::wait("the group is open", || ada.get("/api/state").1["phase"] == "open");

    let first = program.code();
    assert!(
        first.starts_with(&format!("http://{}:", ADDRESSES[COMPUTER])),
        "{first}"
    );
    let (mut phone, path) = Visitor::new(&machines, PHONE, &first);
    for nothing in ["/", "/app.js", "/api/state", "/api/events", "/api/save", "/enter/0000"] {
        let (status, answer) = phone.get(nothing);
        assert_eq!((status, &answer["code"]), (403, &json!("stranger")), "{nothing}");
    }
    let put = |name: &str| json!({ "op": "put", "list": "guests", "id": null, "fields": { "name": name } });
    assert_eq!(phone.post("/api/edit", &put("Eve")).0, 403);
    let (_, port) = ada.authority.rsplit_once(':').unwrap();
    let owners = format!("http://{}:{port}/", ADDRESSES[COMPUTER]);
    assert_eq!(
        Visitor::new(&machines, PHONE, &owners).0.get("/").0,
        0,
        "that page is for this computer"
    );

    // The next code ends the first, and is good once.
    program.press_enter();
    let second = program.code();
    assert!(!phone.enter(&path));
    let (_, path) = Visitor::new(&machines, PHONE, &second);
    assert!(phone.enter(&path));
    assert!(!Visitor::new(&machines, PHONE, &second).0.enter(&path));

    let (status, state) = phone.get("/api/state");
    assert_eq!(
        (status, &state["guest"], &state["title"]),
        (200, &json!(true), &json!("Picnic"))
    );
    assert_eq!(phone.get("/").0, 200);
    let (status, answer) = phone.post("/api/edit", &put("Zoë"));
    assert_eq!(status, 200, "{answer}");
    let id = answer["id"].as_str().unwrap();
    assert_eq!(ada.get("/api/state").1["lists"]["guests"][id]["name"], "Zoë");
    for (path, body) in [
        ("/api/close", json!({})),
        ("/api/name", json!({ "name": "Eve" })),
        ("/api/reopen", json!({ "mesh": "p-x.party", "passphrase": "" })),
    ] {
        let (status, answer) = phone.post(path, &body);
        assert_eq!((status, &answer["code"]), (403, &json!("guest")), "{path}");
    }
    assert_eq!(phone.get("/api/invite").0, 403);

    // A page of somebody else's, in the guest's browser.
    let elsewhere = phone.headers.replace(&phone.authority, "evil.example");
    let lured = format!("{}Origin: http://evil.example\r\n", phone.headers);
    for headers in [elsewhere, lured] {
        assert_eq!(phone.with(&headers, "GET /api/state", "").0, 403, "{headers}");
        let headers = format!("{headers}Content-Type: application/json\r\n");
        let (status, _) = phone.with(&headers, "POST /api/edit", &put("Eve").to_string());
        assert_eq!(status, 403, "{headers}");
    }
    let guests = ada.get("/api/state").1["lists"]["guests"].clone();
    assert_eq!(guests.as_object().unwrap().len(), 1, "{guests}");
}
