//! A local network of the test's own: network namespaces as machines, on one more as their switch. Gone with the value.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where distributions put it; test environments often have no `sbin` on their path.
const IP_PLACES: [&str; 4] = ["/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip", "/bin/ip"];
/// Set by every continuous integration: there, what cannot be tested is a failure.
const CI_VARIABLE: &str = "CI";

/// One network.
#[derive(Debug)]
pub(crate) struct Lan {
    ip: &'static str,
    /// The switch, then the machines.
    namespaces: Vec<String>,
}

impl Lan {
    /// A network of so many machines, or nothing, and a loud word, where the machine does not let us.
    ///
    /// # Panics
    /// Where it does not let us, in continuous integration.
    pub(crate) fn new(machines: usize) -> Option<Self> {
        match Self::build(machines) {
            Ok(lan) => Some(lan),
            Err(why) if std::env::var_os(CI_VARIABLE).is_some() => panic!("no network namespaces: {why}"),
            Err(why) => {
                eprintln!("SKIPPED: no network namespaces: {why}");
                None
            }
        }
    }

    fn build(machines: usize) -> Result<Self, String> {
        static NETWORKS: AtomicUsize = AtomicUsize::new(0);
        let places = IP_PLACES.into_iter();
        let Some(ip) = places.into_iter().find(|place| Path::new(place).exists()) else {
            return Err("there is no `ip`; install iproute2".to_owned());
        };
        // Unique on this machine while this process lives.
        let name = format!(
            "maille-{}-{}",
            std::process::id(),
            NETWORKS.fetch_add(1, Ordering::Relaxed)
        );
        let mut lan = Self {
            ip,
            namespaces: Vec::new(),
        };
        let switch = lan.namespace(&format!("{name}-switch"))?;
        lan.ip(&format!("-n {switch} link add name switch type bridge"))?;
        lan.ip(&format!("-n {switch} link set switch up"))?;
        for machine in 1..=machines {
            let namespace = lan.namespace(&format!("{name}-{machine}"))?;
            lan.ip(&format!(
                "link add name lan netns {namespace} type veth peer name port{machine} netns {switch}"
            ))?;
            lan.ip(&format!("-n {switch} link set port{machine} master switch up"))?;
            lan.ip(&format!("-n {namespace} address add 10.77.0.{machine}/24 dev lan"))?;
            for device in ["lo", "lan"] {
                lan.ip(&format!("-n {namespace} link set {device} up"))?;
            }
        }
        Ok(lan)
    }

    /// What a shell puts before a command to run it on a machine; machines are counted from 1.
    pub(crate) fn on(&self, machine: usize) -> String {
        format!("exec {} netns exec {} ", self.ip, self.namespaces[machine])
    }

    fn namespace(&mut self, name: &str) -> Result<String, String> {
        self.ip(&format!("netns add {name}"))?;
        self.namespaces.push(name.to_owned());
        Ok(name.to_owned())
    }

    fn ip(&self, arguments: &str) -> Result<(), String> {
        let output: Output = Command::new(self.ip)
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

impl Drop for Lan {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            if let Err(why) = self.ip(&format!("netns delete {namespace}")) {
                eprintln!("a network namespace is left behind: {why}");
            }
        }
    }
}
