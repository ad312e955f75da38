//! Machines of the test's own: network namespaces, with what network the test gives them. Gone with the value.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where distributions put it; test environments often have no `sbin` on their path.
const IP_PLACES: [&str; 4] = ["/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip", "/bin/ip"];
/// Set by every continuous integration: there, what cannot be tested is a failure.
const CI_VARIABLE: &str = "CI";

pub(crate) struct Machines {
    ip: &'static str,
    names: Vec<String>,
}

impl Machines {
    /// So many machines whose loopback device is up, or nothing, and a loud word, where this machine does not let us.
    ///
    /// # Panics
    /// Where it does not let us, in continuous integration.
    pub(crate) fn new(count: usize) -> Option<Self> {
        match Self::make(count) {
            Ok(machines) => Some(machines),
            Err(why) if std::env::var_os(CI_VARIABLE).is_some() => panic!("no network namespaces: {why}"),
            Err(why) => {
                eprintln!("SKIPPED: no network namespaces: {why}");
                None
            }
        }
    }

    fn make(count: usize) -> Result<Self, String> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let mut places = IP_PLACES.into_iter();
        let ip = places.find(|place| Path::new(place).exists());
        let mut machines = Self {
            ip: ip.ok_or("there is no `ip`; install iproute2")?,
            names: Vec::new(),
        };
        for _ in 0..count {
            let number = MADE.fetch_add(1, Ordering::Relaxed);
            let name = format!("party-{}-{number}", std::process::id());
            machines.try_ip(&format!("netns add {name}"))?;
            machines.names.push(name);
            machines.try_ip(&format!("-n {} link set lo up", machines.names.last().unwrap()))?;
        }
        Ok(machines)
    }

    /// What begins a command that runs on a machine; the program and its arguments follow.
    pub(crate) fn on(&self, machine: usize) -> [&str; 4] {
        [self.ip, "netns", "exec", &self.names[machine]]
    }

    /// A command that runs on a machine.
    pub(crate) fn command(&self, machine: usize, program: &str) -> Command {
        let [ip, on @ ..] = self.on(machine);
        let mut command = Command::new(ip);
        command.args(on).arg(program);
        command
    }

    /// Runs `ip` for a machine.
    pub(crate) fn ip(&self, machine: usize, arguments: &str) {
        self.try_ip(&format!("-n {} {arguments}", self.names[machine])).unwrap();
    }

    fn try_ip(&self, arguments: &str) -> Result<(), String> {
        let output = Command::new(self.ip)
            .args(arguments.split(' '))
            .output()
            .map_err(|error| error.to_string())?;
        match output.status.success() {
            true => Ok(()),
            false => Err(format!(
                "ip {arguments}: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            )),
        }
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        for name in &self.names {
            if let Err(why) = self.try_ip(&format!("netns delete {name}")) {
                eprintln!("a network namespace is left behind: {why}");
            }
        }
    }
}
