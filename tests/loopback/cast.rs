//! Who takes part in these tests: a helper whose multiaddr stays the same, and members that know only it. No test.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use maille_tests::processes::{LOOPBACK, Running, SOON, User};

/// How long a publisher in these tests waits for its subscribers.
pub(crate) const WAIT_TIMEOUT: [&str; 2] = ["--wait-timeout", "150s"];
/// For what involves several processes that start, meet and talk.
pub(crate) const LONG: Duration = Duration::from_secs(180);

/// A loopback address of its own, so that nobody else takes a port that is to be kept.
pub(crate) fn own_ip() -> String {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    if cfg!(target_os = "linux") {
        format!("127.{}.{low}.{next}", high | 0x80)
    } else {
        "127.0.0.1".to_owned()
    }
}

/// `maille node`, with an identity and a port that it keeps.
#[derive(Debug)]
pub(crate) struct Helper {
    user: User,
    listen: String,
    running: Option<Running>,
    /// Where it listens, with its id.
    pub(crate) multiaddr: String,
}

impl Helper {
    /// Over TCP.
    pub(crate) fn start() -> Self {
        Self::listening(format!("/ip4/{}/tcp/0", own_ip()))
    }

    /// Over QUIC.
    pub(crate) fn start_quic() -> Self {
        Self::listening(format!("/ip4/{}/udp/0/quic-v1", own_ip()))
    }

    fn listening(listen: String) -> Self {
        let mut helper = Self {
            user: User::new(),
            listen,
            running: None,
            multiaddr: String::new(),
        };
        helper.multiaddr = helper.run();
        helper
    }

    fn run(&mut self) -> String {
        let data = self.user.arg("helper");
        let running = self
            .user
            .maille(["node", "--no-mdns", "--listen", &self.listen, "--data-dir", &data])
            .start();
        let multiaddr = running.stdout_line("", SOON);
        self.running = Some(running);
        multiaddr
    }

    /// Stops it as a service manager does.
    pub(crate) fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.signal("TERM");
            let _ = running.wait(SOON).expect(0);
        }
    }

    /// Takes it away without a word.
    pub(crate) fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.kill();
        }
    }

    /// Starts it again, where it was.
    pub(crate) fn start_again(&mut self) {
        let multiaddr = self.run();
        assert_eq!(multiaddr, self.multiaddr, "identity and port are kept");
    }

    /// What a member needs to know.
    pub(crate) fn bootstrap(&self) -> [&str; 2] {
        ["--bootstrap", &self.multiaddr]
    }
}

/// Somebody at a machine of their own who runs `maille sub`; waits until it is subscribed.
pub(crate) fn subscriber(address: &str, helper: &Helper, options: &[&str]) -> (User, Running) {
    let user = User::new();
    let running = user
        .maille(["sub", address])
        .args(LOOPBACK)
        .args(helper.bootstrap())
        .args(options)
        .start();
    running.stderr_line("subscribed to ", SOON);
    (user, running)
}

/// The text of one record a line, as `maille pub` reads it.
pub(crate) fn numbered(records: std::ops::Range<usize>) -> String {
    records.map(|number| format!("record {number}\n")).collect()
}

/// The lines that such records are.
pub(crate) fn numbers(records: std::ops::Range<usize>) -> Vec<String> {
    records.map(|number| format!("record {number}")).collect()
}
