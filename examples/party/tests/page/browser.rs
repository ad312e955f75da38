//! Chromium without a window, told what to do over a pipe, as its DevTools protocol has it: JSON, a NUL after each message. No
//! port, no WebSocket, and it ends with the pipe, so that no crate for any of this is needed.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Variable that names the program; without it, it is looked for.
const PROGRAM_VARIABLE: &str = "MAILLE_CHROMIUM";
const PROGRAMS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Where Chromium is on this machine, if it is.
pub(crate) fn find() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(PROGRAM_VARIABLE) {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH")?;
    let places = std::env::split_paths(&path).flat_map(|folder| PROGRAMS.map(|program| folder.join(program)));
    places.into_iter().find(|place| place.is_file())
}

/// A browser with a profile of its own.
pub(crate) struct Browser {
    child: Child,
    wire: Arc<Wire>,
    _profile: tempfile::TempDir,
}

struct Wire {
    to: Mutex<ChildStdin>,
    heard: Mutex<Heard>,
    news: Condvar,
}

#[derive(Default)]
struct Heard {
    asked: u64,
    answers: HashMap<u64, Value>,
    /// What pages said that they should not: errors, warnings, exceptions.
    complaints: Vec<String>,
    over: bool,
}

impl Browser {
    /// Starts it; `before` begins the command, if it is to run elsewhere.
    pub(crate) fn start(program: &Path, before: &[&str]) -> Self {
        let profile = tempfile::tempdir().unwrap();
        // It reads from descriptor 3 and writes to 4. Its own sandbox takes rights that containers do not give.
        let mut child = Command::new("sh")
            .arg("-c")
            .arg("exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1")
            .arg("sh")
            .args(before)
            .arg(program)
            .args(["--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu"])
            .args([
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-networking",
            ])
            .args(["--disable-component-update", "--mute-audio", "--hide-scrollbars"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let wire = Arc::new(Wire {
            to: Mutex::new(child.stdin.take().unwrap()),
            heard: Mutex::default(),
            news: Condvar::new(),
        });
        let from = BufReader::new(child.stdout.take().unwrap());
        let hearer = Arc::clone(&wire);
        thread::spawn(move || hearer.listen(from));
        Self {
            child,
            wire,
            _profile: profile,
        }
    }

    /// Opens a page, in the profile that all share, as a user's tabs do.
    pub(crate) fn open(&self, url: &str) -> Page {
        let target = self
            .wire
            .call(None, "Target.createTarget", &json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = self.wire.call(None, "Target.attachToTarget", &attach);
        let page = Page {
            wire: Arc::clone(&self.wire),
            session: session["sessionId"].as_str().unwrap().to_owned(),
        };
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            page.call(domain, &json!({}));
        }
        page.call("Emulation.setFocusEmulationEnabled", &json!({"enabled": true}));
        page.call("Emulation.setLocaleOverride", &json!({"locale": "en-GB"}));
        page.call("Page.navigate", &json!({"url": url}));
        page
    }

    /// What pages complained of so far.
    pub(crate) fn complaints(&self) -> Vec<String> {
        self.wire.complaints()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.wire.send(None, 0, "Browser.close", &json!({}));
        let began = Instant::now();
        while self.child.try_wait().is_ok_and(|ended| ended.is_none()) && began.elapsed() < PATIENCE {
            thread::sleep(LOOK_EVERY);
        }
        // Of one that has ended, both fail, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Wire {
    fn listen(&self, mut from: impl BufRead) {
        let mut message = Vec::new();
        while from.read_until(0, &mut message).is_ok_and(|bytes| bytes > 0) {
            message.pop();
            let message: Value = serde_json::from_slice(&std::mem::take(&mut message)).unwrap();
            let mut heard = self.heard.lock().unwrap();
            match message["id"].as_u64() {
                Some(id) => _ = heard.answers.insert(id, message),
                None => heard.complaints.extend(complaint(&message)),
            }
            self.news.notify_all();
        }
        self.heard.lock().unwrap().over = true;
        self.news.notify_all();
    }

    fn complaints(&self) -> Vec<String> {
        self.heard.lock().unwrap().complaints.clone()
    }

    fn send(&self, session: Option<&str>, id: u64, method: &str, params: &Value) {
        let mut message = json!({"id": id, "method": method, "params": params});
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let mut to = self.to.lock().unwrap();
        // That it has ended is found out by who waits for the answer.
        let _ = to.write_all(format!("{message}\0").as_bytes());
        let _ = to.flush();
    }

    fn call(&self, session: Option<&str>, method: &str, params: &Value) -> Value {
        let mut heard = self.heard.lock().unwrap();
        heard.asked += 1;
        let id = heard.asked;
        drop(heard);
        self.send(session, id, method, params);
        let heard = self.heard.lock().unwrap();
        let waiting = |heard: &mut Heard| !heard.over && !heard.answers.contains_key(&id);
        let (mut heard, _) = self.news.wait_timeout_while(heard, PATIENCE, waiting).unwrap();
        let answer = heard.answers.remove(&id);
        let mut answer = answer.unwrap_or_else(|| panic!("{method}: no answer (ended: {})", heard.over));
        assert!(answer.get("error").is_none(), "{method}: {}", answer["error"]);
        answer["result"].take()
    }
}

/// What of an event is an error, a warning or an exception of a page.
fn complaint(event: &Value) -> Option<String> {
    let params = &event["params"];
    match event["method"].as_str()? {
        "Runtime.exceptionThrown" => Some(params["exceptionDetails"].to_string()),
        "Runtime.consoleAPICalled" if ["error", "warning", "assert"].contains(&params["type"].as_str()?) => {
            Some(params["args"].to_string())
        }
        "Log.entryAdded" if ["error", "warning"].contains(&params["entry"]["level"].as_str()?) => {
            Some(params["entry"].to_string())
        }
        _ => None,
    }
}

/// One tab.
pub(crate) struct Page {
    wire: Arc<Wire>,
    session: String,
}

impl Page {
    fn call(&self, method: &str, params: &Value) -> Value {
        self.wire.call(Some(&self.session), method, params)
    }

    /// The value of an expression, a promise's once it is there. `$` finds an element by selector, as in a console.
    pub(crate) fn get(&self, expression: &str) -> Value {
        let params = json!({
            "expression": format!("{{ const $ = (one) => document.querySelector(one); {expression} }}"),
            "awaitPromise": true,
            "returnByValue": true,
            "userGesture": true,
        });
        let mut answer = self.call("Runtime.evaluate", &params);
        let thrown = answer.get("exceptionDetails");
        assert!(thrown.is_none(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].take()
    }

    /// Waits until an expression is true. What it looks for need not be there yet.
    pub(crate) fn until(&self, expression: &str) {
        let began = Instant::now();
        let tried = format!("(() => {{ try {{ return {expression}; }} catch {{ return false; }} }})()");
        while self.get(&tried) != Value::Bool(true) {
            if began.elapsed() > PATIENCE {
                let (shown, complaints) = (self.get("document.body.innerText"), self.wire.complaints());
                panic!("never: {expression}\nshown: {shown}\ncomplaints: {complaints:#?}");
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Presses what a selector finds, as a finger would: in its middle.
    pub(crate) fn press(&self, selector: &str) {
        let place = self.get(&format!(
            "$({s}).scrollIntoView({{ block: 'center', behavior: 'instant' }}); \
             const box = $({s}).getBoundingClientRect(); \
             ({{ x: box.x + box.width / 2, y: box.y + box.height / 2 }})",
            s = Value::from(selector)
        ));
        for kind in ["mousePressed", "mouseReleased"] {
            let params = json!({"type": kind, "x": place["x"], "y": place["y"], "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", &params);
        }
    }

    /// Types where the focus is.
    pub(crate) fn type_text(&self, text: &str) {
        self.call("Input.insertText", &json!({"text": text}));
    }

    /// Presses a key: `Enter`, `Escape`, `ArrowRight`, `z`; with Control where told.
    pub(crate) fn key(&self, key: &str, control: bool) {
        let code = match key {
            "Enter" => 13,
            "Escape" => 27,
            "ArrowRight" => 39,
            key => u32::from(key.as_bytes()[0].to_ascii_uppercase()),
        };
        let modifiers = if control { 2 } else { 0 };
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let params =
                json!({"type": kind, "key": key, "text": text, "windowsVirtualKeyCode": code, "modifiers": modifiers});
            self.call("Input.dispatchKeyEvent", &params);
        }
    }

    /// Types into the field that a selector finds, after what it holds.
    pub(crate) fn fill(&self, selector: &str, text: &str) {
        self.get(&format!("$({}).focus()", Value::from(selector)));
        self.type_text(text);
    }

    /// The size of the window, and whether it is night.
    pub(crate) fn look(&self, width_px: u32, height_px: u32, dark: bool) {
        let phone = width_px < 600;
        let metrics = json!({"width": width_px, "height": height_px, "deviceScaleFactor": 2, "mobile": phone});
        self.call("Emulation.setDeviceMetricsOverride", &metrics);
        self.call("Emulation.setTouchEmulationEnabled", &json!({"enabled": phone}));
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}]);
        self.call("Emulation.setEmulatedMedia", &json!({"features": features}));
    }

    /// Keeps what is seen.
    pub(crate) fn keep(&self, file: &Path) {
        self.call("Page.bringToFront", &json!({}));
        let shot = self.call("Page.captureScreenshot", &json!({"format": "png"}));
        let bytes = STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
}
