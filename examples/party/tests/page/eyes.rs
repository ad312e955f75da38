//! What is judged by looking: screenshots, kept for people, and axe-core's rules for those who do not see them.

use std::io::Write;
use std::path::PathBuf;

use serde_json::json;

use crate::browser::Page;

/// Variable that names axe-core's `axe.min.js`.
const AXE_VARIABLE: &str = "MAILLE_AXE";

/// Its name, width and height in pixels.
type Device = (&'static str, u32, u32);
pub(crate) const PHONE: Device = ("phone", 390, 844);
pub(crate) const DESKTOP: Device = ("desktop", 1280, 860);

/// What reaches beyond the window's right edge and makes the page scroll sideways.
const BEYOND: &str = "document.documentElement.scrollWidth <= innerWidth ? [] : \
     [...document.querySelectorAll('body *')].filter((node) => node.getBoundingClientRect().right > innerWidth + 1) \
     .map((node) => `${node.tagName}#${node.id}.${node.className}`)";

/// Looks at pages.
pub(crate) struct Eyes {
    screens: PathBuf,
    axe: Option<String>,
    findings: Vec<String>,
}

/// Says it past the test runner, which keeps to itself what tests that pass have said.
pub(crate) fn shout(words: &str) {
    std::io::stderr().write_all(format!("{words}\n").as_bytes()).unwrap();
}

impl Eyes {
    /// With axe-core if it is here.
    pub(crate) fn open() -> Self {
        let screens = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("screens");
        std::fs::create_dir_all(&screens).unwrap();
        shout(&format!("screens of the page: {}", screens.display()));
        let axe = std::env::var_os(AXE_VARIABLE);
        if axe.is_none() {
            shout(&format!("SKIPPED: axe-core; name its axe.min.js in {AXE_VARIABLE}"));
        }
        let axe = axe.map(|file| std::fs::read_to_string(file).expect("axe.min.js can be read"));
        Self {
            screens,
            axe,
            findings: Vec::new(),
        }
    }

    /// By day and by night, on a phone and on a desk.
    pub(crate) fn see(&mut self, page: &Page, name: &str) {
        self.see_on(PHONE, page, name);
        self.see_on(DESKTOP, page, name);
    }

    /// By day and by night, on one of them.
    pub(crate) fn see_on(&mut self, device: Device, page: &Page, name: &str) {
        let (device, width_px, height_px) = device;
        for (time, dark) in [("dark", true), ("light", false)] {
            page.look(width_px, height_px, dark);
            page.get("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))");
            let what = format!("{name}-{device}-{time}");
            page.keep(&self.screens.join(format!("{what}.png")));
            let wide = page.get(BEYOND);
            if wide != json!([]) {
                self.findings.push(format!("{what} is wider than the window: {wide}"));
            }
            self.judge(page, &what);
        }
    }

    fn judge(&mut self, page: &Page, what: &str) {
        let Some(axe) = &self.axe else { return };
        page.get(&format!("window.axe || (() => {{ {axe} }})(); true"));
        let findings = page.get(
            "axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations \
             .filter(({ impact }) => impact === 'serious' || impact === 'critical') \
             .map(({ id, nodes }) => id + ': ' + nodes.map((node) => node.html + ' ' + node.failureSummary).join('\\n')))",
        );
        if findings != json!([]) {
            self.findings.push(format!("{what}: {findings:#}"));
        }
    }

    /// Nothing was found wrong.
    pub(crate) fn assert_content(&self) {
        assert!(self.findings.is_empty(), "{}", self.findings.join("\n"));
    }
}
